#!/usr/bin/python3
"""What kazoo users see on both sides of a network that is cut in two. Needs root and iproute2: each member lives in a network
namespace of its own, joined by a bridge in a fourth one; the cut takes a bridge port down."""
import os
import subprocess
import sys
import time

import harness
from harness import Member, Probe, ProbeError, program, stays, until

PREFIX = "strata%d" % os.getpid()
SWITCH = PREFIX + "s"
PORT = "7400"


def ip(*args):
    subprocess.run(["ip", *args], check=True)


def namespace(i):
    return "%s-%d" % (PREFIX, i)


def address(i):
    return "10.211.0.%d" % (i + 1)


class Network:
    """Three hosts on a switch."""

    def __enter__(self):
        ip("netns", "add", SWITCH)
        ip("-n", SWITCH, "link", "add", "bridge", "type", "bridge")
        ip("-n", SWITCH, "link", "set", "bridge", "up")
        for i in range(3):
            ns = namespace(i)
            ip("netns", "add", ns)
            ip("-n", ns, "link", "add", "eth", "type", "veth", "peer", "name", "port%d" % i, "netns", SWITCH)
            ip("-n", SWITCH, "link", "set", "port%d" % i, "master", "bridge", "up")
            ip("-n", ns, "addr", "add", address(i) + "/24", "dev", "eth")
            ip("-n", ns, "link", "set", "eth", "up")
            ip("-n", ns, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        harness.kill_all()
        for ns in [namespace(i) for i in range(3)] + [SWITCH]:
            subprocess.run(["ip", "netns", "del", ns], check=False)

    def cut(self, i):
        ip("-n", SWITCH, "link", "set", "port%d" % i, "down")

    def heal(self, i):
        ip("-n", SWITCH, "link", "set", "port%d" % i, "up")

    def cluster(self):
        join = ",".join("%s:%s" % (address(i), PORT) for i in range(3))
        harness.members[:] = [
            Member("m%d" % i, "%s:%s" % (address(i), PORT), ["--join", join, "--bootstrap-expect", "3"], ns=namespace(i),
                   zk="%s:2181" % address(i), admin="%s:8080" % address(i)).start()
            for i in range(3)
        ]
        return [m.ready() for m in harness.members]


def partition(seconds):
    """Member 0 is alone for that long; the other two have the majority."""
    with Network() as net:
        cluster = net.cluster()
        probes = [Probe(m.zk, ns=m.ns) for m in cluster]
        probes[0]("create", "/config/color", "blue", False)
        program("register.py", cluster[0].zk, "before-0", 30, ns=namespace(0)).said("registered")
        program("register.py", cluster[1].zk, "before-1", 30, ns=namespace(1)).said("registered")
        known = ["before-0:9090", "before-1:9090"]
        for p in probes:
            until("both registrations are visible", lambda: p("children", "/services/api") == known)
            until("the configuration is visible", lambda: p("exists", "/config/color"))

        net.cut(0)
        cut = time.monotonic()
        stays("both registrations on both sides", lambda: all(p("children", "/services/api") == known for p in probes), 6)
        program("register.py", cluster[0].zk, "during-0", 30, ns=namespace(0)).said("registered")
        program("register.py", cluster[2].zk, "during-2", 30, ns=namespace(2)).said("registered")
        assert "during-0:9090" in probes[0]("children", "/services/api")
        for p in probes[1:]:
            until("a registration of its own side", lambda: "during-2:9090" in p("children", "/services/api"))
        assert probes[0]("get", "/config/color") == "blue", "the minority does not answer readonly reads"
        until("the majority writes", lambda: probes[1]("set", "/config/color", "green") > 0)
        try:
            probes[0]("set", "/config/color", "red")
            raise AssertionError("the minority acknowledged a strong write")
        except ProbeError as e:
            assert "ConnectionLoss" in str(e) or "OperationTimeout" in str(e), e
        assert probes[0]("get", "/config/color") == "blue"
        assert probes[0]("states") == ["CONNECTED"], "the cut disconnected a client of the minority: %r" % probes[0]("states")

        while time.monotonic() < cut + seconds:
            time.sleep(0.2)
        net.heal(0)
        healed = time.monotonic()
        all_of_them = sorted(known + ["during-0:9090", "during-2:9090"])
        for p in probes:
            until("the sides converge", lambda: p("children", "/services/api") == all_of_them)
            until("the minority catches up", lambda: p("get", "/config/color") == "green")
        print("     converged %.1f s after a cut of %.0f s healed" % (time.monotonic() - healed, healed - cut))


def both_sides_of_a_short_partition():
    partition(12)


def both_sides_of_a_partition_past_gossips_memory():
    partition(50)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("kazoo_partition.py cuts networks in two: run it as root")
    sys.exit(harness.run([both_sides_of_a_short_partition, both_sides_of_a_partition_past_gossips_memory], sys.argv[1:]))
