import static java.util.Arrays.asList;

import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/**
 * The client of the user that the JAAS file of this process names. It is compiled against 3.4.12 and runs with each version.
 *
 * <p>Arguments: a root of its own, the members with the leader first, the user: bob, who makes a znode and goes through a reconnect;
 * ann, who must not read it; or mallory, who is not known. With "kill" bob's reconnect is the leader's death.
 */
final class Sasl {
    private final Cases cases = new Cases();
    private final String root;
    private final List<String> members;

    private Sasl(String[] args) {
        root = args[0];
        members = asList(args[1].split(","));
    }

    public static void main(String[] args) throws Exception {
        Sasl s = new Sasl(args);
        boolean kill = args.length > 3;
        switch (args[2]) {
            case "bob":
                s.cases.run("bob", () -> s.bob(kill));
                break;
            case "ann":
                s.cases.run("ann", s::ann);
                break;
            default:
                s.cases.run("a stranger", s::stranger);
        }
        s.cases.end();
    }

    private void bob(boolean kill) throws Exception {
        try (Proxy way = new Proxy(members); Client bob = new Client(way.address())) {
            bob.zk.create(root, "x".getBytes(), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            List<ACL> acl = bob.zk.getACL(root, new Stat());
            Cases.same("sasl bob", acl.get(0).getId().getScheme() + " " + acl.get(0).getId().getId(), "the ACL");
            Cases.until("it is told", () -> bob.states().contains(KeeperState.SaslAuthenticated));
            int before = bob.states().size();
            if (kill) {
                cases.askForKill();
            } else {
                way.cut(false);
            }
            bob.reconnected(before);
            Cases.same("x", bob.get(root), "the data after a reconnect");
        }
    }

    private void ann() throws Exception {
        try (Client ann = new Client(members.get(members.size() - 1))) {
            ann.make(root + "-ann");
            Basics.refused(() -> ann.zk.getData(root, false, null));
        }
    }

    private void stranger() throws Exception {
        ConcurrentLinkedQueue<KeeperState> states = new ConcurrentLinkedQueue<>();
        ZooKeeper zk = new ZooKeeper(members.get(members.size() - 1), Client.TIMEOUT_MS, e -> states.add(e.getState()));
        Cases.until("AuthFailed", () -> states.contains(KeeperState.AuthFailed));
        Cases.check(!states.contains(KeeperState.SaslAuthenticated), "it got in: %s", states);
        zk.close();
    }
}
