"""kazoo's reconfig against real members: grow, shrink, remove the leader, come back, and what is refused."""
import logging
import re
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import BadArgumentsError, BadVersionError, NewConfigNoQuorumError, NoAuthError, UnimplementedError, ZookeeperError
from kazoo.protocol.states import KazooState

import harness
from harness import Member, free_ports, hosts, leader, members, single, three, until

CONFIG = "/zookeeper/config"
SUPER = ("digest", "super:test")
FLAGS = ["--reconfig-enabled", "--super-digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="]


def client(where, auth=(SUPER,), timeout=10.0):
    c = KazooClient(where, auth_data=list(auth), timeout=timeout)
    c.lost = []
    c.add_listener(lambda state: c.lost.append(state) if state == KazooState.LOST else None)
    c.start(30)
    return c


def number_of(data, member):
    """The number under which the configuration has a member, by its address for clients; None if it has not."""
    found = re.search(r"^server\.(\d+)=.*;%s$" % re.escape(member.zk), data.decode(), re.M)
    return found and found.group(1)


def spec(member, number, role="participant"):
    bind = member.flags[member.flags.index("--bind") + 1]
    return "server.%s=%s:%s:%s;%s" % (number, bind, bind.rpartition(":")[2], role, member.zk)


def lists(zk, cluster):
    """Waits until the configuration has exactly these members, with addresses where clients are served."""

    def look():
        data, stat = zk.get(CONFIG)
        lines = data.decode().split("\n")
        assert lines.pop() == "version=%x" % stat.mzxid and stat.version == -1, (data, stat)
        return len(lines) == len(cluster) and all(number_of(data, m) for m in cluster) and data

    return until("the configuration has %s" % [m.name for m in cluster], look)


def voters(member):
    return sorted(m["name"] for m in member.status()["members"] if m.get("role") == "voter")


class Worker:
    """A client that writes all the time, and counts what it was told."""

    def __init__(self, where, path):
        self.zk, self.path = client(where, auth=()), path
        self.zk.create(path, b"0", makepath=True)
        self.zk.create(path + "/mine", b"", ephemeral=True)
        self.session = self.zk.client_id[0]
        self.acknowledged, self.slowest, self.ending = 0, 0.0, False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while not self.ending:
            begin = time.monotonic()
            try:
                self.zk.retry(self.zk.set, self.path, b"%d" % (self.acknowledged + 1))
            except ZookeeperError:
                continue  # retry gave up; the loop does not
            self.acknowledged += 1
            self.slowest = max(self.slowest, time.monotonic() - begin)
            time.sleep(0.005)

    def goes_on(self):
        """Waits for more writes; the session and its ephemeral have survived everything until here."""
        goal = self.acknowledged + 20
        until("more writes at %s" % self.path, lambda: self.acknowledged >= goal)
        owner = self.zk.retry(self.zk.exists, self.path + "/mine").ephemeralOwner
        assert (owner, self.zk.client_id[0], self.zk.lost) == (self.session, self.session, []), (owner, self.session, self.zk.lost)

    def end(self):
        self.ending = True
        self.thread.join(30)
        self.zk.stop()


def start_another(cluster, name, *flags):
    bind = "127.0.0.1:%d" % free_ports(1)[0]
    m = Member(name, bind, ["--join", cluster[0].flags[cluster[0].flags.index("--bind") + 1], *FLAGS, *flags]).start()
    members.append(m)
    return m.ready()


def grow_and_shrink():
    cluster = three(*FLAGS)
    zk = client(hosts(cluster))
    lists(zk, cluster)
    workers = [Worker(hosts(cluster, i), "/work/%d" % i) for i in range(3)]
    told = []  # the versions that the watch has told
    zk.DataWatch(CONFIG, lambda data, stat: told.append(stat.mzxid))

    def watched(version):
        until("the watch tells version %x" % version, lambda: told[-1] >= version)
        assert told == sorted(told), told

    # A fourth: in as an observer by itself, a participant by reconfig.
    four = start_another(cluster, "four", "--role", "replica")
    number = number_of(lists(zk, cluster + [four]), four)
    watched(zk.get(CONFIG)[1].mzxid)
    assert voters(four) == ["one", "three", "two"], voters(four)
    data, stat = zk.reconfig(joining=spec(four, number), leaving=None, new_members=None)
    assert number_of(data, four) == number and b":observer" not in data, data
    assert data.endswith(b"version=%x" % stat.mzxid), (data, stat)
    assert voters(cluster[0]) == ["four", "one", "three", "two"], voters(cluster[0])
    watched(stat.mzxid)
    cluster.append(four)
    for w in workers:
        w.goes_on()

    # A follower leaves, asked for with the version that is there; its clients go elsewhere.
    out = next(m for m in cluster if m is not leader(cluster) and m is not four)
    version = int(lists(zk, cluster).rpartition(b"version=")[2], 16)
    number = number_of(zk.get(CONFIG)[0], out)
    data, stat = zk.reconfig(joining=None, leaving=number, new_members=None, from_config=version)
    assert number_of(data, out) is None and data.count(b"server.") == 3, data
    cluster.remove(out)
    watched(stat.mzxid)
    until("it says so", lambda: "removed from the cluster" in out.status().get("reason", ""))
    assert "removed from the cluster" in out.tail()
    for w in workers:
        w.goes_on()
    until("nobody is connected there", lambda: out.status()["connections"] == 0)
    harness.stays("nobody takes it in again", lambda: out.name not in voters(cluster[0]), 2)

    # The leader leaves.
    old = leader(cluster)
    begin = time.monotonic()
    data, stat = zk.retry(zk.reconfig, joining=None, leaving=number_of(lists(zk, cluster), old), new_members=None)
    took = time.monotonic() - begin
    assert number_of(data, old) is None and data.count(b"server.") == 2, data
    cluster.remove(old)
    watched(stat.mzxid)
    for w in workers:
        w.goes_on()
    old.process.stop()
    print("     the leader was removed in %.2f s; the slowest write took %.1f s" % (took, max(w.slowest for w in workers)))

    # Who was removed comes back by its number, after a restart too.
    out.process.stop()
    until("it is forgotten", lambda: out.name not in [m["name"] for m in cluster[0].status()["members"]])
    out.start()
    until("it is seen", lambda: out.name in [m["name"] for m in cluster[0].status()["members"] if m["state"] == "alive"])
    data, _ = zk.reconfig(joining=spec(out, number), leaving=None, new_members=None)
    out.ready()
    cluster.append(out)
    lists(zk, cluster)
    for w in workers:
        w.goes_on()
        w.end()
    for m in cluster:
        direct = client(m.zk)
        direct.sync("/work")
        for w in workers:
            assert int(direct.get(w.path)[0]) >= w.acknowledged, (m.name, w.path)
        direct.stop()
    assert zk.lost == []
    zk.stop()


def whole_configuration():
    """new_members, at the leader that is not among them, with a member that comes back under its name with an empty directory."""
    cluster = three(*FLAGS)
    four = start_another(cluster, "four")
    everyone = cluster + [four]
    old = leader(everyone)
    zk = client(old.zk)
    data = lists(zk, everyone)
    rest = [m for m in everyone if m is not old]
    new = ",".join(spec(m, number_of(data, m)) for m in rest)
    data, _ = zk.reconfig(joining=None, leaving=None, new_members=new)
    assert number_of(data, old) is None and data.count(b":participant") == 3, data
    zk.stop()
    zk = client(hosts(rest))
    first = number_of(lists(zk, rest), rest[0])
    old.process.stop()
    again = Member(old.name, "127.0.0.1:%d" % free_ports(1)[0], ["--join", rest[0].flags[rest[0].flags.index("--bind") + 1], *FLAGS]).start()
    members.append(again)
    again.ready()
    data = lists(zk, rest + [again])
    assert number_of(data, rest[0]) == first and int(number_of(data, again)) > 4, data
    zk.stop()


def refused(error, f, **how):
    asked = dict(joining=None, leaving=None, new_members=None)
    asked.update(how)
    try:
        got = f(**asked)
    except error:
        return
    raise AssertionError("%r was done: %r" % (how, got))


def what_is_refused():
    cluster = three(*FLAGS)
    zk = client(hosts(cluster))
    before = lists(zk, cluster)
    version = zk.get(CONFIG)[1].mzxid
    number = number_of(before, cluster[0])
    stranger = client(hosts(cluster), auth=())
    refused(NoAuthError, stranger.reconfig, leaving=number)
    refused(BadVersionError, zk.reconfig, leaving=number, from_config=version + 1)
    refused(BadArgumentsError, zk.reconfig, joining="server.9=127.0.0.1:1")
    refused(BadArgumentsError, zk.reconfig, new_members=spec(cluster[0], number))
    refused(NewConfigNoQuorumError, zk.reconfig, joining="server.9=127.0.0.1:1:1:participant;127.0.0.1:2")
    try:
        zk.set(CONFIG, b"server.1=elsewhere:1:1;1")
        raise AssertionError("setData was done")
    except NoAuthError:
        pass
    assert zk.get(CONFIG)[0] == before
    data, stat = zk.reconfig(None, None, None)  # only another version
    assert stat.mzxid > version and data.rpartition(b"\n")[0] == before.rpartition(b"\n")[0], (data, before)
    stranger.stop()
    zk.stop()


def one_member_is_standalone():
    zk = client(single(*FLAGS)[0].zk)
    assert zk.get(CONFIG)[0] == b""
    refused(UnimplementedError, zk.reconfig, leaving="1")
    zk.stop()


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # kazoo tells of every attempt to connect
    sys.exit(harness.run([grow_and_shrink, whole_configuration, what_is_refused, one_member_is_standalone], sys.argv[1:]))
