package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/strata-coord/strata/coord/lock"
)

// inside are the double barriers' participants, by name.
type inside struct {
	mu  sync.Mutex
	all map[string]*lock.Inside // guarded by mu
}

func (i *inside) put(name string, in *lock.Inside) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.all == nil {
		i.all = make(map[string]*lock.Inside)
	}
	i.all[name] = in
}

func (i *inside) get(name string) (*lock.Inside, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if in := i.all[name]; in != nil {
		return in, nil
	}
	return nil, errors.New("not inside")
}

// recipe does what is no lock.
func (d *driver) recipe(ctx context.Context, words []string) error {
	switch {
	case len(words) == 1 && words[0] == "leader":
		leader, err := lock.NewElection(d.node, "/turns/election", d.opts...).Leader(ctx)
		if err != nil {
			return err
		}
		d.say("leader %s", leader.Data)
		return nil
	case len(words) == 2 && words[0] == "barrier":
		return d.barrier(ctx, words[1])
	case len(words) == 3 && words[0] == "enter":
		return d.enter(ctx, words[1], words[2])
	case len(words) == 2 && words[0] == "leave":
		return d.leave(ctx, words[1])
	case len(words) == 3 && words[0] == "add":
		return d.add(ctx, words[1], words[2])
	case len(words) == 2 && words[0] == "get":
		n, err := lock.NewCounter(d.node, "/turns/counter/"+words[1], d.opts...).Get(ctx)
		if err != nil {
			return err
		}
		d.say("value %d", n)
		return nil
	}
	return errors.New("not understood")
}

func (d *driver) barrier(ctx context.Context, what string) (err error) {
	b := lock.NewBarrier(d.node, "/turns/barrier")
	switch what {
	case "up":
		err = b.Create(ctx)
	case "down":
		err = b.Remove(ctx)
	case "wait":
		err = b.Wait(ctx)
	default:
		err = errors.New("not understood")
	}
	if err == nil {
		d.say("barrier %s", what)
	}
	return err
}

func (d *driver) enter(ctx context.Context, name, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	in, err := lock.NewDoubleBarrier(d.node, "/turns/double", n, lock.Identifier(name)).Enter(ctx)
	if err != nil {
		return err
	}
	d.inside.put(name, in)
	d.say("entered %s", name)
	return nil
}

func (d *driver) leave(ctx context.Context, name string) error {
	in, err := d.inside.get(name)
	if err != nil {
		return err
	}
	if err := in.Leave(ctx); err != nil {
		return err
	}
	d.say("left %s", name)
	return nil
}

// add adds one, so many times.
func (d *driver) add(ctx context.Context, name, times string) error {
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	for range n {
		if _, err := lock.NewCounter(d.node, "/turns/counter/"+name, d.opts...).Add(ctx, 1); err != nil {
			return fmt.Errorf("add: %w", err)
		}
	}
	d.say("added %d", n)
	return nil
}
