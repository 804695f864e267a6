package tiers

import "time"

// OpKind is what an [Op] does.
type OpKind uint8

const (
	OpCreate OpKind = iota + 1
	OpDelete
	OpSetData
	OpSetACL
	OpCheck        // the znode's version, changing nothing
	OpOpenSession  // make Txn.Session known here with Op.Timeout, hosted by the submitting member; on a live session: move it there
	OpCloseSession // end Txn.Session and delete its ephemerals
)

func (k OpKind) String() string {
	switch k {
	case OpCreate:
		return "create"
	case OpDelete:
		return "delete"
	case OpSetData:
		return "setData"
	case OpSetACL:
		return "setACL"
	case OpCheck:
		return "check"
	case OpOpenSession:
		return "openSession"
	case OpCloseSession:
		return "closeSession"
	}
	return "unknown op"
}

// AnyVersion as Op.Version matches every version.
const AnyVersion int32 = -1

// Op is one step of a [Txn]. Which fields count depends on Kind.
type Op struct {
	Kind    OpKind
	Path    string
	Data    []byte        // create, setData; nil is ZooKeeper's null, distinct from empty
	Mode    CreateMode    // create
	TTL     time.Duration // create with a TTL mode: whole milliseconds, 1ms to MaxTTL
	ACL     []ACL         // create, setACL
	Version int32         // delete, setData, check: the data version; setACL: the ACL version; AnyVersion for any
	Timeout time.Duration // openSession: the session's timeout
}

// RequestID lets a caller ask later what became of a txn, by its session and this. It is the caller's choice; it grows within its session; 0 is none, and the
// greatest one is taken.
type RequestID uint64

// Txn is a list of ops that apply together or not at all. The tier keeps it: the caller must not change it after Submit.
type Txn struct {
	Session SessionID  // on whose behalf; 0 for none (then no ephemerals)
	Request RequestID  // see [RequestID]
	Caller  []Identity // whom ACLs are checked against; a {"super", ""} entry passes every check
	Ops     []Op
}

// Result is what one op of a txn did.
type Result struct {
	Path string // create: the full name, with its sequence number
	Stat Stat   // create, setData, setACL: the znode after this op
	Err  error  // in a failed txn: what was wrong with this op; [ErrRolledBack] before it, [ErrNotTried] after it
}

// Receipt is the answer to a txn or to a [Tier.Follow].
type Receipt struct {
	Zxid    Zxid // the txn's position; of a failed txn or a read: what was applied when it was decided
	Results []Result
	Write   WriteID // zero where the tier needs none
	View    View    // of a Follow
}

// Want is what a [Query] asks for.
type Want uint8

const (
	WantStat     Want = iota // ZooKeeper's exists
	WantData                 // and the Stat
	WantChildren             // and the Stat
	WantACL                  // and the Stat; digest ids are redacted for callers without PermAdmin
	WantNothing              // only freshness: ZooKeeper's sync
	// WantDescendants is how many znodes there are below Query.Path, at any depth: View.Count.
	WantDescendants
	// WantEphemerals are the ephemerals of Query.Session: View.Children has their full paths. Query.Path is a plain prefix of
	// those, which need not end where a name does; empty for all. It asks for no permission.
	WantEphemerals
)

// Query is a read.
type Query struct {
	Path    string
	Want    Want
	Session SessionID // whose read it is, if somebody's: WantEphemerals needs it
	Caller  []Identity
	Watch   *WatchSpec // armed atomically with the read, when the read succeeds (or is a WantStat that finds no znode)
	Fresh   bool       // as new as a strong read, also on a route that answers from local memory
	// Local lets a member in read-only mode (it has been without a majority for a while) answer from what it has applied, a prefix
	// of the commit order whose age is View.Staleness; also a read that waits for the majority when the mode begins. What can't be
	// answered so, as it is Fresh or AtLeast is not reached, is then refused at once, with ErrUnavailable. With a majority, and
	// where nothing needs one, it changes nothing. All reads of a session set it alike.
	Local bool
	// AtLeast holds the answer until this much of the commit order is applied here; the deadline is the context's.
	AtLeast Zxid
}

// WatchSpec says which watch a read arms.
type WatchSpec struct {
	Watcher Watcher
	// Scope is ScopeData (WantStat, WantData) or ScopeChildren (WantChildren). With WantNothing, which finds whatever there is, it
	// is ScopePersistent or ScopeRecursive: AddWatch at the read's place, in path's tree alone.
	Scope Scope
	// Rearm makes the watch conditional, for a client that had it before it reconnected and last saw Since: it is armed only
	// if nothing that it would have told has happened after Since. View.Armed says which. ExpectMissing: the client knew the znode as missing.
	Rearm         bool
	Since         Zxid
	ExpectMissing bool
}

// View is the answer to a [Query].
type View struct {
	Zxid      Zxid          // what this member has applied of the replicated tree
	Staleness time.Duration // upper bound of how old this state is; 0 for a linearizable read
	Data      []byte        // shared: the caller must not change it
	Children  []string      // names, sorted (WantEphemerals: paths); shared: the caller must not change it
	Count     int32         // WantDescendants
	ACL       []ACL
	Stat      Stat
	Armed     bool // the watch was armed
}
