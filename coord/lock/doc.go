// Package lock has the recipes for mutual exclusion: [Mutex], and beside it [RWMutex], [Semaphore], [Lease], [Election], [Barrier],
// [DoubleBarrier], [Counter] and [Shards].
//
//	held, err := lock.New(node, "/locks/db/users/shards/00").Acquire(ctx)
//	if err != nil {
//		return err
//	}
//	defer held.Release(context.WithoutCancel(ctx))
//	work(held.Context(), held.Token())
//
// # What a holder must do
//
// A lock in a distributed system can be lost while it is held: the process is paused, the network fails, and the cluster gives
// the lock to another. Two things protect what the lock guards.
//
// [Held.Context] ends before anyone else can be granted the lock, unless an operator deletes the lock's znode by hand (then it ends
// at the moment this member learns of it). Work under it, and stop when it ends.
//
// [Held.Token] is larger with every grant of the lock, for ever. Send it with each write to the guarded resource, and let the
// resource refuse a token smaller than one it has seen: package fence does that for HTTP, gRPC and stores. That also stops a
// process that was paused between looking at its context and writing.
//
// [Held.State] tells how it stands: [Safe], [InJeopardy] (renewals are late; nobody else can be granted the lock before State.Until), or
// [Lost]; [Held.Watch] follows it. A loss is a [*LostError]: the kind, the reason in words, and the timeline that led to it. It is the cause of
// the context too:
//
//	var lost *lock.LostError
//	if errors.As(context.Cause(held.Context()), &lost) {
//		log.Print(lost.Story())
//	}
//
// # When to let go
//
// By default a holder keeps the lock for as long as the cluster can't have given it to another: [YieldAtExpiry]. [YieldOnDisconnect] and
// [YieldAfter] let go earlier, and [Healthy] when the holder's own check fails: a holder that is alive but useless makes room.
//
// # In the tree
//
// The lock is a persistent znode at its path, made when it is missing. Each contender is an ephemeral sequential child; the one
// with the lowest sequence number holds the lock, and each other waits for the one just before it to go, so that a release
// wakes one waiter. The names are those of other clients, who contend for the same lock:
//
//	<32 hex digits>__lock__<sequence>      kazoo's Lock; ours by default
//	_c_<uuid>-lock-<sequence>              Curator's InterProcessMutex, go-zookeeper's Lock; ours with [CuratorNames]
//	lock-<sequence>                        older recipes
//	<32 hex digits>__rlock__<sequence>     kazoo's ReadLock; its WriteLock has the names of its Lock
//	_c_<uuid>-__READ__<sequence>           Curator's InterProcessReadWriteLock, reading
//	_c_<uuid>-__WRIT__<sequence>           and writing
//
// All of these are contenders to us (a [Mutex] does not count those of Curator's read-write lock, nor readers). The others don't all see each other: kazoo counts other names only when its extra_lock_patterns say
// so ("lock-" for ours with CuratorNames), Curator orders only names like its own, go-zookeeper takes all. So use the default
// where kazoo or go-zookeeper share the lock, CuratorNames where Curator or go-zookeeper do.
//
// The path must be on a linearizable route with sequential ephemerals: the strong tier's.
package lock
