package tree

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// The ops on znodes. Each checks in the order of zk-protocol 5.2: what is wrong first is what clients expect to be told.

func (a *applying) create(op *tiers.Op, r *tiers.Result) error {
	if err := checkMode(op); err != nil {
		return err
	}
	if op.Mode.IsEphemeral() && (a.txn.Session == 0 || a.sessions.get(a.txn.Session) == nil) {
		return tiers.ErrSessionExpired
	}
	if !rooted(op.Path) {
		return tiers.ErrBadArguments
	}
	list, ok := storable(op.ACL, a.txn.Caller)
	if !ok {
		return tiers.ErrInvalidACL
	}
	if op.Path == "/" && !op.Mode.IsSequential() {
		return tiers.ErrNodeExists
	}
	parentPath := parentOf(op.Path)
	parent := a.znodes.get(parentPath)
	switch {
	case parent == nil:
		return tiers.ErrNoNode
	case !parent.acl.allows(tiers.PermCreate, a.txn.Caller):
		return tiers.ErrNoAuth
	}
	path := op.Path
	if op.Mode.IsSequential() {
		if parent.creates == math.MaxInt32 {
			return fmt.Errorf("%w: the parent's sequence numbers are used up", tiers.ErrNodeExists)
		}
		path = numbered(op.Path, parent.creates)
	}
	switch {
	case !validPath(path):
		return tiers.ErrBadArguments
	case a.znodes.get(path) != nil:
		return tiers.ErrNodeExists
	case parent.kind == ephemeral:
		return tiers.ErrEphemeral
	}
	if err := a.checkQuota(path, 1, len(op.Data)); err != nil {
		return err
	}

	p := *parent
	if p.creates < math.MaxInt32 {
		p.creates++
	}
	p.pzxid = a.z
	if p.kids == nil {
		p.kids = newChildren(a.listOf(parentPath))
	}
	z := &state{
		data: bytes.Clone(op.Data), acl: a.intern(list), // a clone: the log entry's memory is not kept for a part of it
		czxid: a.z, mzxid: a.z, pzxid: a.z, ctime: a.at, mtime: a.at,
	}
	switch {
	case op.Mode.IsEphemeral():
		z.kind, z.owner = ephemeral, a.txn.Session
	case op.Mode.IsContainer():
		z.kind = container
	case op.Mode.IsTTL():
		z.kind, z.ttl = expiring, op.TTL
	}
	a.edit(parentPath, &p, nil)
	a.edit(path, z, p.kids)
	a.account(path, 1, len(z.data))
	a.recount(path)
	a.event(tiers.NodeCreated, path, z, a.z)
	a.event(tiers.NodeChildrenChanged, parentPath, &p, a.z)
	r.Path, r.Stat = path, z.stat()
	return nil
}

func checkMode(op *tiers.Op) error {
	if op.Mode < tiers.Persistent || op.Mode > tiers.ContainerSequential {
		return fmt.Errorf("%w: create mode %d", tiers.ErrBadArguments, op.Mode)
	}
	if op.Mode.IsTTL() != (op.TTL != 0) || op.TTL < 0 || op.TTL > tiers.MaxTTL || op.TTL%time.Millisecond != 0 {
		return fmt.Errorf("%w: a TTL of %v", tiers.ErrBadArguments, op.TTL)
	}
	return nil
}

// numbered is a path with a sequence number: at least ten digits.
func numbered(path string, n int32) string {
	b := make([]byte, 0, len(path)+10)
	b = append(b, path...)
	for least := int32(1e9); least > max(n, 1); least /= 10 {
		b = append(b, '0')
	}
	return string(strconv.AppendInt(b, int64(n), 10))
}

func (a *applying) delete(op *tiers.Op) error {
	if !rooted(op.Path) || special(op.Path) {
		return tiers.ErrBadArguments
	}
	parent := a.znodes.get(parentOf(op.Path))
	switch {
	case parent == nil:
		return tiers.ErrNoNode
	case !parent.acl.allows(tiers.PermDelete, a.txn.Caller):
		return tiers.ErrNoAuth
	}
	z := a.znodes.get(op.Path)
	switch {
	case z == nil:
		return tiers.ErrNoNode
	case op.Version != tiers.AnyVersion && op.Version != z.version:
		return tiers.ErrBadVersion
	case z.kids.len() > 0:
		return tiers.ErrNotEmpty
	}
	a.take(op.Path, z, a.z)
	return nil
}

// take deletes a childless znode in commit zxid.
func (t *Tree) take(path string, z *state, zxid tiers.Zxid) {
	parentPath := parentOf(path)
	p := *t.znodes.get(parentPath)
	p.pzxid = zxid
	t.edit(parentPath, &p, nil)
	t.edit(path, nil, p.kids)
	t.account(path, -1, -len(z.data))
	t.event(tiers.NodeDeleted, path, z, zxid)
	t.event(tiers.NodeChildrenChanged, parentPath, &p, zxid)
}

// target is the znode of a setData, setACL or check, for callers with the permission.
func (a *applying) target(path string, perm tiers.Perm) (*state, error) {
	z := a.znodes.get(path)
	switch {
	case z == nil:
		return nil, tiers.ErrNoNode
	case !z.acl.allows(perm, a.txn.Caller):
		return nil, tiers.ErrNoAuth
	}
	return z, nil
}

func (a *applying) setData(op *tiers.Op, r *tiers.Result) error {
	if !validPath(op.Path) {
		return tiers.ErrBadArguments
	}
	old, err := a.target(op.Path, tiers.PermWrite)
	switch {
	case err != nil:
		return err
	case op.Path == configPath:
		return fmt.Errorf("%w: the configuration changes with the membership", tiers.ErrNoAuth)
	}
	if err := a.checkQuota(op.Path, 0, len(op.Data)-len(old.data)); err != nil {
		return err
	}
	if op.Version != tiers.AnyVersion && op.Version != old.version {
		return tiers.ErrBadVersion
	}
	z := *old
	z.data = bytes.Clone(op.Data)
	z.version++
	z.mzxid, z.mtime = a.z, a.at
	a.edit(op.Path, &z, nil)
	a.account(op.Path, 0, len(z.data)-len(old.data))
	a.event(tiers.NodeDataChanged, op.Path, &z, a.z)
	r.Stat = z.stat()
	return nil
}

func (a *applying) setACL(op *tiers.Op, r *tiers.Result) error {
	if !validPath(op.Path) {
		return tiers.ErrBadArguments
	}
	list, ok := storable(op.ACL, a.txn.Caller)
	if !ok {
		return tiers.ErrInvalidACL
	}
	old, err := a.target(op.Path, tiers.PermAdmin)
	switch {
	case err != nil:
		return err
	case op.Version != tiers.AnyVersion && op.Version != old.aversion:
		return tiers.ErrBadVersion
	}
	z := *old
	z.acl = a.intern(list)
	z.aversion++
	a.edit(op.Path, &z, nil)
	r.Stat = z.stat()
	return nil
}

func (a *applying) check(op *tiers.Op) error {
	if !validPath(op.Path) {
		return tiers.ErrBadArguments
	}
	z, err := a.target(op.Path, tiers.PermRead)
	if err == nil && op.Version != tiers.AnyVersion && op.Version != z.version {
		err = tiers.ErrBadVersion
	}
	return err
}
