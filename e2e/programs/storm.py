"""A client in the storm of an election: it counts, takes turns at a lock, and tells what it went through.   storm.py HOSTS NAME JOURNAL

Says "counting" when it begins. When a line comes on stdin, it ends, with "done [ROUNDS, STATES, HEARD]", once it has heard of the news: HEARD is
what its watches told last, and the events of a watch that fires once. JOURNAL gets a line for each turn: the lock's sequence number and the name."""
import json
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError
from kazoo.recipe.cache import TreeCache

hosts, name, journal = sys.argv[1:]
states = []
k = KazooClient(hosts, randomize_hosts=False, timeout=6, command_retry={"max_tries": -1, "max_delay": 0.2}, connection_retry={"max_tries": -1, "max_delay": 0.2})
k.add_listener(lambda s: states.append(str(s)))
k.start()


def count():
    """Adds to the counter under its version; whether a write whose answer was lost has applied is read off the value, which has one's name."""
    tag = "%s/%d" % (name, i)
    while True:
        data, stat = k.retry(k.get, "/storm/counter")
        n, *seen = data.decode().split()
        if tag in seen:
            return
        mine = [s for s in seen if not s.startswith(name + "/")] + [tag]
        try:
            k.retry(k.set, "/storm/counter", ("%d %s" % (int(n) + 1, " ".join(mine))).encode(), version=stat.version)
            return
        except BadVersionError:
            pass  # somebody else's, or one's own that was sent twice: the value tells


NEWS = "/storm/news"
data, children, once = [], [], []
k.DataWatch(NEWS)(lambda value, stat: data.append(value))
k.ChildrenWatch(NEWS)(children.append)
k.get(NEWS, watch=lambda event: once.append(event.type))
cache = TreeCache(k, NEWS)
cache.start()


def heard():
    kid = cache.get_data(NEWS + "/kid")
    return {"data": data[-1].decode(), "children": children[-1], "cache": kid and kid.data.decode(), "once": once}


stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
print("counting", flush=True)
lock = k.Lock("/storm/lock", name)
i = 0
while not stop.is_set():
    count()
    i += 1
    with lock:
        number = lock.node[-10:]
        with open(journal, "a") as j:
            j.write("%s %s\n" % (number, name))
deadline = time.monotonic() + 40
while time.monotonic() < deadline and not (data[-1] and children[-1] and heard()["cache"]):
    time.sleep(0.01)
print("done %s" % json.dumps([i, states, heard()]), flush=True)
k.stop()
