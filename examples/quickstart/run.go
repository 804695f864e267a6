package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/strata-coord/strata/coord/config"
	"github.com/strata-coord/strata/coord/discovery"
	"github.com/strata-coord/strata/coord/lock"
	"github.com/strata-coord/strata/tiers"
)

const (
	featuresPath = "/config/features" // readonly: every member reads its own copy
	lockPath     = "/locks/db/users/shards/00"
	servicePath  = "/services/api" // eventual: no majority is asked
)

// Features is the program's configuration.
type Features struct {
	NewCheckout bool `json:"new_checkout"`
	Limit       int  `json:"limit"`
}

// demo is the cast of the story.
type demo struct {
	*story
	first  *member // leads, holds the lock, and is killed
	second *member // gets the lock, and is killed
	last   *member // goes on
	legacy *zk.Conn

	features []*config.Value[Features] // of each member
	api      *discovery.Watcher        // of the last member
	cleanup  []func()                  // in reverse order
}

// run tells the whole story.
func run(ctx context.Context, out io.Writer) (err error) {
	s := &story{out: out, begin: time.Now()}
	s.say("starting three members in this process, on loopback")
	c, err := start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	d := &demo{story: s}
	if err := d.cast(c); err != nil {
		return err
	}
	for _, m := range c.members {
		s.say("%s is ready; clients of ZooKeeper are served at %v", m.name, m.clients.Addr())
	}
	s.say("%s leads", d.first.name)
	defer func() {
		for i := len(d.cleanup) - 1; i >= 0; i-- {
			d.cleanup[i]()
		}
	}()
	if d.legacy, err = d.last.legacy(); err != nil {
		return err
	}
	d.cleanup = append(d.cleanup, d.legacy.Close)

	for _, chapter := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"1. One change of configuration reaches every member", d.configuration},
		{"2. Discovery: who offers the api?", d.discovery},
		{"3. A lock outlives its holder's member", d.locks},
		{"4. Two of three members are gone", d.minority},
	} {
		s.chapter(chapter.title)
		if err := chapter.tell(ctx); err != nil {
			return fmt.Errorf("%s: %w", chapter.title, err)
		}
	}
	s.chapter("That is all. Now read examples/embed and README.md.")
	return nil
}

// cast gives the members their parts: the first one leads.
func (d *demo) cast(c *cluster) error {
	for i, m := range c.members {
		if c.leads(m) {
			d.first, d.second, d.last = m, c.members[(i+1)%3], c.members[(i+2)%3]
			return nil
		}
	}
	return errors.New("nobody leads")
}

func (d *demo) configuration(ctx context.Context) error {
	for _, m := range []*member{d.first, d.second, d.last} {
		v, err := config.Bind(ctx, m.node, featuresPath, config.JSON, config.WithDefault(Features{Limit: 100}))
		if err != nil {
			return err
		}
		d.features = append(d.features, v)
		d.cleanup = append(d.cleanup, v.Close)
	}
	begin := time.Now()
	if err := d.features[0].Set(ctx, Features{Limit: 500}); err != nil {
		return err
	}
	d.say("%s sets limit=500: acknowledged by a majority after %s", d.first.name, took(time.Since(begin)))
	if err := d.everywhere(ctx, 500); err != nil {
		return err
	}
	d.say("every member has it after %s", took(time.Since(begin)))

	begin = time.Now()
	if _, err := d.legacy.Set(featuresPath, []byte(`{"limit":900,"new_checkout":true}`), -1); err != nil {
		return err
	}
	if err := d.everywhere(ctx, 900); err != nil {
		return err
	}
	d.say("go-zookeeper sets limit=900 through %s: every member has it after %s", d.last.name, took(time.Since(begin)))
	return nil
}

// everywhere waits until every member has the limit.
func (d *demo) everywhere(ctx context.Context, limit int) error {
	for _, v := range d.features {
		err := until(ctx, "the configuration", v.Changed(), func() bool { return v.Load().Limit == limit })
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) discovery(ctx context.Context) error {
	api, err := discovery.Watch(ctx, d.last.node, servicePath)
	if err != nil {
		return err
	}
	d.api = api
	d.cleanup = append(d.cleanup, api.Close)
	begin := time.Now()
	for _, m := range []*member{d.first, d.second, d.last} {
		r, err := discovery.Register(ctx, m.node, servicePath, instance(m))
		if err != nil {
			return err
		}
		d.cleanup = append(d.cleanup, func() { _ = r.Close() }) // its member may be dead by then
	}
	_, err = d.legacy.Create(servicePath+"/legacy.example:9090", []byte("http/json"), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	if err != nil {
		return err
	}
	err = until(ctx, "the instances", api.Changed(), func() bool { return len(api.Instances()) == 4 })
	if err != nil {
		return err
	}
	d.say("one instance at each member and one of go-zookeeper's: %s knows all four after %s", d.last.name, took(time.Since(begin)))
	return nil
}

// instance is what a member registers.
func instance(m *member) discovery.Instance {
	return discovery.Instance{ID: "api-at-" + m.name, Addr: m.name + ".example:9090"}
}

func (d *demo) locks(ctx context.Context) error {
	held, err := lock.New(d.first.node, lockPath, lock.Identifier(d.first.name)).Acquire(ctx)
	if err != nil {
		return err
	}
	d.say("%s, who leads the cluster, holds %s with fencing token %d", d.first.name, lockPath, held.Token())

	type grant struct {
		held *lock.Held
		err  error
	}
	granted := make(chan grant, 1)
	go func() {
		h, err := lock.New(d.second.node, lockPath, lock.Identifier(d.second.name)).Acquire(ctx)
		granted <- grant{h, err}
	}()
	if err := d.queued(ctx, 2); err != nil {
		return err
	}
	legacy := zk.NewLock(d.legacy, lockPath, zk.WorldACL(zk.PermAll))
	locked := make(chan error, 1)
	go func() { locked <- legacy.LockWithData([]byte("go-zookeeper")) }()
	if err := d.queued(ctx, 3); err != nil {
		return err
	}
	d.say("%s waits for it, and go-zookeeper behind", d.second.name)

	killed := time.Now()
	if err := d.first.kill(); err != nil {
		return err
	}
	d.say("%s is KILLED, without a goodbye", d.first.name)
	<-held.Context().Done()
	d.say("the holder's context has ended (%v)", context.Cause(held.Context()))
	g := <-granted
	if g.err != nil {
		return g.err
	}
	d.say("%s holds the lock %s after the kill, with fencing token %d", d.second.name, took(time.Since(killed)), g.held.Token())
	if g.held.Token() <= held.Token() {
		return fmt.Errorf("token %d after token %d", g.held.Token(), held.Token())
	}

	released := time.Now()
	if err := g.held.Release(ctx); err != nil {
		return err
	}
	if err := <-locked; err != nil {
		return fmt.Errorf("go-zookeeper: %w", err)
	}
	moved := took(time.Since(released))
	token, err := d.legacyToken()
	if err != nil {
		return err
	}
	d.say("%s releases; go-zookeeper holds the lock %s later, its token is %d; its session never noticed the kill", d.second.name, moved, token)
	if token <= g.held.Token() {
		return fmt.Errorf("token %d after token %d", token, g.held.Token())
	}
	return legacy.Unlock()
}

// queued waits until n contend for the lock, as any client of the tree can see.
func (d *demo) queued(ctx context.Context, n int) error {
	for {
		children, _, changed, err := d.legacy.ChildrenW(lockPath)
		if err != nil || len(children) == n {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// legacyToken is the fencing token of the only contender: its znode's creation.
func (d *demo) legacyToken() (int64, error) {
	children, _, err := d.legacy.Children(lockPath)
	if err != nil || len(children) != 1 {
		return 0, errors.Join(err, fmt.Errorf("%d contenders", len(children)))
	}
	_, stat, err := d.legacy.Exists(lockPath + "/" + children[0])
	if err != nil {
		return 0, err
	}
	return stat.Czxid, nil
}

func (d *demo) minority(ctx context.Context) error {
	// While a majority is there, what a dead member had registered goes with its sessions.
	err := until(ctx, "the instance of the dead member to go", d.api.Changed(), func() bool { return !d.knows(instance(d.first).ID) })
	if err != nil {
		return err
	}
	d.say("the instance at %s is gone by now: %d are left", d.first.name, len(d.api.Instances()))
	if err := d.second.kill(); err != nil {
		return err
	}
	d.say("%s is KILLED too: %s is alone, without a majority", d.second.name, d.last.name)

	// What needs a majority is refused, with a reason, once no leader has come up for a while.
	refusal := make(chan error, 1)
	asked := time.Now()
	go func() {
		_, err := lock.New(d.last.node, lockPath).TryAcquire(ctx)
		refusal <- err
	}()

	begin := time.Now()
	n := len(d.api.Instances())
	d.say("discovery answers from memory: %d instances, in %s", n, took(time.Since(begin)))
	begin = time.Now()
	r, err := discovery.Register(ctx, d.last.node, servicePath, discovery.Instance{Addr: "newcomer.example:9090"})
	if err != nil {
		return err
	}
	d.cleanup = append(d.cleanup, func() { _ = r.Close() }) // the cluster ends anyway
	d.say("and goes on taking registrations: newcomer.example:9090, in %s", took(time.Since(begin)))
	children, _, err := d.legacy.Children(servicePath)
	if err != nil {
		return fmt.Errorf("go-zookeeper: %w", err)
	}
	d.say("go-zookeeper lists %d instances over the wire", len(children))
	d.say("%s may be alive beyond a broken network, for all %s can tell: its instance stays", d.second.name, d.last.name)

	err = <-refusal
	if !errors.Is(err, tiers.ErrUnavailable) {
		return fmt.Errorf("a lock without a majority: %w", err)
	}
	d.say("a lock is refused after %s: %v", took(time.Since(asked)), err)
	begin = time.Now()
	view, err := d.last.node.Tier().Read(ctx, tiers.Query{Path: featuresPath, Want: tiers.WantData})
	if err != nil {
		return err
	}
	d.say("configuration is read in %s, and says how old it may be: %s, %s", took(time.Since(begin)), view.Data, took(view.Staleness))
	if limit := d.features[2].Load().Limit; limit != 900 || !d.knows(instance(d.second).ID) || !d.knows("newcomer.example:9090") {
		return fmt.Errorf("limit %d and instances %v in a minority", limit, d.api.Instances())
	}
	return nil
}

// knows tells whether the last member knows an instance.
func (d *demo) knows(id string) bool {
	return slices.ContainsFunc(d.api.Instances(), func(i discovery.Instance) bool { return i.ID == id })
}
