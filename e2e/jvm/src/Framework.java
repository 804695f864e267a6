import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ConnectStringParser;
import org.apache.zookeeper.client.StaticHostProvider;

/** A started Curator client that goes to one member first, and remembers the states of its connection. */
final class Framework implements AutoCloseable {
    private static final int SESSION_MS = 15_000;
    private static final int CONNECTION_MS = 5_000;
    private static final int RETRY_MS = 100;

    final CuratorFramework curator;
    private final List<ConnectionState> states = new ArrayList<>();

    /** A client that knows all of the members and takes the first one first; all else is as Curator has it by default. */
    Framework(List<String> members) throws InterruptedException {
        curator = CuratorFrameworkFactory.builder()
            .connectString(String.join(",", members))
            .sessionTimeoutMs(SESSION_MS)
            .connectionTimeoutMs(CONNECTION_MS)
            .retryPolicy(new RetryForever(RETRY_MS))
            .zookeeperFactory((hosts, timeoutMs, watcher, canBeReadOnly) ->
                new ZooKeeper(hosts, timeoutMs, watcher, canBeReadOnly, beginningWith(members.get(0), hosts)))
            .build();
        curator.getConnectionStateListenable().addListener((c, state) -> {
            synchronized (states) {
                states.add(state);
            }
        });
        curator.start();
        Cases.check(curator.blockUntilConnected(SESSION_MS, TimeUnit.MILLISECONDS), "no connection to %s", members);
    }

    /** The client's own way to choose among members, with a seed that makes this one the first choice. */
    private static StaticHostProvider beginningWith(String first, String hosts) {
        Collection<InetSocketAddress> members = new ConnectStringParser(hosts).getServerAddresses();
        for (long seed = 0;; seed++) {
            InetSocketAddress choice = new StaticHostProvider(members, seed).getServerAtIndex(0);
            if (first.equals(choice.getHostString() + ":" + choice.getPort())) {
                return new StaticHostProvider(members, seed);
            }
        }
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
    }
}
