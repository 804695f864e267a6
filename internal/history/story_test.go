package history

import (
	"errors"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

// teller writes a history by hand. Its zxids are what the story says they are.
type teller struct {
	rec     *Recorder
	a, b    *Client // at different members, of different sessions but where a story says otherwise
	watcher *bell   // of a
}

func newTeller() *teller {
	rec := New()
	return &teller{rec: rec, a: rec.Client("a", "m1", nil), b: rec.Client("b", "m2", nil), watcher: new(bell)}
}

var lostAnswer = &tiers.UnknownOutcomeError{Cause: errors.New("lost")}

// txn submits ops and has them answered at once: applied as z with these results, or with an error.
func (c *Client) txn(session tiers.SessionID, z tiers.Zxid, err error, results []tiers.Result, ops ...tiers.Op) {
	c.call(&tiers.Txn{Session: session, Ops: ops}, nil, false).answer(z, results, tiers.View{}, err)
}

func made(path, data string) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(data)}
}

func (c *Client) create(z tiers.Zxid, path, data string) {
	c.txn(0, z, nil, []tiers.Result{{Path: path, Stat: tiers.Stat{Czxid: z, Mzxid: z}}}, made(path, data))
}

// own creates an ephemeral.
func (c *Client) own(session tiers.SessionID, z tiers.Zxid, path string) {
	op := made(path, "")
	op.Mode = tiers.Ephemeral
	c.txn(session, z, nil, []tiers.Result{{Path: path, Stat: tiers.Stat{Czxid: z, Mzxid: z, EphemeralOwner: session}}}, op)
}

func (c *Client) sequential(z tiers.Zxid, path, name string) {
	op := made(path, "")
	op.Mode = tiers.PersistentSequential
	c.txn(0, z, nil, []tiers.Result{{Path: name, Stat: tiers.Stat{Czxid: z, Mzxid: z}}}, op)
}

// set asks for a version and gets the one after it.
func (c *Client) set(z, czxid tiers.Zxid, path, data string, version int32) {
	c.txn(0, z, nil, []tiers.Result{{Stat: tiers.Stat{Czxid: czxid, Mzxid: z, Version: version + 1}}},
		tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(data), Version: version})
}

func (c *Client) remove(z tiers.Zxid, path string, version int32) {
	c.txn(0, z, nil, []tiers.Result{{}}, tiers.Op{Kind: tiers.OpDelete, Path: path, Version: version})
}

// fails submits an op that is answered by err.
func (c *Client) fails(z tiers.Zxid, kind tiers.OpKind, path, data string, version int32, err error) {
	c.txn(0, z, err, nil, tiers.Op{Kind: kind, Path: path, Data: []byte(data), Version: version})
}

func (c *Client) sees(z tiers.Zxid, path, data string, stat tiers.Stat) {
	c.call(nil, &tiers.Query{Path: path, Want: tiers.WantData}, false).answer(z, nil, tiers.View{Data: []byte(data), Stat: stat}, nil)
}

func (c *Client) misses(z tiers.Zxid, path string) {
	c.call(nil, &tiers.Query{Path: path, Want: tiers.WantData}, false).answer(z, nil, tiers.View{}, tiers.ErrNoNode)
}

func (c *Client) lists(z tiers.Zxid, path string, names ...string) {
	c.call(nil, &tiers.Query{Path: path, Want: tiers.WantChildren}, false).answer(z, nil, tiers.View{Children: names, Stat: tiers.Stat{}}, nil)
}

// syncs reads nothing, as of z.
func (c *Client) syncs(z tiers.Zxid) {
	c.call(nil, &tiers.Query{Path: "/", Want: tiers.WantNothing}, false).answer(z, nil, tiers.View{}, nil)
}

// watches arms a watch as of z.
func (t *teller) watches(scope tiers.Scope, z tiers.Zxid, path string, stat tiers.Stat) {
	q := &tiers.Query{Path: path, Want: tiers.WantStat, Watch: &tiers.WatchSpec{Watcher: t.watcher, Scope: scope}}
	if scope == tiers.ScopeChildren {
		q.Want = tiers.WantNothing // these stories don't care for the list
	}
	o := t.a.call(nil, q, false)
	arm := t.a.arm(o, q)
	var err error
	if stat == (tiers.Stat{}) && scope == tiers.ScopeData {
		err = tiers.ErrNoNode
	}
	o.answer(z, nil, tiers.View{Stat: stat, Armed: true}, err)
	arm.armed(o)
}

func (t *teller) told(what tiers.EventType, z tiers.Zxid, path string) {
	t.a.ear(t.watcher).Notify(tiers.Event{Type: what, Path: path, Zxid: z})
}

// story is a history and the check that must find something wrong with it; empty: none may.
type story struct {
	tell func(t *teller)
	want string
}

// tellAll checks stories.
func tellAll(t *testing.T, options Options, stories map[string]story) {
	t.Helper()
	for name, s := range stories {
		teller := newTeller()
		s.tell(teller)
		var v *Violation
		switch err := teller.rec.Check(options); {
		case s.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case s.want != "" && (!errors.As(err, &v) || v.Check != s.want):
			t.Errorf("%s: %v, want %s", name, err, s.want)
		}
	}
}
