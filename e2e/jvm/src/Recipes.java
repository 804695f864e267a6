import static java.util.Arrays.asList;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
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
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
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
final class Recipes {
    private interface Recipe {
        void run(String at) throws Exception;
    }

    private final Cases cases = new Cases();
    private final String root;
    private final boolean kill;
    private final List<Framework> frameworks = new ArrayList<>();
    /** All clients, and those whose member lives to the end: recipes that may count twice after a lost connection use these. */
    private final List<CuratorFramework> clients = new ArrayList<>(), steady = new ArrayList<>();
    private final Map<String, Recipe> recipes = new TreeMap<>();

    private Recipes(String[] args) throws Exception {
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
        recipes.put("InterProcessReadWriteLock", this::readWriteLock);
        recipes.put("InterProcessSemaphoreV2", this::semaphore);
        recipes.put("InterProcessMultiLock", this::multiLock);
        recipes.put("LeaderLatch", this::latch);
        recipes.put("LeaderSelector", this::selector);
        recipes.put("PathChildrenCache", this::pathChildrenCache);
        recipes.put("TreeCache", this::treeCache);
        recipes.put("CuratorCache", this::curatorCache);
        recipes.put("NodeCache", this::nodeCache);
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

    /** Runs a job for each of these clients at once, and waits for all. */
    private static <T> List<T> together(List<CuratorFramework> of, Job<T> job) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(of.size());
        try {
            List<Callable<T>> jobs = new ArrayList<>();
            for (CuratorFramework c : of) {
                jobs.add(() -> job.run(c));
            }
            List<T> results = new ArrayList<>();
            for (Future<T> f : threads.invokeAll(jobs)) {
                results.add(f.get());
            }
            return results;
        } finally {
            threads.shutdown();
        }
    }

    private interface Job<T> {
        T run(CuratorFramework c) throws Exception;
    }

    private static byte[] bytes(Object o) {
        return o.toString().getBytes();
    }

    private void make(String path, Object data) throws Exception {
        steady.get(0).create().orSetData().creatingParentsIfNeeded().forPath(path, bytes(data));
    }

    private void readWriteLock(String at) throws Exception {
        AtomicInteger readers = new AtomicInteger(), writers = new AtomicInteger(), together = new AtomicInteger();
        together(clients, c -> {
            InterProcessReadWriteLock lock = new InterProcessReadWriteLock(c, at);
            for (int i = 0; i < 5; i++) {
                lock.readLock().acquire();
                together.accumulateAndGet(readers.incrementAndGet(), Math::max);
                Cases.same(0, writers.get(), "the number of writers at a reader's time");
                Cases.until("two readers have met", () -> together.get() > 1);
                readers.decrementAndGet();
                lock.readLock().release();
                lock.writeLock().acquire();
                Cases.same(1, writers.incrementAndGet(), "the number of writers");
                Cases.same(0, readers.get(), "the number of readers at a writer's time");
                lock.readLock().acquire(); // a writer may read
                lock.readLock().release();
                writers.decrementAndGet();
                lock.writeLock().release();
            }
            return null;
        });
    }

    private void semaphore(String at) throws Exception {
        AtomicInteger inside = new AtomicInteger(), most = new AtomicInteger();
        together(clients, c -> {
            InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(c, at, 2);
            for (int i = 0; i < 5; i++) {
                Lease lease = semaphore.acquire(60, TimeUnit.SECONDS);
                Cases.check(lease != null, "no lease for a minute");
                most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                Cases.until("two holders have met", () -> most.get() > 1);
                inside.decrementAndGet();
                lease.close();
            }
            return null;
        });
        Cases.same(2, most.get(), "the most holders of two leases");
    }

    private void multiLock(String at) throws Exception {
        AtomicInteger inside = new AtomicInteger();
        together(steady, c -> {
            InterProcessMultiLock lock = new InterProcessMultiLock(c, asList(at + "/a", at + "/b"));
            for (int i = 0; i < 3; i++) {
                lock.acquire();
                Cases.same(1, inside.incrementAndGet(), "the number of holders");
                inside.decrementAndGet();
                lock.release();
            }
            return null;
        });
    }

    private void latch(String at) throws Exception {
        List<LeaderLatch> latches = new ArrayList<>();
        for (int i = 0; i < clients.size(); i++) {
            LeaderLatch latch = new LeaderLatch(clients.get(i), at, "latch " + i);
            latch.start();
            latches.add(latch);
        }
        Set<String> led = new HashSet<>();
        while (!latches.isEmpty()) {
            Cases.until("one leads", () -> latches.stream().anyMatch(LeaderLatch::hasLeadership));
            List<LeaderLatch> leaders = new ArrayList<>(latches);
            leaders.removeIf(l -> !l.hasLeadership());
            if (leaders.isEmpty()) {
                continue; // it lost its connection in between
            }
            Cases.same(1, leaders.size(), "the number of leaders");
            LeaderLatch leader = leaders.get(0);
            led.add(leader.getId());
            latches.remove(leader);
            leader.close();
        }
        Cases.same(clients.size(), led.size(), "the number of those who led");
    }

    private void selector(String at) throws Exception {
        AtomicInteger inside = new AtomicInteger();
        CountDownLatch terms = new CountDownLatch(12);
        ConcurrentLinkedQueue<String> wrong = new ConcurrentLinkedQueue<>();
        List<LeaderSelector> selectors = new ArrayList<>();
        for (CuratorFramework c : clients) {
            LeaderSelector s = new LeaderSelector(c, at, new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework client) throws Exception {
                    int leaders = inside.incrementAndGet();
                    if (leaders != 1) {
                        wrong.add(leaders + " leaders");
                    }
                    try {
                        Thread.sleep(5);
                    } finally {
                        inside.decrementAndGet();
                    }
                    terms.countDown();
                }
            });
            s.autoRequeue();
            s.start();
            selectors.add(s);
        }
        Cases.check(terms.await(60, TimeUnit.SECONDS), "%d terms are missing after a minute", terms.getCount());
        selectors.forEach(LeaderSelector::close);
        Cases.check(wrong.isEmpty(), "%s", wrong);
    }

    /** Makes changes below a path, as each of the steady clients in turn, and returns what is there at the end: children and data. */
    private Map<String, String> change(String at) throws Exception {
        Map<String, String> left = new TreeMap<>();
        for (int i = 0; i < 30; i++) {
            CuratorFramework c = steady.get(i % steady.size());
            String name = "n" + i % 10;
            if (i % 3 == 2 && left.containsKey(name)) {
                c.delete().forPath(at + "/" + name);
                left.remove(name);
            } else {
                c.create().orSetData().forPath(at + "/" + name, bytes(i));
                left.put(name, "" + i);
            }
        }
        return left;
    }

    private static Map<String, String> content(Iterable<ChildData> children, String at) {
        Map<String, String> got = new TreeMap<>();
        for (ChildData child : children) {
            if (child.getPath().startsWith(at + "/")) {
                got.put(child.getPath().substring(at.length() + 1), new String(child.getData()));
            }
        }
        return got;
    }

    private static void becomes(Map<String, String> want, Callable<Map<String, String>> got) throws Exception {
        try {
            Cases.until("the cache", () -> want.equals(got.call()));
        } catch (AssertionError e) {
            throw new AssertionError("the cache is " + got.call() + ", not " + want, e);
        }
    }

    private void pathChildrenCache(String at) throws Exception {
        make(at, "");
        together(clients, c -> {
            String mine = at + "/" + clients.indexOf(c);
            make(mine, "");
            try (PathChildrenCache cache = new PathChildrenCache(c, mine, true)) {
                cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
                becomes(change(mine), () -> content(cache.getCurrentData(), mine));
            }
            return null;
        });
    }

    private void treeCache(String at) throws Exception {
        make(at, "");
        List<TreeCache> caches = new ArrayList<>();
        for (CuratorFramework c : clients) {
            caches.add(new TreeCache(c, at).start());
        }
        make(at + "/deep/er", "");
        Map<String, String> want = change(at + "/deep/er");
        for (TreeCache cache : caches) {
            becomes(want, () -> {
                Map<String, ChildData> children = cache.getCurrentChildren(at + "/deep/er");
                return children == null ? Map.of() : content(children.values(), at + "/deep/er");
            });
            cache.close();
        }
    }

    private void curatorCache(String at) throws Exception {
        List<CuratorCache> caches = new ArrayList<>();
        for (CuratorFramework c : clients) {
            CuratorCache cache = CuratorCache.build(c, at);
            cache.start();
            caches.add(cache);
        }
        make(at, "");
        Map<String, String> want = change(at);
        for (CuratorCache cache : caches) {
            becomes(want, () -> {
                List<ChildData> all = new ArrayList<>();
                cache.stream().forEach(all::add);
                return content(all, at);
            });
            cache.close();
        }
    }

    private void nodeCache(String at) throws Exception {
        List<NodeCache> caches = new ArrayList<>();
        for (CuratorFramework c : clients) {
            NodeCache cache = new NodeCache(c, at);
            cache.start(true);
            caches.add(cache);
        }
        for (int i = 0; i < 20; i++) {
            make(at, i);
        }
        for (NodeCache cache : caches) {
            Cases.until("the last value", () -> cache.getCurrentData() != null && "19".equals(new String(cache.getCurrentData().getData())));
        }
        steady.get(0).delete().forPath(at);
        for (NodeCache cache : caches) {
            Cases.until("nothing", () -> cache.getCurrentData() == null);
            cache.close();
        }
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
