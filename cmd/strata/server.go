package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/strata-coord/strata/admin"
	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/zkcompat"
)

// farewell bounds an orderly stop: handing leadership over and answering what clients still wait for.
const farewell = 10 * time.Second

// server is one member as a process: the node, and the listeners in front of it. serve owns it.
type server struct {
	settings *settings
	routes   []route
	log      *slog.Logger
	began    time.Time

	// The listeners are opened before anything is written, so that a taken port leaves no trace. Nil: not wanted.
	zkListener    net.Listener
	tlsListener   net.Listener
	adminListener net.Listener
	guard         *guard // constant once read, before anything else

	node    atomic.Pointer[coord.Node]      // nil until opened, then constant
	clients atomic.Pointer[zkcompat.Server] // likewise; stays nil without --zk-listen and --zk-tls-listen
	leaving atomic.Bool                     // set when the stop begins

	web  *http.Server
	work sync.WaitGroup // of web
	fail chan error     // why web ended by itself; never closed
}

// serve runs one member until ctx ends.
func serve(ctx context.Context, s *settings, routes []route, stdout, stderr io.Writer) error {
	v := &server{
		settings: s, routes: routes, began: time.Now(), fail: make(chan error, 1),
		log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: s.logLevel})),
	}
	err := v.run(ctx, stdout)
	return errors.Join(err, v.close())
}

// run returns nil when ctx ended, also if that was before the member was ready.
func (v *server) run(ctx context.Context, stdout io.Writer) error {
	// As for other servers, SIGHUP is to read files again. Without this it would end the process.
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	var err error
	if v.guard, err = newGuard(&v.settings.guard, v.log); err != nil {
		return err
	}
	if len(v.settings.ignored) > 0 {
		v.log.Warn("keys of the configuration that mean nothing to Strata were passed over", "file", v.settings.config, "keys", strings.Join(v.settings.ignored, " "))
	}
	if err := v.listen(); err != nil {
		return err
	}
	if err := v.startAdmin(); err != nil {
		return err
	}
	node, err := coord.Open(ctx, v.coordConfig())
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return explain(err, v.settings)
	}
	v.node.Store(node)
	if err := v.startClients(node); err != nil {
		return err
	}
	if err := printRoutes(stdout, v.routes); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	if err := v.waitReady(ctx, node); err != nil || ctx.Err() != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, v.readyLine(node)); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-v.fail:
			return err
		case <-again:
			if err := v.guard.reload(); err != nil {
				v.log.Warn("SIGHUP: files are not taken over, what they were before stays in use: mend them", "err", err)
			}
		}
	}
}

// listen takes the ports, before anything is written.
func (v *server) listen() (err error) {
	if v.zkListener, err = listen("--zk-listen", v.settings.zkListen); err != nil {
		return err
	}
	if v.tlsListener, err = listen("--zk-tls-listen", v.settings.guard.tlsListen); err != nil {
		return err
	}
	if v.adminListener, err = listen("--admin-listen", v.settings.adminListen); err != nil {
		return err
	}
	// coord takes this one itself, but not before it has looked at the data directory.
	return free("--bind", v.settings.bind)
}

func (v *server) startAdmin() error {
	if v.adminListener == nil {
		return nil
	}
	h, err := admin.Handler(admin.Config{Status: v.status, Traffic: v.traffic, Command: v.command, Ready: v.ready, Backup: v.backup, Restore: v.restore, Members: v.members, ChangeMember: v.changeMember, Outcome: v.outcome, Logger: v.log})
	if err != nil {
		return err
	}
	v.web = &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(v.log.Handler(), slog.LevelDebug)}
	v.work.Go(func() {
		if err := v.web.Serve(v.adminListener); !errors.Is(err, http.ErrServerClosed) {
			v.fail <- fmt.Errorf("the admin listener at %s failed: %w", v.adminListener.Addr(), err)
		}
	})
	return nil
}

func (v *server) coordConfig() coord.Config {
	s := v.settings
	c := coord.Config{
		Name: s.name, Dir: s.dataDir, Bind: s.bind, Join: s.join, BootstrapExpect: s.bootstrapExpect, Role: coord.Role(s.role),
		Tick: s.tick, MinSessionTimeout: s.minSession, MaxSessionTimeout: s.maxSession,
		Heartbeat: s.heartbeat, MaxHeartbeat: s.maxHeartbeat, DiskDeadline: s.diskDeadline, DiskReserve: uint64(s.diskReserve),
		ContainerCheckInterval: s.containerCheck, EnforceQuota: s.enforceQuota, MaxTxn: 2 * s.maxFrame, Logger: v.log,
	}
	switch {
	case s.zkAdvertise != "":
		c.ClientAddress = s.zkAdvertise
	case v.zkListener != nil:
		c.ClientAddress = v.zkListener.Addr().String()
	case v.tlsListener != nil:
		c.ClientAddress = v.tlsListener.Addr().String()
	}
	for _, r := range v.routes {
		c.Routes = append(c.Routes, coord.Route{Prefix: r.prefix, Tier: r.tier, MaxStaleness: r.maxStaleness})
	}
	return c
}

// startClients begins to accept clients. Their handshakes are refused until the member is ready.
func (v *server) startClients(node *coord.Node) error {
	if v.zkListener == nil && v.tlsListener == nil {
		return nil
	}
	config := zkcompat.Config{
		Listen: v.zkListener, Tier: node.Tier(), Sessions: node.Sessions(), Server: v.serverInfo, Applied: v.applied, Ready: v.ready, ReadOnly: node.ReadOnly, MajorityOnly: majorityOnly(v.routes),
		FourLetterWords: v.settings.words, SessionList: v.sessionList, EachDataWatch: node.EachDataWatch,
		MaxFrame: v.settings.maxFrame, MaxPerAddress: v.settings.maxPerAddress,
		Tick: v.settings.tick, MinTimeout: v.settings.minSession, MaxTimeout: v.settings.maxSession, Logger: v.log,
	}
	config.Gone = node.Expelled
	if v.settings.reconfigEnabled {
		config.Reconfig = node.Reconfig
	}
	v.guard.apply(&config, v.tlsListener)
	clients, err := zkcompat.Listen(config)
	if err != nil {
		return fmt.Errorf("serve clients: %w", err)
	}
	v.clients.Store(clients)
	return nil
}

// waitReady says in the log, once in a while, what is awaited.
func (v *server) waitReady(ctx context.Context, node *coord.Node) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	v.work.Go(func() { done <- node.Ready(ctx) })
	remind := time.NewTicker(5 * time.Second)
	defer remind.Stop()
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil {
				return nil
			}
			return explain(err, v.settings)
		case err := <-v.fail:
			return err
		case <-remind.C:
			if err := node.ReadyErr(); err != nil {
				v.log.Info("not ready yet", "reason", err)
			}
		}
	}
}

func (v *server) readyLine(node *coord.Node) string {
	line := fmt.Sprintf("ready member=%s members=%s", v.settings.name, node.Addr())
	if v.zkListener != nil {
		line += fmt.Sprintf(" clients=%s", v.zkListener.Addr())
	}
	if v.tlsListener != nil {
		line += fmt.Sprintf(" clients-tls=%s", v.tlsListener.Addr())
	}
	if v.adminListener != nil {
		line += fmt.Sprintf(" admin=%s", v.adminListener.Addr())
	}
	return line + fmt.Sprintf(" after=%v", time.Since(v.began).Round(time.Millisecond))
}

// close stops what was started, in the order in which the others notice least: the clients' connections first, so that they
// reconnect elsewhere; then the node, which hands leadership over; the admin listener last, so that probes see the stop.
func (v *server) close() error {
	v.leaving.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	var errs []error
	if clients := v.clients.Load(); clients != nil {
		errs = append(errs, clients.Close(ctx))
	} else {
		for _, l := range []net.Listener{v.zkListener, v.tlsListener} {
			if l != nil {
				errs = append(errs, l.Close())
			}
		}
	}
	if node := v.node.Load(); node != nil {
		errs = append(errs, node.Close())
	}
	if v.web != nil {
		errs = append(errs, v.web.Close())
	} else if v.adminListener != nil {
		errs = append(errs, v.adminListener.Close())
	}
	v.work.Wait()
	return errors.Join(errs...)
}
