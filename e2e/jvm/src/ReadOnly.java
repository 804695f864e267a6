import static java.util.Arrays.asList;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.ZooKeeper.States;

/**
 * Clients of a member that loses the majority and gets it back, at the runner's hands: it says "kill" and "back", and the runner
 * answers with a line when it has done so. It is compiled against 3.4.12 and runs with each version.
 *
 * <p>Arguments: a root of its own, the member.
 */
final class ReadOnly {
    private static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in));

    private final Cases cases = new Cases();
    private final String root;
    private final String member;

    private ReadOnly(String[] args) {
        root = args[0];
        member = args[1];
    }

    public static void main(String[] args) throws Exception {
        ReadOnly r = new ReadOnly(args);
        r.cases.run("read-only", r::lifeAndTimes);
        r.cases.end();
    }

    private static void ask(String what) throws IOException {
        System.out.println(what);
        System.out.flush();
        IN.readLine();
    }

    private static Code failure(Basics.Attempt a) throws Exception {
        try {
            a.run();
            return Code.OK;
        } catch (KeeperException e) {
            return e.code();
        }
    }

    private void lifeAndTimes() throws Exception {
        try (Client live = new Client(member, Client.TIMEOUT_MS, true); Client plain = new Client(member)) {
            live.make(root, "blue", CreateMode.PERSISTENT);
            live.make(root + "/mine", "", CreateMode.EPHEMERAL);
            ask("kill");

            Cases.until("the mode begins", () -> failure(() -> live.zk.setData(root, null, -1)) == Code.NOTREADONLY);
            Cases.same("blue", new String(live.zk.getData(root, true, null)), "the data");
            Basics.fails(Code.NOTREADONLY, () -> live.make(root + "/new"));
            Basics.fails(Code.CONNECTIONLOSS, () -> plain.zk.getData(root, false, null));
            live.make("/services" + root, "", CreateMode.EPHEMERAL);

            ConcurrentLinkedQueue<KeeperState> states = new ConcurrentLinkedQueue<>();
            ZooKeeper late = new ZooKeeper(member, Client.TIMEOUT_MS, e -> states.add(e.getState()), true);
            Cases.until("it is let in", () -> states.contains(KeeperState.ConnectedReadOnly));
            Cases.same(States.CONNECTEDREADONLY, late.getState(), "the state");
            Cases.same("blue", new String(late.getData(root, false, null)), "the data");
            Basics.fails(Code.NOTREADONLY, () -> late.setData(root, null, -1));
            ask("back");

            Cases.until("writes go on", () -> failure(() -> live.zk.setData(root, "green".getBytes(), -1)) == Code.OK);
            live.hears(asList("NodeDataChanged " + root));
            live.undisturbed();
            Cases.same(live.zk.getSessionId(), live.zk.exists(root + "/mine", false).getEphemeralOwner(), "the owner");
            Cases.until("the late one finds the majority", () -> late.getState() == States.CONNECTED);
            late.setData(root, "red".getBytes(), -1);
            late.close();
            Cases.until("the plain one goes on", () -> failure(() -> plain.zk.getData(root, false, null)) == Code.OK);
            Cases.same("red", plain.get(root), "the data");
        }
    }
}
