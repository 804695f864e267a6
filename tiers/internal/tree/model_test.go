package tree

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

// model is the state machine as one would explain it: a map that is copied for every txn, child lists by looking at all paths,
// and counters that are counted. It knows nothing of how the tree does it.
type model struct {
	zxid     tiers.Zxid
	at       int64
	znodes   map[string]mz
	sessions map[tiers.SessionID]Origin
	ended    map[tiers.SessionID]bool
	events   []string
	enforce  bool
}

type mz struct {
	data    string
	null    bool
	acl     []tiers.ACL
	stat    tiers.Stat
	created int32
	mode    tiers.CreateMode
	ttl     int64
}

func newModel() *model {
	m := &model{znodes: map[string]mz{}, sessions: map[tiers.SessionID]Origin{}, ended: map[tiers.SessionID]bool{}}
	m.znodes["/"] = mz{acl: tiers.OpenACL, stat: tiers.Stat{Cversion: -1, NumChildren: 1}}
	m.znodes["/zookeeper"] = mz{acl: tiers.OpenACL, stat: tiers.Stat{Cversion: -2, NumChildren: 2}}
	m.znodes["/zookeeper/quota"] = mz{acl: tiers.OpenACL}
	m.znodes["/zookeeper/config"] = mz{acl: []tiers.ACL{{Perms: 1, Who: tiers.Identity{Scheme: "world", ID: "anyone"}}}, stat: tiers.Stat{Aversion: -1}}
	return m
}

func (m *model) copy() *model {
	return &model{m.zxid, m.at, maps.Clone(m.znodes), maps.Clone(m.sessions), maps.Clone(m.ended), nil, m.enforce}
}

// apply returns the model after the txn, which failed if err is set; index is that of the op.
func (m *model) apply(at int64, from Origin, txn *tiers.Txn) (after *model, results []tiers.Result, index int, err error) {
	m.at = max(m.at, at)
	n := m.copy()
	n.zxid++
	if len(txn.Ops) == 0 { // the session counts even so
		_, err = n.op(from, txn, &tiers.Op{Kind: tiers.OpKind(99)})
	}
	if err != nil {
		return m, nil, 0, err
	}
	for i := range txn.Ops {
		op := &txn.Ops[i]
		var r tiers.Result
		if r, err = n.op(from, txn, op); err != nil {
			m.events = nil
			return m, nil, i, err
		}
		results = append(results, r)
	}
	return n, results, 0, nil
}

func (m *model) may(path string, perm tiers.Perm, caller []tiers.Identity) bool {
	for _, a := range m.znodes[path].acl {
		if a.Perms&perm != 0 && (a.Who.Scheme == "world" || slices.Contains(caller, a.Who)) {
			return true
		}
	}
	return slices.Contains(caller, tiers.Identity{Scheme: "super"})
}

func (m *model) event(e tiers.EventType, path string) {
	m.events = append(m.events, fmt.Sprint(e, " ", path, " ", m.zxid))
}

func (m *model) op(from Origin, txn *tiers.Txn, op *tiers.Op) (r tiers.Result, err error) {
	s := txn.Session
	host, live := m.sessions[s]
	if op.Kind == tiers.OpOpenSession {
		if m.ended[s] {
			return r, tiers.ErrSessionExpired
		}
		m.sessions[s] = from
		return r, nil
	}
	if m.ended[s] {
		return r, tiers.ErrSessionExpired
	}
	if live && host != from {
		return r, tiers.ErrSessionMoved
	}
	z, there := m.znodes[op.Path]
	switch op.Kind {
	case tiers.OpCloseSession:
		m.end(s)
	case tiers.OpCreate:
		return m.create(txn, op)
	case tiers.OpDelete:
		parent := op.Path[:max(strings.LastIndex(op.Path, "/"), 1)]
		if _, ok := m.znodes[parent]; !ok {
			return r, tiers.ErrNoNode
		}
		switch {
		case op.Path == "/":
			return r, tiers.ErrBadArguments
		case !m.may(parent, tiers.PermDelete, txn.Caller):
			return r, tiers.ErrNoAuth
		case !there:
			return r, tiers.ErrNoNode
		case op.Version != -1 && op.Version != z.stat.Version:
			return r, tiers.ErrBadVersion
		case z.stat.NumChildren > 0:
			return r, tiers.ErrNotEmpty
		}
		m.remove(op.Path)
	case tiers.OpSetData:
		switch {
		case !there:
			return r, tiers.ErrNoNode
		case !m.may(op.Path, tiers.PermWrite, txn.Caller):
			return r, tiers.ErrNoAuth
		case m.beyond(op.Path, 0, len(op.Data)-len(z.data)):
			return r, tiers.ErrQuotaExceeded
		case op.Version != -1 && op.Version != z.stat.Version:
			return r, tiers.ErrBadVersion
		}
		grown := len(op.Data) - len(z.data)
		z.data, z.null = string(op.Data), op.Data == nil
		z.stat.Version++
		z.stat.Mzxid, z.stat.Mtime, z.stat.DataLength = m.zxid, m.at, int32(len(op.Data))
		m.znodes[op.Path] = z
		m.account(op.Path, 0, grown)
		m.event(tiers.NodeDataChanged, op.Path)
		r.Stat = z.stat
	case tiers.OpSetACL:
		switch {
		case !there:
			return r, tiers.ErrNoNode
		case !m.may(op.Path, tiers.PermAdmin, txn.Caller):
			return r, tiers.ErrNoAuth
		case op.Version != -1 && op.Version != z.stat.Aversion:
			return r, tiers.ErrBadVersion
		}
		z.acl = op.ACL
		z.stat.Aversion++
		m.znodes[op.Path] = z
		r.Stat = z.stat
	case tiers.OpCheck:
		switch {
		case !there:
			return r, tiers.ErrNoNode
		case !m.may(op.Path, tiers.PermRead, txn.Caller):
			return r, tiers.ErrNoAuth
		case op.Version != -1 && op.Version != z.stat.Version:
			return r, tiers.ErrBadVersion
		}
	}
	return r, nil
}

func (m *model) create(txn *tiers.Txn, op *tiers.Op) (r tiers.Result, err error) {
	_, live := m.sessions[txn.Session]
	owned := op.Mode == tiers.Ephemeral || op.Mode == tiers.EphemeralSequential
	parent := op.Path[:max(strings.LastIndex(op.Path, "/"), 1)]
	p, ok := m.znodes[parent]
	path := op.Path
	if op.Mode == 2 || op.Mode == 3 || op.Mode == 6 || op.Mode == 7 {
		path += fmt.Sprintf("%010d", p.created)
	}
	_, there := m.znodes[path]
	switch {
	case owned && !live:
		return r, tiers.ErrSessionExpired
	case !ok:
		return r, tiers.ErrNoNode
	case !m.may(parent, tiers.PermCreate, txn.Caller):
		return r, tiers.ErrNoAuth
	case there:
		return r, tiers.ErrNodeExists
	case p.stat.EphemeralOwner != 0:
		return r, tiers.ErrEphemeral
	case m.beyond(path, 1, len(op.Data)):
		return r, tiers.ErrQuotaExceeded
	}
	z := mz{data: string(op.Data), null: op.Data == nil, acl: op.ACL, mode: op.Mode, ttl: op.TTL.Milliseconds()}
	z.stat = tiers.Stat{Czxid: m.zxid, Mzxid: m.zxid, Pzxid: m.zxid, Ctime: m.at, Mtime: m.at, DataLength: int32(len(op.Data))}
	if owned {
		z.stat.EphemeralOwner = txn.Session
	}
	m.znodes[path] = z
	p.created++
	p.stat.Cversion++
	p.stat.NumChildren++
	p.stat.Pzxid = m.zxid
	m.znodes[parent] = p
	m.account(path, 1, len(op.Data))
	m.recount(path)
	m.event(tiers.NodeCreated, path)
	m.event(tiers.NodeChildrenChanged, parent)
	return tiers.Result{Path: path, Stat: z.stat}, nil
}

func (m *model) remove(path string) {
	parent := path[:max(strings.LastIndex(path, "/"), 1)]
	size := len(m.znodes[path].data)
	delete(m.znodes, path)
	defer func() { m.account(path, -1, -size) }()
	p := m.znodes[parent]
	p.stat.Cversion++
	p.stat.NumChildren--
	p.stat.Pzxid = m.zxid
	m.znodes[parent] = p
	m.event(tiers.NodeDeleted, path)
	m.event(tiers.NodeChildrenChanged, parent)
}

func (m *model) end(s tiers.SessionID) {
	if _, live := m.sessions[s]; !live {
		return
	}
	for _, path := range slices.Sorted(maps.Keys(m.znodes)) {
		if m.znodes[path].stat.EphemeralOwner == s {
			m.remove(path)
		}
	}
	delete(m.sessions, s)
	m.ended[s] = true
}

// log hears all of a tree. It stands for many watchers: each event of a child list comes to it too.
type log struct{ events []string }

func (l *log) Notify(ev tiers.Event) {
	l.events = append(l.events, fmt.Sprint(ev.Type, " ", ev.Path, " ", ev.Zxid))
}

// arm watches all that there is, and all that there will be.
func (l *log) arm(t *Tree, m *model, events []string) {
	t.Hub().Add("/", tiers.ScopeRecursive, l)
	for path := range m.znodes {
		t.Hub().Add(path, tiers.ScopePersistent, l)
	}
	for _, e := range events {
		t.Hub().Add(strings.Fields(e)[1], tiers.ScopePersistent, l)
	}
}

func TestAgainstModel(t *testing.T) {
	outcomes, reaped, exceeded, refusals := map[error]int{}, 0, 0, 0
	for seed := range uint64(60) {
		w := world{rand.New(rand.NewPCG(seed, 1))}
		tr, now := New(), newModel()
		excesses := 0
		tr.OnExcess(func(x Excess) {
			excesses++
			if x.Used <= x.Limit || x.Limit < 0 || x.Hard && now.enforce {
				t.Errorf("seed %d: %+v", seed, x)
			}
		})
		var numbers [3]uint64
		for step := range 300 {
			from := Origin{Member: uint32(1 + w.IntN(2)), Incarnation: 1}
			at, txn := int64(w.IntN(50)+step), w.txn(4+step/30)
			if seed%2 == 1 && step%60 == 0 {
				txn = w.quotaTxn()
			}
			before := now
			before.enforce = w.IntN(3) > 0
			tr.EnforceQuota(before.enforce)
			m, results, index, want := before.apply(at, from, txn)
			heard := &log{}
			heard.arm(tr, before, m.events)
			numbers[from.Member]++
			early, refused := tr.Refusal(from, txn, true)
			receipt, err := tr.Apply(at, from, numbers[from.Member], txn)
			if refused != nil {
				refusals++
				sameRefusal(t, txn, early, receipt, refused, err)
			}
			tr.Hub().Remove("", tiers.ScopeAny, heard)
			what := fmt.Sprintf("seed %d, step %d, %+v", seed, step, txn)
			switch {
			case !errors.Is(err, want) || (want == nil) != (err == nil):
				t.Fatalf("%s: %v; the model says %v", what, err, want)
			case want == nil && !reflect.DeepEqual(append([]tiers.Result{}, results...), receipt.Results):
				t.Fatalf("%s:\n%+v; the model says\n%+v", what, receipt.Results, results)
			case want != nil && !failedAt(receipt.Results, index, want):
				t.Fatalf("%s: %+v; the model says that op %d failed", what, receipt.Results, index)
			case receipt.Zxid != m.zxid:
				t.Fatalf("%s: zxid %v; the model says %v", what, receipt.Zxid, m.zxid)
			case !slices.Equal(heard.events, m.events):
				t.Fatalf("%s:\nevents %v; the model says\n%v", what, heard.events, m.events)
			}
			m.events, now = nil, m
			outcomes[want]++
			if w.IntN(40) == 0 {
				m.expire(tr, tiers.SessionID(1+w.IntN(4+step/30)))
			}
			if w.IntN(20) == 0 {
				reaped += m.reap(t, tr, at, what)
			}
			if step%10 == 0 {
				m.compare(t, tr, what)
			}
		}
		now.compare(t, tr, fmt.Sprint("seed ", seed))
		exceeded += excesses
		back := New()
		if err := back.Restore(bytes.NewReader(snapshotOf(t, tr))); err != nil {
			t.Fatal(err)
		}
		now.compare(t, back, fmt.Sprintf("seed %d, restored", seed))
	}
	checkOutcomes(t, outcomes)
	if reaped < 50 || exceeded < 20 || refusals < 1000 {
		t.Errorf("only %d znodes were reaped, %d limits exceeded, %d txns refused", reaped, exceeded, refusals)
	}
}

// Everything that can happen must have happened, or the test says less than it seems to.
func checkOutcomes(t *testing.T, outcomes map[error]int) {
	for _, err := range []error{nil, tiers.ErrNoNode, tiers.ErrNodeExists, tiers.ErrNoAuth, tiers.ErrBadVersion, tiers.ErrNotEmpty,
		tiers.ErrEphemeral, tiers.ErrSessionExpired, tiers.ErrSessionMoved, tiers.ErrBadArguments, tiers.ErrQuotaExceeded} {
		if outcomes[err] < 5 {
			t.Errorf("%v: only %d times", err, outcomes[err])
		}
	}
	t.Log(outcomes)
}

// expire ends a session in both.
func (m *model) expire(tr *Tree, id tiers.SessionID) {
	info, _ := tr.Session(id)
	tr.Expire(0, []Expiry{{id, info.Since}, {id, info.Since}})
	if _, live := m.sessions[id]; live {
		m.zxid++
		m.end(id)
	}
	m.events = nil
}

func failedAt(rs []tiers.Result, at int, err error) bool {
	for i, r := range rs {
		want := tiers.ErrRolledBack
		switch {
		case i == at:
			want = err
		case i > at:
			want = tiers.ErrNotTried
		}
		if !errors.Is(r.Err, want) || r.Path != "" || r.Stat != (tiers.Stat{}) {
			return false
		}
	}
	return true
}

// compare holds everything that can be read of the tree, and what it counts, against the model.
func (m *model) compare(t *testing.T, tr *Tree, when string) {
	t.Helper()
	super := []tiers.Identity{{Scheme: "super"}}
	bytes, ephemerals := 0, map[tiers.SessionID]int{}
	for path, want := range m.znodes {
		v, err := tr.Read(tiers.Query{Path: path, Want: tiers.WantData, Caller: super})
		if err != nil || string(v.Data) != want.data || v.Stat != want.stat || v.Zxid != m.zxid {
			t.Fatalf("%s: %s is %q %+v, %v; the model says %q %+v", when, path, v.Data, v.Stat, err, want.data, want.stat)
		}
		if want.stat.Czxid != 0 && (v.Data == nil) != want.null {
			t.Fatalf("%s: %s: null and empty are mixed up", when, path)
		}
		if v, _ = tr.Read(tiers.Query{Path: path, Want: tiers.WantACL, Caller: super}); !slices.Equal(v.ACL, want.acl) {
			t.Fatalf("%s: the ACL of %s is %v, the model says %v", when, path, v.ACL, want.acl)
		}
		var kids []string
		for other := range m.znodes {
			if i := strings.LastIndex(other, "/"); other != "/" && other[:max(i, 1)] == path {
				kids = append(kids, other[i+1:])
			}
		}
		slices.Sort(kids)
		if v, _ = tr.Read(tiers.Query{Path: path, Want: tiers.WantChildren, Caller: super}); !slices.Equal(v.Children, kids) {
			t.Fatalf("%s: the children of %s are %v, the model says %v", when, path, v.Children, kids)
		}
		below := int32(0)
		for other := range m.znodes {
			if other != path && strings.HasPrefix(other, strings.TrimSuffix(path, "/")+"/") {
				below++
			}
		}
		if v, err = tr.Read(tiers.Query{Path: path, Want: tiers.WantDescendants, Caller: super}); err != nil || v.Count != below {
			t.Fatalf("%s: %d below %s, %v; the model says %d", when, v.Count, path, err, below)
		}
		bytes += len(want.data)
		if want.stat.EphemeralOwner != 0 {
			ephemerals[want.stat.EphemeralOwner]++
		}
	}
	all := 0
	for id := range m.sessions {
		all += ephemerals[id]
		m.compareEphemerals(t, tr, id, when)
		if info, status := tr.Session(id); status != SessionLive || info.Host != m.sessions[id] || info.Ephemerals != ephemerals[id] {
			t.Fatalf("%s: session %v: %+v %v, the model says %v with %d ephemerals", when, id, info, status, m.sessions[id], ephemerals[id])
		}
	}
	for id := range m.ended {
		if _, status := tr.Session(id); status != SessionEnded {
			t.Fatalf("%s: session %v: %v", when, id, status)
		}
	}
	want := Stats{Znodes: len(m.znodes), Ephemerals: all, Sessions: len(m.sessions), DataBytes: int64(bytes)}
	if st := tr.Stats(); st != want {
		t.Fatalf("%s: %+v, the model says %+v", when, st, want)
	}
	lists := map[string]bool{}
	for _, z := range m.znodes {
		lists[fmt.Sprint(z.acl)] = true
	}
	if len(tr.acls) != len(lists) {
		t.Fatalf("%s: %d ACLs are kept for %d", when, len(tr.acls), len(lists))
	}
}

func (m *model) compareEphemerals(t *testing.T, tr *Tree, id tiers.SessionID, when string) {
	t.Helper()
	for _, prefix := range []string{"", "/", "/a", "/a/x", "/a/x-", "/b/"} {
		var want []string
		for path, z := range m.znodes {
			if z.stat.EphemeralOwner == id && strings.HasPrefix(path, prefix) {
				want = append(want, path)
			}
		}
		slices.Sort(want)
		v, err := tr.Read(tiers.Query{Path: prefix, Want: tiers.WantEphemerals, Session: id})
		if err != nil || !slices.Equal(v.Children, want) {
			t.Fatalf("%s: session %v has %q beginning with %q, %v; the model says %q", when, id, v.Children, prefix, err, want)
		}
	}
}
