package tree

import (
	"errors"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// What is wrong by itself is refused by itself; what another check could have refused before is not.
func TestRefusalOutright(t *testing.T) {
	d := drive(t)
	d.must(5, opening)
	d.must(6, opening, tiers.Op{Kind: tiers.OpCloseSession})
	if _, err := d.Apply(0, Origin{2, 1}, 1, &tiers.Txn{Session: 7, Ops: []tiers.Op{opening}}); err != nil {
		t.Fatal(err)
	}
	noACL := func(path string) tiers.Op { return tiers.Op{Kind: tiers.OpCreate, Path: path} }
	ttl := func(d time.Duration) tiers.Op {
		op := mk("/x", tiers.PersistentTTL)
		op.TTL = d
		return op
	}
	for i, row := range []struct {
		session tiers.SessionID
		op      tiers.Op
		want    error // nil: the log decides
	}{
		{0, mk("/x", 0), nil},
		{0, mk("/x", 99), tiers.ErrBadArguments},
		{0, ttl(0), tiers.ErrBadArguments},
		{0, ttl(tiers.MaxTTL + 1), tiers.ErrBadArguments},
		{0, ttl(time.Second), nil},
		{0, noACL("x"), tiers.ErrBadArguments},
		{0, noACL("/x"), tiers.ErrInvalidACL},
		{0, mk("/", 0), tiers.ErrNodeExists},
		{0, mk("/", tiers.PersistentSequential), nil},
		{0, mk("/a//b", 0), tiers.ErrNoNode},
		{0, mk("/a/\x01/b", 0), tiers.ErrNoNode},
		{0, mk("/a/", 0), nil},   // if /a is missing, that comes first
		{0, mk("/\x01", 0), nil}, // if the root forbids it, that comes first
		{0, put("/zookeeper/quota/x", ""), nil},
		{0, tiers.Op{Kind: tiers.OpDelete, Path: "x"}, tiers.ErrBadArguments},
		{0, tiers.Op{Kind: tiers.OpDelete, Path: "/zookeeper"}, tiers.ErrBadArguments},
		{0, tiers.Op{Kind: tiers.OpDelete, Path: "/a//b"}, tiers.ErrNoNode},
		{0, tiers.Op{Kind: tiers.OpDelete, Path: "/a/"}, nil},
		{0, tiers.Op{Kind: tiers.OpSetData, Path: "/a/"}, tiers.ErrBadArguments},
		{0, tiers.Op{Kind: tiers.OpSetACL, Path: "/a/"}, tiers.ErrBadArguments},
		{0, tiers.Op{Kind: tiers.OpSetACL, Path: "/a"}, tiers.ErrInvalidACL},
		{0, tiers.Op{Kind: tiers.OpSetACL, Path: "/a", ACL: tiers.OpenACL}, nil},
		{0, tiers.Op{Kind: tiers.OpCheck, Path: ""}, tiers.ErrBadArguments},
		{0, tiers.Op{Kind: tiers.OpCheck, Path: "/a"}, nil},
		{0, tiers.Op{Kind: 77}, nil},
		{8, opening, nil},

		// The session is looked at first.
		{4, noACL("x"), tiers.ErrBadArguments}, // not known here: none of the tree's business
		{5, noACL("x"), tiers.ErrBadArguments},
		{6, noACL("x"), nil},   // it has ended
		{7, noACL("x"), nil},   // it is elsewhere
		{7, mk("/x", 99), nil}, // likewise
		{5, mk("x", 1), tiers.ErrBadArguments},
		{4, mk("x", 1), nil}, // its opening may be on the way
		{0, mk("x", 1), nil},
		{4, mk("x", 99), tiers.ErrBadArguments},
	} {
		txn := &tiers.Txn{Session: row.session, Ops: []tiers.Op{row.op}}
		d.holds(i, txn, false, row.want)
	}
	both := &tiers.Txn{Ops: []tiers.Op{mk("x", 99), mk("x", 99)}}
	if r, err := d.Refusal(here, both, true); err != nil || r.Results != nil {
		t.Errorf("a multi is refused: %+v, %v", r, err)
	}
}

// holds holds a refusal against want, and, if there is one, against what Apply answers.
func (d *driver) holds(row int, txn *tiers.Txn, shown bool, want error) {
	d.t.Helper()
	r, err := d.Refusal(here, txn, shown)
	if (err == nil) != (want == nil) || !errors.Is(err, want) {
		d.t.Errorf("%d: %+v: refused with %v, want %v", row, txn, err, want)
		return
	}
	if err == nil {
		if r.Results != nil || r.Zxid != 0 {
			d.t.Errorf("%d: %+v for nothing", row, r)
		}
		return
	}
	d.n++
	applied, said := d.Apply(0, here, d.n, txn)
	sameRefusal(d.t, txn, r, applied, err, said)
}

func sameRefusal(t *testing.T, txn *tiers.Txn, r, applied tiers.Receipt, err, said error) {
	t.Helper()
	if said == nil || err.Error() != said.Error() || r.Zxid != applied.Zxid || len(r.Results) != 1 || r.Results[0].Err.Error() != applied.Results[0].Err.Error() {
		t.Errorf("%+v: refused with %+v, %v; applied, it is %+v, %v", txn, r, err, applied, said)
	}
}

// By the state that is here, three errors are told.
func TestRefusalByTheState(t *testing.T) {
	d := drive(t)
	d.must(5, opening, mk("/e", tiers.Ephemeral))
	d.must(0, mk("/open", 0), mk("/open/kid", 0), mk("/seq", 0), mk("/seq/0000000001", 0),
		tiers.Op{Kind: tiers.OpCreate, Path: "/closed", ACL: grantTo(tiers.PermAll, alice)})
	op := func(k tiers.OpKind, path string, version int32) tiers.Op {
		return tiers.Op{Kind: k, Path: path, Version: version, ACL: tiers.OpenACL}
	}
	for i, row := range []struct {
		session tiers.SessionID
		op      tiers.Op
		want    error
	}{
		{5, mk("/new", 0), nil},
		{5, mk("/open", 0), tiers.ErrNodeExists},
		{5, mk("/open", tiers.Ephemeral), tiers.ErrNodeExists},
		{4, mk("/open", tiers.Ephemeral), nil},
		{5, mk("/none/x", 0), tiers.ErrNoNode},
		{5, mk("/none/x-", tiers.PersistentSequential), tiers.ErrNoNode},
		{5, mk("/closed/x", 0), tiers.ErrNoAuth},
		{5, mk("/seq/", tiers.PersistentSequential), nil}, // the next number is taken, as far as this member knows
		{5, mk("/e/x", 0), nil},
		{5, mk("/open/", 0), nil},
		{5, op(tiers.OpDelete, "/none", -1), tiers.ErrNoNode},
		{5, op(tiers.OpDelete, "/closed/x", -1), tiers.ErrNoAuth},
		{5, op(tiers.OpDelete, "/open", -1), nil}, // children come and go
		{5, op(tiers.OpDelete, "/open/kid", 7), nil},
		{5, op(tiers.OpSetData, "/none", 7), tiers.ErrNoNode},
		{5, op(tiers.OpSetData, "/closed", 7), tiers.ErrNoAuth},
		{5, op(tiers.OpSetData, "/open", 7), nil},
		{5, op(tiers.OpSetACL, "/none", 7), tiers.ErrNoNode},
		{5, op(tiers.OpSetACL, "/closed", 7), tiers.ErrNoAuth},
		{5, op(tiers.OpSetACL, "/open", 7), nil},
		{5, op(tiers.OpCheck, "/none", 7), tiers.ErrNoNode},
		{5, op(tiers.OpCheck, "/closed", 7), tiers.ErrNoAuth},
		{5, op(tiers.OpCheck, "/open", 7), nil},
		{0, op(tiers.OpCheck, "/none", 7), tiers.ErrNoNode},
	} {
		d.holds(i, &tiers.Txn{Session: row.session, Ops: []tiers.Op{row.op}}, true, row.want)
	}
}
