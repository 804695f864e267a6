#!/usr/bin/python3
"""The three jobs of a coordination service as kazoo users write them, on one member and on three.   kazoo_jobs.py [CASE...]"""
import os
import sys
import time

import harness
from harness import Probe, hosts, leader, program, scratch, single, stays, three, until


def discovery(cluster):
    path = "/services/api/web-1:9090"
    probes = [Probe(m.zk) for m in cluster]
    service = program("register.py", cluster[0].zk, "web-1", 4)
    service.said("registered")
    for p in probes:
        until("visible", lambda: p("exists", path))
        assert p("get", path) == "http/json"
        assert p("children", "/services/api") == ["web-1:9090"]
    stays("there while its client lives, past the timeout", lambda: all(p("exists", path) for p in probes), 6)
    service.kill()
    killed = time.monotonic()
    for p in probes:
        until("gone after the timeout", lambda: not p("exists", path), 30)
    took = time.monotonic() - killed
    assert took >= 1.5, "gone after %.1f s: earlier than the timeout of 4 s less a ping interval" % took
    assert all(p("states") == ["CONNECTED"] for p in probes)


def locks(cluster, contenders, turns, meanwhile=None):
    here = scratch("locks")
    journal, guard = os.path.join(here, "journal"), os.path.join(here, "guard")
    open(journal, "w").close()

    def grants():
        with open(journal) as f:
            return [line.split() for line in f]

    workers = [program("shard.py", hosts(cluster, i % len(cluster)), "host-%02d" % i, turns, journal, guard) for i in range(contenders)]
    if meanwhile:
        for w in workers:
            w.said("CONNECTED")
        until("a few turns are taken", lambda: len(grants()) >= contenders // 2)
        before = len(grants())
        assert before < contenders * turns, "the work was over before anything happened"
        meanwhile()
        until("the turns go on", lambda: len(grants()) > before + 2)
    for w in workers:
        w.said("done")
        # kazoo calls the orderly end of a session LOST too; what counts is what came before it.
        assert "LOST" not in w.lines[:w.lines.index("done")], "a contender lost its session: %r" % w.lines
    got = grants()
    assert len(got) == contenders * turns, "%d turns of %d" % (len(got), contenders * turns)
    assert all(g[2] == "alone" for g in got), "two holders: %r" % [g for g in got if g[2] != "alone"]
    numbers = [int(g[0]) for g in got]
    assert numbers == sorted(set(numbers)), "the order was not kept: %r" % numbers


def configuration(cluster):
    programs = [program("features.py", m.zk) for m in cluster]
    probes = [Probe(m.zk) for m in cluster]
    for p in programs:
        p.said("children")
    for i, writer in enumerate(probes):
        value = "value-%d" % i
        writer("set", "/configs/features", value)
        for p in programs:
            p.said("data " + value)
        writer("create", "/configs/features/flag-%d" % i, "on", False)
        names = ",".join("flag-%d" % j for j in range(i + 1))
        for p in programs:
            p.said("children " + names)


def discovery_on_one():
    discovery(single())


def locks_on_one():
    locks(single(), 20, 2)


def configuration_on_one():
    configuration(single())


def discovery_on_three():
    discovery(three())


def locks_on_three():
    locks(three(), 20, 2)


def locks_on_three_while_the_leader_is_killed():
    cluster = three()
    locks(cluster, 20, 4, lambda: leader(cluster).process.kill())


def configuration_on_three():
    configuration(three())


def an_election_disconnects_nobody():
    cluster = three()
    old = leader(cluster)
    rest = [m for m in cluster if m is not old]
    probes = [Probe(m.zk) for m in rest]
    probes[0]("create", "/counter", "", False)
    old.process.kill()
    for p in probes:
        p("set", "/counter", "after")
        assert p("states") == ["CONNECTED"], "the election showed: %r" % p("states")


if __name__ == "__main__":
    sys.exit(harness.run([
        discovery_on_one, locks_on_one, configuration_on_one,
        discovery_on_three, locks_on_three, locks_on_three_while_the_leader_is_killed, configuration_on_three,
        an_election_disconnects_nobody,
    ], sys.argv[1:]))
