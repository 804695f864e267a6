import static java.util.Arrays.asList;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;

/** What the programs of the Java client share: where the members are, the client of most cases, and how failures are told. */
abstract class Suite {
    final Cases cases = new Cases();
    final String root;
    final List<String> all;
    final boolean kill;
    /** The members that live to the end. */
    final List<String> lasting;
    Client client;

    Suite(String[] args) {
        root = args[0];
        all = asList(args[1].split(","));
        kill = args.length > 2;
        lasting = kill ? all.subList(1, all.size()) : all;
    }

    void open() throws Exception {
        client = new Client(String.join(",", lasting));
        client.make(root);
    }

    /** The one client of most cases must not have noticed anything. */
    void shut() throws Exception {
        cases.run("undisturbed", client::undisturbed);
        client.close();
        cases.end();
    }

    /** A way to one of the lasting members, the others after it. */
    Proxy way(int first) throws Exception {
        return new Proxy(from(first));
    }

    List<String> from(int first) {
        List<String> order = new ArrayList<>(lasting);
        Collections.rotate(order, -first);
        return order;
    }

    interface Attempt {
        Object run() throws Exception;
    }

    static void fails(Code code, Attempt a) throws Exception {
        Object got;
        try {
            got = a.run();
        } catch (KeeperException e) {
            Cases.same(code, e.code(), "the error");
            return;
        }
        throw new AssertionError("it gave " + got + ", not " + code);
    }

    static void refused(Attempt a) throws Exception {
        fails(Code.NOAUTH, a);
    }

    static void heardInAnyOrder(List<String> want, Client c) {
        List<String> heard = c.events();
        Collections.sort(want);
        Collections.sort(heard);
        Cases.same(want, heard, "what was heard");
    }
}
