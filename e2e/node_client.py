#!/usr/bin/python3
"""node-zookeeper-client on one member, on three, and on three whose leader is killed. Needs node and npm.   node_client.py [CASE...]"""
import json
import os
import shutil
import subprocess
import sys

import harness
from harness import HERE, Process, hosts, leader, scratch, single, three

CONNECTED = ["SYNC_CONNECTED"]
_installed = []


def client(*args, **kw):
    """Starts client.js in a copy of its folder, in which npm has installed what the lock file names."""
    if not _installed:
        where = os.path.join(scratch("node"), "node")
        shutil.copytree(os.path.join(HERE, "node"), where, ignore=shutil.ignore_patterns("node_modules"))
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=where, check=True)
        _installed.append(where)
    return Process(["node", "client.js"] + list(args), cwd=_installed[0], **kw)


def finished(p):
    """Waits for the end of a program that has to run to it, and returns what it says."""
    line = p.said("done")
    assert p.p.wait(harness.PATIENCE) == 0, p.lines
    return json.loads(line[len("done"):])


def on_one():
    cluster = single()
    assert finished(client(hosts(cluster), "/node")) == [CONNECTED, CONNECTED]


def on_three():
    cluster = three()
    assert finished(client(hosts(cluster), "/node")) == [CONNECTED, CONNECTED]


def on_three_while_the_leader_is_killed():
    cluster = three()
    lost = leader(cluster)
    # This client shuffles its servers: those of survivors are told of survivors only.
    survivors = [m for m in cluster if m is not lost]
    counters = {"any%d" % i: client(hosts(cluster), "/any%d" % i, "count", stdin=subprocess.PIPE) for i in range(4)}
    counters.update({m.name: client(m.zk, "/" + m.name, "count", stdin=subprocess.PIPE) for m in survivors})
    for p in counters.values():
        p.said("counting")
    unaware = client(hosts(survivors), "/unaware")
    unaware.said("ok modes")
    lost.process.kill()
    assert finished(unaware) == [CONNECTED, CONNECTED], "a client of the survivors noticed"
    assert finished(client(hosts(survivors), "/after")) == [CONNECTED, CONNECTED]
    for name, p in counters.items():
        p.p.stdin.write("stop\n")
        p.p.stdin.flush()
        end = finished(p)
        assert end["sameSession"] and end["count"] > 0, (name, end)
        assert "EXPIRED" not in end["states"], (name, end)
        if not name.startswith("any"):
            assert end["states"] == CONNECTED, "%s, of a survivor, went through %r" % (name, end["states"])


if __name__ == "__main__":
    sys.exit(harness.run([on_one, on_three, on_three_while_the_leader_is_killed], sys.argv[1:]))
