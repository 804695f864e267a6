#!/usr/bin/python3
"""PostgreSQL under Patroni, with Strata in the place of ZooKeeper. Needs root and Debian's patroni and postgresql.   apps_patroni.py [CASE...]"""
import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import harness
from harness import Process, free_ports, leader, three, until

USER = pwd.getpwnam("postgres")  # PostgreSQL refuses to run as root
BIN = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
PATRONI = shutil.which("patroni")
TTL = 10  # seconds: Patroni's, and that of its session

CONFIG = """
scope: strata-e2e
name: {name}
restapi: {{listen: "127.0.0.1:{api}", connect_address: "127.0.0.1:{api}"}}
zookeeper: {{hosts: [{hosts}]}}
bootstrap:
  dcs: {{ttl: {ttl}, loop_wait: 1, retry_timeout: 4, synchronous_mode: true, postgresql: {{use_pg_rewind: true}}}}
  initdb: [encoding: UTF8, data-checksums, auth-local: trust, auth-host: trust]
  pg_hba: ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
postgresql:
  listen: "127.0.0.1:{port}"
  connect_address: "127.0.0.1:{port}"
  bin_dir: {bin}
  data_dir: {home}/data
  pgpass: {home}/pgpass
  authentication: {{superuser: {{username: postgres}}, replication: {{username: replicator}}, rewind: {{username: postgres}}}}
  parameters: {{unix_socket_directories: "{home}", shared_buffers: 16MB, max_connections: 30, fsync: "off"}}
"""


class Database:
    """One PostgreSQL and its Patroni, in a process group of their own."""

    def __init__(self, name, members):
        self.name = name
        self.home = harness.scratch(name)
        os.chmod(os.path.dirname(self.home), 0o755)
        os.chown(self.home, USER.pw_uid, USER.pw_gid)
        self.api, self.port = free_ports(2)
        self.log = os.path.join(self.home, "log")
        with open(os.path.join(self.home, "patroni.yml"), "w") as f:
            f.write(CONFIG.format(name=name, api=self.api, port=self.port, home=self.home, bin=BIN, ttl=TTL, hosts=", ".join('"%s"' % m.zk for m in members)))
        with open(self.log, "w") as log:
            self.process = Process([PATRONI, os.path.join(self.home, "patroni.yml")], stderr=log, cwd=self.home,
                                   user=USER.pw_uid, group=USER.pw_gid, extra_groups=[], start_new_session=True)

    def status(self):
        """What Patroni tells of itself; it says so with an error code where it does not lead."""
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/patroni" % self.api, timeout=5) as r:
                return json.load(r)
        except urllib.error.HTTPError as e:
            return json.load(e)

    def leads(self):
        s = self.status()
        return s["state"] == "running" and s["role"] == "master"

    def sql(self, text):
        done = subprocess.run([os.path.join(BIN, "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-AtqX", "-v", "ON_ERROR_STOP=1", "-c", text],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def kill(self):
        """Kills Patroni and PostgreSQL, as a power cut would."""
        os.killpg(self.process.p.pid, signal.SIGKILL)
        with open(os.path.join(self.home, "data", "postmaster.pid")) as f:
            postmaster = int(f.readline())
        for kill in (os.killpg, os.kill):
            try:
                kill(postmaster, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was in Patroni's group, or has ended already
        self.process.p.wait()

    def tail(self):
        with open(self.log) as f:
            return "".join(f.readlines()[-30:])


def failover():
    """A death of Strata's leader changes nothing for PostgreSQL; one of PostgreSQL's leader promotes the other, and no row is lost."""
    cluster = three()
    databases = []
    try:
        one = Database("one", cluster)
        databases.append(one)
        until("the first leads", one.leads)
        two = Database("two", cluster)
        databases.append(two)
        until("the second follows, synchronously", lambda: one.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1")
        one.sql("CREATE TABLE words (word text)")
        one.sql("INSERT INTO words VALUES ('before')")
        timeline = one.status()["timeline"]

        leader(cluster).process.kill()
        # Patroni asks its store every second; were the lock lost, or not to be renewed, it would have let go after its TTL.
        harness.stays("the first leads without Strata's leader", lambda: one.leads() and not two.leads(), TTL + 2)
        assert one.status()["timeline"] == timeline, one.status()
        one.sql("INSERT INTO words VALUES ('after')")

        one.kill()
        databases.remove(one)
        until("the second is promoted", two.leads, 60)
        assert two.status()["timeline"] == timeline + 1, two.status()
        assert two.sql("SELECT string_agg(word, ' ' ORDER BY word) FROM words") == "after before"
        until("rows can be written", lambda: two.sql("INSERT INTO words VALUES ('promoted')") == "")
    except BaseException:
        for d in databases:
            print("--- log of %s\n%s" % (d.name, d.tail()))
        raise
    finally:
        for d in databases:
            d.kill()


if __name__ == "__main__":
    sys.exit(harness.run([failover], sys.argv[1:]))
