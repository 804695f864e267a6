package tree

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/strata-coord/strata/tiers"
)

var alice, bob = tiers.Identity{Scheme: "digest", ID: "alice:h"}, tiers.Identity{Scheme: "digest", ID: "bob:h"}

// world makes random txns on a few paths by a few sessions, so that everything meets everything.
type world struct{ *rand.Rand }

func (w world) path() string {
	names := []string{"/a", "/b", "/a/x", "/a/y", "/b/x", "/b/z", "/a/x/1", "/a/x/2", "/b/x/1", "/c", "/", "/a/x-", "/b/z-", "/zookeeper/q"}
	return names[w.IntN(len(names))]
}

// quotas are znodes that make quotas, nested ones too.
func (w world) quota() string {
	return []string{"/zookeeper/quota/a", "/zookeeper/quota/a/x", "/zookeeper/quota/b"}[w.IntN(3)] + []string{"", limitsName, statsName, statsName}[w.IntN(4)]
}

func (w world) limits() []byte {
	return []byte([]string{
		"count=3,bytes=8", "count=-1,bytes=-1=;byteHardLimit=12;countHardLimit=4", "count=-1,bytes=20=;countHardLimit=2", "bytes=1;;byteHardLimit=6,odd=7",
		"", "count", "count=x,bytes==3,countHardLimit=5=;",
	}[w.IntN(7)])
}

// quotaTxn makes quotas on the top znodes.
func (w world) quotaTxn() *tiers.Txn {
	txn := &tiers.Txn{Caller: []tiers.Identity{{Scheme: "super"}}}
	for _, top := range []string{"/a", "/b"} {
		for _, name := range []string{"", limitsName, statsName} {
			txn.Ops = append(txn.Ops, tiers.Op{Kind: tiers.OpCreate, Path: quotaRoot + top + name, ACL: tiers.OpenACL, Data: w.limits()})
		}
	}
	return txn
}

func (w world) acl() []tiers.ACL {
	switch w.IntN(6) {
	case 0:
		return []tiers.ACL{{Perms: tiers.PermAll, Who: alice}, {Perms: tiers.PermRead, Who: bob}}
	case 1:
		return []tiers.ACL{{Perms: tiers.PermRead | tiers.PermCreate | tiers.PermDelete, Who: tiers.OpenACL[0].Who}, {Perms: tiers.PermAdmin, Who: bob}}
	}
	return tiers.OpenACL
}

func (w world) op(session tiers.SessionID) tiers.Op {
	op := tiers.Op{Path: w.path(), Version: int32(w.IntN(3)) - 1}
	if w.IntN(2) == 0 {
		op.Version = -1
	}
	if w.IntN(12) == 0 {
		op.Path, op.Data = w.quota(), w.limits()
	} else if w.IntN(4) > 0 {
		op.Data = bytes.Repeat([]byte{'d'}, w.IntN(5))
	}
	switch k := w.IntN(20); {
	case k < 9:
		op.Kind, op.Mode, op.ACL = tiers.OpCreate, tiers.CreateMode(w.IntN(8)), w.acl()
		if op.Mode.IsTTL() {
			op.TTL = time.Duration(1+w.IntN(80)) * time.Millisecond
		}
		if op.Path == "/" && !op.Mode.IsSequential() {
			op.Path = "/d"
		}
	case k < 13:
		op.Kind = tiers.OpDelete
	case k < 16:
		op.Kind = tiers.OpSetData
	case k < 17:
		op.Kind, op.ACL = tiers.OpSetACL, w.acl()
	case k < 18:
		op.Kind = tiers.OpCheck
	case k < 19 && session != 0:
		op = tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second}
	case session != 0 && w.IntN(3) == 0:
		op = tiers.Op{Kind: tiers.OpCloseSession}
	default:
		op.Kind = tiers.OpCheck
	}
	return op
}

func (w world) txn(sessions int) *tiers.Txn {
	txn := &tiers.Txn{Session: tiers.SessionID(w.IntN(sessions + 1))}
	switch w.IntN(4) {
	case 0:
		txn.Caller = []tiers.Identity{alice}
	case 1:
		txn.Caller = []tiers.Identity{bob, {Scheme: "ip", ID: "10.0.0.1"}}
	case 2:
		txn.Caller = []tiers.Identity{{Scheme: "super"}}
	}
	n := 1
	if w.IntN(3) == 0 {
		n = w.IntN(6)
	}
	for range n {
		txn.Ops = append(txn.Ops, w.op(txn.Session))
	}
	return txn
}
