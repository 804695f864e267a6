#!/usr/bin/python3
"""Locks, read-write locks and semaphores that a Go program and kazoo share.   kazoo_turns.py [CASE...]"""
import subprocess
import sys

import harness
import turns
from harness import program
from turns import Driver


def both():
    ours, clients = turns.go()
    theirs = Driver(program("turns.py", clients, stdin=subprocess.PIPE))
    theirs.expect("ready")
    return ours, theirs


def each_way(case):
    def run():
        ours, theirs = both()
        case(ours, theirs)
        case(theirs, ours)

    run.__name__ = "go_and_kazoo_share_a_" + case.__name__
    return run


def go_and_kazoo_contend():
    """kazoo's readers stay out: they also wait for writers that came after them, which wait for them (see docs/recipes.md)."""
    ours, theirs = both()
    turns.contention(ours, theirs, 30, ["mutex", "wlock"])


if __name__ == "__main__":
    sys.exit(harness.run([each_way(turns.mutex), each_way(turns.read_write), each_way(turns.semaphore), go_and_kazoo_contend], sys.argv[1:]))
