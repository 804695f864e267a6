"""zkCli.sh of Debian's zookeeper package, driven through its standard input, and its cases on one member and on three."""
import re
import subprocess
import time

from harness import Process, leader, single, three, until

QUOTA = "--enforce-quota"
ZKCLI = "/usr/share/zookeeper/bin/zkCli.sh"
MARK = "printwatches is on"  # the answer to a bare "printwatches": it needs no server, so it ends every answer


class Cli:
    """One zkCli.sh. Lines of watch events come between those of the answers, as they do on a terminal."""

    def __init__(self, hosts, *flags):
        self.process = Process([ZKCLI, "-server", hosts, *flags], stdin=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.marks = self.read = 0
        self.process.said("WatchedEvent state:SyncConnected")
        self("printwatches on")  # what it said until here was its welcome

    def send(self, command):
        self.process.p.stdin.write(command + "\n")
        self.process.p.stdin.flush()

    def __call__(self, command):
        """Gives a command and returns its output, without watch events."""
        self.send(command)
        self.send("printwatches")
        self.marks += 1
        until("the answer to %r" % command, lambda: self.process.lines.count(MARK) >= self.marks)
        end = [i for i, line in enumerate(self.process.lines) if line == MARK][self.marks - 1]
        answer = self.process.lines[self.read:end]
        self.read = end + 1
        return "\n".join(line for line in answer if line and not line.startswith(("WATCHER::", "WatchedEvent", "SLF4J:")))

    def gives(self, command, want):
        got = self(command)
        assert got == want, "%r gave %r, not %r" % (command, got, want)

    def has(self, command, *wants):
        got = self(command)
        for want in wants:
            assert want in got, "%r gave %r, without %r" % (command, got, want)

    def events(self):
        return [line for line in self.process.lines if line.startswith("WatchedEvent")]

    def sees(self, kind, path, times=1):
        line = "WatchedEvent state:SyncConnected type:%s path:%s" % (kind, path)
        until("%d times %s of %s" % (times, kind, path), lambda: self.events().count(line) == times)

    def states(self):
        """The states of the connection, in the order in which zkCli.sh told them."""
        return [re.search(r"state:(\w+) type:None", e).group(1) for e in self.events() if "type:None" in e]

    def session(self):
        """The id of its session, from an ephemeral of its own."""
        self.gives("create -e /whose x", "Created /whose")
        owner = re.search(r"ephemeralOwner = (0x[0-9a-f]+)", self("stat /whose")).group(1)
        self.gives("delete /whose", "")
        return owner

    def quit(self):
        self.send("quit")
        code = self.process.p.wait(timeout=30)
        assert code == 0, "zkCli.sh ended with %d" % code


def once(server, *command):
    """One command as arguments of zkCli.sh: its exit code and its output."""
    done = subprocess.run([ZKCLI, "-server", server, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.returncode, done.stdout


def stat_of(text):
    """The Stat that zkCli.sh printed, by its names."""
    return dict(re.findall(r"^(\w+) = (.*)$", text, re.M))


def nodes(cli):
    cli.gives("create /t data", "Created /t")
    cli.gives("create /t again", "Node already exists: /t")
    cli.gives("get /t", "data")
    cli.gives("set /t other", "")
    cli.gives("set -v 7 /t lost", "version No is not valid : /t")
    assert stat_of(cli("set -s -v 1 /t third"))["dataVersion"] == "2"
    assert cli("get -s /t").startswith("third\ncZxid = 0x")
    cli.gives("create /t/plain", "Created /t/plain")
    cli.gives("get /t/plain", "null")
    cli.gives("create /t/empty \"\"", "Created /t/empty")
    cli.gives("create -s /t/s- x", "Created /t/s-0000000002")
    cli.gives("create -s -e /t/e- x", "Created /t/e-0000000003")
    cli.gives("create -e /t/eph x", "Created /t/eph")
    cli.gives("create /t/eph/child x", "Ephemerals cannot have children: /t/eph/child")
    cli.gives("create -c /t/cont", "Created /t/cont")
    cli.gives("create -t 3600000 /t/ttl x", "Created /t/ttl")
    cli.gives("create -s -t 3600000 /t/ttl- x", "Created /t/ttl-0000000007")
    cli.gives("create /t/cont/deep x", "Created /t/cont/deep")
    assert names(cli("ls /t")) == ["cont", "e-0000000003", "empty", "eph", "plain", "s-0000000002", "ttl", "ttl-0000000007"]
    assert sorted(cli("ls -R /t").split()) == sorted(
        "/t /t/cont /t/cont/deep /t/e-0000000003 /t/empty /t/eph /t/plain /t/s-0000000002 /t/ttl /t/ttl-0000000007".split())
    stat = stat_of(cli("ls -s /t"))
    assert (stat["cversion"], stat["numChildren"], stat["dataLength"], stat["ephemeralOwner"]) == ("8", "8", "5", "0x0"), stat
    assert stat_of(cli("stat /t/eph"))["ephemeralOwner"] != "0x0"
    cli.gives("stat /t/none", "Node does not exist: /t/none")
    cli.gives("ls /t/none", "Node does not exist: /t/none")
    cli.gives("delete /t", "Node not empty: /t")
    cli.gives("delete -v 3 /t/plain", "version No is not valid : /t/plain")
    cli.gives("delete -v 0 /t/plain", "")
    cli.gives("sync /t", "Sync is OK")
    cli.gives("deleteall /t", "")
    cli.gives("stat /t", "Node does not exist: /t")


def names(listing):
    """The children in "[a, b]", sorted."""
    return sorted(n for n in listing.splitlines()[0].strip("[]").split(", ") if n)


def acls(cli):
    cli.gives("create /acl x", "Created /acl")
    cli.gives("getAcl /acl", "'world,'anyone\n: cdrwa")
    cli.has("create /acl/nobody x auth::cdrwa", "Acl is not valid : /acl/nobody")
    cli.gives("addauth digest joe:secret", "")
    cli.has("whoami", "Auth scheme: User", "ip: 127.0.0.1", "digest: joe")
    cli.gives("create /acl/joe x auth::cdrwa", "Created /acl/joe")
    cli.has("getAcl -s /acl/joe", "'digest,'joe:", ": cdrwa", "aclVersion = 0")
    cli.gives("create /acl/read x world:anyone:ra", "Created /acl/read")
    cli.gives("set /acl/read y", "Insufficient permission : /acl/read")
    cli.gives("create /acl/read/child y", "Insufficient permission : /acl/read/child")
    cli.gives("setAcl -v 5 /acl/read world:anyone:cdrwa", "version No is not valid : /acl/read")
    cli.gives("setAcl -v 0 /acl/read world:anyone:cdrwa", "")
    cli.gives("set /acl/read y", "")
    cli.gives("create /acl/read/child y", "Created /acl/read/child")
    cli.gives("setAcl -R /acl/read digest:ann:QmLLBFwrJOOyBFrWcXYNvLmJ0fs=:r,world:anyone:drwa", "")
    cli.has("getAcl /acl/read/child", "'digest,'ann:QmLLBFwrJOOyBFrWcXYNvLmJ0fs=\n: r", "'world,'anyone\n: drwa")
    cli.has("setAcl /acl/read nonsense:a:r", "Acl is not valid : /acl/read")
    other = Cli(cli.process.p.args[2])
    other.gives("get /acl/joe", "Insufficient permission : /acl/joe")
    other.gives("getAcl /acl/joe", "Insufficient permission : /acl/joe")
    other.gives("addauth digest joe:secret", "")
    other.gives("get /acl/joe", "x")
    other.quit()
    cli.gives("deleteall /acl", "")


def watches(cli):
    other = Cli(cli.process.p.args[2])
    cli.gives("create /w x", "Created /w")
    other.gives("get -w /w", "x")
    other.gives("ls -w /w", "[]")
    other.gives("stat -w /w/later", "Node does not exist: /w/later")
    cli.gives("create /w/later x", "Created /w/later")
    other.sees("NodeCreated", "/w/later")
    other.sees("NodeChildrenChanged", "/w")
    cli.gives("set /w y", "")
    other.sees("NodeDataChanged", "/w")
    cli.gives("set /w z", "")
    other.gives("addWatch -m PERSISTENT /w", "")
    other.gives("addWatch -m PERSISTENT_RECURSIVE /w/later", "")
    for i in range(3):
        cli.gives("set /w p%d" % i, "")
    other.sees("NodeDataChanged", "/w", 4)
    cli.gives("create /w/later/a x", "Created /w/later/a")
    cli.gives("create /w/later/a/b x", "Created /w/later/a/b")
    other.sees("NodeCreated", "/w/later/a")
    other.sees("NodeCreated", "/w/later/a/b")
    cli.gives("deleteall /w/later", "")
    other.sees("NodeDeleted", "/w/later/a/b")
    other.sees("NodeDeleted", "/w/later/a")
    other.sees("NodeDeleted", "/w/later")
    other.sees("NodeChildrenChanged", "/w", 2)
    other.gives("removewatches /w", "")
    other.sees("PersistentWatchRemoved", "/w")
    other.has("removewatches /w", "KeeperErrorCode = No such watcher")
    cli.gives("set /w unheard", "")
    other.gives("get /w", "unheard")
    other.sees("NodeDataChanged", "/w", 4)
    assert other.states() == ["SyncConnected"], other.states()
    other.quit()
    cli.gives("delete /w", "")


def quotas(cli):
    cli.gives("create /q x", "Created /q")
    cli.gives("setquota -n 3 /q", "")
    cli.gives("setquota -b 100 /q", "")
    cli.gives("create /q/a 12345", "Created /q/a")
    cli.has("listquota /q", "Output quota for /q count=3,bytes=100=;byteHardLimit=-1;countHardLimit=-1", "Output stat for /q count=2,bytes=6")
    cli.gives("setquota -N 4 /q", "")
    cli.gives("setquota -B 30 /q", "")
    cli.gives("create /q/b 1", "Created /q/b")
    cli.gives("create /q/c 1", "Created /q/c")  # beyond the soft limit
    cli.gives("create /q/d 1", "Quota has exceeded : /q/d")
    cli.gives("set /q/a 1234567890123456789012345678901", "Quota has exceeded : /q/a")
    cli.has("setquota -n 3 /q/a", "/q/a has a parent /q which has a quota")
    cli.has("listquota /q", "Output quota for /q count=3,bytes=100=;byteHardLimit=30;countHardLimit=4", "Output stat for /q count=4,bytes=8")
    cli.gives("delquota -N /q", "")
    cli.gives("create /q/d 1", "Created /q/d")
    cli.gives("delquota /q", "")
    cli.has("listquota /q", "quota for /q does not exist.")
    cli.gives("set /q/a 1234567890123456789012345678901", "")
    assert sorted(cli("ls -R /zookeeper").split()) == ["/zookeeper", "/zookeeper/config", "/zookeeper/quota"]
    cli.gives("deleteall /q", "")


def overviews(cli):
    cli.gives("getEphemerals", "[]")
    cli.gives("create /o x", "Created /o")
    cli.gives("create -e /o/mine x", "Created /o/mine")
    cli.gives("create -e /o/other x", "Created /o/other")
    assert names(cli("getEphemerals")) == ["/o/mine", "/o/other"]
    cli.gives("getEphemerals /o/m", "[/o/mine]")
    cli.gives("getAllChildrenNumber /o", "2")
    cli.has("getAllChildrenNumber /none", "Node does not exist: /none")
    cli.gives("deleteall /o", "")


def config(cli, cluster):
    want = sorted(m.zk for m in cluster)
    until("all members are in the configuration", lambda: len(re.findall(r"^server\.\d+=", cli("config"), re.M)) == len(want))
    servers = re.findall(r"^server\.(\d+)=127\.0\.0\.1:(\d+):(\d+):participant;(.*)$", cli("config"), re.M)
    assert sorted(s[3] for s in servers) == want, servers
    version = re.search(r"^version=([0-9a-f]+)$", cli("config"), re.M).group(1)
    assert stat_of(cli("config -s"))["mZxid"] == "0x" + version
    number, hosts = cli("config -c").split()  # read with ZooKeeper's own classes
    assert int(number) == int(version, 16) and sorted(hosts.split(",")) == want, (number, hosts)


def session_words(cli):
    cli.has("version", "ZooKeeper CLI version: 3.8.0")
    cli.gives("create -e /gone-with-me x", "Created /gone-with-me")
    cli.send("close")
    cli.send("connect " + cli.process.p.args[2])
    until("a second session", lambda: cli.states().count("SyncConnected") >= 2)
    cli.gives("stat /gone-with-me", "Node does not exist: /gone-with-me")


def arguments(server):
    """Commands as arguments, the read-only flag, a chroot, a timeout."""
    code, said = once(server, "create", "/arg", "x")
    assert code == 0 and said.rstrip().endswith("Created /arg"), (code, said)
    code, said = once(server, "create", "/arg", "x")
    assert code == 1 and "Node already exists: /arg" in said, (code, said)
    code, said = once(server, "-r", "get", "/arg")
    assert code == 0 and said.rstrip().endswith("x"), (code, said)
    code, said = once(server + "/arg", "-timeout", "5000", "create", "/inside", "y")
    assert code == 0 and said.rstrip().endswith("Created /inside"), (code, said)
    code, said = once(server, "-waitforconnection", "ls", "-R", "/arg")
    assert code == 0 and said.split()[-2:] == ["/arg", "/arg/inside"], (code, said)
    code, said = once(server, "deleteall", "/arg")
    assert code == 0, (code, said)


def everything(server):
    arguments(server)
    cli = Cli(server)
    for case in (nodes, acls, watches, quotas, overviews, session_words):
        case(cli)
    cli.quit()


def zkcli_on_one():
    cluster = single(QUOTA)
    everything(cluster[0].zk)
    assert once(cluster[0].zk, "config")[0] == 0


def zkcli_on_three():
    cluster = three(QUOTA)
    everything(",".join(m.zk for m in cluster))
    clis = [Cli(m.zk) for m in cluster]
    for cli in clis:
        config(cli, cluster)
    clis[0].gives("create /seen x", "Created /seen")
    for i, cli in enumerate(clis):
        cli.gives("sync /seen", "Sync is OK")
        assert stat_of(cli("get -s /seen"))["dataVersion"] == str(i)
        cli.gives("set /seen y", "")
    for cli in clis:
        cli.quit()


def attached(cluster, member):
    """A zkCli.sh that knows all members and is attached to that one: the client chooses at random, so it takes some tries."""
    for _ in range(30):
        cli = Cli(",".join(m.zk for m in cluster))
        sid = cli.session()
        if sid in member.word("cons"):
            return cli, sid
        cli.quit()
    raise AssertionError("30 clients, and none of them chose %s" % member.name)


def zkcli_on_three_while_the_leader_is_killed():
    cluster = three(QUOTA)
    old = leader(cluster)
    rest = [m for m in cluster if m is not old]
    bereft, sid = attached(cluster, old)
    others = [Cli(m.zk) for m in rest]
    bereft.gives("create /k x", "Created /k")
    bereft.gives("create -e /k/mine x", "Created /k/mine")
    for cli in [bereft, *others]:
        cli.gives("stat -w /k/new", "Node does not exist: /k/new")
        cli.gives("addWatch /k", "")
    for turn in range(5):
        others[0].gives("set /k before-%d" % turn, "")
    old.process.kill()
    begin = time.monotonic()
    for turn in range(5):  # the first of these waits for the election
        for cli in others:
            cli.gives("set /k after-%d" % turn, "")
    print("     %.1f s from the kill to ten writes at the survivors" % (time.monotonic() - begin))
    until("the bereft client is back", lambda: bereft.states()[1:] == ["Disconnected", "SyncConnected"])
    others[1].gives("create /k/new x", "Created /k/new")
    for cli in [bereft, *others]:
        cli.sees("NodeCreated", "/k/new", 1)
        cli.gives("sync /k", "Sync is OK")
        cli.gives("get /k", "after-4")
        assert names(cli("ls /k")) == ["mine", "new"]
    assert stat_of(bereft("stat /k/mine"))["ephemeralOwner"] == sid
    assert stat_of(bereft("stat /k"))["dataVersion"] == "15"
    for cli in others:
        assert cli.states() == ["SyncConnected"], "the election showed: %r" % cli.states()
    for case in (nodes, acls, watches, quotas, overviews):
        case(others[0])
    config(others[0], cluster)
    bereft.quit()
    others[1].gives("stat /k/mine", "Node does not exist: /k/mine")


CASES = [zkcli_on_one, zkcli_on_three, zkcli_on_three_while_the_leader_is_killed]
