import static java.util.Arrays.asList;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;

/** Locks, semaphores and elections: that no two hold what is for one. */
final class Locks extends Sharers {
    Locks(List<CuratorFramework> clients, List<CuratorFramework> steady) {
        super(clients, steady);
    }

    void readWriteLock(String at) throws Exception {
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

    void semaphore(String at) throws Exception {
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

    void multiLock(String at) throws Exception {
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

    void latch(String at) throws Exception {
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

    void selector(String at) throws Exception {
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
}
