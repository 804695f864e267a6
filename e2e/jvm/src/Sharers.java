import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.curator.framework.CuratorFramework;

/** The clients that share recipes. */
abstract class Sharers {
    final List<CuratorFramework> clients;
    /** Those whose member lives to the end: recipes that may count twice after a lost connection use these. */
    final List<CuratorFramework> steady;

    Sharers(List<CuratorFramework> clients, List<CuratorFramework> steady) {
        this.clients = clients;
        this.steady = steady;
    }

    interface Job<T> {
        T run(CuratorFramework c) throws Exception;
    }

    /** Runs a job for each of these clients at once, and waits for all. */
    static <T> List<T> together(List<CuratorFramework> of, Job<T> job) throws Exception {
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

    static byte[] bytes(Object o) {
        return o.toString().getBytes();
    }

    void make(String path, Object data) throws Exception {
        steady.get(0).create().orSetData().creatingParentsIfNeeded().forPath(path, bytes(data));
    }
}
