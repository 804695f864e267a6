import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;

/** One address of loopback that leads to the first member that can be reached, and can be cut. Safe for concurrent use. */
final class Proxy implements AutoCloseable {
    private final ServerSocket listener;
    private final List<Socket> open = new ArrayList<>();
    private List<String> targets;
    private boolean refuses;

    Proxy(List<String> targets) throws IOException {
        this.targets = targets;
        listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        thread(this::accept);
    }

    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /** Closes the connections; while it refuses, new ones too. */
    synchronized void cut(boolean refuse) {
        refuses = refuse;
        open.forEach(Proxy::quietly);
        open.clear();
    }

    /** Closes the connections; the next ones lead to the first of these that can be reached. */
    synchronized void lead(List<String> to) {
        targets = to;
        cut(false);
    }

    @Override
    public void close() {
        quietly(listener);
        cut(true);
    }

    private void accept() {
        try {
            while (true) {
                Socket client = listener.accept();
                Socket member = dial();
                if (!admit(client, member)) {
                    continue;
                }
                thread(() -> copy(client, member));
                thread(() -> copy(member, client));
            }
        } catch (IOException closed) {
            // close ends it
        }
    }

    /** Null when no member can be reached. */
    private Socket dial() {
        List<String> now;
        synchronized (this) {
            now = targets;
        }
        for (String target : now) {
            int colon = target.lastIndexOf(':');
            try {
                Socket s = new Socket(target.substring(0, colon), Integer.parseInt(target.substring(colon + 1)));
                s.setTcpNoDelay(true);
                return s;
            } catch (IOException down) {
                // the next one
            }
        }
        return null;
    }

    private synchronized boolean admit(Socket client, Socket member) throws IOException {
        if (refuses || member == null) {
            quietly(client);
            quietly(member);
            return false;
        }
        client.setTcpNoDelay(true);
        open.add(client);
        open.add(member);
        return true;
    }

    private static void copy(Socket from, Socket to) {
        byte[] buf = new byte[1 << 16];
        try (InputStream in = from.getInputStream(); OutputStream out = to.getOutputStream()) {
            for (int n = in.read(buf); n >= 0; n = in.read(buf)) {
                out.write(buf, 0, n);
            }
        } catch (IOException cut) {
            // the end of one way is the end of both
        }
        quietly(from);
        quietly(to);
    }

    private static void thread(Runnable r) {
        Thread t = new Thread(r, "proxy");
        t.setDaemon(true);
        t.start();
    }

    private static void quietly(AutoCloseable c) {
        try {
            if (c != null) {
                c.close();
            }
        } catch (Exception e) {
            // it is closed, or was
        }
    }
}
