package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers"
)

// line is what a site tells, one JSON object per line of stdout.
type line struct {
	What   string  `json:"what"` // ready, held, lost, turn, written, status
	Site   string  `json:"site"`
	At     int64   `json:"at"`               // ms since the Unix epoch
	Ms     float64 `json:"ms,omitempty"`     // turn, written: how long it took
	Why    string  `json:"why,omitempty"`    // lost
	Leader string  `json:"leader,omitempty"` // status
	Term   uint64  `json:"term,omitempty"`
}

type site struct {
	name    string
	node    *coord.Node
	timeout time.Duration

	mu  sync.Mutex // orders lines
	out *json.Encoder

	opening sync.Mutex
	session *coord.Session // guarded by opening
}

func (s *site) say(l line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.Site, l.At = s.name, time.Now().UnixMilli()
	_ = s.out.Encode(l) // whoever reads it is gone, and ends this process, too
}

// Session is lock.Node's: sessions with the timeout in question.
func (s *site) Session(ctx context.Context) (*coord.Session, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.session != nil && s.session.Context().Err() == nil {
		return s.session, nil
	}
	var err error
	s.session, err = s.node.NewSession(ctx, s.timeout)
	return s.session, err
}

func main() {
	if err := run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	name, dir, bind := flag.String("name", "", ""), flag.String("dir", "", ""), flag.String("bind", "", "")
	join := flag.String("join", "", "")
	way := flag.Duration("way", 20*time.Millisecond, "one way to another site")
	timeout := flag.Duration("timeout", 900*time.Millisecond, "of sessions")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	node, err := coord.Open(ctx, coord.Config{
		Name: *name, Dir: *dir, Bind: *bind, Join: strings.Split(*join, ","), BootstrapExpect: 3, Network: far{peernet.System(), *way},
		Tick: 100 * time.Millisecond, MinSessionTimeout: 200 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Ready(ctx); err != nil {
		return err
	}
	s := &site{name: *name, node: node, timeout: *timeout, out: json.NewEncoder(os.Stdout)}
	s.say(line{What: "ready"})
	var work sync.WaitGroup
	for _, f := range []func(context.Context) error{s.hold, s.takeTurns, s.write, s.watch} {
		work.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, err)
				stop()
			}
		})
	}
	work.Wait()
	return nil
}

// hold keeps a lock of the site's own, as the owner of a shard does, and tells of each loss.
func (s *site) hold(ctx context.Context) error {
	for ctx.Err() == nil {
		held, err := lock.New(s, "/locks/sites/"+s.name).Acquire(ctx)
		if err != nil {
			return err
		}
		s.say(line{What: "held"})
		select {
		case <-held.Context().Done():
			s.say(line{What: "lost", Why: context.Cause(held.Context()).Error()})
			_ = held.Release(ctx) // it is lost already
		case <-ctx.Done():
		}
	}
	return nil
}

// takeTurns takes a lock that nobody else wants, again and again, and tells what each takes: from Acquire to Release.
func (s *site) takeTurns(ctx context.Context) error {
	for ctx.Err() == nil {
		begin := time.Now()
		held, err := lock.New(s, "/locks/turns/"+s.name).Acquire(ctx)
		if err != nil {
			return err
		}
		s.say(line{What: "turn", Ms: time.Since(begin).Seconds() * 1000})
		_ = held.Release(ctx) // a lost one was released
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// write writes one after the other.
func (s *site) write(ctx context.Context) error {
	path := "/written-" + s.name
	op := tiers.Op{Kind: tiers.OpCreate, Path: path, ACL: tiers.OpenACL}
	for ctx.Err() == nil {
		begin := time.Now()
		_, err := tiers.Do(ctx, s.node.Tier(), tiers.Txn{Ops: []tiers.Op{op}})
		if err == nil {
			s.say(line{What: "written", Ms: time.Since(begin).Seconds() * 1000})
			op = tiers.Op{Kind: tiers.OpSetData, Path: path, Version: tiers.AnyVersion}
		} else if errors.Is(err, tiers.ErrNodeExists) {
			op = tiers.Op{Kind: tiers.OpSetData, Path: path, Version: tiers.AnyVersion}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// watch tells who leads.
func (s *site) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		st := s.node.Status()
		s.say(line{What: "status", Leader: st.Leader, Term: st.Term})
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}
