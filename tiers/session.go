package tiers

import (
	"context"
	"time"
)

// Lease is a session as its client holds it.
type Lease struct {
	ID       SessionID
	Password [16]byte      // proves to any member who the client is, not that the session lives
	Timeout  time.Duration // negotiated
	Grip     uint64        // which attachment of the session at this member this is
}

// Sessions is the session table of one member, as listeners and recipes use it. Methods may be called concurrently.
//
// A session is local first and costs no quorum write; it is opened in a tier, unseen by its client, before its first
// ephemeral create there. Cut is called once, without locks held and not from within Open or Attach, when the holder must
// let go: with ErrSessionExpired when the session has ended by expiry or by another's Close, with ErrSessionMoved when
// another connection or member took it over. It must not block. It is not called after the holder's own Close or Detach.
type Sessions interface {
	// Open starts a session hosted here. The timeout is clamped to the configured range. Errors: ErrUnavailable, ErrClosed.
	Open(ctx context.Context, timeout time.Duration, cut func(error)) (Lease, error)

	// Attach takes the session over for a new holder; a holder at this member is cut first, but only if the password is right.
	// Errors: ErrBadPassword, ErrSessionExpired, ErrUnavailable (whether it lives can't be proven now: try another member), ErrClosed.
	Attach(ctx context.Context, id SessionID, password []byte, timeout time.Duration, cut func(error)) (Lease, error)

	// Touch says that the session's client was heard of. Cheap; for every frame.
	Touch(id SessionID)

	// Detach says that the holder is gone without closing: the session lives on until its timeout. It does nothing when
	// another holder has attached since.
	Detach(l Lease)

	// Close ends the session: it completes when its ephemerals are gone in every tier. Errors: ErrSessionMoved when another
	// holder has attached since, ErrUnavailable, ErrClosed.
	Close(ctx context.Context, l Lease) *Pending
}

// ReadOnlySessions is implemented by a session table whose member may be in read-only mode (see [Query.Local]).
type ReadOnlySessions interface {
	// AttachReadOnly is for a holder that is content with read-only mode, when Attach has answered ErrUnavailable: it takes over a session
	// that the majority alone could move. When the majority is back, it is moved, or the holder is cut because the session has ended or
	// gone elsewhere. Errors: as of Attach.
	AttachReadOnly(ctx context.Context, id SessionID, password []byte, timeout time.Duration, cut func(error)) (Lease, error)
}
