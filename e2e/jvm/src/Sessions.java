import static java.util.Arrays.asList;

import java.util.Collections;
import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** Who a client is, what becomes of its session, and the ways to ask for one. Compiled against 3.4.12. */
abstract class Sessions extends Suite {
    Sessions(String[] args) {
        super(args);
    }

    void digest() throws Exception {
        String at = client.make(root + "/digest");
        try (Proxy way = way(0); Client joe = new Client(way.address()); Client ann = new Client(way.address())) {
            fails(Code.INVALIDACL, () -> joe.zk.create(at + "/n", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
            joe.zk.addAuthInfo("digest", "joe:secret".getBytes());
            joe.zk.create(at + "/n", "x".getBytes(), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            Stat stat = new Stat();
            List<ACL> acl = joe.zk.getACL(at + "/n", stat);
            Cases.same("digest", acl.get(0).getId().getScheme(), "the scheme");
            Cases.check(acl.get(0).getId().getId().startsWith("joe:"), "the ACL is %s", acl);
            refused(() -> ann.zk.getData(at + "/n", false, null));
            refused(() -> ann.zk.setData(at + "/n", null, -1));
            refused(() -> ann.zk.getChildren(at + "/n", false));
            refused(() -> ann.make(at + "/n/child"));
            refused(() -> ann.zk.setACL(at + "/n", Ids.OPEN_ACL_UNSAFE, -1));
            refused(() -> ann.zk.multi(asList(Op.setData(at + "/n", null, -1))));
            ann.zk.addAuthInfo("digest", "joe:wrong".getBytes());
            refused(() -> ann.zk.getData(at + "/n", false, null));
            int before = joe.states().size();
            way.cut(false);
            joe.reconnected(before);
            Cases.same("x", joe.get(at + "/n"), "the data after a reconnect");
            List<ACL> mixed = asList(new ACL(Perms.ALL, acl.get(0).getId()), new ACL(Perms.READ, new Id("world", "anyone")));
            Cases.same(1, joe.zk.setACL(at + "/n", mixed, stat.getAversion()).getAversion(), "aversion");
            fails(Code.BADVERSION, () -> joe.zk.setACL(at + "/n", mixed, 0));
            Cases.same("x", ann.get(at + "/n"), "the data");
            refused(() -> ann.zk.setData(at + "/n", null, -1));
            ann.zk.addAuthInfo("digest", "joe:secret".getBytes());
            ann.zk.setData(at + "/n", null, -1);
        }
        try (Client stranger = new Client(lasting.get(0))) {
            stranger.zk.addAuthInfo("nonsense", "x".getBytes());
            Cases.until("AuthFailed", () -> stranger.states().contains(KeeperState.AuthFailed));
        }
    }

    void sessionElsewhere() throws Exception {
        String at = client.make(root + "/elsewhere");
        try (Proxy way = way(0); Client first = new Client(way.address())) {
            first.make(at + "/mine", "", CreateMode.EPHEMERAL);
            way.cut(true);
            Cases.until("it is disconnected", () -> first.states().size() == 2);
            try (Client second = new Client(from(1).get(0), first.zk.getSessionId(), first.zk.getSessionPasswd())) {
                Cases.same(first.zk.getSessionId(), second.zk.getSessionId(), "the session");
                Cases.same(second.zk.getSessionId(), second.zk.exists(at + "/mine", false).getEphemeralOwner(), "the owner");
                second.make(at + "/mine-too", "", CreateMode.EPHEMERAL);
                second.undisturbed();
            }
            Cases.same(Collections.emptyList(), client.zk.getChildren(at, false), "what a closed session owns");
            way.cut(false);
            Cases.until("the first handle learns it", () -> first.states().contains(KeeperState.Expired));
        }
        byte[] wrong = new byte[16];
        Client impostor = null;
        try {
            impostor = new Client(lasting.get(0), client.zk.getSessionId(), wrong);
        } catch (AssertionError expired) {
            Cases.check(expired.getMessage().contains("Expired"), "a wrong password: %s", expired.getMessage());
        }
        Cases.check(impostor == null, "a wrong password was accepted");
        client.undisturbed();
    }

    void sessionClosedByDouble() throws Exception {
        String at = client.make(root + "/double");
        for (int i = 0; i < lasting.size(); i++) {
            try (Client victim = new Client(lasting.get(0))) {
                victim.make(at + "/mine", "", CreateMode.EPHEMERAL);
                client.zk.exists(at + "/mine", true);
                new Client(lasting.get(i), victim.zk.getSessionId(), victim.zk.getSessionPasswd()).close();
                Cases.until("it has expired", () -> victim.states().contains(KeeperState.Expired));
                fails(Code.SESSIONEXPIRED, () -> victim.zk.exists(at, false));
                client.hears(asList("NodeDeleted " + at + "/mine"));
                client.forget();
            }
        }
    }

    void sessionExpires() throws Exception {
        String at = client.make(root + "/expires");
        try (Proxy way = way(0); Client lost = new Client(way.address(), 4_000, false)) {
            Cases.same(4_000, lost.zk.getSessionTimeout(), "the timeout");
            lost.make(at + "/mine", "", CreateMode.EPHEMERAL);
            client.zk.exists(at + "/mine", true);
            long begin = System.nanoTime();
            way.cut(true);
            client.hears(asList("NodeDeleted " + at + "/mine"));
            client.forget();
            long tookMs = (System.nanoTime() - begin) / 1_000_000;
            Cases.check(tookMs > 2_500 && tookMs < 20_000, "it took %d ms", tookMs);
            way.cut(false);
            Cases.until("it has expired", () -> lost.states().contains(KeeperState.Expired));
        }
    }

    void chroot() throws Exception {
        String at = client.make(root + "/chroot");
        try (Client inside = new Client(String.join(",", lasting) + at)) {
            Cases.same("/a", inside.make("/a"), "the path");
            Cases.same("/a/s-0000000000", inside.make("/a/s-", "", CreateMode.EPHEMERAL_SEQUENTIAL), "the path");
            Cases.same(asList("a"), inside.zk.getChildren("/", true), "the children");
            inside.zk.exists("/b", true);
            client.make(at + "/b");
            inside.hears(asList("NodeCreated /b", "NodeChildrenChanged /"));
            Cases.same(asList("s-0000000000"), client.zk.getChildren(at + "/a", false), "the children");
        }
    }

    void readOnlyFlag() throws Exception {
        String at = client.make(root + "/flag");
        try (Client c = new Client(String.join(",", lasting), Client.TIMEOUT_MS, true)) {
            Cases.same("CONNECTED", c.zk.getState().toString(), "the state");
            c.make(at + "/written");
        }
    }
}
