// Turns is a member in this program, which serves clients of ZooKeeper, and takes turns at locks with them. It is driven by lines on stdin; the
// other drivers of e2e/turns.py speak the same language.
//
//	go run ./e2e/turns [curator] [ADDRESS,ADDRESS...]
//
// It is a cluster of its own, or joins one whose members have those addresses.
//
// It says "clients HOST:PORT". Then "take NAME KIND" is answered by "held NAME" when it is granted, "free NAME" by "freed NAME", and
// "work KIND TURNS GUARD" by "worked OVERLAPS" after so many turns, in each of which the file GUARD is locked, by readers together.
// It says "lost NAME: WHY" when what it holds is lost. KIND is mutex, rlock, wlock, semaphore:WEIGHT, or
// election:DATA.
//
// What is no lock: "leader" is answered by "leader DATA", "barrier up", "barrier down" and "barrier wait" by the same when it is done, "enter NAME COUNT" by "entered
// NAME", "leave NAME" by "left NAME", "add COUNTER TIMES" by "added TIMES", "get COUNTER" by "value N".
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/zkcompat"
)

func main() {
	if err := run(os.Stdin, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "turns:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, args []string) (err error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, err := os.MkdirTemp("", "strata-turns-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := coord.Config{Name: "turns", Dir: dir, Bind: "127.0.0.1:0"}
	var opts []lock.Option
	for _, arg := range args {
		if arg == "curator" {
			opts = append(opts, lock.CuratorNames())
		} else {
			cfg.Join, cfg.Role = strings.Split(arg, ","), coord.Replica
		}
	}
	node, err := coord.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if err := node.Ready(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	clients, err := zkcompat.Listen(zkcompat.Config{Listen: listener, Tier: node.Tier(), Sessions: node.Sessions(), Ready: node.ReadyErr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clients.Close(context.WithoutCancel(ctx))) }()

	d := &driver{node: node, out: out, opts: opts, held: make(map[string]*lock.Held)}
	defer d.work.Wait()
	defer d.freeAll()
	defer stop() // first: those who wait give up
	d.say("clients %v", clients.Addr())
	for lines := bufio.NewScanner(in); lines.Scan(); {
		d.do(ctx, strings.Fields(lines.Text()))
	}
	return nil
}

// driver does what the lines say, each in a goroutine of its own.
type driver struct {
	node *coord.Node
	opts []lock.Option
	work sync.WaitGroup

	mu   sync.Mutex
	out  io.Writer             // guarded by mu
	held map[string]*lock.Held // guarded by mu

	inside inside
}

func (d *driver) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, format+"\n", args...)
}

func (d *driver) do(ctx context.Context, words []string) {
	d.work.Go(func() {
		var err error
		switch {
		case len(words) == 3 && words[0] == "take":
			err = d.take(ctx, words[1], words[2])
		case len(words) == 2 && words[0] == "free":
			err = d.free(ctx, words[1])
		case len(words) == 4 && words[0] == "work":
			err = d.turns(ctx, words[1], words[2], words[3])
		default:
			err = d.recipe(ctx, words)
		}
		if err != nil {
			d.say("failed %q: %v", words, err)
		}
	})
}

func (d *driver) acquire(ctx context.Context, kind string) (*lock.Held, error) {
	kind, weight, _ := strings.Cut(kind, ":")
	switch kind {
	case "election":
		leading, err := lock.NewElection(d.node, "/turns/election", d.opts...).Campaign(ctx, []byte(weight))
		if err != nil {
			return nil, err
		}
		return leading.Held, nil
	case "mutex":
		return lock.New(d.node, "/turns/mutex", d.opts...).Acquire(ctx)
	case "rlock":
		return lock.NewRW(d.node, "/turns/rw", d.opts...).RLock(ctx)
	case "wlock":
		return lock.NewRW(d.node, "/turns/rw", d.opts...).Lock(ctx)
	case "semaphore":
		n, err := strconv.Atoi(weight)
		if err != nil {
			return nil, err
		}
		return lock.NewSemaphore(d.node, "/turns/semaphore", 3, d.opts...).Acquire(ctx, n)
	}
	return nil, fmt.Errorf("no such kind: %s", kind)
}

func (d *driver) take(ctx context.Context, name, kind string) error {
	held, err := d.acquire(ctx, kind)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.held[name] = held
	d.mu.Unlock()
	d.say("held %s", name)
	<-held.Context().Done()
	if lost := held.State().Lost; lost != nil {
		d.say("lost %s: %v", name, lost.Reason)
	}
	return nil
}

func (d *driver) free(ctx context.Context, name string) error {
	d.mu.Lock()
	held := d.held[name]
	delete(d.held, name)
	d.mu.Unlock()
	if held == nil {
		return errors.New("not held")
	}
	if err := held.Release(ctx); err != nil {
		return err
	}
	d.say("freed %s", name)
	return nil
}

// freeAll gives up what is held at the end.
func (d *driver) freeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, held := range d.held {
		if err := held.Release(context.Background()); err != nil {
			fmt.Fprintf(d.out, "failed to free %s: %v\n", name, err)
		}
	}
}

func (d *driver) turns(ctx context.Context, kind, turns, guard string) error {
	n, err := strconv.Atoi(turns)
	if err != nil {
		return err
	}
	overlaps := 0
	for range n {
		held, err := d.acquire(ctx, kind)
		if err != nil {
			return err
		}
		alone, err := guarded(guard, kind == "rlock")
		if err != nil {
			return err
		}
		if !alone {
			overlaps++
		}
		if err := held.Release(ctx); err != nil {
			return err
		}
	}
	d.say("worked %d", overlaps)
	return nil
}

// guarded tells whether nobody else has the file locked, who may not have it together with us.
func guarded(path string, shared bool) (alone bool, err error) {
	f, err := os.Create(path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
