package config_test

import (
	"context"
	"fmt"
	"log"

	"github.com/strata-coord/strata/coord"
	"github.com/strata-coord/strata/coord/config"
)

func ExampleBind() {
	ctx := context.Background()
	node, err := coord.Open(ctx, coord.Config{Name: "one", Dir: "data", Bind: "127.0.0.1:7400"})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	type Features struct {
		NewCheckout bool `json:"new_checkout"`
		Limit       int  `json:"limit"`
	}
	features, err := config.Bind(ctx, node, "/config/features", config.JSON, config.WithDefault(Features{Limit: 100}))
	if err != nil {
		log.Print(err)
		return
	}
	defer features.Close()

	for range features.Changed() {
		if err := features.Err(); err != nil {
			log.Print("keeping the last good value: ", err)
		}
		fmt.Println(features.Load().Limit)
	}
}
