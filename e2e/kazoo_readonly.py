#!/usr/bin/python3
"""What kazoo users with read_only=True see when their member loses the majority and gets it back. Needs root and iproute2, as
kazoo_partition.py does.   kazoo_readonly.py [CASE...]"""
import os
import sys
import time

import harness
from harness import Probe, ProbeError, hosts, stays, three, until
from kazoo_partition import Network

TIMEOUT = 10.0  # of the probes' sessions


def refused(what, error, command):
    """Checks that command() fails so, at once."""
    begin = time.monotonic()
    try:
        command()
    except ProbeError as e:
        assert error in str(e), "%s: %s" % (what, e)
        took = time.monotonic() - begin
        assert took < 1, "%s: refused after %.1f s" % (what, took)
        return
    raise AssertionError("%s was not refused" % what)


def refuses_writes(p):
    refused("set", "NotReadOnlyCallError", lambda: p("set", "/color", "red"))
    refused("create", "NotReadOnlyCallError", lambda: p("create", "/new", "", False))
    refused("an ephemeral", "NotReadOnlyCallError", lambda: p("create", "/mine-too", "", True))
    refused("sync", "NotReadOnlyCallError", lambda: p("sync", "/color"))
    refused("a readonly route's set", "NotReadOnlyCallError", lambda: p("set", "/config/color", "red"))


def since(begin, what, command):
    """Waits until command() succeeds and returns how long after begin that was."""
    until(what, lambda: command() or True)
    return time.monotonic() - begin


class Cut:
    """A cluster of three whose leader, or a follower, is cut off together with a client of its own."""

    def __init__(self, net, of_the_leader):
        self.net = net
        self.cluster = net.cluster()
        probes = [Probe(m.zk, ns=m.ns) for m in self.cluster]
        leads = lambda: [m for m, p in zip(self.cluster, probes) if p("mode") == "leader"]
        leader = until("one leader", leads)[0]
        others = [m for m in self.cluster if m is not leader]
        self.alone = leader if of_the_leader else others[0]
        self.other = others[0] if of_the_leader else leader
        self.index = self.cluster.index(self.alone)
        self.majority = Probe(self.other.zk, ns=self.other.ns)
        self.majority("create", "/color", "blue", False)
        self.majority("create", "/config/color", "blue", False)
        self.begun = None

    def client(self):
        return Probe(self.alone.zk, "read-only", ns=self.alone.ns)

    def cut(self):
        self.net.cut(self.index)
        self.begun = time.monotonic()

    def heal(self):
        self.net.heal(self.index)
        return time.monotonic()


def downgraded_and_upgraded(of_the_leader):
    with Network() as net:
        c = Cut(net, of_the_leader)
        p, plain = c.client(), Probe(c.alone.zk, ns=c.alone.ns)
        session = p("session")
        p("create", "/mine", "", True)
        assert p("get", "/color") == "blue" and p("isro") == "rw"

        c.cut()
        reads = since(c.begun, "a read", lambda: p("get", "/color"))
        assert p("connection") == "CONNECTED"
        assert p("watch", "/color")
        until("isro", lambda: p("isro") == "ro")
        refuses_writes(p)
        p("create", "/services/api/during", "", True)
        until("the majority writes", lambda: c.majority("set", "/color", "green") >= 0)
        assert p("get", "/color") == "blue" and p("children", "/config") == ["color"]
        assert p("exists", "/mine") and not p("exists", "/new")
        stays("reads go on", lambda: p("get", "/color") == "blue", c.begun + 6 - time.monotonic())
        # Who did not ask for it waits, and is told that the outcome is unknown.
        try:
            plain("get", "/color")
            raise AssertionError("a strong read was answered to a client that did not ask for read-only service")
        except ProbeError as e:
            assert "ConnectionLoss" in str(e), e

        healed = c.heal()
        writes = since(healed, "a write", lambda: p("create", "/after", "", False))
        assert p("get", "/color") == "green", "a read after a write is not up to date"
        assert until("the watch fires", lambda: p("fired")) == ["/color"]
        until("a client that did not ask", lambda: plain("get", "/color") == "green")
        assert p("isro") == "rw"
        for probe in (p, c.majority):
            assert probe("exists", "/mine"), "the ephemeral is gone though its client lived"
            until("the registration is everywhere", lambda: probe("children", "/services/api") == ["during"])
        stays("the ephemeral outlives the timeout", lambda: c.majority("exists", "/mine"), TIMEOUT + 2)
        for probe in (p, plain):
            assert probe("states") == ["CONNECTED"], "a client was disconnected: %r" % probe("states")
        assert p("session") == session
        print("     reads again %.1f s after the cut, writes %.1f s after the heal" % (reads, writes))


def a_live_client_of_the_leader():
    downgraded_and_upgraded(of_the_leader=True)


def a_live_client_of_a_follower():
    downgraded_and_upgraded(of_the_leader=False)


def a_session_that_the_majority_has_ended():
    with Network() as net:
        c = Cut(net, of_the_leader=False)
        p, idle = c.client(), c.client()
        session, kept = p("session"), idle("session")
        p("create", "/mine", "", True)
        c.cut()
        until("its ephemeral ends by expiry", lambda: not c.majority("exists", "/mine"))
        took = time.monotonic() - c.begun
        assert took > TIMEOUT * 0.6, "expired %.1f s after the cut" % took
        assert p("exists", "/mine") and p("states") == ["CONNECTED"], "the minority cannot know"
        c.heal()
        until("the client is told", lambda: "LOST" in p("states"))
        until("it has a new session", lambda: p("connection") == "CONNECTED" and p("session") != session)
        assert not p("exists", "/mine")
        p("create", "/mine", "", True)
        # Who owned nothing has lost nothing.
        until("the other goes on", lambda: idle("create", "/idle", "", True))
        assert idle("session") == kept and idle("states") == ["CONNECTED"], idle("states")


def a_client_that_comes_during_the_mode():
    with Network() as net:
        c = Cut(net, of_the_leader=True)
        c.cut()
        until("read-only", lambda: Probe(c.alone.zk, ns=c.alone.ns)("isro") == "ro")
        p, leaving = c.client(), c.client()
        session = p("session")
        assert p("connection") == "CONNECTED_RO", p("connection")
        assert p("get", "/color") == "blue"
        refuses_writes(p)
        p("create", "/services/api/new", "", True)
        leaving("close")
        healed = c.heal()
        until("it finds a member that writes", lambda: p("connection") == "CONNECTED")
        found = time.monotonic() - healed
        p("create", "/mine", "", True)
        assert p("session") == session, "the session did not survive"
        until("its registration is everywhere", lambda: c.majority("children", "/services/api") == ["new"])
        assert c.majority("exists", "/mine")
        print("     it connects for writing %.1f s after the heal" % found)


def a_session_closed_during_the_mode():
    with Network() as net:
        c = Cut(net, of_the_leader=False)
        p, watcher = c.client(), c.client()
        p("create", "/mine", "", True)
        c.cut()
        until("read-only", lambda: watcher("isro") == "ro")
        begin = time.monotonic()
        p("close")
        took = time.monotonic() - begin
        assert took < 1, "closed after %.1f s" % took
        assert c.majority("exists", "/mine"), "nobody can have told the majority"
        healed = c.heal()
        until("its ephemeral ends", lambda: not c.majority("exists", "/mine"))
        gone = time.monotonic() - healed
        until("also here", lambda: not watcher("exists", "/mine"))
        assert watcher("states") == ["CONNECTED"]
        print("     what it owned was gone %.1f s after the heal" % gone)


def the_last_of_three():
    """Two members are killed: the third one shows what there was, and goes on when one is back."""
    cluster = three()
    p = Probe(cluster[0].zk, "read-only")
    p("create", "/color", "blue", False)
    p("create", "/mine", "", True)
    for m in cluster[1:]:
        m.process.kill()
    killed = time.monotonic()
    reads = since(killed, "a read", lambda: p("get", "/color"))
    until("isro", lambda: p("isro") == "ro")
    refused("set", "NotReadOnlyCallError", lambda: p("set", "/color", "red"))
    began = time.monotonic()
    cluster[1].start().ready()
    writes = since(began, "a write", lambda: p("set", "/color", "green"))
    assert p("exists", "/mine") and p("states") == ["CONNECTED"], p("states")
    print("     reads again %.1f s after the kill, writes %.1f s after another member's start" % (reads, writes))


def a_client_whose_member_died_with_the_majority():
    cluster = three()
    p = Probe(hosts(cluster), "read-only")
    session = p("session")
    p("create", "/color", "blue", False)
    p("create", "/mine", "", True)
    survivor = Probe(cluster[2].zk)
    assert survivor("exists", "/mine")
    for m in cluster[:2]:
        m.process.kill()
    killed = time.monotonic()
    reads = since(killed, "a read", lambda: p("get", "/color"))
    assert p("connection") == "CONNECTED_RO" and p("session") == session, (p("connection"), p("session"), session)
    refused("set", "NotReadOnlyCallError", lambda: p("set", "/color", "red"))
    cluster[1].start().ready()
    back = time.monotonic()
    writes = since(back, "a write", lambda: p("set", "/color", "green"))
    assert p("exists", "/mine") and p("session") == session
    stays("its ephemeral", lambda: survivor("exists", "/mine"), TIMEOUT + 2)
    assert p("session") == session and "LOST" not in p("states"), p("states")
    print("     reads again %.1f s after the kill, writes %.1f s after another member was ready" % (reads, writes))


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("kazoo_readonly.py cuts networks in two: run it as root")
    sys.exit(harness.run([a_live_client_of_the_leader, a_live_client_of_a_follower, a_session_that_the_majority_has_ended,
                          a_client_that_comes_during_the_mode, a_session_closed_during_the_mode, the_last_of_three,
                          a_client_whose_member_died_with_the_majority], sys.argv[1:]))
