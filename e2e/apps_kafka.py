#!/usr/bin/python3
"""Apache Kafka, with Strata in the place of ZooKeeper, with and without a chroot.   apps_kafka.py [CASE...]

It needs Debian's maven, default-jdk-headless and python3-kazoo, and Maven Central for the jars that kafka/pom.xml names.
"""
import functools
import json
import os
import re
import signal
import subprocess
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

import harness
from harness import Process, free_ports, leader, scratch, stays, three, until

HERE = os.path.join(harness.HERE, "kafka")
TTL = 6  # seconds: the brokers' sessions
TOPIC, PARTITIONS = "numbers", 3
OFFSETS = "__consumer_offsets", 2  # Kafka's own topic for the offsets of its groups, and its partitions

CONFIG = """
broker.id={id}
listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={home}/logs
zookeeper.connect={connect}
zookeeper.session.timeout.ms={ttl}
num.network.threads=1
num.io.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.enable=false
auto.create.topics.enable=false
offsets.topic.num.partitions={offsets}
offsets.topic.replication.factor=2
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=2
transaction.state.log.min.isr=1
min.insync.replicas=1
group.initial.rebalance.delay.ms=0
"""

_classpath = []


def classpath():
    """The jars of pom.xml and the compiled Records, once."""
    if not _classpath:
        here = scratch("kafka")
        lib, classes = os.path.join(here, "lib"), os.path.join(here, "classes")
        done = subprocess.run(["mvn", "-q", "-B", "-ntp", "-Dstyle.color=never", "-f", os.path.join(HERE, "pom.xml"), "-Dlib=" + lib,
                               "dependency:copy-dependencies"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, "mvn: %s" % done.stdout
        jars = os.path.join(lib, "*")
        subprocess.run(["javac", "-proc:none", "-d", classes, "-cp", jars, os.path.join(HERE, "Records.java")], check=True)
        _classpath.append(os.pathsep.join([classes, jars]))
    return _classpath[0]


def java(log, *args, **kw):
    """A program whose stderr goes to that file."""
    with open(log, "a") as f:
        return Process(["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                        "-Dlog4j.configuration=file:" + os.path.join(HERE, "log4j.properties"), "-cp", classpath(), *args], stderr=f, **kw)


def ends_well(p, what, log, patience=60):
    """Waits for the end of a program, which must be a good one, and returns its lines."""
    try:
        code = p.p.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        code = "no end after %d s" % patience
    else:
        p.reader.join()
    assert code == 0, "%s: %s\n%s\n%s" % (what, code, "\n".join(p.lines[-20:]), tail(log))
    return p.lines


def tail(path):
    with open(path) as f:
        return "".join(f.readlines()[-30:])


class Broker:
    """One Kafka broker. Restarts use the same configuration and data."""

    def __init__(self, number, connect):
        self.id, self.port, self.home = number, free_ports(1)[0], scratch("broker-%d" % number)
        self.address = "127.0.0.1:%d" % self.port
        self.log = os.path.join(self.home, "log")
        with open(os.path.join(self.home, "server.properties"), "w") as f:
            f.write(CONFIG.format(id=self.id, port=self.port, home=self.home, connect=connect, ttl=TTL * 1000, offsets=OFFSETS[1]))

    def start(self):
        self.process = java(self.log, "kafka.Kafka", os.path.join(self.home, "server.properties"))
        return self

    def logged(self, pattern):
        """What the broker has logged that matches, each line by its groups."""
        with open(self.log) as f:
            return re.findall(pattern, f.read(), re.M)

    def ready(self):
        def look():
            assert self.process.p.poll() is None, "broker %d ended with %r" % (self.id, self.process.p.returncode)
            return self.logged(r"\[KafkaServer id=\d+\] started")

        until("broker %d has started" % self.id, look)
        self.session = self.connections()[-1]  # with a chroot it had one before, to create it
        return self

    def connections(self):
        """The session id of each connection that it made to a member, in order."""
        return self.logged(r"Session establishment complete on server .*, session id = (0x[0-9a-f]+)")

    def expiries(self):
        """What it has logged of sessions that it lost."""
        return self.logged(r"^.*(?i:session.*\bexpired\b).*$")

    def check_kept_its_session(self):
        assert self.connections()[-1] == self.session, "broker %d had %s, and then the sessions %r" % (self.id, self.session, self.connections())
        assert not self.expiries(), "broker %d lost its session: %r" % (self.id, self.expiries())


class Kafka:
    """Two brokers on three members, and what they keep there as kazoo sees it."""

    def __init__(self):
        self.members, self.brokers, self.zk = [], [], None

    def start(self, chroot):
        self.members = three()
        self.zk = KazooClient(hosts=harness.hosts(self.members), timeout=20.0, command_retry={"max_tries": -1, "max_delay": 1.0})
        self.zk.start()
        self.root = chroot
        connect = ",".join(m.zk for m in self.members) + chroot
        self.brokers = [Broker(n, connect).start() for n in (1, 2)]
        for b in self.brokers:
            b.ready()
        self.address = ",".join(b.address for b in self.brokers)

    def end(self):
        """Ends the client before the members that it talks to."""
        if self.zk:
            self.zk.stop()
            self.zk.close()

    def get(self, path):
        """A znode's JSON and Stat, or None twice."""
        try:
            data, stat = self.zk.retry(self.zk.get, self.root + path)
        except NoNodeError:
            return None, None
        return json.loads(data), stat

    def controller(self):
        """The broker that is, or None."""
        data, _ = self.get("/controller")
        return next(b for b in self.brokers if b.id == data["brokerid"]) if data else None

    def partitions(self, topic=TOPIC, count=PARTITIONS):
        """Leader and in-sync replicas of each partition."""
        states = [self.get("/brokers/topics/%s/partitions/%d/state" % (topic, p))[0] for p in range(count)]
        return [(s["leader"], sorted(s["isr"])) for s in states if s]

    def registrations(self):
        """Everything that a lost session would change: which znodes are the brokers' and the controller's, and its epoch."""
        found = [self.get(p) for p in ("/brokers/ids/1", "/brokers/ids/2", "/controller")]
        return [(s.czxid, s.ephemeralOwner) for _, s in found] + [self.get("/controller_epoch")[0]]

    def topics(self, *args):
        """kafka-topics.sh, and what it said."""
        log = os.path.join(scratch("topics"), "stderr")
        return ends_well(java(log, "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.address, *args), "topics %r" % (args,), log)

    def topic_names(self):
        return sorted(self.zk.retry(self.zk.get_children, self.root + "/brokers/topics"))

    def create(self, topic=TOPIC):
        said = self.topics("--create", "--topic", topic, "--partitions", str(PARTITIONS), "--replication-factor", "2")
        assert "Created topic %s." % topic in said, said

    def in_sync(self):
        for topic, count in (TOPIC, PARTITIONS), OFFSETS:
            until("both brokers are in sync for " + topic, lambda: [isr for _, isr in self.partitions(topic, count)] == [[1, 2]] * count)

    def prepare(self):
        """Creates the topic. A first reader makes Kafka create its own topic for offsets too, for which both brokers must live."""
        self.create()
        assert self.read("first readers") == [[]] * PARTITIONS
        self.in_sync()

    def read(self, group):
        """The numbers in each partition, from the beginning."""
        log = os.path.join(scratch("consume"), "stderr")
        lines = ends_well(java(log, "Records", "consume", self.address, TOPIC, group), "the consumer", log)
        assert lines[-1] == "committed", lines[-3:]
        found = [[] for _ in range(PARTITIONS)]
        for line in lines[:-1]:
            _, partition, number = line.split()
            found[int(partition)].append(int(number))
        return found

    def check(self, acked):
        """Every acknowledged record is there, once and in order."""
        for p, numbers in enumerate(self.read("readers")):
            want = [n for n in acked if n % PARTITIONS == p]
            assert numbers == want, "partition %d: %d records instead of %d, without %r" % (
                p, len(numbers), len(want), sorted(set(want) - set(numbers))[:10])


class Producer:
    def __init__(self, kafka):
        self.log = os.path.join(scratch("produce"), "stderr")
        self.process = java(self.log, "Records", "produce", kafka.address, TOPIC, str(PARTITIONS), stdin=subprocess.PIPE)

    def numbers(self, word):
        """Those of the lines that begin with the word: "sent" in order, "acked" in order within a partition."""
        return [int(line.split()[1]) for line in list(self.process.lines) if line.startswith(word + " ")]

    def goes_on(self, what):
        """Waits until each partition has acknowledged a record that was sent after this call."""
        sent = max(self.numbers("sent"), default=-1)

        def look():
            assert self.process.p.poll() is None, tail(self.log)
            return {n % PARTITIONS for n in self.numbers("acked") if n > sent} == set(range(PARTITIONS))

        until("records are acknowledged " + what, look)

    def stop(self):
        """Ends it, and returns the numbers that it sent, each of which was acknowledged."""
        self.process.p.stdin.close()
        lines = ends_well(self.process, "the producer", self.log)
        assert lines[-1] == "flushed" and not self.numbers("lost"), [line for line in lines if line.startswith("lost")] + lines[-3:]
        sent = self.numbers("sent")
        assert sorted(self.numbers("acked")) == sent, "%d were sent, %d acknowledged" % (len(sent), len(self.numbers("acked")))
        return sent


def on_kafka(chroot=""):
    """A case with a Kafka of its own, whose brokers' logs are shown where it fails."""

    def wrap(case):
        @functools.wraps(case)
        def wrapped():
            kafka = Kafka()
            try:
                kafka.start(chroot)
                case(kafka)
            except BaseException:
                for b in kafka.brokers:
                    print("--- log of broker %d\n%s" % (b.id, tail(b.log)))
                raise
            finally:
                kafka.end()

        return wrapped

    return wrap


@on_kafka()
def every_member_of_strata_is_killed(kafka):
    """First the leader, then the others, each when the one before it is back: so each broker loses its connection at least once."""
    kafka.prepare()
    producer = Producer(kafka)
    producer.goes_on("at first")
    before, controller, connections = kafka.registrations(), kafka.controller(), [len(b.connections()) for b in kafka.brokers]
    old = leader(kafka.members)
    for victim in [old] + [m for m in kafka.members if m is not old]:
        rest = [m for m in kafka.members if m is not victim]
        victim.process.kill()
        producer.goes_on("without %s" % victim.name)
        leader(rest)
        if victim is old:
            stays("the controller without Strata's leader", lambda: kafka.controller() is controller, TTL + 2)
            producer.goes_on("past the time of the sessions")
            kafka.create("later")
        victim.flags[victim.flags.index("--zk-listen") + 1] = victim.zk  # the address that the brokers know
        victim.start().ready()
        leader(kafka.members)
    for b, n in zip(kafka.brokers, connections):
        until("broker %d has connected again" % b.id, lambda: len(b.connections()) > n)
    assert kafka.registrations() == before, "%r, but before %r" % (kafka.registrations(), before)
    for b in kafka.brokers:
        b.check_kept_its_session()
    assert kafka.topic_names() == [OFFSETS[0], "later", TOPIC], kafka.topic_names()
    kafka.check(producer.stop())


def takes_over(kafka, other, epoch):
    until("broker %d is the controller" % other.id, lambda: kafka.controller() is other)
    assert kafka.get("/controller_epoch")[0] == epoch + 1
    until("broker %d leads every partition" % other.id, lambda: [at for at, _ in kafka.partitions()] == [other.id] * PARTITIONS)


@on_kafka("/kafka")
def the_controller_is_killed_and_the_next_one_sleeps(kafka):
    kafka.prepare()
    producer = Producer(kafka)
    producer.goes_on("at first")
    epoch = kafka.get("/controller_epoch")[0]
    first = kafka.controller()
    second = next(b for b in kafka.brokers if b is not first)
    first.process.kill()
    takes_over(kafka, second, epoch)
    producer.goes_on("by the other")
    kafka.check(producer.stop())
    second.check_kept_its_session()
    first.start().ready()
    kafka.in_sync()
    assert kafka.controller() is second

    second.process.p.send_signal(signal.SIGSTOP)
    takes_over(kafka, first, epoch + 1)
    second.process.p.send_signal(signal.SIGCONT)  # it believes that it is the controller still
    until("the sleeper learns that its session is over", second.expiries)
    kafka.in_sync()
    assert kafka.controller() is first
    assert kafka.get("/controller_epoch")[0] == epoch + 2
    assert second.connections()[-1] != second.session, second.connections()

    kafka.topics("--delete", "--topic", TOPIC)
    until("the topic is deleted", lambda: kafka.topic_names() == [OFFSETS[0]] and kafka.zk.get_children("/kafka/admin/delete_topics") == [])
    root = kafka.zk.get_children("/")
    assert "kafka" in root and not {"brokers", "controller", "cluster"} & set(root), root


if __name__ == "__main__":
    sys.exit(harness.run([every_member_of_strata_is_killed, the_controller_is_killed_and_the_next_one_sleeps], sys.argv[1:]))
