import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;

/**
 * Four contenders, each with a session of its own, for one InterProcessMutex. A holder makes the guard file, which fails if there is
 * another holder in any process, writes a line into the journal, and removes the guard.
 *
 * <p>Arguments: the lock's path, the members, "kill" or "keep" for the first of them, the folder of journal and guard, the name of the
 * process, the turns of each contender.
 */
final class Contender {
    private static final int CONTENDERS = 4;

    private final String lock;
    private final List<String> members;
    private final boolean kill;
    private final Path journal;
    private final Path guard;
    private final int turns;

    private Contender(String[] args) {
        lock = args[0];
        members = List.of(args[1].split(","));
        kill = args[2].equals("kill");
        journal = Path.of(args[3], "journal");
        guard = Path.of(args[3], "guard");
        turns = Integer.parseInt(args[5]);
    }

    public static void main(String[] args) throws Exception {
        Contender c = new Contender(args);
        Cases cases = new Cases();
        ExecutorService threads = Executors.newFixedThreadPool(CONTENDERS);
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < CONTENDERS; i++) {
            int first = i % c.members.size();
            String name = args[4] + i;
            all.add(threads.submit(() -> {
                c.contend(name, first);
                return null;
            }));
        }
        cases.run("mutex", () -> {
            for (Future<?> f : all) {
                f.get();
            }
        });
        cases.end();
    }

    private void contend(String name, int first) throws Exception {
        List<String> order = new ArrayList<>(members);
        Collections.rotate(order, -first);
        try (Framework f = new Framework(order)) {
            InterProcessMutex mutex = new InterProcessMutex(f.curator, lock);
            for (int i = 0; i < turns; i++) {
                Cases.check(mutex.acquire(60, TimeUnit.SECONDS), "no lock for a minute");
                mutex.acquire(); // it is reentrant
                hold(name);
                mutex.release();
                mutex.release();
            }
            boolean bereft = kill && first == 0;
            Cases.until("the states settle", () -> f.states().size() == (bereft ? 3 : 1));
            f.undisturbed(bereft);
        }
    }

    private void hold(String name) throws IOException, InterruptedException {
        Files.createFile(guard);
        Files.writeString(journal, name + "\n", StandardOpenOption.APPEND);
        Thread.sleep(5);
        Files.delete(guard);
    }
}
