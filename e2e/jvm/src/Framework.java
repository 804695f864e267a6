import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;

/** A started Curator client that goes to one member first, and remembers the states of its connection. */
final class Framework implements AutoCloseable {
    private static final int SESSION_MS = 15_000;
    private static final int CONNECTION_MS = 5_000;
    private static final int RETRY_MS = 100;

    final CuratorFramework curator;
    private final Proxy way;
    private final List<ConnectionState> states = new ArrayList<>();

    /** A client that takes the first of the members that it can reach, all other settings being Curator's defaults. */
    Framework(List<String> members) throws IOException, InterruptedException {
        way = new Proxy(members);
        curator = CuratorFrameworkFactory.builder()
            .connectString(way.address())
            .sessionTimeoutMs(SESSION_MS)
            .connectionTimeoutMs(CONNECTION_MS)
            .retryPolicy(new RetryForever(RETRY_MS))
            .build();
        curator.getConnectionStateListenable().addListener((c, state) -> {
            synchronized (states) {
                states.add(state);
            }
        });
        curator.start();
        Cases.check(curator.blockUntilConnected(SESSION_MS, TimeUnit.MILLISECONDS), "no connection to %s", members);
    }

    List<ConnectionState> states() {
        synchronized (states) {
            return new ArrayList<>(states);
        }
    }

    /** No change of state, or, if its member was killed, one that the session survived. */
    void undisturbed(boolean bereft) {
        List<ConnectionState> want = new ArrayList<>(List.of(ConnectionState.CONNECTED));
        if (bereft) {
            want.addAll(List.of(ConnectionState.SUSPENDED, ConnectionState.RECONNECTED));
        }
        Cases.same(want, states(), "what Curator said of the connection");
    }

    @Override
    public void close() {
        curator.close();
        way.close();
    }
}
