"""A kazoo client that takes turns at locks.   turns.py HOST

It speaks the language of e2e/turns/main.go, but for "clients": it says "ready".
"""
import fcntl
import sys
import threading

from kazoo.client import KazooClient
from kazoo.recipe.lock import ReadLock, WriteLock

cli = KazooClient(hosts=sys.argv[1], timeout=10.0)
cli.start()
held = {}


inside = {}


class Elected:
    """Leads from acquire to release."""

    def __init__(self, data):
        self.election = cli.Election("/turns/election", data)
        self.leads, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.election.run, args=(self._lead,), daemon=True)

    def _lead(self):
        self.leads.set()
        self.over.wait()

    def acquire(self):
        self.thread.start()
        return self.leads.wait()

    def release(self):
        self.over.set()
        self.thread.join()


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def acquire(kind):
    """The locks that were acquired: one, or as many as a semaphore's weight."""
    kind, _, weight = kind.partition(":")
    if kind == "election":
        locks = [Elected(weight)]
    elif kind == "semaphore":
        locks = [cli.Semaphore("/turns/semaphore", "kazoo", max_leases=3) for _ in range(int(weight))]
    else:
        locks = [{"mutex": cli.Lock, "rlock": lambda p: ReadLock(cli, p), "wlock": lambda p: WriteLock(cli, p)}[kind](
            "/turns/mutex" if kind == "mutex" else "/turns/rw")]
    for x in locks:
        assert x.acquire()
    return locks


def take(name, kind):
    held[name] = acquire(kind)
    say("held", name)


def free(name):
    for x in held.pop(name):
        x.release()
    say("freed", name)


def work(kind, turns, guard):
    overlaps = 0
    for _ in range(int(turns)):
        locks = acquire(kind)
        with open(guard, "w") as g:
            try:
                fcntl.flock(g, (fcntl.LOCK_SH if kind == "rlock" else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                overlaps += 1
        for x in locks:
            x.release()
    say("worked", overlaps)


def leader():
    say("leader", cli.Election("/turns/election").contenders()[0])


def barrier(what):
    b = cli.Barrier("/turns/barrier")
    {"up": b.create, "down": b.remove, "wait": b.wait}[what]()
    say("barrier", what)


def enter(name, count):
    inside[name] = cli.DoubleBarrier("/turns/double", int(count), name)
    inside[name].enter()
    assert inside[name].participating
    say("entered", name)


def leave(name):
    inside[name].leave()
    say("left", name)


def add(name, times):
    counter = cli.Counter("/turns/counter/" + name)
    for _ in range(int(times)):
        counter += 1
    say("added", times)


def get(name):
    say("value", cli.Counter("/turns/counter/" + name).value)


COMMANDS = {f.__name__: f for f in (take, free, work, leader, barrier, enter, leave, add, get)}


def do(command, *args):
    try:
        COMMANDS[command](*args)
    except Exception as e:  # whatever it is, the driver judges it
        say("failed", command, args, repr(e))


say("ready")
for line in sys.stdin:
    threading.Thread(target=do, args=line.split(), daemon=True).start()
cli.stop()
