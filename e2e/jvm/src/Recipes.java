import static java.util.Arrays.asList;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/**
 * Curator's recipes, shared by four clients. With "kill", all of them run at once, again and again, until each has made a whole round
 * after the leader's death; the first client is the one that was on the leader.
 *
 * <p>Arguments: a root of its own, the members with the leader first, and "kill". The members reap every 100 ms.
 */
final class Recipes extends Sharers {
    private interface Recipe {
        void run(String at) throws Exception;
    }

    private final Cases cases = new Cases();
    private final String root;
    private final boolean kill;
    private final List<Framework> frameworks = new ArrayList<>();
    private final Map<String, Recipe> recipes = new TreeMap<>();

    private Recipes(String[] args) throws Exception {
        super(new ArrayList<>(), new ArrayList<>());
        root = args[0];
        List<String> members = asList(args[1].split(","));
        kill = args.length > 2;
        for (int i = 0; i < 4; i++) {
            List<String> order = new ArrayList<>(members);
            Collections.rotate(order, -(kill && i == 3 ? 1 : i % members.size()));
            Framework f = new Framework(order);
            frameworks.add(f);
            clients.add(f.curator);
            if (!kill || i > 0) {
                steady.add(f.curator);
            }
        }
        Locks locks = new Locks(clients, steady);
        Caches caches = new Caches(clients, steady);
        recipes.put("InterProcessReadWriteLock", locks::readWriteLock);
        recipes.put("InterProcessSemaphoreV2", locks::semaphore);
        recipes.put("InterProcessMultiLock", locks::multiLock);
        recipes.put("LeaderLatch", locks::latch);
        recipes.put("LeaderSelector", locks::selector);
        recipes.put("PathChildrenCache", caches::pathChildrenCache);
        recipes.put("TreeCache", caches::treeCache);
        recipes.put("CuratorCache", caches::curatorCache);
        recipes.put("NodeCache", caches::nodeCache);
        recipes.put("DistributedBarrier", this::barrier);
        recipes.put("DistributedDoubleBarrier", this::doubleBarrier);
        recipes.put("SharedCount", this::sharedCount);
        recipes.put("DistributedAtomicLong", this::atomicLong);
        recipes.put("DistributedQueue", this::queue);
        recipes.put("SimpleDistributedQueue", this::simpleQueue);
        recipes.put("PersistentNode", this::persistentNode);
        recipes.put("PersistentTtlNode", this::persistentTtlNode);
        recipes.put("GroupMember", this::groupMember);
        recipes.put("transactions", this::transactions);
        recipes.put("protected ephemeral sequential", this::protectedNodes);
        recipes.put("containers as parents", this::containers);
        if (members.size() > 1) {
            recipes.put("EnsembleTracker", at -> ensembleTracker(members.size()));
        }
    }

    public static void main(String[] args) throws Exception {
        Recipes r = new Recipes(args);
        if (r.kill) {
            r.overTheKill();
        } else {
            r.recipes.forEach((name, recipe) -> r.cases.run(name, () -> recipe.run(r.root + "/" + name.replace(' ', '-'))));
        }
        r.cases.run("no change of state", () -> {
            for (int i = 0; i < r.frameworks.size(); i++) {
                r.frameworks.get(i).undisturbed(r.kill && i == 0);
            }
        });
        r.frameworks.forEach(Framework::close);
        r.cases.end();
    }

    private void overTheKill() throws Exception {
        ExecutorService threads = Executors.newCachedThreadPool();
        Map<String, Future<Integer>> rounds = new TreeMap<>();
        CountDownLatch once = new CountDownLatch(recipes.size() / 2);
        recipes.forEach((name, recipe) -> rounds.put(name, threads.submit(() -> {
            for (int n = 0;; n++) {
                boolean last = cases.killed() && frameworks.get(0).states().contains(ConnectionState.RECONNECTED);
                recipe.run(root + "/" + name.replace(' ', '-') + "-" + n);
                once.countDown();
                if (last) {
                    return n;
                }
            }
        })));
        once.await(60, TimeUnit.SECONDS);
        cases.askForKill();
        rounds.forEach((name, n) -> cases.run(name, () -> n.get()));
    }

    private void barrier(String at) throws Exception {
        DistributedBarrier gate = new DistributedBarrier(steady.get(0), at);
        gate.setBarrier();
        AtomicInteger through = new AtomicInteger();
        ExecutorService threads = Executors.newFixedThreadPool(clients.size());
        List<Future<?>> waits = new ArrayList<>();
        for (CuratorFramework c : clients) {
            waits.add(threads.submit(() -> {
                Cases.check(new DistributedBarrier(c, at).waitOnBarrier(60, TimeUnit.SECONDS), "a minute before the barrier");
                through.incrementAndGet();
                return null;
            }));
        }
        Thread.sleep(100);
        Cases.same(0, through.get(), "the number of those who did not wait");
        gate.removeBarrier();
        for (Future<?> f : waits) {
            f.get();
        }
        threads.shutdown();
    }

    private void doubleBarrier(String at) throws Exception {
        AtomicInteger here = new AtomicInteger(), gone = new AtomicInteger();
        together(steady, c -> {
            DistributedDoubleBarrier b = new DistributedDoubleBarrier(c, at, steady.size());
            here.incrementAndGet();
            Cases.check(b.enter(60, TimeUnit.SECONDS), "a minute before the barrier");
            Cases.same(steady.size(), here.get(), "the number of those who are here");
            gone.incrementAndGet();
            Cases.check(b.leave(60, TimeUnit.SECONDS), "a minute behind the barrier");
            Cases.same(steady.size(), gone.get(), "the number of those who go");
            return null;
        });
    }

    private void sharedCount(String at) throws Exception {
        List<SharedCount> counts = new ArrayList<>();
        for (CuratorFramework c : clients) {
            SharedCount count = new SharedCount(c, at, 7);
            count.start();
            counts.add(count);
        }
        Cases.same(7, counts.get(0).getCount(), "the seed");
        SharedCount writer = counts.get(counts.size() - 1);
        writer.setCount(41);
        Cases.check(writer.trySetCount(writer.getVersionedValue(), 42), "nobody else wrote, and it was refused");
        for (SharedCount c : counts) {
            Cases.until("the last count", () -> c.getCount() == 42);
            c.close();
        }
    }

    private void atomicLong(String at) throws Exception {
        together(steady, c -> {
            DistributedAtomicLong number = new DistributedAtomicLong(c, at, new RetryNTimes(1_000, 5));
            for (int i = 0; i < 25; i++) {
                Cases.check(number.increment().succeeded(), "an increment was given up");
            }
            return null;
        });
        long sum = new DistributedAtomicLong(clients.get(0), at, new RetryNTimes(0, 0)).get().postValue();
        Cases.same(25L * steady.size(), sum, "the sum");
    }

    private void queue(String at) throws Exception {
        Set<String> eaten = ConcurrentHashMap.newKeySet();
        AtomicInteger meals = new AtomicInteger();
        QueueSerializer<String> plain = new QueueSerializer<>() {
            @Override
            public byte[] serialize(String item) {
                return item.getBytes();
            }

            @Override
            public String deserialize(byte[] bytes) {
                return new String(bytes);
            }
        };
        QueueConsumer<String> eater = new QueueConsumer<>() {
            @Override
            public void consumeMessage(String message) {
                eaten.add(message);
                meals.incrementAndGet();
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {
                // seen by the frameworks
            }
        };
        List<DistributedQueue<String>> queues = new ArrayList<>();
        for (CuratorFramework c : steady) {
            DistributedQueue<String> q = QueueBuilder.builder(c, eater, plain, at).buildQueue();
            q.start();
            queues.add(q);
        }
        for (int i = 0; i < 60; i++) {
            queues.get(i % queues.size()).put("item " + i);
        }
        Cases.until("all are eaten", () -> eaten.size() == 60);
        for (DistributedQueue<String> q : queues) {
            q.close();
        }
        Cases.same(60, meals.get(), "the number of meals");
    }

    private void simpleQueue(String at) throws Exception {
        SimpleDistributedQueue in = new SimpleDistributedQueue(steady.get(0), at);
        for (int i = 0; i < 30; i++) {
            in.offer(bytes(i));
        }
        SimpleDistributedQueue out = new SimpleDistributedQueue(steady.get(1), at);
        for (int i = 0; i < 30; i++) {
            Cases.same("" + i, new String(out.poll(60, TimeUnit.SECONDS)), "the next");
        }
        Cases.same(null, out.poll(), "the next of none");
    }

    private void persistentNode(String at) throws Exception {
        make(at, "");
        for (CuratorFramework c : clients) {
            String path = at + "/" + clients.indexOf(c);
            PersistentNode node = new PersistentNode(c, CreateMode.EPHEMERAL, false, path, bytes("x"));
            node.start();
            Cases.check(node.waitForInitialCreate(60, TimeUnit.SECONDS), "not created for a minute");
            Stat first = steady.get(0).checkExists().forPath(path);
            steady.get(0).delete().forPath(path);
            Cases.until("it comes back", () -> {
                Stat now = steady.get(0).checkExists().forPath(path);
                return now != null && now.getCzxid() > first.getCzxid();
            });
            node.close();
            Cases.until("it goes", () -> steady.get(0).checkExists().forPath(path) == null);
        }
    }

    private void persistentTtlNode(String at) throws Exception {
        PersistentTtlNode node = new PersistentTtlNode(clients.get(clients.size() - 1), at, 1_000, bytes("x"));
        node.start();
        Cases.check(node.waitForInitialCreate(60, TimeUnit.SECONDS), "not created for a minute");
        Cases.until("its child", () -> steady.get(0).checkExists().forPath(at).getNumChildren() == 1);
        Thread.sleep(2_500);
        Cases.check(steady.get(0).checkExists().forPath(at) != null, "it is gone while it is held");
        node.close();
        Cases.until("it goes", () -> steady.get(0).checkExists().forPath(at) == null);
    }

    private void groupMember(String at) throws Exception {
        List<GroupMember> members = new ArrayList<>();
        Set<String> want = new HashSet<>();
        for (int i = 0; i < clients.size(); i++) {
            GroupMember m = new GroupMember(clients.get(i), at, "member-" + i);
            m.start();
            members.add(m);
            want.add("member-" + i);
        }
        for (GroupMember m : members) {
            Cases.until("it knows all", () -> m.getCurrentMembers().keySet().equals(want));
        }
        members.remove(1).close();
        want.remove("member-1");
        for (GroupMember m : members) {
            Cases.until("it knows the rest", () -> m.getCurrentMembers().keySet().equals(want));
        }
        members.forEach(GroupMember::close);
    }

    private void transactions(String at) throws Exception {
        make(at, "");
        CuratorFramework c = steady.get(0);
        List<CuratorTransactionResult> results = c.transaction().forOperations(
            c.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath(at + "/a-", bytes("x")),
            c.transactionOp().setData().withVersion(0).forPath(at, bytes("y")),
            c.transactionOp().check().withVersion(1).forPath(at),
            c.transactionOp().delete().forPath(at + "/a-0000000000"));
        Cases.same(at + "/a-0000000000", results.get(0).getResultPath(), "the path");
        Cases.same(1, results.get(1).getResultStat().getVersion(), "the version");
        try {
            c.transaction().forOperations(
                c.transactionOp().create().forPath(at + "/b"),
                c.transactionOp().check().withVersion(0).forPath(at));
            throw new AssertionError("a failing transaction did not fail");
        } catch (KeeperException.BadVersionException e) {
            Cases.same(null, c.checkExists().forPath(at + "/b"), "what a failed transaction left");
        }
    }

    private void protectedNodes(String at) throws Exception {
        Set<String> made = new HashSet<>();
        for (CuratorFramework c : clients) {
            for (int i = 0; i < 10; i++) {
                made.add(c.create().creatingParentContainersIfNeeded().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(at + "/n-"));
            }
        }
        Set<String> there = new HashSet<>();
        for (String name : steady.get(0).getChildren().forPath(at)) {
            there.add(at + "/" + name);
        }
        Cases.same(made, there, "what is there");
        for (String path : made) {
            steady.get(0).delete().guaranteed().forPath(path);
        }
    }

    private void containers(String at) throws Exception {
        CuratorFramework c = steady.get(0);
        c.create().creatingParentContainersIfNeeded().forPath(at + "/a/b/c");
        c.delete().forPath(at + "/a/b/c");
        Cases.until("the empty containers go", () -> c.checkExists().forPath(at) == null);
        make(at + "/tree/of/nodes", "x");
        c.delete().deletingChildrenIfNeeded().forPath(at);
        Cases.same(null, c.checkExists().forPath(at), "what is left");
    }

    /** Curator reads /zookeeper/config, where all members are, and goes on with what it finds there. */
    private void ensembleTracker(int size) throws Exception {
        for (CuratorFramework c : clients) {
            Cases.until("all members are known", () -> c.getCurrentConfig().getAllMembers().size() == size);
        }
    }
}
