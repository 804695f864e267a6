// Discovery registers a web server while it is well, and watches who is there.
//
//	go run ./examples/discovery
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/discovery"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "discovery:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "strata-discovery-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: dir, Bind: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if err := node.Ready(ctx); err != nil {
		return err
	}

	// A service with a health page.
	var sick atomic.Bool
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := listener.Addr().String()
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		err = errors.Join(err, server.Close())
		<-served // http.ErrServerClosed
	}()

	api, err := discovery.Watch(ctx, node, "/services/api")
	if err != nil {
		return err
	}
	defer api.Close()
	registration, err := discovery.Register(ctx, node, "/services/api", discovery.Instance{
		Addr: addr, Meta: map[string]string{"zone": "b"},
		Check: discovery.HTTP("http://"+addr+"/healthz", 100*time.Millisecond),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, registration.Close()) }()

	if err := until(ctx, api, 1); err != nil {
		return err
	}
	for _, i := range api.Instances() {
		fmt.Fprintf(out, "%s in zone %s\n", i.Addr, i.Meta["zone"])
	}
	for _, ill := range []bool{true, false} {
		sick.Store(ill)
		n := 1
		if ill {
			n = 0
		}
		if err := until(ctx, api, n); err != nil {
			return err
		}
		fmt.Fprintf(out, "sick: %v, so %d instances (%v)\n", ill, n, registration.Err())
	}
	return nil
}

// until waits for n instances.
func until(ctx context.Context, w *discovery.Watcher, n int) error {
	for len(w.Instances()) != n {
		select {
		case <-w.Changed():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
