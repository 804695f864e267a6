#!/usr/bin/python3
"""kazoo's recipes on one member, on three, and on three whose leader is killed; with Debian's kazoo, and with a newer one from PyPI.   kazoo_recipes.py [CASE...]"""
import json
import os
import subprocess
import sys

import harness
from harness import Probe, hosts, leader, program, scratch, single, three, until

NEWER = "kazoo==2.11.0"
TICK = ("--tick", "1s")


def newer():
    """The environment in which Debian's Python finds the newer kazoo."""
    where = scratch("pypi")
    subprocess.run(["python3", "-m", "pip", "install", "-q", "--root-user-action=ignore", "--target", where, NEWER], check=True)
    return dict(os.environ, PYTHONPATH=where)


def finished(p):
    """Waits for the end of a program and returns what its clients went through."""
    line = p.said("done", 150)
    p.p.wait(harness.PATIENCE)
    return json.loads(line[len("done"):])


def recipes_on_one(env=None):
    cluster = single(*TICK)
    assert finished(program("recipes.py", hosts(cluster), env=env)) == [["CONNECTED"]] * 3


def recipes_on_three(env=None):
    cluster = three(*TICK)
    assert finished(program("recipes.py", hosts(cluster), env=env)) == [["CONNECTED"]] * 3


def recipes_on_three_while_the_leader_is_killed(env=None):
    """Who is connected to a survivor goes through all recipes without noticing; others, too, lose neither their session nor a count, nor news."""
    cluster = three(*TICK)
    lost = leader(cluster)
    survivors = [m for m in cluster if m is not lost]
    probe = Probe(survivors[0].zk)
    probe("create", "/storm/counter", "0", False)
    probe("create", "/storm/lock", "", False)
    probe("create", "/storm/news", "", False)
    journal = os.path.join(scratch("storm"), "journal")
    open(journal, "w").close()

    def turns():
        with open(journal) as f:
            return [line.split() for line in f]

    storm = {}
    for i, m in enumerate(cluster):
        for n in "ab":
            storm[m.name + n] = (m, program("storm.py", hosts(cluster, i), m.name + n, journal, env=env, stdin=subprocess.PIPE))
    for _, p in storm.values():
        p.said("counting")
    unaware = program("recipes.py", hosts(survivors), env=env)
    unaware.said("ok read_write_lock")
    until("everybody has had a turn", lambda: {name for _, name in turns()} == set(storm))
    lost.process.kill()
    before = len(turns())
    probe("set", "/storm/news", "war")
    probe("create", "/storm/news/kid", "peace", False)
    assert finished(unaware) == [["CONNECTED"]] * 3, "a client of a survivor noticed"
    until("everybody has had a turn since", lambda: {name for _, name in turns()[before:]} == set(storm))
    for _, p in storm.values():
        p.p.stdin.write("stop\n")
        p.p.stdin.flush()
    counted = 0
    for name, (m, p) in storm.items():
        rounds, states, heard = finished(p)
        counted += rounds
        assert "LOST" not in states, "%s lost its session: %r" % (name, states)
        assert m is lost or states == ["CONNECTED"], "%s, a client of a survivor, went through %r" % (name, states)
        once = heard.pop("once")
        assert heard == {"data": "war", "children": ["kid"], "cache": "peace"}, (name, heard)
        assert once == (["NONE"] if m is lost else ["CHANGED"]), "%s: a watch that fires once told %r" % (name, once)
    assert probe("get", "/storm/counter").split()[0] == str(counted), (probe("get", "/storm/counter"), counted)
    numbers = [int(number) for number, _ in turns()]
    assert len(numbers) == counted and numbers == sorted(set(numbers)), "the lock's order was not kept"


def with_newer(case):
    def run():
        case(newer())

    run.__name__ = case.__name__ + "_" + NEWER.replace("==", "_").replace(".", "_")
    return run


CASES = [recipes_on_one, recipes_on_three, recipes_on_three_while_the_leader_is_killed]

if __name__ == "__main__":
    sys.exit(harness.run(CASES + [with_newer(c) for c in CASES], sys.argv[1:]))
