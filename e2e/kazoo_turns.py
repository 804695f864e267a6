#!/usr/bin/python3
"""Locks, read-write locks, semaphores, elections, barriers and counters that a Go program and kazoo share.   kazoo_turns.py [CASE...]"""
import signal
import subprocess
import sys

import harness
import turns
from harness import program, three
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


def a_go_holder_that_sleeps_loses_its_lock():
    """It is stopped for so long that kazoo gets the lock, and knows that it has lost it when it wakes up."""
    cluster = three()
    ours, _ = turns.go(",".join(m.flags[m.flags.index("--bind") + 1] for m in cluster))
    theirs = Driver(program("turns.py", cluster[0].zk, stdin=subprocess.PIPE))
    theirs.expect("ready")
    ours.take("m1", "mutex")
    theirs.tell("take", "m2", "mutex")
    theirs.waits()
    ours.process.p.send_signal(signal.SIGSTOP)
    theirs.expect("held", "m2")
    ours.process.p.send_signal(signal.SIGCONT)
    # Whichever it notices first: that its time is up, or that its znode is gone.
    harness.until("it knows", lambda: any(line.startswith("lost m1: ") for line in ours.process.lines))
    ours.read = len(ours.process.lines)
    ours.tell("take", "m3", "mutex")
    ours.waits()
    theirs.free("m2")
    ours.expect("held", "m3")
    ours.free("m3")


if __name__ == "__main__":
    sys.exit(harness.run([each_way(turns.mutex), each_way(turns.read_write), each_way(turns.semaphore), each_way(turns.election), each_way(turns.barrier),
                          each_way(turns.double_barrier), each_way(turns.counter), go_and_kazoo_contend, a_go_holder_that_sleeps_loses_its_lock], sys.argv[1:]))
