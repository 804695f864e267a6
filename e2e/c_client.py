#!/usr/bin/python3
"""The C client on one member, on three, and on three whose leader is killed. Needs gcc and libzookeeper-mt-dev.   c_client.py [CASE...]"""
import os
import subprocess
import sys

import harness
from harness import HERE, Probe, Process, hosts, leader, scratch, single, three, until

_binary = []


def client(*args, **kw):
    """Starts a client program, which is compiled once."""
    if not _binary:
        path = os.path.join(scratch("c"), "client")
        subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-DTHREADED", "-o", path, os.path.join(HERE, "c", "client.c"), "-lzookeeper_mt", "-lpthread"], check=True)
        _binary.append(path)
    return Process(_binary + list(args), **kw)


def whole(p):
    """Waits for the end of a program that has to run to it."""
    line = p.said("done")
    assert p.p.wait(harness.PATIENCE) == 0, p.lines
    return line.split()[1:]


def write(p, line):
    p.p.stdin.write(line + "\n")
    p.p.stdin.flush()


def sessions(cluster):
    """A session whose process was killed goes on at another member, with its ephemeral."""
    owner = client(cluster[0].zk, "/owned", "own")
    number, password = until("the owner says who it is", lambda: owner.lines and owner.lines[0].split())
    owner.kill()
    whole(client(cluster[-1].zk, "/owned", "resume", number, password))


def on_one():
    cluster = single()
    whole(client(hosts(cluster), "/c"))
    sessions(cluster)


def on_three():
    cluster = three()
    for i, m in enumerate(cluster):
        whole(client(m.zk, "/c%d" % i))
    sessions(cluster)


def on_three_while_the_leader_is_killed():
    """Counters, watches, ephemerals and credentials outlive the leader; the clients of the others do not see that anything happened."""
    cluster = three()
    lost = leader(cluster)
    survivors = [m for m in cluster if m is not lost]
    probe = Probe(survivors[0].zk)
    probe("create", "/news/deleted", "", False)
    counters = [(m, client(hosts(cluster, i), "/count%d" % i, "count", stdin=subprocess.PIPE)) for i, m in enumerate(cluster)]
    for _, p in counters:
        p.said("counting")
    unaware = client(hosts(survivors), "/unaware")
    unaware.said("ok multi")
    lost.process.kill()
    probe("set", "/news", "1")
    probe("create", "/news/created", "", False)
    probe("delete", "/news/deleted")
    whole(unaware)
    whole(client(hosts(survivors, 1), "/after"))
    for m, p in counters:
        write(p, "changed")
        p.said("told")
        write(p, "enough")
        counted, reconnects = whole(p)
        assert int(counted) > 0
        assert int(reconnects) == (1 if m is lost else 0), "a client of %s reconnected %s times" % ("the killed member" if m is lost else "a survivor", reconnects)


if __name__ == "__main__":
    sys.exit(harness.run([on_one, on_three, on_three_while_the_leader_is_killed], sys.argv[1:]))
