import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;

/** Runs cases in turn and says "ok NAME" or "FAIL NAME" of each. Its owner ends the program with {@link #end}. */
final class Cases {
    interface Body {
        void run() throws Exception;
    }

    private static final long PATIENCE_MS = 60_000;

    private int failed;
    private final CountDownLatch killed = new CountDownLatch(1);

    void run(String name, Body body) {
        long begin = System.nanoTime();
        try {
            body.run();
            System.out.printf("ok %s (%d ms)%n", name, (System.nanoTime() - begin) / 1_000_000);
        } catch (Exception | AssertionError e) {
            failed++;
            System.out.println("FAIL " + name + ": " + e);
            e.printStackTrace();
        }
    }

    /** Ends the program: with 1 if a case failed. Threads that libraries left behind do not hold it up. */
    void end() {
        System.out.flush();
        System.exit(failed == 0 ? 0 : 1);
    }

    /** Tells the runner that this is the middle of the work, and returns at once: it kills the leader now. */
    void askForKill() {
        Thread reader = new Thread(() -> {
            try {
                BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
                if ("killed".equals(in.readLine())) {
                    killed.countDown();
                }
            } catch (Exception e) {
                e.printStackTrace();
            }
        }, "runner's word");
        reader.setDaemon(true);
        reader.start();
        System.out.println("kill");
        System.out.flush();
    }

    /** Whether the runner has said that the leader is dead. */
    boolean killed() {
        return killed.getCount() == 0;
    }

    static void check(boolean holds, String what, Object... args) {
        if (!holds) {
            throw new AssertionError(String.format(what, args));
        }
    }

    static void same(Object want, Object got, String what) {
        check(Objects.equals(want, got), "%s is %s, not %s", what, got, want);
    }

    static void until(String what, Callable<Boolean> holds) throws Exception {
        long deadline = System.nanoTime() + PATIENCE_MS * 1_000_000;
        while (!holds.call()) {
            check(System.nanoTime() < deadline, "not after %d s: %s", PATIENCE_MS / 1000, what);
            Thread.sleep(10);
        }
    }
}
