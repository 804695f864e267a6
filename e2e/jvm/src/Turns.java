import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;

/**
 * A Curator client that takes turns at locks. It speaks the language of e2e/turns/main.go, but for "clients" and "work": it says "ready".
 *
 * <p>Argument: the member.
 */
final class Turns {
    private static final int PERMITS = 3;

    /** What was acquired, and how it is given back. */
    private interface Held {
        void release() throws Exception;
    }

    private final CuratorFramework curator;
    /** A lock belongs to a thread: each name has one. */
    private final Map<String, ExecutorService> threads = new HashMap<>();
    private final Map<String, Held> held = new HashMap<>();

    private Turns(CuratorFramework curator) {
        this.curator = curator;
    }

    public static void main(String[] args) throws Exception {
        try (Framework f = new Framework(List.of(args[0]))) {
            Turns turns = new Turns(f.curator);
            say("ready");
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] words = line.split(" ");
                turns.threads.computeIfAbsent(words[1], name -> Executors.newSingleThreadExecutor()).execute(() -> turns.act(words));
            }
        }
        System.exit(0); // who still waits is not waited for
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private void act(String[] words) {
        try {
            if (words[0].equals("take")) {
                Held h = acquire(words[2]);
                synchronized (held) {
                    held.put(words[1], h);
                }
                say("held " + words[1]);
            } else {
                Held h;
                synchronized (held) {
                    h = held.remove(words[1]);
                }
                h.release();
                say("freed " + words[1]);
            }
        } catch (Exception e) { // whatever it is, the driver judges it
            say("failed " + String.join(" ", words) + " " + e);
        }
    }

    private Held acquire(String kind) throws Exception {
        InterProcessReadWriteLock rw = new InterProcessReadWriteLock(curator, "/turns/rw");
        InterProcessMutex lock;
        if (kind.startsWith("semaphore:")) {
            InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(curator, "/turns/semaphore", PERMITS);
            Collection<Lease> leases = new ArrayList<>(semaphore.acquire(Integer.parseInt(kind.substring("semaphore:".length()))));
            return () -> semaphore.returnAll(leases);
        } else if (kind.equals("mutex")) {
            lock = new InterProcessMutex(curator, "/turns/mutex");
        } else {
            lock = kind.equals("rlock") ? rw.readLock() : rw.writeLock();
        }
        lock.acquire();
        return lock::release;
    }
}
