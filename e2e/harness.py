"""Strata members and client programs as processes, and the runner of cases. Standard library only."""
import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"  # the system's: it is the one that has Debian's python3-kazoo
PATIENCE = 60.0

_started = []  # every process of this run
_scratch = tempfile.mkdtemp(prefix="strata-e2e")


def kill_all():
    """Kills what still runs, clients before the members that they talk to."""
    for p in reversed(_started):
        if p.poll() is None:
            p.kill()
            p.wait()


def _end():
    kill_all()
    shutil.rmtree(_scratch, ignore_errors=True)


atexit.register(_end)


def binary():
    """The strata under test: $STRATA_BIN, or built from the tree, once."""
    if "STRATA_BIN" not in os.environ:
        path = os.path.join(_scratch, "strata")
        subprocess.run(["go", "build", "-o", path, "./cmd/strata"], cwd=os.path.dirname(HERE), check=True)
        os.environ["STRATA_BIN"] = path
    return os.environ["STRATA_BIN"]


def scratch(name):
    return tempfile.mkdtemp(prefix=name, dir=_scratch)


def until(what, cond, patience=PATIENCE):
    """Waits until cond() is true and returns its value; what it last raised explains a failure."""
    deadline = time.monotonic() + patience
    why = None
    while True:
        try:
            value = cond()
            if value:
                return value
            why = "it is %r" % (value,)
        except (AssertionError, OSError, ProbeError) as e:
            why = repr(e)
        if time.monotonic() > deadline:
            raise AssertionError("%s: not after %.0f s: %s" % (what, patience, why))
        time.sleep(0.02)


def stays(what, cond, seconds):
    """Checks that cond() stays true for that long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert cond(), "%s: no longer" % what
        time.sleep(0.1)


def free_ports(n):
    """Ports of loopback that were free for TCP and UDP a moment ago."""
    held = []
    try:
        while len(held) < 2 * n:
            t = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            t.bind(("127.0.0.1", 0))
            u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                u.bind(t.getsockname())
            except OSError:
                t.close()
                u.close()
                continue
            held += [t, u]
        return [s.getsockname()[1] for s in held[::2]]
    finally:
        for s in held:
            s.close()


class Process:
    """A process whose stdout is collected by lines."""

    def __init__(self, args, ns=None, stderr=None, **kw):
        if ns:
            args = ["ip", "netns", "exec", ns] + args
        self.lines = []
        self.p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=stderr, text=True, **kw)
        _started.append(self.p)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.p.stdout:
            self.lines.append(line.rstrip("\n"))

    def said(self, prefix, patience=PATIENCE):
        """Waits for a line with that beginning."""

        def look():
            for line in self.lines:
                if line.startswith(prefix):
                    return line
            if self.p.poll() is not None:
                self.reader.join()
                for line in self.lines:
                    if line.startswith(prefix):
                        return line
                raise RuntimeError("%s ended with %d and did not say %r; it said %r" % (self.p.args, self.p.returncode, prefix, self.lines))
            return None

        return until("%s says %r" % (self.p.args[-1], prefix), look, patience)

    def kill(self):
        self.p.kill()
        self.p.wait()

    def stop(self):
        self.p.terminate()
        return self.p.wait(timeout=PATIENCE)


def program(name, *args, ns=None, **kw):
    """A client program of e2e/programs."""
    return Process([PYTHON, os.path.join(HERE, "programs", name)] + [str(a) for a in args], ns=ns, **kw)


class ProbeError(Exception):
    pass


class Probe:
    """A kazoo client of its own process (and network namespace)."""

    def __init__(self, hosts, *options, ns=None):
        self.process = program("probe.py", hosts, *options, ns=ns, stdin=subprocess.PIPE)
        self.answers = 0
        self._answer(60.0)

    def _answer(self, patience):
        until("an answer of the probe", lambda: len(self.process.lines) > self.answers, patience)
        self.answers += 1
        return json.loads(self.process.lines[self.answers - 1])

    def __call__(self, *command, patience=60.0):
        self.process.p.stdin.write(json.dumps(command) + "\n")
        self.process.p.stdin.flush()
        kind, *rest = self._answer(patience)
        if kind == "error":
            raise ProbeError("%s: %s: %s" % (command, rest[0], rest[1]))
        return rest[0]


class Member:
    """One strata. Restarts use the same flags."""

    def __init__(self, name, bind, flags=(), ns=None, zk="127.0.0.1:0", admin="127.0.0.1:0"):
        self.name, self.ns, self.dir = name, ns, os.path.join(scratch(name), "data")
        self.log = os.path.join(os.path.dirname(self.dir), "stderr")
        self.flags = ["--name", name, "--data-dir", self.dir, "--bind", bind, "--zk-listen", zk, "--admin-listen", admin] + list(flags)
        self.process = self.zk = self.tls = self.admin = None

    def start(self):
        with open(self.log, "a") as log:
            self.process = Process([binary(), "serve"] + self.flags, ns=self.ns, stderr=log)
        return self

    def ready(self):
        for field in self.process.said("ready").split():
            key, _, value = field.partition("=")
            if key == "clients":
                self.zk = value
            elif key == "clients-tls":
                self.tls = value
            elif key == "admin":
                self.admin = value
        return self

    def status(self):
        with urllib.request.urlopen("http://%s/v1/status" % self.admin, timeout=5) as r:
            return json.load(r)

    def word(self, word):
        """The answer to a four-letter word."""
        host, _, port = self.zk.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as c:
            c.sendall(word.encode())
            return b"".join(iter(lambda: c.recv(65536), b"")).decode()

    def tail(self):
        with open(self.log) as f:
            return "".join(f.readlines()[-40:])


members = []  # of the running case, for its post-mortem


def single(*flags):
    members[:] = [Member("one", "127.0.0.1:%d" % free_ports(1)[0], flags).start()]
    return [members[0].ready()]


def three(*flags):
    binds = ["127.0.0.1:%d" % p for p in free_ports(3)]
    common = ["--join", ",".join(binds), "--bootstrap-expect", "3", *flags]
    members[:] = [Member(n, b, common).start() for n, b in zip(("one", "two", "three"), binds)]
    return [m.ready() for m in members]


def leader(cluster):
    """Waits until all of them name the same leader, and returns it."""

    def look():
        named = {m.status()["leader"] for m in cluster}
        return [m for m in cluster if {m.name} == named]

    return until("one leader", look)[0]


def hosts(cluster, first=0):
    """A kazoo host list that begins with one of the members."""
    return ",".join(m.zk for m in cluster[first:] + cluster[:first])


def run(cases, wanted=()):
    """Runs the cases (those with a wanted name, if any is), prints the closing line and returns the exit code."""
    if wanted:
        cases = [c for c in cases if c.__name__ in wanted]
        assert len(cases) == len(set(wanted)), "no such case among %r" % (wanted,)
    passed = failed = 0
    for case in cases:
        begin = time.monotonic()
        try:
            case()
        except BaseException as e:
            failed += 1
            print("FAIL %s (%.1f s)" % (case.__name__, time.monotonic() - begin))
            traceback.print_exc(file=sys.stdout)
            for m in members:
                print("--- stderr of %s\n%s" % (m.name, m.tail()))
            if isinstance(e, KeyboardInterrupt):
                raise
        else:
            passed += 1
            print("ok   %s (%.1f s)" % (case.__name__, time.monotonic() - begin))
        sys.stdout.flush()
        kill_all()
        del _started[:]
        del members[:]
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0
