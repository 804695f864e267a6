package discovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/strata-coord/strata/tiers"
)

// Instance is one place where a service is offered.
type Instance struct {
	ID   string            // unique in the service; default Addr. It names the znode: no "/"
	Addr string            // where to connect to, host:port
	Meta map[string]string // what else clients should know. Shared: not to be changed
	Data []byte            // the znode's data. Register writes it as it is when it is set, else the JSON of the package's doc. Shared

	// Check makes the registration follow the instance's health: see [Check]. Watch leaves it empty.
	Check Check
}

// record is an instance as a znode's data.
type record struct {
	Addr string            `json:"addr"`
	ID   string            `json:"id,omitempty"`
	Meta map[string]string `json:"meta,omitempty"`
}

// complete fills in the defaults and tells what is wrong with i.
func (i *Instance) complete() error {
	if i.ID == "" {
		i.ID = i.Addr
	}
	switch {
	case i.ID == "":
		return fmt.Errorf("an instance needs an Addr or an ID: %w", tiers.ErrBadArguments)
	case strings.ContainsAny(i.ID, "/\x00") || i.ID == "." || i.ID == "..":
		return fmt.Errorf("instance id %q can't name a znode: %w", i.ID, tiers.ErrBadArguments)
	}
	i.Meta = maps.Clone(i.Meta)
	if i.Data != nil {
		i.Data = bytes.Clone(i.Data)
		return nil
	}
	r := record{Addr: i.Addr, Meta: i.Meta}
	if i.ID != i.Addr {
		r.ID = i.ID
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode instance %s: %w", i.ID, err)
	}
	i.Data = data
	return nil
}

// decode is the instance that the znode called name stands for.
func decode(name string, data []byte) Instance {
	i := Instance{ID: name, Addr: name, Data: data}
	var r record
	if json.Unmarshal(data, &r) == nil && r.Addr != "" {
		i.Addr, i.Meta = r.Addr, r.Meta
	}
	return i
}
