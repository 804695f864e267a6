package coord

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/internal/peernet"
)

const (
	methodHello    byte = 1 // a greeting; a greeting back
	methodPromise  byte = 2 // a greeting; empty: promised
	methodReconfig byte = 3 // a reconfigCall for the leader; a reconfigAnswer
	methodVerdict  byte = 4 // a verdict; empty: noted
	methodMember   byte = 5 // a memberCall for the leader; a reconfigAnswer

	helloTimeout = 2 * time.Second
)

// ErrNameTaken: another member of the cluster has this one's name.
var ErrNameTaken = errors.New("member name is taken")

// greeting is what members tell each other before and while they form a cluster.
type greeting struct {
	_msgpack struct{} `msgpack:",as_array"`
	Name     string
	Identity [16]byte
	Fresh    bool   // it has never belonged to a cluster
	Promised string // whom it follows into a new cluster; empty: nobody yet
	Known    []acquaintance
	Cluster  string // of the replicated tree that it belongs to; empty: none
}

// acquaintance is a member that the greeter sees alive.
type acquaintance struct {
	_msgpack struct{} `msgpack:",as_array"`
	Name     string
	Identity [16]byte
}

// greeter answers greetings, and asks.
type greeter struct {
	port *peernet.Port
	// me describes this member now.
	me func() greeting
	// promise is asked to follow another member into a new cluster.
	promise func(to string) error
	server  *peernet.Server
}

func (g *greeter) serve(n *Node) {
	decode := func(body []byte) (x greeting, err error) {
		if err = msgpack.Unmarshal(body, &x); err != nil {
			err = fmt.Errorf("malformed greeting: %w", err)
		}
		return x, err
	}
	g.server = peernet.Serve(g.port.Listener(peernet.Hello), map[byte]peernet.Method{
		methodHello: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			if _, err := decode(body); err != nil {
				return nil, err
			}
			me := g.me()
			return msgpack.Marshal(&me)
		}},
		methodPromise: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) {
			x, err := decode(body)
			if err != nil {
				return nil, err
			}
			return nil, g.promise(x.Name)
		}},
		methodReconfig: {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) { return n.handleReconfig(body) }},
		methodMember:   {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) { return n.handleMember(body) }},
		methodVerdict:  {Handle: func(_ context.Context, _ net.Addr, body []byte) ([]byte, error) { return n.handleVerdict(body) }},
	}, n.log)
}

// ask greets one address.
func (g *greeter) ask(ctx context.Context, method byte, addr string, me greeting) (greeting, error) {
	body, err := msgpack.Marshal(&me)
	if err != nil {
		return greeting{}, err
	}
	b, err := g.call(ctx, method, addr, body)
	if err != nil || method == methodPromise {
		return greeting{}, err
	}
	var x greeting
	if err := msgpack.Unmarshal(b, &x); err != nil {
		return greeting{}, fmt.Errorf("malformed greeting from %s: %w", addr, err)
	}
	return x, nil
}

// call asks one address something that is answered at once.
func (g *greeter) call(ctx context.Context, method byte, addr string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	c := peernet.NewClient(func(ctx context.Context) (net.Conn, error) { return g.port.Dial(ctx, peernet.Hello, addr) })
	defer c.Close()
	return c.Call(ctx, method, body)
}

// askAll greets many addresses at once; who does not answer is absent.
func (g *greeter) askAll(ctx context.Context, addrs []string, me greeting) map[string]greeting {
	var mu sync.Mutex
	var work sync.WaitGroup
	heard := make(map[string]greeting)
	for _, a := range addrs {
		work.Go(func() {
			if x, err := g.ask(ctx, methodHello, a, me); err == nil {
				mu.Lock()
				heard[a] = x
				mu.Unlock()
			}
		})
	}
	work.Wait()
	return heard
}

// checkName refuses a name that another member has.
func checkName(me greeting, heard map[string]greeting) error {
	for addr, x := range heard {
		for _, a := range append(x.Known, acquaintance{Name: x.Name, Identity: x.Identity}) {
			if a.Name == me.Name && a.Identity != me.Identity {
				return fmt.Errorf("coord: %w: the cluster of %s has a member called %q already: choose another name for this one", ErrNameTaken, addr, me.Name)
			}
		}
	}
	return nil
}
