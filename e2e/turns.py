"""Locks that two sorts of clients share: the recipes of coord/lock in a Go program, and another's. Used by kazoo_turns.py and jvm.py."""
import os
import subprocess

import harness
from harness import Process, scratch, stays


class Driver:
    """A process that speaks the language of e2e/turns/main.go."""

    def __init__(self, process):
        self.process, self.read = process, 0

    def tell(self, *words):
        self.process.p.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.p.stdin.flush()

    def _said(self, answer):
        """Whether it has said so since it was last heard to."""
        lines = self.process.lines[self.read:]
        assert not any(line.startswith("failed") for line in lines), lines
        if answer not in [line.rstrip() for line in lines]:
            return False
        self.read += [line.rstrip() for line in lines].index(answer) + 1
        return True

    def expect(self, *words):
        answer = " ".join(map(str, words))
        harness.until("%r is said" % answer, lambda: self._said(answer))

    def waits(self, *words):
        """Nothing is said for a while."""
        stays("silence", lambda: len(self.process.lines) == self.read, 0.4)

    def take(self, name, kind):
        self.tell("take", name, kind)
        self.expect("held", name)

    def free(self, name):
        self.tell("free", name)
        self.expect("freed", name)


def go(*args):
    """The Go program, and where it serves clients. Arguments: "curator", or the addresses of members to join."""
    path = os.path.join(scratch("turns"), "turns")
    subprocess.run(["go", "build", "-o", path, "./e2e/turns"], cwd=os.path.dirname(harness.HERE), check=True)
    p = Process([path, *args], stdin=subprocess.PIPE)
    d = Driver(p)
    clients = p.said("clients ").split()[1]
    d.read = 1
    return d, clients


def mutex(a, b):
    a.take("m1", "mutex")
    b.tell("take", "m2", "mutex")
    b.waits()
    a.free("m1")
    b.expect("held", "m2")
    b.free("m2")


def read_write(a, b):
    a.take("r1", "rlock")
    b.take("r2", "rlock")  # together
    b.free("r2")
    b.tell("take", "w1", "wlock")
    b.waits()
    a.free("r1")
    b.expect("held", "w1")
    a.tell("take", "r3", "rlock")
    a.waits()
    b.free("w1")
    a.expect("held", "r3")
    a.free("r3")
    a.take("w2", "wlock")
    b.tell("take", "w3", "wlock")
    b.waits()
    a.free("w2")
    b.expect("held", "w3")
    b.free("w3")


def semaphore(a, b):
    """Three permits."""
    a.take("s1", "semaphore:2")
    b.take("s2", "semaphore:1")
    b.tell("take", "s3", "semaphore:1")
    b.waits()
    a.free("s1")
    b.expect("held", "s3")
    a.tell("take", "s4", "semaphore:2")
    a.waits()
    b.free("s2")
    a.expect("held", "s4")
    a.free("s4")
    b.free("s3")


def led_by(a, b, data):
    for d in (a, b):
        d.tell("leader")
        d.expect("leader", data)


def election(a, b):
    a.take("e1", "election:first")
    b.tell("take", "e2", "election:second")
    b.waits()
    led_by(a, b, "first")
    a.free("e1")
    b.expect("held", "e2")
    led_by(a, b, "second")
    b.free("e2")


def barrier(a, b):
    a.tell("barrier", "up")
    a.expect("barrier", "up")
    b.tell("barrier", "wait")
    b.waits()
    a.tell("barrier", "down")
    a.expect("barrier", "down")
    b.expect("barrier", "wait")


def double_barrier(a, b):
    """Several rounds: whose name is the lower one is chance."""
    for i in range(6):
        mine, other = "a%d" % i, "b%d" % i
        a.tell("enter", mine, 2)
        a.waits()
        b.tell("enter", other, 2)
        a.expect("entered", mine)
        b.expect("entered", other)
        a.tell("leave", mine)
        a.waits()
        b.tell("leave", other)
        a.expect("left", mine)
        b.expect("left", other)


def counter(a, b):
    """Both add at once."""
    name = os.urandom(4).hex()
    for d in (a, b, a, b):
        d.tell("add", name, 50)
    for d in (a, b, a, b):
        d.expect("added", 50)
    for d in (a, b):
        d.tell("get", name)
        d.expect("value", 200)


def contention(a, b, turns, kinds_of_b):
    """Both sorts take turns at once; nobody finds a file locked that it must have alone."""
    for theirs in kinds_of_b:
        guard = os.path.join(scratch("guard"), "guard")
        ours = ["mutex"] * 3 if theirs == "mutex" else ["rlock", "rlock", "wlock"]
        for kind in ours:
            a.tell("work", kind, turns, guard)
        for _ in range(3):
            b.tell("work", theirs, turns, guard)
        for d in (a, b):
            for _ in range(3):
                d.expect("worked", 0)
