package coord

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/strata-coord/strata/internal/peernet"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

const (
	// reconfigTimeout bounds a reconfiguration with all its steps; a new voter may have to be sent everything.
	reconfigTimeout = time.Minute
	// leaderPatience is how long a reconfiguration waits for a leader.
	leaderPatience = 5 * time.Second

	configNodePath = "/zookeeper/config"
)

// Reconfig changes the members of the cluster for good, and returns the new content of /zookeeper/config with its Stat. It may be asked of
// any member, and of a member that it removes. The steps are taken one at a time, voters first; if it fails, those that were taken
// stay, and the znode tells what the members are now.
//
// Errors: *tiers.OpError with tiers.ErrSessionExpired, ErrStandalone, ErrReconfigInProgress, ErrBadVersion, ErrBadArguments,
// ErrNewConfigNoQuorum, ErrNoAuth, in this order; ErrUnavailable; ErrUnknownOutcome: the leader was lost meanwhile, and the next one may go on.
func (n *Node) Reconfig(ctx context.Context, r tiers.Reconfig) (tiers.View, error) {
	ctx, cancel := context.WithTimeout(ctx, reconfigTimeout)
	defer cancel()
	if r.Session != 0 {
		if _, state := n.strong.Lookup(r.Session); state == strong.SessionEnded {
			return tiers.View{}, reconfigError(tiers.ErrSessionExpired)
		}
	}
	call := &reconfigCall{Reconfig: r}
	asked := time.Now() // since when no leader has answered
	for {
		moved := n.strong.LeaderChanged()
		a, heard := n.askLeader(ctx, methodReconfig, call, func() *reconfigAnswer { return n.reconfigure(ctx, call) })
		switch {
		case heard && !a.Again:
			return n.reconfigured(ctx, a)
		case heard:
			call.Going = call.Going || a.Going
			asked = time.Now()
		case time.Since(asked) > leaderPatience:
			return tiers.View{}, reconfigError(fmt.Errorf("%w: no leader answers", tiers.ErrUnavailable))
		}
		select {
		case <-moved:
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return tiers.View{}, reconfigError(&tiers.UnknownOutcomeError{Cause: context.Cause(ctx)})
		}
	}
}

func reconfigError(err error) error {
	return &tiers.OpError{Op: "reconfig", Path: configNodePath, Err: err}
}

// reconfigCall is a Reconfig on its way to the leader.
type reconfigCall struct {
	_msgpack struct{} `msgpack:",as_array"`
	Reconfig tiers.Reconfig
	Going    bool // an earlier leader has looked at it, has begun, and handed over because it is one of those that go
}

// reconfigAnswer is the leader's.
type reconfigAnswer struct {
	_msgpack struct{} `msgpack:",as_array"`
	Again    bool     // ask the leader again: this member is not, or not any more
	Going    bool     // for the next one
	Fault    uint8    // what is wrong, by its place in faults; 0: nothing
	Why      string
	Data     []byte
	Stat     tiers.Stat
	Zxid     tiers.Zxid
}

// faults are the errors that travel. New ones are added at the end.
var faults = []error{nil, tiers.ErrUnknownOutcome, tiers.ErrUnavailable, tiers.ErrStandalone, tiers.ErrReconfigInProgress, tiers.ErrBadVersion,
	tiers.ErrBadArguments, tiers.ErrNewConfigNoQuorum, tiers.ErrNoAuth}

// refusal is the answer that says err; an error that has no name of its own means that nobody knows what was done.
func refusal(err error) *reconfigAnswer {
	a := &reconfigAnswer{Fault: 1, Why: err.Error()}
	for i, f := range faults {
		if f != nil && errors.Is(err, f) {
			a.Fault = uint8(i)
			break
		}
	}
	return a
}

// fault is the error of an answer.
func (a *reconfigAnswer) fault() error {
	switch {
	case a.Fault == 0:
		return nil
	case a.Fault == 1 || int(a.Fault) >= len(faults):
		return &tiers.UnknownOutcomeError{Cause: errors.New(a.Why)}
	}
	return &relayed{faults[a.Fault], a.Why}
}

// relayed is an error of the leader, in its words.
type relayed struct {
	kind error
	why  string
}

func (e *relayed) Error() string { return e.why }
func (e *relayed) Unwrap() error { return e.kind }

// reconfigured waits, for a moment, until this member shows what was changed: then who watches has been told before the answer is.
func (n *Node) reconfigured(ctx context.Context, a *reconfigAnswer) (tiers.View, error) {
	if err := a.fault(); err != nil {
		return tiers.View{}, reconfigError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := n.strong.WaitZxid(ctx, a.Zxid); err != nil {
		n.log.Debug("this member does not show the new configuration yet", "err", err)
	}
	return tiers.View{Data: a.Data, Stat: a.Stat, Zxid: a.Zxid}, nil
}

// askLeader hands the call to the leader: here, if it is this member, or elsewhere. heard is false if nobody can have acted on it.
func (n *Node) askLeader(ctx context.Context, method byte, call any, here func() *reconfigAnswer) (a *reconfigAnswer, heard bool) {
	if n.strong.Leads() {
		return here(), true
	}
	name, addr := n.strong.Leader()
	if now, ok := n.resolve(name); ok {
		addr = now
	}
	if name == "" || name == n.cfg.Name {
		return nil, false
	}
	dialCtx, cancel := context.WithTimeout(ctx, helloTimeout)
	conn, err := n.port.Dial(dialCtx, peernet.Hello, addr)
	cancel()
	if err != nil {
		return nil, false
	}
	client := peernet.NewClient(func(context.Context) (net.Conn, error) { return conn, nil })
	defer client.Close()
	body, err := msgpack.Marshal(call)
	if err != nil {
		return refusal(fmt.Errorf("%w: %w", tiers.ErrBadArguments, err)), true
	}
	b, err := client.Call(ctx, method, body)
	a = new(reconfigAnswer)
	if err == nil {
		err = msgpack.Unmarshal(b, a)
	}
	if err != nil {
		return refusal(fmt.Errorf("leader %s: %w", name, err)), true
	}
	return a, true
}

// handleReconfig answers askLeader of another member. What was begun does not end with that member's connection.
func (n *Node) handleReconfig(body []byte) ([]byte, error) {
	var call reconfigCall
	if err := msgpack.Unmarshal(body, &call); err != nil {
		return nil, fmt.Errorf("malformed reconfiguration: %w", err)
	}
	ctx, cancel := context.WithTimeout(n.running, reconfigTimeout)
	defer cancel()
	return encodeAnswer(n.reconfigure(ctx, &call))
}

// handleMember is handleReconfig for a memberCall.
func (n *Node) handleMember(body []byte) ([]byte, error) {
	var call memberCall
	if err := msgpack.Unmarshal(body, &call); err != nil {
		return nil, fmt.Errorf("malformed change of a member: %w", err)
	}
	ctx, cancel := context.WithTimeout(n.running, reconfigTimeout)
	defer cancel()
	return encodeAnswer(n.changeMember(ctx, &call))
}

func encodeAnswer(a *reconfigAnswer) ([]byte, error) {
	b, err := msgpack.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("coord: encode the answer to a reconfiguration: %w", err)
	}
	return b, nil
}
