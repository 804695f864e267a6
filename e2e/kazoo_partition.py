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


def partition(seconds, of_the_leader):
    """One member is alone for that long; the other two have the majority."""
    with Network() as net:
        cluster = net.cluster()
        probes = [Probe(m.zk, ns=m.ns) for m in cluster]
        leaders = until("one leader", lambda: [i for i in range(3) if probes[i]("mode") == "leader"])
        alone = leaders[0] if of_the_leader else (leaders[0] + 1) % 3
        others = [i for i in range(3) if i != alone]
        minority, majority = probes[alone], [probes[i] for i in others]

        def register(name, i):
            program("register.py", cluster[i].zk, name, 30, ns=namespace(i)).said("registered")
            return name + ":9090"

        minority("create", "/config/color", "blue", False)
        known = sorted([register("before-a", alone), register("before-b", others[0])])
        for p in probes:
            until("both registrations are visible", lambda: p("children", "/services/api") == known)
            until("the configuration is visible", lambda: p("exists", "/config/color"))

        net.cut(alone)
        cut = time.monotonic()
        stays("both registrations on both sides", lambda: all(p("children", "/services/api") == known for p in probes), 6)
        here, there = register("during-a", alone), register("during-b", others[1])
        assert here in minority("children", "/services/api")
        for p in majority:
            until("a registration of its own side", lambda: there in p("children", "/services/api"))
        assert minority("get", "/config/color") == "blue", "the minority does not answer readonly reads"
        until("the majority writes", lambda: majority[0]("set", "/config/color", "green") > 0)
        try:
            minority("set", "/config/color", "red")
            raise AssertionError("the minority acknowledged a strong write")
        except ProbeError as e:
            assert "ConnectionLoss" in str(e) or "OperationTimeout" in str(e), e
        assert minority("get", "/config/color") == "blue"
        for p in probes:
            assert p("states") == ["CONNECTED"], "the cut disconnected a client: %r" % p("states")

        stays("the minority serves discovery", lambda: here in minority("children", "/services/api"), cut + seconds - time.monotonic())
        net.heal(alone)
        healed = time.monotonic()
        for p in probes:
            until("the sides converge", lambda: p("children", "/services/api") == sorted(known + [here, there]))
            until("the minority catches up", lambda: p("get", "/config/color") in ("green", "red"))
        colors = {until("one color", lambda: p("get", "/config/color")) for p in probes}
        assert len(colors) == 1, colors
        print("     converged %.1f s after a cut of %.0f s healed; the refused write did%s apply"
              % (time.monotonic() - healed, healed - cut, "" if "red" in colors else " not"))


def both_sides_when_the_leader_is_cut_off():
    partition(12, of_the_leader=True)


def both_sides_when_a_follower_is_cut_off():
    partition(12, of_the_leader=False)


def both_sides_of_a_partition_past_gossips_memory():
    partition(50, of_the_leader=True)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("kazoo_partition.py cuts networks in two: run it as root")
    sys.exit(harness.run([both_sides_when_the_leader_is_cut_off, both_sides_when_a_follower_is_cut_off,
                          both_sides_of_a_partition_past_gossips_memory], sys.argv[1:]))
