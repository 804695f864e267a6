package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// contend lets n clients, spread over the members, each take a lock `times` times, and calls meanwhile after the first grant.
// There is never a second holder, grants come in the order of the queue, and no session is lost.
func contend(t *testing.T, n, times int, meanwhile func(), members ...*member) {
	t.Helper()
	const path = "/locks/db/users/shards/00"
	connect(t, 4*time.Second, members[0]).makePath(t, path)
	var (
		holders, overlaps atomic.Int32
		wg                sync.WaitGroup
		mu                sync.Mutex
		grants            []int // sequence numbers in the order of the grants; guarded by mu
		first             = make(chan struct{})
		once              sync.Once
	)
	clients := make([]*client, n)
	for i := range n {
		at := i % len(members)
		clients[i] = connect(t, 10*time.Second, slices.Concat(members[at:], members[:at])...)
	}
	for i, c := range clients {
		wg.Go(func() {
			for turn := range times {
				l := &zkLock{conn: c.Conn, dir: path, prefix: fmt.Sprintf("c%02d-t%02d-", i, turn), deadline: time.Now().Add(2 * patience)}
				seq, err := l.acquire()
				if err != nil {
					t.Errorf("contender %d: %v", i, err)
					return
				}
				if holders.Add(1) != 1 {
					overlaps.Add(1)
				}
				mu.Lock()
				grants = append(grants, seq)
				mu.Unlock()
				once.Do(func() { close(first) })
				holders.Add(-1)
				if err := l.release(); err != nil {
					t.Errorf("contender %d: %v", i, err)
					return
				}
			}
		})
	}
	select {
	case <-first:
		meanwhile()
	case <-time.After(patience):
		t.Error("nobody got the lock")
	}
	wg.Wait()
	if len(grants) != n*times || overlaps.Load() != 0 {
		t.Errorf("%d grants of %d, %d times two holders", len(grants), n*times, overlaps.Load())
	}
	if !slices.IsSorted(grants) {
		t.Errorf("the queue's order was not kept: %v", grants)
	}
	for i, c := range clients {
		if lost := c.sessionsLost(); lost != 0 {
			t.Errorf("contender %d lost its session %d times", i, lost)
		}
	}
}

// zkLock is the queue lock of ZooKeeper's recipes. go-zookeeper has one too, which leaves its place in the queue behind, and then
// waits for itself, when its connection breaks between taking a place and watching the one before it.
type zkLock struct {
	conn     *zk.Conn
	dir      string
	prefix   string // of the place's name, unique to this lock
	deadline time.Time
	place    string // name of our place in the queue
}

func (l *zkLock) acquire() (seq int, err error) {
	if err := l.retry(l.queue); err != nil {
		return 0, fmt.Errorf("take a place: %w", err)
	}
	if seq, err = sequence(l.place); err != nil {
		return 0, err
	}
	for {
		var before string
		if err := l.retry(func() (err error) { before, err = l.before(seq); return err }); err != nil {
			return 0, fmt.Errorf("look at the queue: %w", err)
		}
		if before == "" {
			return seq, nil
		}
		var there bool
		var event <-chan zk.Event
		err := l.retry(func() (err error) { there, _, event, err = l.conn.ExistsW(l.dir + "/" + before); return err })
		if err != nil {
			return 0, fmt.Errorf("watch %s: %w", before, err)
		}
		if there {
			select {
			case <-event: // whatever it says, the queue is looked at again
			case <-time.After(time.Until(l.deadline)):
				return 0, fmt.Errorf("%s did not give way to %s", before, l.place)
			}
		}
	}
}

// queue takes a place, or finds the one that an earlier try took without hearing so.
func (l *zkLock) queue() error {
	names, _, err := l.conn.Children(l.dir)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, l.prefix) }); i >= 0 {
		l.place = names[i]
		return nil
	}
	path, err := l.conn.Create(l.dir+"/"+l.prefix, nil, zk.FlagEphemeral|zk.FlagSequence, everyone)
	l.place = strings.TrimPrefix(path, l.dir+"/")
	return err
}

// before is the name of the place just before seq; empty when there is none.
func (l *zkLock) before(seq int) (string, error) {
	names, _, err := l.conn.Children(l.dir)
	if err != nil {
		return "", err
	}
	best, name := -1, ""
	for _, n := range names {
		s, err := sequence(n)
		if err != nil {
			return "", err
		}
		if s < seq && s > best {
			best, name = s, n
		}
	}
	return name, nil
}

func (l *zkLock) release() error {
	return l.retry(func() error {
		if err := l.conn.Delete(l.dir+"/"+l.place, -1); err != nil && !errors.Is(err, zk.ErrNoNode) {
			return err
		}
		return nil
	})
}

// retry asks again when the connection was lost under a request.
func (l *zkLock) retry(f func() error) error {
	for {
		err := f()
		if !lost(err) || time.Now().After(l.deadline) {
			return err
		}
	}
}

// lost is whether err says that the connection was lost under the request.
func lost(err error) bool {
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer)
}

func sequence(place string) (int, error) {
	return strconv.Atoi(place[max(0, len(place)-10):])
}
