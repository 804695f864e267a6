// Package fence is what a resource uses that a lock of coord/lock protects: it refuses who has lost the lock without knowing.
//
// A holder that was stopped for a while (a pause of its machine, a swapped-out process) may write when the lock is another's: it
// looked at its context, slept, and woke up inside the call. Nothing that runs in the holder can prevent that; the resource can. Each
// grant of a lock has a token that is larger than all before it (Held.Token): the holder sends it with each write, and the resource
// refuses a token smaller than the largest that it has seen.
//
//	checker := fence.NewChecker(store)                                 // in the resource
//	err := checker.Do(ctx, "users/00", token, func(ctx context.Context) error { return write(ctx) })
//
// [Middleware] does that for HTTP handlers, package fencegrpc for gRPC services, and [KV] for stores of keys and values; [Transport] and
// fencegrpc's client interceptors send the token. What a resource has seen must survive its restart: see [Store].
//
// Tokens are for what one holds at a time: a Mutex, the writers of an RWMutex, a Lease, an election. Several holders of a semaphore, or readers,
// have different tokens together; a checker would refuse all but the latest.
package fence
