"""kazoo's recipes and requests, one case after the other.   recipes.py HOST,HOST,... [CASE...]; recipes.py hold|own HOST PATH

Each client connects to one of the hosts first. It says "ok CASE" after each, and "done STATES" at the end, where STATES are what its long-lived clients went through."""
import datetime
import json
import subprocess
import sys
import threading
import time
import uuid

from kazoo.client import KazooClient, KazooState
from kazoo import exceptions
from kazoo.protocol.states import EventType
from kazoo.recipe.barrier import DoubleBarrier
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.lease import MultiNonBlockingLease, NonBlockingLease
from kazoo.recipe.lock import ReadLock, WriteLock
from kazoo.security import make_acl, make_digest_acl, OPEN_ACL_UNSAFE

PATIENCE = 40


def until(what, cond):
    deadline = time.monotonic() + PATIENCE
    while not cond():
        assert time.monotonic() < deadline, "%s: not after %d s" % (what, PATIENCE)
        time.sleep(0.01)


def fails(error, f, *args, **kw):
    try:
        f(*args, **kw)
    except error:
        return
    raise AssertionError("%s%r did not raise %s" % (f.__name__, args, error.__name__))


def client(hosts, first=0, **kw):
    rotated = hosts[first % len(hosts):] + hosts[:first % len(hosts)]
    k = KazooClient(",".join(rotated), randomize_hosts=False, timeout=6, **kw)
    k.start(timeout=PATIENCE)
    return k


def together(*fs):
    """Runs functions in threads and returns what they return."""
    out = [None] * len(fs)
    failed = []

    def run(i, f):
        try:
            out[i] = f()
        except BaseException as e:
            failed.append(e)

    ts = [threading.Thread(target=run, args=(i, f), daemon=True) for i, f in enumerate(fs)]
    for t in ts:
        t.start()
    for t in ts:
        t.join(PATIENCE)
        assert not t.is_alive(), "a thread hangs"
    if failed:
        raise failed[0]
    return out


class Cases:
    def __init__(self, hosts):
        self.hosts = hosts
        self.states = []
        self.ks = []
        for i in range(3):
            k = KazooClient(",".join(hosts[i % len(hosts):] + hosts[:i % len(hosts)]), randomize_hosts=False, timeout=6)
            seen = []
            k.add_listener(seen.append)
            k.start(timeout=PATIENCE)
            self.ks.append(k)
            self.states.append(seen)
        self.a, self.b, self.c = self.ks
        self.root = "/recipes-" + uuid.uuid4().hex[:8]
        self.a.create(self.root)

    def path(self, name):
        return self.root + "/" + name

    # Each client may be behind the others for a moment: reads that follow another's write are synced, or awaited.

    def lock(self):
        inside, most, turns = [0], [0], []

        def work(k, name):
            for _ in range(5):
                with k.Lock(self.path("lock"), name):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    turns.append(name)
                    inside[0] -= 1

        together(*[lambda k=k, n=n: work(k, n) for n, k in enumerate(self.ks)])
        assert most[0] == 1 and len(turns) == 15, (most, turns)
        held = self.a.Lock(self.path("lock"), "a")
        assert held.acquire(timeout=PATIENCE)
        other = self.b.Lock(self.path("lock"), "b")
        assert not other.acquire(blocking=False)
        fails(exceptions.LockTimeout, other.acquire, timeout=0.2)
        assert self.c.Lock(self.path("lock")).contenders() == ["a"]
        held.release()
        assert other.acquire(timeout=PATIENCE)
        other.release()

    def lock_of_a_dead_holder(self):
        p = subprocess.Popen([sys.executable, __file__, "hold", self.hosts[0], self.path("dead")], stdout=subprocess.PIPE, text=True)
        assert p.stdout.readline() == "held\n"
        p.kill()
        killed = time.monotonic()
        p.wait()
        mine = self.b.Lock(self.path("dead"), "b")
        assert mine.acquire(timeout=PATIENCE)
        took = time.monotonic() - killed
        assert 2 < took < 12, "granted %.1f s after the holder with a timeout of 4 s was killed" % took
        mine.release()

    def read_write_lock(self):
        path = self.path("rw")
        r1, r2, w = ReadLock(self.a, path, "r1"), ReadLock(self.b, path, "r2"), WriteLock(self.c, path, "w")
        assert r1.acquire(timeout=PATIENCE) and r2.acquire(timeout=PATIENCE)
        assert not w.acquire(blocking=False)
        r1.release()
        r2.release()
        assert w.acquire(timeout=PATIENCE)
        assert not r1.acquire(blocking=False)
        w.release()

    def semaphore(self):
        path = self.path("semaphore")
        s = [k.Semaphore(path, str(i), max_leases=2) for i, k in enumerate(self.ks)]
        assert s[0].acquire() and s[1].acquire()
        assert not s[2].acquire(blocking=False)
        assert sorted(s[0].lease_holders()) == ["0", "1"]
        s[0].release()
        assert s[2].acquire(timeout=PATIENCE)
        s[1].release()
        s[2].release()

    def election(self):
        order = []

        def lead(name):
            order.append(name)

        es = [k.Election(self.path("election"), str(i)) for i, k in enumerate(self.ks)]
        together(*[lambda i=i: es[i].run(lead, i) for i in range(3)])
        assert sorted(order) == [0, 1, 2], order
        assert es[0].contenders() == []

    def party(self):
        for make, path in (("Party", "party"), ("ShallowParty", "shallow")):
            ps = [getattr(k, make)(self.path(path), "m%d" % i) for i, k in enumerate(self.ks)]
            for p in ps:
                p.join()
            until("all are in", lambda: len(ps[0]) == 3)
            assert sorted(ps[1]) == ["m0", "m1", "m2"], sorted(ps[1])
            for p in ps:
                p.leave()
            until("all are gone", lambda: len(ps[2]) == 0)

    def partitioner(self):
        items = tuple("s%d" % i for i in range(7))
        ps = [k.SetPartitioner(self.path("partitioner"), items, identifier="p%d" % i, time_boundary=0.3) for i, k in enumerate(self.ks[:2])]

        def settled():
            for p in ps:
                if p.failed:
                    raise AssertionError("a partitioner failed")
                if p.release:
                    p.release_set()
            return all(p.acquired for p in ps) and sorted(list(ps[0]) + list(ps[1])) == sorted(items) and list(ps[0]) and list(ps[1])

        until("each has its own part", settled)
        for p in ps:
            p.finish()

    def queue(self):
        q = [k.Queue(self.path("queue")) for k in self.ks]
        for i, p in enumerate([200, 100, 100, 50]):
            q[0].put(str(i).encode(), priority=p)
        assert len(q[1]) == 4
        got = [q[i % 3].get() for i in range(4)]
        assert got == [b"3", b"1", b"2", b"0"], got
        assert q[0].get() is None

    def locking_queue(self):
        q = [k.LockingQueue(self.path("lockingqueue")) for k in self.ks]
        q[0].put_all([b"one", b"two", b"three"])
        assert len(q[1]) == 3
        one, two = q[1].get(), q[2].get()
        assert {one, two} == {b"one", b"two"}, (one, two)
        assert q[1].holds_lock() and q[1].consume()
        assert q[2].release()
        assert q[0].get(timeout=PATIENCE) == two
        assert q[0].consume()
        assert q[0].get(timeout=PATIENCE) == b"three" and q[0].consume()

    def counter(self):
        path = self.path("counter")
        self.a.Counter(path)

        def add(k):
            c = k.Counter(path)
            for _ in range(20):
                c += 1

        together(*[lambda k=k: add(k) for k in self.ks])
        until("all are counted", lambda: self.b.Counter(path).value == 60)
        f = self.a.Counter(self.path("float"), default=1.5)
        f -= 0.5
        assert f.value == 1.0

    def barrier(self):
        b = self.a.Barrier(self.path("barrier"))
        b.create()
        assert not self.b.Barrier(self.path("barrier")).wait(0.1)
        got = together(lambda: self.b.Barrier(self.path("barrier")).wait(PATIENCE), lambda: self.c.Barrier(self.path("barrier")).wait(PATIENCE),
                       lambda: b.remove())
        assert got[0] and got[1], got

    def double_barrier(self):
        inside = []

        def work(k, name):
            d = DoubleBarrier(k, self.path("double"), 3, name)
            d.enter()
            inside.append(name)
            seen = len(inside)
            d.leave()
            return seen

        together(*[lambda k=k, n=n: work(k, "n%d" % n) for n, k in enumerate(self.ks)])
        assert len(inside) == 3

    def leases(self):
        hour = datetime.timedelta(hours=1)
        assert NonBlockingLease(self.a, self.path("lease"), hour, "a")
        assert not NonBlockingLease(self.b, self.path("lease"), hour, "b")
        assert NonBlockingLease(self.c, self.path("lease"), hour, "a")  # its holder renews it, from wherever
        multi = [MultiNonBlockingLease(k, 2, self.path("leases"), hour, str(i)) for i, k in enumerate(self.ks)]
        assert [bool(m) for m in multi] == [True, True, False]

    def tree_cache(self):
        path = self.path("cache")
        self.a.create(path)
        events = []
        cache = TreeCache(self.b, path)
        cache.listen(lambda e: events.append(e.event_type))
        cache.start()
        until("initialized", lambda: TreeEvent.INITIALIZED in events)
        self.a.create(path + "/x", b"1")
        self.a.set(path + "/x", b"2")
        until("the value is there", lambda: cache.get_data(path + "/x") is not None and cache.get_data(path + "/x").data == b"2")
        assert cache.get_children(path) == {"x"}, cache.get_children(path)
        self.a.delete(path + "/x")
        until("the removal is there", lambda: cache.get_data(path + "/x") is None)
        cache.close()

    def watches(self):
        path = self.path("watches")
        self.a.create(path, b"0")
        data, children = [], []
        self.b.DataWatch(path)(lambda d, stat: data.append(d))
        self.b.ChildrenWatch(path)(lambda cs: children.append(sorted(cs)))
        self.a.set(path, b"1")
        until("the data", lambda: data[-1] == b"1")
        for name in ("x", "y"):
            self.a.create(path + "/" + name)
        until("the children", lambda: children[-1] == ["x", "y"])
        self.a.delete(path, recursive=True)
        until("the end", lambda: data[-1] is None)
        missing = []
        assert self.c.exists(path, watch=missing.append) is None
        self.a.create(path)
        until("the event", lambda: missing)
        assert missing[0].type == EventType.CREATED and missing[0].path == path

    def transactions(self):
        path = self.path("txn")
        t = self.a.transaction()
        t.create(path, b"1")
        t.create(path + "/x")
        t.check(path, 0)
        t.set_data(path, b"2", 0)
        t.delete(path + "/x")
        got = t.commit()
        assert got[0] == path and got[1] == path + "/x" and got[2] is True and got[3].version == 1 and got[4] is True, got
        t = self.a.transaction()
        t.create(path + "/y")
        t.check(path, 7)
        t.delete(path)
        got = t.commit()
        assert [type(e) for e in got] == [exceptions.RolledBackError, exceptions.BadVersionError, exceptions.RuntimeInconsistency], got
        assert self.a.exists(path + "/y") is None

    def chroot(self):
        self.a.create(self.path("chroot"))
        k = client([self.hosts[0] + self.path("chroot")])
        try:
            k.create("/x/y", b"in", makepath=True)
            assert k.get_children("/") == ["x"]
            assert k.create("/x/s-", sequence=True) == "/x/s-0000000001"
        finally:
            k.stop()
            k.close()
        assert self.a.get(self.path("chroot/x/y"))[0] == b"in"

    def acls(self):
        path = self.path("acl")
        owner = client(self.hosts)
        try:
            owner.add_auth("digest", "bob:secret")
            mine = make_digest_acl("bob", "secret", all=True)
            owner.create(path, b"x", acl=[mine, make_acl("world", "anyone", create=True)])
            self.b.sync(path)
            fails(exceptions.NoAuthError, self.b.get, path)
            fails(exceptions.NoAuthError, self.b.set, path, b"y")
            fails(exceptions.NoAuthError, self.b.set_acls, path, OPEN_ACL_UNSAFE)
            self.b.create(path + "/child")
            fails(exceptions.NoAuthError, self.b.delete, path + "/child")
            assert owner.get(path)[0] == b"x"
            acls, stat = owner.get_acls(path)
            assert mine in acls and stat.aversion == 0
            stat = owner.set_acls(path, OPEN_ACL_UNSAFE, version=0)
            assert stat.aversion == 1
            fails(exceptions.BadVersionError, owner.set_acls, path, OPEN_ACL_UNSAFE, version=0)
            self.b.sync(path)
            assert self.b.get(path)[0] == b"x"
            fails(exceptions.InvalidACLError, self.b.create, self.path("noacl"), acl=[make_acl("nosuch", "x", all=True)])
        finally:
            owner.stop()
            owner.close()

    def znodes(self):
        path = self.path("znodes")
        made, stat = self.a.create(path + "/deep/er", b"1", makepath=True, include_data=True)
        assert made == path + "/deep/er" and stat.data_length == 1 and stat.version == 0
        fails(exceptions.NodeExistsError, self.a.create, made)
        fails(exceptions.NoNodeError, self.a.create, path + "/none/x")
        fails(exceptions.NotEmptyError, self.a.delete, path)
        fails(exceptions.BadVersionError, self.a.set, made, b"2", version=3)
        assert self.a.set(made, b"2", version=0).version == 1
        fails(exceptions.BadVersionError, self.a.delete, made, version=0)
        names = [self.a.create(path + "/s-", sequence=True, ephemeral=i == 1) for i in range(3)]
        assert names == [path + "/s-%010d" % i for i in (1, 2, 3)], names
        assert self.a.get(names[1])[1].owner_session_id == self.a.client_id[0]
        fails(exceptions.NoChildrenForEphemeralsError, self.a.create, names[1] + "/x")
        assert self.a.ensure_path(path + "/deep/er")
        children, stat = self.a.get_children(path, include_data=True)
        assert len(children) == 4 and stat.children_count == 4 and stat.cversion == 4
        big = b"x" * 1000000
        self.a.set(made, big)
        self.b.sync(made)
        assert self.b.get(made)[0] == big
        futures = [self.a.set_async(names[0], str(i).encode()) for i in range(500)]
        assert [f.get(timeout=PATIENCE).version for f in futures] == list(range(1, 501))
        self.a.delete(path, recursive=True)
        assert self.a.exists(path) is None

    def sessions(self):
        path = self.path("session")
        p = subprocess.Popen([sys.executable, __file__, "own", self.hosts[0], path], stdout=subprocess.PIPE, text=True)
        number, password = json.loads(p.stdout.readline())
        ident = (number, bytes.fromhex(password))
        p.kill()
        p.wait()
        again = client(self.hosts, 1, client_id=ident)
        assert again.client_id == ident, (again.client_id, ident)
        assert again.exists(path).owner_session_id == number
        again.delete(path)
        again.create(path, b"again", ephemeral=True)
        assert self.c.exists(path).owner_session_id == number
        again.stop()
        again.close()
        until("its ephemeral is gone with it", lambda: self.b.exists(path) is None)

    def read_only(self):
        k = client(self.hosts, read_only=True)
        try:
            assert k.state == KazooState.CONNECTED and str(k.client_state) == "CONNECTED", k.client_state
            k.create(self.path("ro"))
            assert self.root in ["/" + c for c in k.get_children("/")]
        finally:
            k.stop()
            k.close()

    def words(self):
        assert self.a.server_version() >= (3, 9)
        mntr = dict(line.split("\t", 1) for line in self.a.command(b"mntr").splitlines() if line)
        assert int(mntr["zk_num_alive_connections"]) >= 2 and mntr["zk_server_state"] in ("standalone", "leader", "follower"), mntr
        assert self.a.command(b"ruok") == "imok" and self.a.command(b"isro") == "rw"


ALL = [n for n in vars(Cases) if not n.startswith("_") and n != "path"]


def hold(host, path):
    k = KazooClient(host, timeout=4)
    k.start(timeout=PATIENCE)
    k.Lock(path, "dead").acquire()
    print("held", flush=True)
    threading.Event().wait()


def own(host, path):
    k = KazooClient(host, timeout=10)
    k.start(timeout=PATIENCE)
    k.create(path, ephemeral=True)
    print(json.dumps([k.client_id[0], k.client_id[1].hex()]), flush=True)
    threading.Event().wait()


def main():
    if sys.argv[1] in ("hold", "own"):
        return {"hold": hold, "own": own}[sys.argv[1]](*sys.argv[2:])
    cases = Cases(sys.argv[1].split(","))
    for name in sys.argv[2:] or ALL:
        getattr(cases, name)()
        print("ok %s" % name, flush=True)
    print("done %s" % json.dumps([[str(s) for s in seen] for seen in cases.states]), flush=True)
    for k in cases.ks:
        k.stop()
        k.close()


if __name__ == "__main__":
    main()
