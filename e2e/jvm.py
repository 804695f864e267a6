#!/usr/bin/python3
"""Clients of the JVM against real members: zkCli.sh.   jvm.py [CASE...]"""
import sys

import harness
import zkcli

if __name__ == "__main__":
    sys.exit(harness.run(zkcli.CASES, sys.argv[1:]))
