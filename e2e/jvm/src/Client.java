import java.util.ArrayList;
import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/** A connected handle that remembers what its default watcher heard. */
final class Client implements Watcher, AutoCloseable {
    static final int TIMEOUT_MS = 15_000;

    final ZooKeeper zk;
    private final List<Event.KeeperState> states = new ArrayList<>();
    private final List<String> events = new ArrayList<>();

    Client(String hosts) throws Exception {
        this(hosts, TIMEOUT_MS, false);
    }

    Client(String hosts, int timeoutMs, boolean canBeReadOnly) throws Exception {
        zk = new ZooKeeper(hosts, timeoutMs, this, canBeReadOnly);
        connected();
    }

    private Client(Maker maker) throws Exception {
        zk = maker.make(this);
        connected();
    }

    interface Maker {
        ZooKeeper make(Watcher w) throws Exception;
    }

    /** A client whose handle is made in another way. */
    static Client watching(Maker maker) throws Exception {
        return new Client(maker);
    }

    /** Attaches again to a session. */
    Client(String hosts, long id, byte[] password) throws Exception {
        zk = new ZooKeeper(hosts, TIMEOUT_MS, this, id, password);
        connected();
    }

    private void connected() throws Exception {
        Cases.until("connected", () -> !states().isEmpty());
        Cases.same(Event.KeeperState.SyncConnected, states().get(0), "the first state");
    }

    @Override
    public synchronized void process(WatchedEvent e) {
        if (e.getType() == Event.EventType.None) {
            states.add(e.getState());
        } else {
            events.add(e.getType() + " " + e.getPath());
        }
    }

    synchronized List<Event.KeeperState> states() {
        return new ArrayList<>(states);
    }

    /** "TYPE PATH" of each watch event, in order. */
    synchronized List<String> events() {
        return new ArrayList<>(events);
    }

    synchronized void forget() {
        events.clear();
    }

    void hears(List<String> want) throws Exception {
        Cases.until(want.size() + " events", () -> events().size() >= want.size());
        Cases.same(want, events(), "what was heard");
    }

    /** Waits for a loss of the connection and for its end, after a number of states seen before. */
    void reconnected(int before) throws Exception {
        Cases.until("disconnected", () -> states().size() > before);
        Cases.same(Event.KeeperState.Disconnected, states().get(before), "the state after the cut");
        Cases.until("connected again", () -> states().size() > before + 1);
        Cases.same(Event.KeeperState.SyncConnected, states().get(before + 1), "the state after the way is free");
    }

    void undisturbed() {
        Cases.same(List.of(Event.KeeperState.SyncConnected), states(), "what was heard of the connection");
    }

    String make(String path, String data, CreateMode mode) throws Exception {
        return zk.create(path, data == null ? null : data.getBytes(), Ids.OPEN_ACL_UNSAFE, mode);
    }

    String make(String path) throws Exception {
        return make(path, "", CreateMode.PERSISTENT);
    }

    String get(String path) throws Exception {
        return new String(zk.getData(path, false, null));
    }

    @Override
    public void close() throws InterruptedException {
        zk.close();
    }
}
