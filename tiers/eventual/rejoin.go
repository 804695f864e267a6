package eventual

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// rejoinForever keeps trying the members that are not alive: memberlist gives up on who was away for long, and two sides of a
// long partition would never find each other again.
func (t *Tier) rejoinForever(ctx context.Context) {
	for first := true; ; first = false {
		if !first {
			select {
			case <-ctx.Done():
				return
			case <-time.After(t.cfg.JoinInterval/2 + rand.N(t.cfg.JoinInterval)):
			}
		}
		for _, addr := range t.gossip.away() {
			if ctx.Err() != nil {
				return
			}
			if _, err := t.gossip.list.Join([]string{addr}); err != nil {
				t.log.Debug("a member does not answer", "address", addr, "err", err)
				continue
			}
			t.gossip.answered(addr)
		}
		if err := t.gossip.save(); err != nil {
			t.log.Warn("the members that are known now may be forgotten at a restart", "err", err)
		}
	}
}

const (
	// maxTries bounds the addresses that are tried in one JoinInterval.
	maxTries = 8
	// seedInterval is how often a seed is tried again that answers but is no known member's address: it may be a name of several.
	seedInterval = 30 * time.Second
)

// away are some of the addresses of seeds and known members where nobody is known to be alive.
func (g *gossip) away() (addrs []string) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leaving {
		return nil
	}
	alive := map[string]bool{g.t.cfg.Advertise: true}
	all := true
	for _, m := range g.known {
		if m.State == Alive {
			alive[m.Addr] = true
		}
		all = all && m.State != Dead
	}
	add := func(a string) {
		if a != "" && !alive[a] && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	for _, a := range g.t.cfg.Seeds {
		if at, ok := g.tried[a]; !ok || !all || now.Sub(at) > seedInterval {
			add(a)
		}
	}
	for _, m := range g.known {
		if m.State != Left && m.Name != g.t.cfg.Name {
			add(m.Addr)
		}
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return addrs[:min(len(addrs), maxTries)]
}

// answered notes that a join succeeded.
func (g *gossip) answered(addr string) {
	g.mu.Lock()
	g.tried[addr] = time.Now()
	g.mu.Unlock()
}

const membersFile = "members.json"

// load takes in the members known at the last stop: addresses to try.
func (g *gossip) load() error {
	if g.t.cfg.Dir == "" {
		return nil
	}
	known, err := readMembers(g.t.cfg.Dir)
	if err != nil {
		return err
	}
	for name, addr := range known {
		if name != g.t.cfg.Name {
			g.known[name] = Member{Name: name, Addr: addr, State: Dead}
		}
	}
	return nil
}

// readMembers reads the addresses of the known members by name; none if they were never written.
func readMembers(dir string) (known map[string]string, err error) {
	path := filepath.Join(dir, membersFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("eventual: read %s: %w", path, err)
	}
	if err := json.Unmarshal(b, &known); err != nil {
		return nil, fmt.Errorf("%w: %s: %w: it can be deleted, if this member is told by --join where another one is", ErrCorrupt, path, err)
	}
	return known, nil
}

func (g *gossip) save() error {
	g.mu.Lock()
	known := make(map[string]string)
	for _, m := range g.known {
		if m.State != Left {
			known[m.Name] = m.Addr
		}
	}
	dirty := g.dirty
	g.dirty = false
	g.mu.Unlock()
	if !dirty || g.t.cfg.Dir == "" {
		return nil
	}
	b, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return fmt.Errorf("eventual: encode the known members: %w", err)
	}
	return replaceFile(filepath.Join(g.t.cfg.Dir, membersFile), append(b, '\n'))
}
