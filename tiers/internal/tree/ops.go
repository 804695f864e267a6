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

// creation is a create that can be done, but for quotas.
type creation struct {
	path, parentPath string
	parent           *state
	list             []tiers.ACL
}

// creatable checks a create. It changes nothing.
func (a *applying) creatable(op *tiers.Op) (c creation, err error) {
	if err := checkMode(op); err != nil {
		return c, err
	}
	if op.Mode.IsEphemeral() && (a.txn.Session == 0 || a.sessions.get(a.txn.Session) == nil) {
		return c, tiers.ErrSessionExpired
	}
	if c.list, err = wellFormed(op, a.txn.Caller); err != nil {
		return c, err
	}
	c.path, c.parentPath = op.Path, parentOf(op.Path)
	c.parent = a.znodes.get(c.parentPath)
	switch {
	case c.parent == nil:
		return c, tiers.ErrNoNode
	case !c.parent.acl.allows(tiers.PermCreate, a.txn.Caller):
		return c, tiers.ErrNoAuth
	}
	if op.Mode.IsSequential() {
		if c.parent.creates == math.MaxInt32 {
			return c, fmt.Errorf("%w: the parent's sequence numbers are used up", tiers.ErrNodeExists)
		}
		c.path = numbered(op.Path, c.parent.creates)
	}
	switch {
	case !validPath(c.path):
		return c, tiers.ErrBadArguments
	case a.znodes.get(c.path) != nil:
		return c, tiers.ErrNodeExists
	case c.parent.kind == ephemeral:
		return c, tiers.ErrEphemeral
	}
	return c, nil
}

func (a *applying) create(op *tiers.Op, r *tiers.Result) error {
	c, err := a.creatable(op)
	if err != nil {
		return err
	}
	path, parentPath := c.path, c.parentPath
	if err := a.checkQuota(path, 1, len(op.Data)); err != nil {
		return err
	}

	p := *c.parent
	if p.creates < math.MaxInt32 {
		p.creates++
	}
	p.pzxid = a.z
	if p.kids == nil {
		p.kids = newChildren(a.listOf(parentPath))
	}
	z := &state{
		data: bytes.Clone(op.Data), acl: a.intern(c.list), // a clone: the log entry's memory is not kept for a part of it
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

// deletable checks a delete. It changes nothing.
func (a *applying) deletable(op *tiers.Op) (z *state, err error) {
	if _, err := wellFormed(op, nil); err != nil {
		return nil, err
	}
	parent := a.znodes.get(parentOf(op.Path))
	switch {
	case parent == nil:
		return nil, tiers.ErrNoNode
	case !parent.acl.allows(tiers.PermDelete, a.txn.Caller):
		return nil, tiers.ErrNoAuth
	}
	z = a.znodes.get(op.Path)
	switch {
	case z == nil:
		return nil, tiers.ErrNoNode
	case op.Version != tiers.AnyVersion && op.Version != z.version:
		return nil, tiers.ErrBadVersion
	case z.kids.len() > 0:
		return nil, tiers.ErrNotEmpty
	}
	return z, nil
}

func (a *applying) delete(op *tiers.Op) error {
	z, err := a.deletable(op)
	if err != nil {
		return err
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

// target is the znode of a setData, setACL or check, for callers with the permission; list is the one to store.
func (a *applying) target(op *tiers.Op) (z *state, list []tiers.ACL, err error) {
	if list, err = wellFormed(op, a.txn.Caller); err != nil {
		return nil, nil, err
	}
	perm := tiers.PermRead
	switch op.Kind {
	case tiers.OpSetData:
		perm = tiers.PermWrite
	case tiers.OpSetACL:
		perm = tiers.PermAdmin
	default:
	}
	z = a.znodes.get(op.Path)
	switch {
	case z == nil:
		return nil, nil, tiers.ErrNoNode
	case !z.acl.allows(perm, a.txn.Caller):
		return nil, nil, tiers.ErrNoAuth
	case op.Kind == tiers.OpSetData && op.Path == ConfigPath:
		return nil, nil, fmt.Errorf("%w: the configuration changes with the membership", tiers.ErrNoAuth)
	}
	return z, list, nil
}

func (a *applying) setData(op *tiers.Op, r *tiers.Result) error {
	old, _, err := a.target(op)
	if err != nil {
		return err
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
	old, list, err := a.target(op)
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
	z, _, err := a.target(op)
	if err == nil && op.Version != tiers.AnyVersion && op.Version != z.version {
		err = tiers.ErrBadVersion
	}
	return err
}
