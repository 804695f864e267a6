"""A worker that takes turns at a shard.   shard.py HOSTS HOSTNAME TURNS JOURNAL GUARD

GUARD is a file that only one process may have locked: if a second holder gets that far, it finds it locked. JOURNAL gets
one line for each turn: the sequence number of the lock's znode, the host name, and whether it was alone.
"""
import fcntl
import sys
import time

from kazoo.client import KazooClient, KazooState

hosts, hostname, turns, journal, guard = sys.argv[1:]


def states(state):
    # LOST is what must never happen: the session has expired, the lock may be another's.
    print(state, flush=True)
    return state == KazooState.LOST


cli = KazooClient(hosts=hosts, timeout=10.0, randomize_hosts=False)
cli.add_listener(states)
cli.start()
for _ in range(int(turns)):
    lock = cli.Lock("/locks/db/users/shards/00", hostname)
    with lock:
        with open(guard, "w") as g:
            try:
                fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = "alone"
            except BlockingIOError:
                alone = "NOT-ALONE"
            with open(journal, "a") as j:
                j.write("%s %s %s\n" % (lock.node[-10:], hostname, alone))
            time.sleep(0.02)
print("done", flush=True)
cli.stop()
