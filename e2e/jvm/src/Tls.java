import static java.util.Arrays.asList;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * The Java client over TLS, with certificates of its own.
 *
 * <p>Arguments: the ports with TLS and the ports for both, of all members with the leader first, the folder with ca.pem and the
 * PKCS12 of joe and ann, and "kill".
 */
final class Tls {
    private static final String PASSWORD = "secret";

    private final Cases cases = new Cases();
    private final List<String> secure, both;
    private final String folder;
    private final boolean kill;

    private Tls(String[] args) {
        secure = asList(args[0].split(","));
        both = asList(args[1].split(","));
        folder = args[2];
        kill = args.length > 3;
    }

    public static void main(String[] args) throws Exception {
        Tls tls = new Tls(args);
        tls.cases.run("x509 over TLS", tls::identities);
        tls.cases.run("port for both", tls::portForBoth);
        tls.cases.run("no certificate", tls::noCertificate);
        tls.cases.run("pipeline over TLS", tls::pipeline);
        tls.cases.end();
    }

    /** A client with that certificate; null for none. */
    private ZooKeeper open(String hosts, String certificate, Watcher w) throws Exception {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.SECURE_CLIENT, "true");
        config.setProperty(ZKClientConfig.ZOOKEEPER_CLIENT_CNXN_SOCKET, "org.apache.zookeeper.ClientCnxnSocketNetty");
        config.setProperty("zookeeper.ssl.trustStore.location", folder + "/ca.pem");
        if (certificate != null) {
            config.setProperty("zookeeper.ssl.keyStore.location", folder + "/" + certificate + ".p12");
            config.setProperty("zookeeper.ssl.keyStore.password", PASSWORD);
        }
        return new ZooKeeper(hosts, Client.TIMEOUT_MS, w, config);
    }

    private Client client(String hosts, String certificate) throws Exception {
        return Client.watching(w -> open(hosts, certificate, w));
    }

    private void identities() throws Exception {
        String hosts = String.join(",", secure);
        try (Client joe = client(hosts, "joe"); Client ann = client(hosts, "ann")) {
            List<String> who = new ArrayList<>();
            for (ClientInfo info : joe.zk.whoAmI()) {
                who.add(info.getAuthScheme() + " " + info.getUser());
            }
            Collections.sort(who);
            Cases.same(asList("ip 127.0.0.1", "x509 CN=joe,O=Example,C=DE"), who, "who it is");
            joe.zk.create("/joes", "x".getBytes(), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            ACL acl = joe.zk.getACL("/joes", new Stat()).get(0);
            Cases.same("x509 CN=joe,O=Example,C=DE", acl.getId().getScheme() + " " + acl.getId().getId(), "the ACL");
            Basics.refused(() -> ann.zk.getData("/joes", false, null));
            joe.zk.setACL("/joes", asList(acl, new ACL(acl.getPerms(), new Id("x509", "CN=ann,O=Example,C=DE"))), 0);
            Cases.same("x", ann.get("/joes"), "the data");
        }
    }

    private void portForBoth() throws Exception {
        String hosts = String.join(",", both);
        try (Client joe = client(hosts, "joe"); Client plain = new Client(hosts)) {
            Cases.same("x", joe.get("/joes"), "the data");
            Basics.refused(() -> plain.zk.getData("/joes", false, null));
            Basics.fails(Code.INVALIDACL, () -> plain.zk.create("/mine", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        }
    }

    private void noCertificate() throws Exception {
        ConcurrentLinkedQueue<KeeperState> states = new ConcurrentLinkedQueue<>();
        ZooKeeper stranger = open(secure.get(0), null, e -> states.add(e.getState()));
        try {
            Thread.sleep(2_000); // it tries more than once
            Cases.check(!states.contains(KeeperState.SyncConnected), "it got in without a certificate");
        } finally {
            stranger.close();
        }
    }

    /** Writes without waiting and 900 kB of data. With "kill", one client is on a member that dies, the other on one that stays. */
    private void pipeline() throws Exception {
        List<String> lasting = kill ? secure.subList(1, secure.size()) : secure;
        try (Proxy way = new Proxy(secure); Client first = client(way.address(), "joe"); Client client = client(String.join(",", lasting), "ann")) {
            first.make("/mine", "", CreateMode.EPHEMERAL);
            first.zk.exists("/later", true);
            client.make("/versions");
            ConcurrentLinkedQueue<String> wrong = new ConcurrentLinkedQueue<>();
            Semaphore done = new Semaphore(0);
            int writes = 2_000;
            for (int i = 0; i < writes; i++) {
                if (kill && i == writes / 4) {
                    cases.askForKill();
                } else if (kill && i > writes / 4 && !cases.killed()) {
                    Thread.sleep(1);
                }
                int version = i + 1;
                client.zk.setData("/versions", null, i, (rc, path, ctx, stat) -> {
                    if (rc != 0 || stat.getVersion() != version) {
                        wrong.add(version + ": " + Code.get(rc));
                    }
                    done.release();
                }, null);
            }
            Cases.check(!kill || cases.killed(), "the writes were over before the leader was dead");
            done.acquire(writes);
            Cases.check(wrong.isEmpty(), "%d wrong answers, first %s", wrong.size(), wrong.peek());
            if (kill) {
                first.reconnected(1);
            }
            byte[] large = new byte[900_000];
            Arrays.fill(large, (byte) 7);
            client.make("/large");
            client.zk.setData("/large", large, -1);
            Cases.check(Arrays.equals(large, first.zk.getData("/large", false, null)), "900 kB changed on their way");
            client.make("/later");
            first.hears(asList("NodeCreated /later"));
            Cases.same(first.zk.getSessionId(), client.zk.exists("/mine", false).getEphemeralOwner(), "the owner");
            client.undisturbed();
        }
    }
}
