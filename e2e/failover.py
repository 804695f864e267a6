#!/usr/bin/python3
"""Measures, with the settings of `strata serve` alone: the time from SIGKILL of the leader to the next acknowledged write (three
members, 10 kills), and the time from start to `ready` and to the first read of a member with 100,000 znodes.

    failover.py [kills|restart|all]
"""
import statistics
import subprocess
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, OperationTimeoutError

import harness

KILLS = 10
ZNODES = 100_000


def failover():
    cluster = harness.three()
    took, failed = [], 0
    for kill in range(KILLS):
        old = harness.leader(cluster)
        rest = [m for m in cluster if m is not old]
        cli = KazooClient(hosts=rest[kill % 2].zk, timeout=20.0)
        cli.start()
        cli.ensure_path("/failover")
        cli.set("/failover", b"before")
        begin = time.monotonic()
        old.process.p.kill()
        while True:
            try:
                cli.set("/failover", b"%d" % kill)
                break
            except (ConnectionLoss, OperationTimeoutError):
                failed += 1
        took.append(time.monotonic() - begin)
        cli.stop()
        cli.close()
        old.process.p.wait()
        old.start().ready()
    took.sort()
    print("SIGKILL of the leader to the next acknowledged write, %d kills: median %.0f ms, worst %.0f ms, %d writes refused meanwhile"
          % (KILLS, statistics.median(took) * 1000, took[-1] * 1000, failed))
    print("     all: " + " ".join("%.0f" % (t * 1000) for t in took) + " ms")


def restart():
    member = harness.single()[0]
    cli = KazooClient(hosts=member.zk, timeout=40.0)
    cli.start()
    begin = time.monotonic()
    cli.create("/many", b"")
    window = threading.Semaphore(512)
    errors = []

    def done(result):
        if not result.successful():
            errors.append(result.exception)
        window.release()

    for i in range(ZNODES):
        if i % 1000 == 0:
            cli.create("/many/%03d" % (i // 1000), b"")
        window.acquire()
        cli.create_async("/many/%03d/%05d" % (i // 1000, i), b"x" * 100).rawlink(done)
    for _ in range(512):
        window.acquire()
    assert not errors, errors[:3]
    populate = time.monotonic() - begin
    cli.stop()
    for how in ("SIGTERM", "SIGKILL"):
        if how == "SIGTERM":
            assert member.process.stop() == 0
        else:
            member.process.kill()
        size = subprocess.run(["du", "-sm", member.dir], capture_output=True, text=True, check=True).stdout.split()[0]
        begin = time.monotonic()
        member.start().ready()
        ready = time.monotonic() - begin
        cli = KazooClient(hosts=member.zk, timeout=40.0)
        cli.start()
        n = len(cli.get_children("/many/099"))
        first = time.monotonic() - begin
        cli.stop()
        assert n == 1000, n
        print("restart after %s with %d znodes (%s MiB on disk, populated in %.1f s): ready after %.2f s, first read after %.2f s"
              % (how, ZNODES, size, populate, ready, first))


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    sys.exit(harness.run([c for c, name in ((failover, "kills"), (restart, "restart")) if what in (name, "all")]))
