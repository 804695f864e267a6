#!/usr/bin/python3
"""node-zookeeper-client on one member, on three, and on three whose leader is killed. Needs node and npm.   node_client.py [CASE...]"""
import json
import os
import shutil
import subprocess
import sys

import harness
from harness import HERE, Probe, Process, hosts, leader, scratch, single, three, until

_where = []


def client(*args, **kw):
    """Starts a client program. The packages of the lock file are installed once, outside of the tree."""
    if not _where:
        where = os.path.join(scratch("node"), "node")
        shutil.copytree(os.path.join(HERE, "node"), where, ignore=shutil.ignore_patterns("node_modules"))
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=where, check=True)
        _where.append(where)
    return Process(["node", os.path.join(_where[0], "client.js")] + list(args), **kw)


def whole(p):
    """Waits for the end of a program that has to run to it, and returns what it said last."""
    line = p.said("done")
    assert p.p.wait(harness.PATIENCE) == 0, p.lines
    return json.loads(line[len("done"):] or "null")


def write(p, line):
    p.p.stdin.write(line + "\n")
    p.p.stdin.flush()


def requests(cluster, at, root):
    """All cases over two clients; neither is disconnected meanwhile."""
    assert whole(client(hosts(cluster, at), root)) == [["SYNC_CONNECTED"]] * 2


def sessions(cluster):
    """A session whose process was killed goes on at another member, with its ephemeral, until it is closed."""
    owner = client(cluster[0].zk, "/owned", "own")
    number, password = until("the owner says who it is", lambda: owner.lines and owner.lines[0].split())
    owner.kill()
    whole(client(cluster[-1].zk, "/owned", "resume", number, password))


def on_one():
    cluster = single()
    requests(cluster, 0, "/c")
    sessions(cluster)


def on_three():
    cluster = three()
    for i in range(3):
        requests(cluster, i, "/c%d" % i)
    sessions(cluster)


def on_three_while_the_leader_is_killed():
    """Counters, watches, ephemerals and credentials outlive the leader; the clients of the others do not see that anything happened."""
    cluster = three()
    lost = leader(cluster)
    survivors = [m for m in cluster if m is not lost]
    probe = Probe(survivors[0].zk)
    probe("create", "/news", "", False)
    probe("create", "/news/deleted", "", False)
    counters = [(m, client(hosts(cluster, i), "/count%d" % i, "count", stdin=subprocess.PIPE)) for i, m in enumerate(cluster)]
    for _, p in counters:
        p.said("counting")
    unaware = client(hosts(survivors), "/unaware")
    unaware.said("ok transactions")
    lost.process.kill()
    probe("set", "/news", "1")
    probe("create", "/news/created", "", False)
    probe("delete", "/news/deleted")
    assert whole(unaware) == [["SYNC_CONNECTED"]] * 2, "a client of a survivor noticed"
    requests(survivors, 1, "/after")
    for m, p in counters:
        write(p, "told")
        p.said("told")
        write(p, "enough")
        end = whole(p)
        assert end["counted"] > 0
        assert end["states"] == (["SYNC_CONNECTED", "DISCONNECTED", "SYNC_CONNECTED"] if m is lost else ["SYNC_CONNECTED"]), (m.name, end)
        assert end["types"] == {"changed": "NODE_DATA_CHANGED", "children": "NODE_CHILDREN_CHANGED", "created": "NODE_CREATED", "deleted": "NODE_DELETED"}, (m.name, end)


if __name__ == "__main__":
    sys.exit(harness.run([on_one, on_three, on_three_while_the_leader_is_killed], sys.argv[1:]))
