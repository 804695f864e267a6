//go:build foreign

package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// network is hosts on a switch, each in a namespace of its own.
type network struct {
	t      *testing.T
	prefix string
	hosts  int

	mu    sync.Mutex
	muted map[[2]int]int // guarded by mu; how often host [0] was kept from sending to [1]
}

var networks int // how many this process has made

func newNetwork(t *testing.T, hosts int) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests cut networks in two and fill up disks: run them as root")
	}
	networks++
	n := &network{t: t, prefix: fmt.Sprintf("strataf%d-%d", os.Getpid(), networks), hosts: hosts, muted: make(map[[2]int]int)}
	t.Cleanup(n.close)
	n.must("netns", "add", n.bridge())
	n.must("-n", n.bridge(), "link", "add", "bridge", "type", "bridge")
	n.must("-n", n.bridge(), "link", "set", "bridge", "up")
	for i := range hosts {
		ns, port := n.namespace(i), fmt.Sprint("port", i)
		n.must("netns", "add", ns)
		n.must("-n", ns, "link", "add", "eth", "type", "veth", "peer", "name", port, "netns", n.bridge())
		n.must("-n", n.bridge(), "link", "set", port, "master", "bridge", "up")
		n.must("-n", ns, "addr", "add", n.address(i)+"/24", "dev", "eth")
		n.must("-n", ns, "link", "set", "eth", "up")
		n.must("-n", ns, "link", "set", "lo", "up")
	}
	return n
}

func (n *network) close() {
	for i := range n.hosts {
		_ = ip("netns", "del", n.namespace(i))
	}
	_ = ip("netns", "del", n.bridge())
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (n *network) must(args ...string) {
	n.t.Helper()
	if err := ip(args...); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) bridge() string         { return n.prefix + "s" }
func (n *network) namespace(i int) string { return fmt.Sprintf("%s-%d", n.prefix, i) }
func (n *network) address(i int) string   { return fmt.Sprintf("10.212.0.%d", i+1) }

// cut takes a host off the switch, or puts it back.
func (n *network) cut(i int, off bool) error {
	state := "up"
	if off {
		state = "down"
	}
	return ip("-n", n.bridge(), "link", "set", fmt.Sprint("port", i), state)
}

// mute keeps host i from sending to host j, or no longer does: what j sends still arrives. Several may ask for it at a time.
func (n *network) mute(i, j int, on bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	verb, step, at := "del", -1, 0
	if on {
		verb, step, at = "add", 1, 1
	}
	pair := [2]int{i, j}
	if n.muted[pair] += step; n.muted[pair] != at {
		return nil
	}
	return ip("-n", n.namespace(i), "route", verb, "blackhole", n.address(j)+"/32")
}

// dialer connects from host i, which no cut keeps from itself.
func (n *network) dialer(i int) func(context.Context, string) (net.Conn, error) {
	file := filepath.Join("/var/run/netns", n.namespace(i))
	return func(ctx context.Context, addr string) (nc net.Conn, err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			// A socket belongs to the namespace of the thread that makes it. This thread ends with the goroutine, as it is not unlocked.
			runtime.LockOSThread()
			var f *os.File
			if f, err = os.Open(file); err != nil {
				return
			}
			defer f.Close()
			if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				err = fmt.Errorf("enter %s: %w", file, err)
				return
			}
			nc, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		}()
		<-done
		return nc, err
	}
}

// mount makes a file system in memory of that size, in MiB.
func mount(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Fatalf("mount a file system of %d MiB: %v", mib, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ballast is a file that takes the room of its file system.
type ballast struct {
	dir  string
	left int // bytes that it leaves
}

func (b *ballast) path() string { return filepath.Join(b.dir, "ballast") }

// fill takes what there is.
func (b *ballast) fill() error {
	f, err := os.OpenFile(b.path(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		var s unix.Statfs_t
		if err := unix.Statfs(b.dir, &s); err != nil {
			return err
		}
		if free := int(s.Bavail)*int(s.Bsize) - b.left; b.left > 0 && free < size {
			size = max(free, 0)
		}
		_, err := f.Write(make([]byte, size))
		switch {
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		case err != nil:
			return err
		}
	}
	return nil
}

// drop gives it back.
func (b *ballast) drop() error { return os.Remove(b.path()) }
