import static java.util.Arrays.asList;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.AsyncCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Transaction;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Stat;

/**
 * The {@link Basics}, and what came after 3.4. It is compiled against the newest client, and runs with each from 3.5 on, as far as
 * the system property "version" says that the client has it. The members reap every 100 ms.
 */
final class Later extends Basics {
    private final double version = Double.parseDouble(System.getProperty("version"));

    private Later(String[] args) {
        super(args);
    }

    public static void main(String[] args) throws Exception {
        Later later = new Later(args);
        later.open();
        later.run();
        later.shut();
    }

    @Override
    void run() {
        cases.run("create with Stat", this::createWithStat);
        cases.run("container", this::container);
        cases.run("TTL", this::ttl);
        cases.run("removeWatches", this::removeWatches);
        super.run();
        cases.run("updateServerList", this::updateServerList);
        if (version >= 3.6) {
            cases.run("persistent watches", this::persistentWatches);
            cases.run("recursive watches", this::recursiveWatches);
            cases.run("persistent watches over a reconnect", this::persistentOverReconnect);
            cases.run("getEphemerals", this::getEphemerals);
            cases.run("getAllChildrenNumber", this::getAllChildrenNumber);
            cases.run("multi of reads", this::multiRead);
        }
        if (version >= 3.7) {
            cases.run("whoAmI", this::whoAmI);
        }
        if (version >= 3.9) {
            cases.run("kinds of watches on one path", this::kindsOnOnePath);
            cases.run("zxids of events", this::eventZxids);
            cases.run("netty", this::netty);
        }
    }

    private void createWithStat() throws Exception {
        String at = root + "/stat";
        Stat stat = new Stat();
        Cases.same(at, client.zk.create(at, "abc".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, stat), "the path");
        Cases.same(client.zk.exists(at, false), stat, "the Stat");
        Cases.same(3, stat.getDataLength(), "the length");
        String made = client.zk.create(at + "/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL, stat);
        Cases.same(at + "/s-0000000000", made, "the path");
        Cases.same(client.zk.getSessionId(), stat.getEphemeralOwner(), "the owner");
    }

    private void container() throws Exception {
        String at = root + "/container";
        Stat stat = new Stat();
        client.zk.create(at, null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER, stat);
        Cases.same(0L, stat.getEphemeralOwner(), "the owner");
        client.make(at + "/child");
        client.zk.exists(at, true);
        client.zk.delete(at + "/child", -1);
        client.hears(asList("NodeDeleted " + at));
        client.forget();
        String never = root + "/never-used";
        client.zk.multi(asList(Op.create(never, null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER)));
        Thread.sleep(500); // five rounds of the reaper
        Cases.check(client.zk.exists(never, false) != null, "a container that never had a child is gone");
    }

    private void ttl() throws Exception {
        String at = root + "/ttl";
        Stat stat = new Stat();
        client.zk.create(at, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 1_000);
        long begin = System.nanoTime();
        String second = client.zk.create(at + "-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, 3_600_000);
        client.zk.exists(at, true);
        client.hears(asList("NodeDeleted " + at));
        client.forget();
        long tookMs = (System.nanoTime() - begin) / 1_000_000;
        Cases.check(tookMs > 800, "it took %d ms", tookMs);
        Cases.check(client.zk.exists(second, false) != null, "the one with an hour is gone");
        client.zk.delete(second, 0);
    }

    private void removeWatches() throws Exception {
        String at = client.make(root + "/remove");
        ConcurrentLinkedQueue<String> heard = new ConcurrentLinkedQueue<>();
        Watcher one = e -> heard.add("one " + e.getType()), two = e -> heard.add("two " + e.getType());
        client.zk.getData(at, one, null);
        client.zk.getData(at, two, null);
        client.zk.getChildren(at, two);
        client.zk.removeWatches(at, one, WatcherType.Data, false);
        client.zk.setData(at, null, -1);
        Cases.until("two events", () -> heard.size() == 2);
        Cases.same(asList("one DataWatchRemoved", "two NodeDataChanged"), new ArrayList<>(heard), "what was heard");
        client.zk.getData(at, one, null);
        client.zk.removeAllWatches(at, WatcherType.Any, false);
        Cases.until("two more", () -> heard.size() == 4);
        client.zk.setData(at, null, -1);
        client.make(at + "/child");
        client.zk.exists(at, false);
        List<String> rest = new ArrayList<>(heard).subList(2, heard.size());
        Collections.sort(rest);
        Cases.same(asList("one DataWatchRemoved", "two ChildWatchRemoved"), rest, "what was heard");
        fails(Code.NOWATCHER, () -> {
            client.zk.removeAllWatches(at, WatcherType.Data, false);
            return "done";
        });
    }

    private void updateServerList() throws Exception {
        String at = client.make(root + "/list");
        try (Proxy a = way(0); Proxy b = way(1); Client c = new Client(a.address())) {
            long id = c.zk.getSessionId();
            c.make(at + "/mine", "", CreateMode.EPHEMERAL);
            c.zk.updateServerList(b.address());
            c.reconnected(1);
            a.close();
            Cases.same(id, c.zk.exists(at + "/mine", false).getEphemeralOwner(), "the owner");
            c.make(at + "/mine-too", "", CreateMode.EPHEMERAL);
            Cases.same(3, c.states().size(), "the changes of state");
        }
    }

    private void persistentWatches() throws Exception {
        String at = client.make(root + "/persistent");
        try (Client other = new Client(lasting.get(lasting.size() - 1))) {
            other.zk.addWatch(at + "/a", other, AddWatchMode.PERSISTENT);
            List<String> want = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                client.make(at + "/a");
                client.zk.setData(at + "/a", null, -1);
                client.make(at + "/a/b");
                client.zk.setData(at + "/a/b", null, -1);
                client.zk.delete(at + "/a/b", -1);
                client.zk.delete(at + "/a", -1);
                for (String kind : asList("NodeCreated", "NodeDataChanged", "NodeChildrenChanged", "NodeChildrenChanged", "NodeDeleted")) {
                    want.add(kind + " " + at + "/a");
                }
            }
            other.hears(want);
            other.forget();
            other.zk.removeWatches(at + "/a", other, WatcherType.Any, false);
            other.hears(asList("PersistentWatchRemoved " + at + "/a"));
            client.make(at + "/a");
            other.zk.sync(at, (rc, path, ctx) -> { }, null);
            other.zk.exists(at + "/a", false);
            other.hears(asList("PersistentWatchRemoved " + at + "/a"));
        }
    }

    private void recursiveWatches() throws Exception {
        String at = client.make(root + "/recursive");
        try (Client other = new Client(lasting.get(0))) {
            Cases.until("the member has it", () -> other.zk.exists(at, false) != null);
            other.zk.addWatch(at, other, AddWatchMode.PERSISTENT_RECURSIVE);
            List<String> want = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                Transaction t = client.zk.transaction();
                t.create(at + "/a", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                t.create(at + "/a/b", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
                t.setData(at + "/a/b", null, -1).setData(at, null, -1).delete(at + "/a/b", -1).delete(at + "/a", -1);
                t.commit();
                want.addAll(asList("NodeCreated " + at + "/a", "NodeCreated " + at + "/a/b", "NodeDataChanged " + at + "/a/b",
                    "NodeDataChanged " + at, "NodeDeleted " + at + "/a/b", "NodeDeleted " + at + "/a"));
            }
            other.hears(want);
        }
    }

    private void persistentOverReconnect() throws Exception {
        String at = client.make(root + "/persistent-over-a-reconnect-with-a-rather-long-name");
        try (Proxy way = way(0); Client other = new Client(way.address())) {
            Transaction make = client.zk.transaction();
            for (int i = 0; i < WATCHES; i++) {
                make.create(at + "/n" + i, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            }
            make.create(at + "/deep", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            make.commit();
            // addWatch waits for nobody: a member that is behind would tell of what was made before.
            Cases.until("the member has it", () -> other.zk.exists(at + "/deep", false) != null);
            Semaphore armed = new Semaphore(0);
            AsyncCallback.VoidCallback ok = (rc, path, ctx) -> armed.release(rc == 0 ? 1 : 0);
            for (int i = 0; i < WATCHES; i++) {
                other.zk.addWatch(at + "/n" + i, other, AddWatchMode.PERSISTENT, ok, null);
            }
            other.zk.addWatch(at + "/deep", other, AddWatchMode.PERSISTENT_RECURSIVE, ok, null);
            armed.acquire(WATCHES + 1);
            other.zk.getData(at, true, null);
            way.cut(true);
            Cases.until("it is disconnected", () -> other.states().size() == 2);
            client.zk.setData(at, null, -1);
            client.zk.setData(at + "/n0", null, -1); // persistent watches don't hear what they missed
            way.lead(from(1));
            other.reconnected(1);
            other.hears(asList("NodeDataChanged " + at));
            other.forget();
            List<String> want = new ArrayList<>();
            for (int turn = 0; turn < 2; turn++) {
                Transaction change = client.zk.transaction();
                for (int i = 0; i < WATCHES; i++) {
                    change.setData(at + "/n" + i, null, -1);
                    want.add("NodeDataChanged " + at + "/n" + i);
                }
                change.create(at + "/deep/" + turn, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                want.add("NodeCreated " + at + "/deep/" + turn);
                change.commit();
            }
            other.hears(want);
        }
    }

    private void getEphemerals() throws Exception {
        String at = client.make(root + "/ephemerals");
        try (Client c = new Client(lasting.get(0))) {
            Cases.same(Collections.emptyList(), c.zk.getEphemerals(), "the ephemerals");
            List<String> want = new ArrayList<>();
            client.make(at + "/a");
            for (String name : asList("/a/e1", "/a/e2", "/b")) {
                want.add(c.make(at + name, "", CreateMode.EPHEMERAL));
            }
            c.make(at + "/plain");
            client.make(at + "/not-mine", "", CreateMode.EPHEMERAL);
            List<String> got = c.zk.getEphemerals();
            Collections.sort(got);
            Cases.same(want, got, "the ephemerals");
            got = c.zk.getEphemerals(at + "/a");
            Collections.sort(got);
            Cases.same(want.subList(0, 2), got, "those below one path");
            c.undisturbed();
        }
    }

    private void getAllChildrenNumber() throws Exception {
        String at = client.make(root + "/number");
        for (String name : asList("/a", "/a/b", "/a/b/c", "/d")) {
            client.make(at + name);
        }
        Cases.same(4, client.zk.getAllChildrenNumber(at), "the number");
        Cases.same(0, client.zk.getAllChildrenNumber(at + "/d"), "the number");
        fails(Code.NONODE, () -> client.zk.getAllChildrenNumber(at + "/none"));
    }

    private void multiRead() throws Exception {
        String at = client.make(root + "/reads", "x", CreateMode.PERSISTENT);
        client.make(at + "/a");
        List<OpResult> results = client.zk.multi(asList(Op.getData(at), Op.getChildren(at), Op.getData(at + "/none")));
        Cases.same("x", new String(((OpResult.GetDataResult) results.get(0)).getData()), "the data");
        Cases.same(asList("a"), ((OpResult.GetChildrenResult) results.get(1)).getChildren(), "the children");
        Cases.same(Code.NONODE.intValue(), ((OpResult.ErrorResult) results.get(2)).getErr(), "the error");
    }

    private void whoAmI() throws Exception {
        try (Client c = new Client(lasting.get(0))) {
            c.zk.addAuthInfo("digest", "joe:secret".getBytes());
            List<String> got = new ArrayList<>();
            for (ClientInfo info : c.zk.whoAmI()) {
                got.add(info.getAuthScheme() + " " + info.getUser());
            }
            Collections.sort(got);
            Cases.same(asList("digest joe", "ip 127.0.0.1"), got, "who it is");
        }
    }

    private void kindsOnOnePath() throws Exception {
        String at = client.make(root + "/kinds");
        ConcurrentLinkedQueue<String> heard = new ConcurrentLinkedQueue<>();
        Watcher once = e -> heard.add("once " + e.getType());
        Watcher always = e -> heard.add("always " + e.getType());
        Watcher deep = e -> heard.add("deep " + e.getType());
        client.zk.addWatch(at, always, AddWatchMode.PERSISTENT);
        client.zk.addWatch(at, deep, AddWatchMode.PERSISTENT_RECURSIVE);
        client.zk.getData(at, once, null);
        client.zk.setData(at, null, -1);
        client.zk.setData(at, null, -1);
        Cases.until("five events", () -> heard.size() >= 5);
        client.zk.removeWatches(at, always, WatcherType.Persistent, false);
        client.zk.setData(at, null, -1);
        client.zk.removeWatches(at, deep, WatcherType.PersistentRecursive, false);
        client.zk.setData(at, null, -1);
        Cases.until("the last event", () -> heard.contains("deep PersistentWatchRemoved"));
        List<String> got = new ArrayList<>(heard);
        Collections.sort(got.subList(0, 3));
        Collections.sort(got.subList(3, 5));
        Cases.same(asList("always NodeDataChanged", "deep NodeDataChanged", "once NodeDataChanged", "always NodeDataChanged",
            "deep NodeDataChanged", "always PersistentWatchRemoved", "deep NodeDataChanged", "deep PersistentWatchRemoved"), got, "what was heard");
    }

    private void eventZxids() throws Exception {
        String at = client.make(root + "/zxids");
        ConcurrentLinkedQueue<Long> heard = new ConcurrentLinkedQueue<>();
        client.zk.addWatch(at, e -> heard.add(e.getZxid()), AddWatchMode.PERSISTENT_RECURSIVE);
        List<Long> want = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            want.add(client.zk.setData(at, null, -1).getMzxid());
        }
        Cases.until("all events", () -> heard.size() == want.size());
        Cases.same(want, new ArrayList<>(heard), "the zxids");
    }

    private void netty() throws Exception {
        String at = client.make(root + "/netty");
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.ZOOKEEPER_CLIENT_CNXN_SOCKET, "org.apache.zookeeper.ClientCnxnSocketNetty");
        String hosts = String.join(",", lasting);
        try (Client c = Client.watching(w -> new ZooKeeper(hosts, Client.TIMEOUT_MS, w, config))) {
            c.make(at + "/mine", "x", CreateMode.EPHEMERAL);
            Cases.same("x", c.get(at + "/mine"), "the data");
            c.undisturbed();
        }
        Cases.same(null, client.zk.exists(at + "/mine", false), "the Stat");
    }
}
