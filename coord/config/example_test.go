package config_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/config"
)

func ExampleBind() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		slog.Error("open", "err", err)
		return
	}
	defer node.Close()

	type Features struct {
		NewCheckout bool `json:"new_checkout"`
		Limit       int  `json:"limit"`
	}
	features, err := config.Bind(ctx, node, "/config/features", config.JSON, config.WithDefault(Features{Limit: 100}))
	if err != nil {
		slog.Error("failed", "err", err)
		return
	}
	defer features.Close()

	for range features.Changed() {
		if err := features.Err(); err != nil {
			slog.Warn("keeping the last good value", "err", err)
		}
		fmt.Println(features.Load().Limit)
	}
}
