#!/usr/bin/python3
"""Clients of the JVM against real members: zkCli.sh, the Java client in several versions, Curator.   jvm.py [CASE...]

It needs Debian's zookeeper, maven and default-jdk-headless, and Maven Central for the jars that jvm/pom.xml names.
"""
import glob
import os
import subprocess
import sys

import harness
import turns
import zkcli
from harness import Process, leader, scratch, single, three, until

HERE = os.path.join(harness.HERE, "jvm")
# 3.4.12 is the last 3.4 that runs with Java 14 and later: 3.4.13 and 3.4.14 can't resolve addresses there (ZOOKEEPER-3779).
VERSIONS = ["3.4.12", "3.5.10", "3.6.4", "3.9.5"]  # the folders that pom.xml fills; the last one has everything
NEWEST = VERSIONS[-1]
REAPING = ["--container-check-interval", "100ms"]


class Programs:
    """The jars of pom.xml and the compiled programs of src: each against the oldest client that can do what it asks for."""

    def __init__(self):
        self.dir = scratch("jvm")
        lib = os.path.join(self.dir, "lib")
        subprocess.run(["mvn", "-q", "-B", "-ntp", "-Dstyle.color=never", "-f", os.path.join(HERE, "pom.xml"), "-Dlib=" + lib,
                        "dependency:copy-dependencies@newest", "dependency:copy@older"], check=True)
        self.jars = {v: sorted(glob.glob(os.path.join(lib, v, "*.jar"))) for v in VERSIONS}
        for v in VERSIONS[:-1]:
            self.jars[v] += sorted(glob.glob(os.path.join(lib, "logging", "*.jar")))
        self.classes = os.path.join(self.dir, "classes")
        self.compile(VERSIONS[0], "Cases", "Proxy", "Client", "Suite", "Sessions", "Basics", "ReadOnly", "Sasl")
        self.compile(NEWEST, "Later", "Framework", "Contender", "Sharers", "Locks", "Caches", "Recipes", "Tls", "Turns")

    def compile(self, version, *names):
        sources = [os.path.join(HERE, "src", n + ".java") for n in names]
        subprocess.run(["javac", "-proc:none", "-Xlint:-options", "-XDsuppressNotes", "-nowarn", "-d", self.classes,
                        "-cp", os.pathsep.join([self.classes, *self.jars[version]]), *sources], check=True)

    def start(self, version, main, *args, properties=()):
        """A program; its stderr is shown if it fails."""
        log = os.path.join(scratch(main), "stderr")
        with open(log, "w") as f:
            p = Process(["java", *properties, "-Dversion=" + ".".join(version.split(".")[:2]), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                         "-cp", os.pathsep.join([self.classes, *self.jars[version]]), main, *args], stdin=subprocess.PIPE, stderr=f)
        p.name, p.log = "%s with %s" % (main, version), log
        return p


_programs = []


def programs():
    if not _programs:
        _programs.append(Programs())
    return _programs[0]


def ends_well(p, patience=120):
    """Waits for the end of a program, all of whose cases must have passed."""
    try:
        code = p.p.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        code = "no end after %d s" % patience
    if code != "no end after %d s" % patience:
        p.reader.join()
    with open(p.log) as f:
        stderr = f.read()
    oks = [line for line in p.lines if line.startswith("ok ")]
    assert code == 0 and oks and not any(line.startswith("FAIL") for line in p.lines), "%s: %s\n%s\n%s" % (
        p.name, code, "\n".join(p.lines), stderr[-3000:])
    return len(oks)


def leader_first(cluster):
    first = leader(cluster)
    return [first] + [m for m in cluster if m is not first]


def when_asked(word, running, act, answer):
    """Acts when all programs have said the word, and tells them."""
    for p in running:
        p.said(word)
    act()
    for p in running:
        p.p.stdin.write(answer + "\n")
        p.p.stdin.flush()


def kill_when_asked(member, running):
    """Kills a member when all programs say that they are in the middle of their work."""
    when_asked("kill", running, member.process.kill, "killed")


def java(cluster, kill=False):
    """Every version of the Java client at once, each below a root of its own."""
    cluster = leader_first(cluster)
    running = []
    for v in VERSIONS:
        args = ["/java-" + v, ",".join(m.zk for m in cluster)] + (["kill"] if kill else [])
        running.append(programs().start(v, "Basics" if v == VERSIONS[0] else "Later", *args))
    if kill:
        kill_when_asked(cluster[0], running)
    for p in running:
        print("     %s: %d cases" % (p.name, ends_well(p)))


def java_on_one():
    java(single(*REAPING))


def java_on_three():
    java(three(*REAPING))


def java_on_three_while_the_leader_is_killed():
    java(three(*REAPING), kill=True)


def java_on_one_of_three_without_a_majority():
    alone, *others = leader_first(three())
    running = [programs().start(v, "ReadOnly", "/java-" + v, alone.zk) for v in VERSIONS]
    when_asked("kill", running, lambda: [m.process.kill() for m in others], "killed")
    when_asked("back", running, others[0].start, "back")
    for p in running:
        ends_well(p)


def recipes(cluster, kill=False):
    cluster = leader_first(cluster)
    args = ["/recipes", ",".join(m.zk for m in cluster)] + (["kill"] if kill else [])
    p = programs().start(NEWEST, "Recipes", *args)
    if kill:
        kill_when_asked(cluster[0], [p])
    print("     %s: %d cases" % (p.name, ends_well(p)))


def mutex(cluster, rounds, kill=False):
    """Two processes of four contenders. Each turn is a line of the journal, written while the guard file was the holder's alone."""
    cluster = leader_first(cluster)
    here = scratch("mutex")
    journal = os.path.join(here, "journal")
    open(journal, "w").close()

    def grants():
        with open(journal) as f:
            return f.read().split()

    running = [programs().start(NEWEST, "Contender", "/mutex", ",".join(m.zk for m in cluster), "kill" if kill else "keep", here, name, str(rounds))
               for name in ("a", "b")]
    want = sorted("%s%d" % (p, i) for p in "ab" for i in range(4))
    if kill:
        until("each contender had a turn", lambda: set(grants()) >= set(want))
        cluster[0].process.kill()
        before = grants()
        assert len(before) < len(want) * rounds // 2, "the work was nearly over before the leader was killed: %d turns" % len(before)
    for p in running:
        ends_well(p)
    assert sorted(grants()) == sorted(want * rounds), "turns: %r" % grants()


def mutex_on_one():
    mutex(single(), 20)


def mutex_on_three():
    mutex(three(), 20)


def mutex_on_three_while_the_leader_is_killed():
    mutex(three(), 60, kill=True)


def recipes_on_one():
    recipes(single(*REAPING))


def recipes_on_three():
    recipes(three(*REAPING))


def recipes_on_three_while_the_leader_is_killed():
    recipes(three(*REAPING), kill=True)


def certificates():
    """A folder with a CA, a certificate of the members, and those of two clients, as PEM and PKCS12."""
    here = scratch("certificates")

    def openssl(*args, given=""):
        subprocess.run(["openssl", *args], cwd=here, input=given, text=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=CA", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "joe", "ann"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/C=DE/O=Example/CN=" + name, "-keyout", name + ".key", "-out", name + ".csr")
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "/dev/stdin", "-out", name + ".pem", given="subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("pkcs12", "-export", "-in", name + ".pem", "-inkey", name + ".key", "-passout", "pass:secret", "-out", name + ".p12")
    return here


def tls(start, kill=False):
    here = certificates()
    cluster = leader_first(start("--zk-tls-listen", "127.0.0.1:0", "--zk-port-unification", "--tls-cert", os.path.join(here, "server.pem"),
                                 "--tls-key", os.path.join(here, "server.key"), "--tls-ca", os.path.join(here, "ca.pem")))
    args = [",".join(m.tls for m in cluster), ",".join(m.zk for m in cluster), here] + (["kill"] if kill else [])
    p = programs().start(NEWEST, "Tls", *args)
    if kill:
        kill_when_asked(cluster[0], [p])
    print("     %s: %d cases" % (p.name, ends_well(p)))


def tls_on_one():
    tls(single)


def tls_on_three():
    tls(three)


def tls_on_three_while_the_leader_is_killed():
    tls(three, kill=True)


PASSWORDS = {"bob": "a good password", "ann": "another one"}


def sasl(start, kill=False):
    here = scratch("sasl")
    users = os.path.join(here, "users.yaml")
    with open(users, "w") as f:
        f.writelines("%s: %s\n" % u for u in PASSWORDS.items())
    cluster = leader_first(start("--sasl-users", users))

    def all_versions(user, *args):
        jaas = os.path.join(here, user)
        with open(jaas, "w") as f:
            f.write('Client { org.apache.zookeeper.server.auth.DigestLoginModule required username="%s" password="%s"; };' % (
                user, PASSWORDS.get(user, "a guess")))
        return [programs().start(v, "Sasl", "/java-" + v, ",".join(m.zk for m in cluster), user, *args,
                                 # 3.9 keeps to what FIPS allows, which DIGEST-MD5 is not, unless it is told otherwise.
                                 properties=["-Djava.security.auth.login.config=" + jaas, "-Dzookeeper.fips-mode=false"]) for v in VERSIONS]

    running = all_versions("bob", *(["kill"] if kill else []))
    if kill:
        kill_when_asked(cluster[0], running)
    for p in running:
        ends_well(p)
    for p in all_versions("ann") + all_versions("mallory"):
        ends_well(p)


def sasl_on_one():
    sasl(single)


def sasl_on_three():
    sasl(three)


def sasl_on_three_while_the_leader_is_killed():
    sasl(three, kill=True)


def shared_with_go(case):
    """A lock that Curator and a Go program share, each being first once."""
    def run():
        ours, clients = turns.go("curator")
        theirs = turns.Driver(programs().start(NEWEST, "Turns", clients))
        theirs.expect("ready")
        case(ours, theirs)
        case(theirs, ours)

    run.__name__ = "go_and_curator_share_a_" + case.__name__
    return run


CASES = zkcli.CASES + [
    java_on_one, java_on_three, java_on_three_while_the_leader_is_killed, java_on_one_of_three_without_a_majority,
    mutex_on_one, mutex_on_three, mutex_on_three_while_the_leader_is_killed,
    recipes_on_one, recipes_on_three, recipes_on_three_while_the_leader_is_killed,
    shared_with_go(turns.mutex), shared_with_go(turns.read_write), shared_with_go(turns.semaphore),
    tls_on_one, tls_on_three, tls_on_three_while_the_leader_is_killed,
    sasl_on_one, sasl_on_three, sasl_on_three_while_the_leader_is_killed,
]

if __name__ == "__main__":
    sys.exit(harness.run(CASES, sys.argv[1:]))
