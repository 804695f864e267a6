package discovery_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/discovery"
)

func ExampleRegister() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	registration, err := discovery.Register(ctx, node, "/services/api", discovery.Instance{
		Addr:  "10.0.0.5:9090",
		Meta:  map[string]string{"zone": "b"},
		Check: discovery.HTTP("http://10.0.0.5:9090/healthz", time.Second),
	})
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	defer registration.Close()
	<-ctx.Done() // serve
}

func ExampleWatch() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	api, err := discovery.Watch(ctx, node, "/services/api")
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	defer api.Close()
	for range api.Changed() {
		for _, instance := range api.Instances() {
			fmt.Println(instance.Addr, instance.Meta["zone"])
		}
	}
}
