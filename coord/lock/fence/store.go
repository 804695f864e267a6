package fence

import (
	"context"
	"sync"
)

// Store keeps the largest token that was seen for each resource. Its methods may be called concurrently.
//
// It has to survive what the resource survives: keep it where the resource's data is, best in the same transaction. In SQL, Raise is
//
//	INSERT INTO fence (resource, token) VALUES ($1, $2)
//	ON CONFLICT (resource) DO UPDATE SET token = greatest(fence.token, excluded.token) RETURNING token
type Store interface {
	// Raise makes the resource's largest token at least token, and returns the largest, once it is kept. An error refuses the call
	// that brought the token.
	Raise(ctx context.Context, resource string, token int64) (highest int64, err error)
}

// Memory is a [Store] that forgets at its end.
type Memory struct {
	mu      sync.Mutex
	highest map[string]int64 // guarded by mu
}

// NewMemory returns an empty one.
func NewMemory() *Memory { return &Memory{highest: make(map[string]int64)} }

// Raise implements [Store].
func (m *Memory) Raise(_ context.Context, resource string, token int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.highest[resource] = max(m.highest[resource], token)
	return m.highest[resource], nil
}
