import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;

/** Caches: that each of them ends with what is there. */
final class Caches extends Sharers {
    Caches(List<CuratorFramework> clients, List<CuratorFramework> steady) {
        super(clients, steady);
    }

    /** Makes changes below a path, as each of the steady clients in turn, and returns what is there at the end: children and data. */
    private Map<String, String> change(String at) throws Exception {
        Map<String, String> left = new TreeMap<>();
        for (int i = 0; i < 30; i++) {
            CuratorFramework c = steady.get(i % steady.size());
            String name = "n" + i % 10;
            if (i % 3 == 2 && left.containsKey(name)) {
                c.delete().forPath(at + "/" + name);
                left.remove(name);
            } else {
                c.create().orSetData().forPath(at + "/" + name, bytes(i));
                left.put(name, "" + i);
            }
        }
        return left;
    }

    private static Map<String, String> content(Iterable<ChildData> children, String at) {
        Map<String, String> got = new TreeMap<>();
        for (ChildData child : children) {
            if (child.getPath().startsWith(at + "/")) {
                got.put(child.getPath().substring(at.length() + 1), new String(child.getData()));
            }
        }
        return got;
    }

    private static void becomes(Map<String, String> want, Callable<Map<String, String>> got) throws Exception {
        try {
            Cases.until("the cache", () -> want.equals(got.call()));
        } catch (AssertionError e) {
            throw new AssertionError("the cache is " + got.call() + ", not " + want, e);
        }
    }

    void pathChildrenCache(String at) throws Exception {
        make(at, "");
        together(clients, c -> {
            String mine = at + "/" + clients.indexOf(c);
            make(mine, "");
            try (PathChildrenCache cache = new PathChildrenCache(c, mine, true)) {
                cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
                becomes(change(mine), () -> content(cache.getCurrentData(), mine));
            }
            return null;
        });
    }

    void treeCache(String at) throws Exception {
        make(at, "");
        List<TreeCache> caches = new ArrayList<>();
        for (CuratorFramework c : clients) {
            caches.add(new TreeCache(c, at).start());
        }
        make(at + "/deep/er", "");
        Map<String, String> want = change(at + "/deep/er");
        for (TreeCache cache : caches) {
            becomes(want, () -> {
                Map<String, ChildData> children = cache.getCurrentChildren(at + "/deep/er");
                return children == null ? Map.of() : content(children.values(), at + "/deep/er");
            });
            cache.close();
        }
    }

    void curatorCache(String at) throws Exception {
        List<CuratorCache> caches = new ArrayList<>();
        for (CuratorFramework c : clients) {
            CuratorCache cache = CuratorCache.build(c, at);
            cache.start();
            caches.add(cache);
        }
        make(at, "");
        Map<String, String> want = change(at);
        for (CuratorCache cache : caches) {
            becomes(want, () -> {
                List<ChildData> all = new ArrayList<>();
                cache.stream().forEach(all::add);
                return content(all, at);
            });
            cache.close();
        }
    }

    void nodeCache(String at) throws Exception {
        List<NodeCache> caches = new ArrayList<>();
        for (CuratorFramework c : clients) {
            NodeCache cache = new NodeCache(c, at);
            cache.start(true);
            caches.add(cache);
        }
        for (int i = 0; i < 20; i++) {
            make(at, i);
        }
        for (NodeCache cache : caches) {
            Cases.until("the last value", () -> cache.getCurrentData() != null && "19".equals(new String(cache.getCurrentData().getData())));
        }
        steady.get(0).delete().forPath(at);
        for (NodeCache cache : caches) {
            Cases.until("nothing", () -> cache.getCurrentData() == null);
            cache.close();
        }
    }
}
