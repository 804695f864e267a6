import static java.util.Arrays.asList;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Transaction;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.Stat;

/**
 * What every Java client since 3.4 can do. It is compiled against 3.4.12 and runs with each version.
 *
 * <p>Arguments: a root of its own (/NAME), the members with the leader first, and "kill" if the leader is to be killed in the middle.
 */
class Basics extends Sessions {
    static final int PIPELINE = 10_000;
    static final int WATCHES = 3_000;

    Basics(String[] args) {
        super(args);
    }

    public static void main(String[] args) throws Exception {
        Basics basics = new Basics(args);
        basics.open();
        basics.run();
        basics.shut();
    }

    void run() {
        cases.run("nodes", this::nodes);
        cases.run("data", this::data);
        cases.run("multi", this::multi);
        cases.run("transaction", this::transaction);
        cases.run("one-shot watches", this::oneShotWatches);
        cases.run("own event before own reply", this::ownEventFirst);
        cases.run("pipeline", kill ? this::pipelineOverTheKill : () -> pipeline(client, PIPELINE, null));
        cases.run("watches over a reconnect", this::watchesOverReconnect);
        cases.run("digest", this::digest);
        cases.run("session on another member", this::sessionElsewhere);
        cases.run("session closed by its double", this::sessionClosedByDouble);
        cases.run("session expires", this::sessionExpires);
        cases.run("chroot", this::chroot);
        cases.run("read-only flag", this::readOnlyFlag);
        cases.run("sync", this::sync);
    }

    private void nodes() throws Exception {
        String at = client.make(root + "/nodes");
        Stat stat = new Stat();
        Cases.same(at + "/a", client.make(at + "/a", "1", CreateMode.PERSISTENT), "the path");
        fails(Code.NODEEXISTS, () -> client.make(at + "/a"));
        fails(Code.NONODE, () -> client.make(at + "/none/b"));
        Cases.same(at + "/s-0000000001", client.make(at + "/s-", "", CreateMode.PERSISTENT_SEQUENTIAL), "the path");
        Cases.same(at + "/0000000002", client.make(at + "/", "", CreateMode.EPHEMERAL_SEQUENTIAL), "the path");
        Cases.same(at + "/e", client.make(at + "/e", "", CreateMode.EPHEMERAL), "the path");
        fails(Code.NOCHILDRENFOREPHEMERALS, () -> client.make(at + "/e/child"));
        Cases.same(client.zk.getSessionId(), client.zk.exists(at + "/e", false).getEphemeralOwner(), "the owner");
        List<String> children = client.zk.getChildren(at, false, stat);
        Collections.sort(children);
        Cases.same(asList("0000000002", "a", "e", "s-0000000001"), children, "the children");
        Cases.same(4, stat.getNumChildren(), "their number");
        Cases.same(4, stat.getCversion(), "cversion");
        Cases.same("1", new String(client.zk.getData(at + "/a", false, stat)), "the data");
        Cases.same(stat.getCzxid(), stat.getMzxid(), "mzxid");
        long created = stat.getCzxid();
        stat = client.zk.setData(at + "/a", "22".getBytes(), 0);
        Cases.same(1, stat.getVersion(), "the version");
        Cases.same(2, stat.getDataLength(), "the length");
        Cases.check(stat.getMzxid() > created && stat.getCzxid() == created, "zxids %d and %d after %d", stat.getCzxid(), stat.getMzxid(), created);
        fails(Code.BADVERSION, () -> client.zk.setData(at + "/a", null, 0));
        fails(Code.BADVERSION, () -> delete(at + "/a", 0));
        fails(Code.NOTEMPTY, () -> delete(at, -1));
        delete(at + "/a", 1);
        Cases.same(null, client.zk.exists(at + "/a", false), "the Stat");
        fails(Code.NONODE, () -> client.zk.getData(at + "/a", false, null));
        fails(Code.NONODE, () -> client.zk.getChildren(at + "/a", false));
    }

    private Object delete(String path, int version) throws Exception {
        client.zk.delete(path, version);
        return "done";
    }

    private void data() throws Exception {
        String at = root + "/data";
        client.make(at, null, CreateMode.PERSISTENT);
        Cases.check(client.zk.getData(at, false, null) == null, "null did not come back as null");
        client.zk.setData(at, new byte[0], -1);
        Cases.same(0, client.zk.getData(at, false, null).length, "the length of nothing");
        byte[] large = new byte[900_000];
        for (int i = 0; i < large.length; i++) {
            large[i] = (byte) (i * 31 + i / 251);
        }
        client.zk.setData(at, large, -1);
        for (String member : lasting) {
            try (Client reader = new Client(member)) {
                Cases.check(Arrays.equals(large, reader.zk.getData(at, false, null)), "900 kB changed on their way to %s", member);
            }
        }
        client.zk.delete(at, -1);
    }

    private void multi() throws Exception {
        String at = client.make(root + "/multi");
        List<OpResult> results = client.zk.multi(asList(
            Op.create(at + "/a", "x".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.create(at + "/a/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL),
            Op.setData(at + "/a", "y".getBytes(), 0),
            Op.check(at + "/a", 1),
            Op.delete(at + "/a/s-0000000000", 0)));
        Cases.same(at + "/a/s-0000000000", ((OpResult.CreateResult) results.get(1)).getPath(), "the second result");
        Cases.same(1, ((OpResult.SetDataResult) results.get(2)).getStat().getVersion(), "the third result");
        Cases.check(results.get(3) instanceof OpResult.CheckResult && results.get(4) instanceof OpResult.DeleteResult, "results are %s", results);
        try {
            client.zk.multi(asList(Op.setData(at + "/a", "z".getBytes(), -1), Op.delete(at + "/none", -1), Op.check(at, 0)));
            throw new AssertionError("a failing multi did not fail");
        } catch (KeeperException e) {
            Cases.same(Code.NONODE, e.code(), "the error");
            List<Integer> codes = new ArrayList<>();
            for (OpResult r : e.getResults()) {
                codes.add(((OpResult.ErrorResult) r).getErr());
            }
            Cases.same(asList(0, Code.NONODE.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()), codes, "the errors");
        }
        Cases.same("y", client.get(at + "/a"), "the data after a failed multi");
        Cases.same(0, client.zk.multi(new ArrayList<>()).size(), "the results of nothing");
    }

    private void transaction() throws Exception {
        String at = client.make(root + "/transaction");
        Transaction t = client.zk.transaction();
        for (int i = 0; i < 200; i++) {
            t.create(at + "/n" + i, ("" + i).getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        t.setData(at, "all".getBytes(), 0).check(at, 1);
        Cases.same(202, t.commit().size(), "the results");
        Cases.same(200, client.zk.getChildren(at, false).size(), "the children");
        t = client.zk.transaction();
        for (int i = 0; i < 200; i++) {
            t.delete(at + "/n" + i, 0);
        }
        t.commit();
        Stat stat = client.zk.exists(at, false);
        Cases.same(400, stat.getCversion(), "cversion");
        Cases.same(0, stat.getNumChildren(), "their number");
    }

    private void oneShotWatches() throws Exception {
        String at = client.make(root + "/watches");
        try (Proxy way = way(lasting.size() - 1); Client other = new Client(way.address())) {
            other.zk.sync(at, (rc, path, ctx) -> { }, null);
            other.zk.exists(at + "/a", true);
            other.zk.getChildren(at, true);
            client.make(at + "/a");
            other.hears(asList("NodeCreated " + at + "/a", "NodeChildrenChanged " + at));
            other.forget();
            other.zk.getData(at + "/a", true, null);
            other.zk.getChildren(at + "/a", true);
            client.zk.setData(at + "/a", null, -1);
            client.zk.setData(at + "/a", null, -1);
            client.make(at + "/a/b");
            other.hears(asList("NodeDataChanged " + at + "/a", "NodeChildrenChanged " + at + "/a"));
            other.forget();
            other.zk.getData(at + "/a/b", true, null);
            other.zk.getChildren(at + "/a/b", true);
            other.zk.getChildren(at + "/a", true);
            client.zk.delete(at + "/a/b", -1);
            other.hears(asList("NodeDeleted " + at + "/a/b", "NodeChildrenChanged " + at + "/a"));
        }
    }

    /** Every change is told before the answer to the request that made it. */
    private void ownEventFirst() throws Exception {
        String at = client.make(root + "/own");
        ConcurrentLinkedQueue<String> told = new ConcurrentLinkedQueue<>();
        Semaphore done = new Semaphore(0);
        for (int i = 0; i < 200; i++) {
            Watcher w = e -> told.add("event");
            client.zk.getData(at, w, (rc, path, ctx, data, stat) -> told.add("read"), null);
            client.zk.setData(at, null, -1, (rc, path, ctx, stat) -> {
                told.add("reply");
                done.release();
            }, null);
        }
        done.acquire(200);
        List<String> want = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            want.addAll(asList("read", "event", "reply"));
        }
        Cases.same(want, new ArrayList<>(told), "the order");
    }

    /** Writes without waiting, each with the version that the one before makes. After a third of them, it calls halfway. */
    private void pipeline(Client c, int writes, Cases.Body halfway) throws Exception {
        String at = c.make(root + "/pipeline");
        ConcurrentLinkedQueue<Integer> versions = new ConcurrentLinkedQueue<>();
        ConcurrentLinkedQueue<Code> errors = new ConcurrentLinkedQueue<>();
        Semaphore done = new Semaphore(0);
        for (int i = 0; i < writes; i++) {
            if (halfway != null && i == writes / 3) {
                halfway.run();
            } else if (halfway != null && i > writes / 3 && !cases.killed()) {
                Thread.sleep(0, 300_000); // spread the writes over the time of the kill
            }
            c.zk.setData(at, ("" + i).getBytes(), i, (rc, path, ctx, stat) -> {
                if (rc == 0) {
                    versions.add(stat.getVersion());
                } else {
                    errors.add(Code.get(rc));
                }
                done.release();
            }, null);
        }
        boolean inTheMiddle = halfway == null || cases.killed();
        done.acquire(writes);
        Cases.check(errors.isEmpty(), "%d errors, the first of them %s", errors.size(), errors.peek());
        int next = 1;
        for (int v : versions) {
            Cases.same(next++, v, "a version");
        }
        Cases.same(writes, client.zk.exists(at, false).getVersion(), "the last version");
        Cases.check(inTheMiddle, "the writes were over before the leader was dead");
    }

    /** While one client's pipeline runs through a survivor, another, on the member that dies, keeps its session and its watches. */
    private void pipelineOverTheKill() throws Exception {
        String at = client.make(root + "/bereft");
        try (Proxy way = new Proxy(all); Client bereft = new Client(way.address())) {
            bereft.make(at + "/mine", "", CreateMode.EPHEMERAL);
            for (int i = 0; i < 10; i++) {
                bereft.make(at + "/n" + i);
                bereft.zk.getData(at + "/n" + i, true, null);
                bereft.zk.exists(at + "/later" + i, true);
            }
            bereft.zk.getChildren(at, true);
            AtomicInteger acknowledged = new AtomicInteger(), asked = new AtomicInteger();
            bereft.make(at + "/count");
            pipeline(client, PIPELINE, () -> {
                cases.askForKill();
                for (int i = 0; i < 500; i++) {
                    asked.incrementAndGet();
                    bereft.zk.setData(at + "/count", ("" + i).getBytes(), -1, (rc, path, ctx, stat) -> {
                        if (rc == 0) {
                            acknowledged.incrementAndGet();
                        }
                    }, null);
                }
            });
            bereft.reconnected(1);
            int version = bereft.zk.exists(at + "/count", false).getVersion();
            Cases.check(acknowledged.get() <= version && version <= asked.get(), "%d of %d acknowledged, %d done", acknowledged.get(), asked.get(), version);
            List<String> want = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                client.zk.setData(at + "/n" + i, null, -1);
                client.make(at + "/later" + i);
                want.add("NodeDataChanged " + at + "/n" + i);
                want.add("NodeCreated " + at + "/later" + i);
            }
            want.add("NodeChildrenChanged " + at); // once: for /count
            Cases.until("all watches", () -> bereft.events().size() >= want.size());
            List<String> heard = bereft.events();
            Collections.sort(want);
            Collections.sort(heard);
            Cases.same(want, heard, "what was heard");
            Cases.same(bereft.zk.getSessionId(), client.zk.exists(at + "/mine", false).getEphemeralOwner(), "the owner");
            Cases.same(version, client.zk.exists(at + "/count", false).getVersion(), "the version after the session went on");
        }
        Cases.same(null, client.zk.exists(at + "/mine", false), "the Stat");
    }

    /** So many watches that setWatches takes several frames; part of what they wait for happens while the client is away. */
    private void watchesOverReconnect() throws Exception {
        String at = client.make(root + "/a-rather-long-name-so-that-the-paths-fill-frames");
        try (Proxy way = way(0); Client other = new Client(way.address())) {
            Transaction make = client.zk.transaction();
            for (int i = 0; i < WATCHES; i++) {
                make.create(at + "/n" + i, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            }
            make.commit();
            Semaphore armed = new Semaphore(0);
            for (int i = 0; i < WATCHES; i++) {
                other.zk.getData(at + "/n" + i, true, (rc, path, ctx, data, stat) -> armed.release(), null);
                other.zk.exists(at + "/later" + i, true, (rc, path, ctx, stat) -> armed.release(), null);
            }
            other.zk.getChildren(at, true);
            other.zk.getChildren(at + "/n0", true);
            armed.acquire(2 * WATCHES);

            way.cut(true);
            Cases.until("it is disconnected", () -> other.states().size() == 2);
            List<String> missed = new ArrayList<>();
            client.zk.setData(at + "/n1", null, -1);
            missed.add("NodeDataChanged " + at + "/n1");
            client.zk.delete(at + "/n" + (WATCHES - 1), -1);
            missed.add("NodeDeleted " + at + "/n" + (WATCHES - 1));
            client.make(at + "/later" + (WATCHES - 1));
            missed.add("NodeCreated " + at + "/later" + (WATCHES - 1));
            missed.add("NodeChildrenChanged " + at);
            way.lead(from(1));
            other.reconnected(1);
            Cases.until("what was missed", () -> other.events().size() >= missed.size());
            heardInAnyOrder(missed, other);

            other.forget();
            List<String> want = new ArrayList<>();
            Transaction change = client.zk.transaction();
            for (int i = 0; i < WATCHES - 1; i++) {
                if (i != 1) {
                    change.setData(at + "/n" + i, null, -1);
                    want.add("NodeDataChanged " + at + "/n" + i);
                }
                change.create(at + "/later" + i, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                want.add("NodeCreated " + at + "/later" + i);
            }
            change.commit();
            Cases.until("the rest", () -> other.events().size() >= want.size());
            heardInAnyOrder(want, other);
        }
    }

    private void sync() throws Exception {
        String at = client.make(root + "/sync");
        List<Client> readers = new ArrayList<>();
        for (String member : lasting) {
            readers.add(new Client(member));
        }
        Semaphore done = new Semaphore(0);
        ConcurrentLinkedQueue<String> wrong = new ConcurrentLinkedQueue<>();
        for (int i = 0; i < 100; i++) {
            client.zk.setData(at, ("" + i).getBytes(), -1);
            String want = "" + i;
            for (Client r : readers) {
                r.zk.sync(at, (rc, path, ctx) -> { }, null);
                r.zk.getData(at, false, (rc, path, ctx, data, stat) -> {
                    if (rc != 0 || !want.equals(new String(data))) {
                        wrong.add(rc + " " + want);
                    }
                    done.release();
                }, null);
            }
            done.acquire(readers.size());
        }
        Cases.check(wrong.isEmpty(), "stale after sync: %s", wrong);
        for (Client r : readers) {
            r.close();
        }
    }
}
