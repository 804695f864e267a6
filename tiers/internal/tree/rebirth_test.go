package tree

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// stages are the steps that bring a snapshot.
func stages(t *testing.T, raw []byte) (steps []*Stage) {
	t.Helper()
	for piece, err := range Pieces(bytes.NewReader(append(slices.Clone(raw), "what follows is not read"...))) {
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, &Stage{ID: [16]byte{1}, Step: uint64(len(steps)), Data: bytes.Clone(piece)})
	}
	return append(steps, &Stage{ID: [16]byte{1}, Step: uint64(len(steps)), Last: true})
}

func restage(t *testing.T, tr *Tree, at int64, raw []byte) {
	t.Helper()
	for _, s := range stages(t, raw) {
		if err := tr.Stage(at, s); err != nil {
			t.Fatal(err)
		}
	}
}

// wander applies some random txns of two members.
func wander(t *testing.T, w world, tr *Tree, n int, at int64) {
	t.Helper()
	for range n {
		m := uint32(1 + w.IntN(2))
		_, number := tr.Last(m)
		if _, err := tr.Apply(at, Origin{Member: m, Incarnation: 1}, number+1, w.txn(12)); errors.Is(err, ErrGap) || errors.Is(err, ErrRepeat) {
			t.Fatal(err)
		}
	}
}

// goesOn checks that nothing that old has counted is counted again in now.
func goesOn(t *testing.T, now, old *content) {
	t.Helper()
	if now.zxid <= old.zxid || now.at < old.at {
		t.Errorf("zxid %v after %v, time %d after %d", now.zxid, old.zxid, now.at, old.at)
	}
	old.sessions.each(func(id tiers.SessionID, _ *session) bool {
		if !now.ended.has(id) {
			t.Errorf("session %v has not ended", id)
		}
		return true
	})
	old.ended.runs(func(first, n uint64) bool {
		for i := range n {
			if !now.ended.has(tiers.SessionID(first + i)) {
				t.Errorf("the end of session %x is forgotten", first+i)
			}
		}
		return true
	})
	if now.sessions.size != 0 || now.ephemerals != 0 {
		t.Errorf("%d sessions and %d ephemerals live", now.sessions.size, now.ephemerals)
	}
	now.znodes.each(func(path string, z *state) bool {
		w := old.znodes.get(path)
		if z.kind == ephemeral {
			t.Errorf("%s is ephemeral", path)
		}
		if w == nil || path == ConfigPath { // that one tells of the running members
			return true
		}
		was, is := w.stat(), z.stat()
		if is.Version < was.Version || is.Aversion < was.Aversion || is.Cversion < was.Cversion || is.Czxid < was.Czxid || is.Mzxid < was.Mzxid || is.Pzxid < was.Pzxid || z.creates < w.creates {
			t.Errorf("%s goes back: %+v after %+v", path, is, was)
		}
		if !bytes.Equal(z.data, w.data) && (is.Version == was.Version || is.Mzxid != now.zxid) {
			t.Errorf("%s has other data: %+v after %+v", path, is, was)
		}
		return true
	})
}

func TestStageGoesOnFromBothStates(t *testing.T) {
	for seed := range uint64(20) {
		w := world{rand.New(rand.NewPCG(seed, 4))}
		tr := New()
		tr.SetKey([]byte("secret"))
		tr.Register("a", [16]byte{1})
		tr.Register("b", [16]byte{2})
		wander(t, w, tr, 300, 1000)
		raw := snapshotOf(t, tr)
		saved := tr.content
		if err := tr.Restore(bytes.NewReader(raw)); err != nil { // so that saved is changed no more
			t.Fatal(err)
		}
		wander(t, w, tr, 300, 2000)
		tr.Register("c", [16]byte{3})
		tr.Configure(2500, []byte("server.1=x"))
		config := string(tr.znodes.get(ConfigPath).data)
		present := snapshotOf(t, tr)
		other := New()
		if err := other.Restore(bytes.NewReader(present)); err != nil {
			t.Fatal(err)
		}
		old := tr.content
		inc, last := tr.Last(1)
		var ended []tiers.SessionID
		tr.onEnd = nil
		tr.OnSessionEnd(func(id tiers.SessionID) { ended = append(ended, id) })
		restage(t, tr, 3000, raw)
		goesOn(t, &tr.content, &old)
		goesOn(t, &tr.content, &saved)
		if len(ended) != old.sessions.size {
			t.Errorf("%d of %d sessions were told to have ended", len(ended), old.sessions.size)
		}
		if i, n := tr.Last(1); i != inc || n != last || len(tr.members) != 3 || string(tr.Key()) != "secret" || string(tr.znodes.get(ConfigPath).data) != config {
			t.Error("what belongs to the running members is lost")
		}
		saved.znodes.each(func(path string, z *state) bool {
			switch is := tr.znodes.get(path); {
			case z.kind == ephemeral || path == ConfigPath:
			case is == nil || !bytes.Equal(is.data, z.data):
				t.Errorf("%s is not what it was in the backup", path)
			}
			return true
		})
		// Another member does the same, byte for byte.
		restage(t, other, 3000, raw)
		after := snapshotOf(t, tr)
		if !bytes.Equal(after, snapshotOf(t, other)) {
			t.Error("two members have different states")
		}
		if err := other.Restore(bytes.NewReader(after)); err != nil {
			t.Errorf("the state is not whole: %v", err)
		}
		wander(t, w, tr, 100, 4000)
	}
}

func TestStageOfAnotherClusterTakesNoSessions(t *testing.T) {
	d := drive(t)
	d.SetKey([]byte("theirs"))
	d.must(9, tiers.Op{Kind: tiers.OpOpenSession, Timeout: time.Second})
	d.must(0, mk("/q", 0))
	d.must(0, mk("/q/n-", tiers.PersistentSequential))
	raw := snapshotOf(t, d.Tree)
	mine := New()
	mine.SetKey([]byte("mine"))
	restage(t, mine, 1, raw)
	if mine.ended.has(9) || mine.znodes.get("/q/n-0000000000") == nil || string(mine.Key()) != "mine" {
		t.Error("sessions of another cluster mean nothing here, znodes do")
	}
	if q := mine.znodes.get("/q"); q.creates < leastCreate {
		t.Errorf("sequence numbers go on at %d: that cluster may have gone further", q.creates)
	}
}

func TestStageRefuses(t *testing.T) {
	d := drive(t)
	for i := range 3000 {
		d.must(0, mk(fmt.Sprint("/a-long-name-so-that-there-is-more-than-one-piece-of-this-", i), 0))
	}
	raw := snapshotOf(t, d.Tree)
	steps := stages(t, raw)
	if len(steps) < 3 {
		t.Fatalf("%d steps", len(steps))
	}
	bad := func(i int, f func(*Stage)) []*Stage {
		all := slices.Clone(steps)
		s := *all[i]
		s.Data = bytes.Clone(s.Data)
		f(&s)
		all[i] = &s
		return all
	}
	far := New()
	far.zxid = maxZxid + 1
	for _, c := range []struct {
		what  string
		steps []*Stage
		want  error
	}{
		{"a gap", slices.Delete(slices.Clone(steps), 1, 2), ErrNotStaged},
		{"a repeat", slices.Insert(slices.Clone(steps), 1, steps[1], steps[1]), ErrNotStaged},
		{"another's", bad(1, func(s *Stage) { s.ID[0]++ }), ErrNotStaged},
		{"no end", []*Stage{steps[0], {ID: steps[0].ID, Step: 1, Last: true}}, ErrCorrupt},
		{"a flipped bit", bad(1, func(s *Stage) { s.Data[len(s.Data)/2] ^= 1 }), ErrChecksum},
		{"another beginning", bad(0, func(s *Stage) { s.Data[0] ^= 1 }), ErrCorrupt},
		{"another version", bad(0, func(s *Stage) { s.Data[7]++ }), ErrVersion},
		{"something behind", bad(len(steps)-1, func(s *Stage) { s.Data = steps[1].Data }), ErrCorrupt},
		{"no room", stages(t, snapshotOf(t, far)), errNoRoom},
		{"given up", bad(1, func(s *Stage) { s.Drop = true }), ErrNotStaged},
	} {
		tr := New()
		before := snapshotOf(t, tr)
		var err error
		for _, s := range c.steps {
			if err = tr.Stage(1, s); err != nil {
				break
			}
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		tr.StartTerm()
		if err := tr.Stage(1, steps[len(steps)-1]); !errors.Is(err, ErrNotStaged) || tr.Staging() {
			t.Errorf("%s: what was staged is not dropped: %v", c.what, err)
		}
		if !bytes.Equal(before, snapshotOf(t, tr)) {
			t.Errorf("%s: the state has changed", c.what)
		}
	}
	for _, cut := range []int{0, 20, len(raw) - 1} {
		var err error
		for _, err = range Pieces(bytes.NewReader(raw[:cut])) {
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("pieces of a snapshot cut at %d: %v", cut, err)
		}
	}
}

func TestRebirth(t *testing.T) {
	for seed := range uint64(10) {
		w := world{rand.New(rand.NewPCG(seed, 5))}
		tr := New()
		tr.SetKey([]byte("old"))
		tr.Register("a", [16]byte{1})
		tr.Register("b", [16]byte{2})
		tr.SetStandings([]Standing{{Member: 1, Rank: RankReplica}})
		wander(t, w, tr, 300, 1000)
		tr.Configure(1000, []byte("server.1=x"))
		raw := snapshotOf(t, tr)
		old := New()
		if err := old.Restore(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		const hour = 3600 * 1000
		if err := tr.Rebirth(1000+hour, []byte("new"), [16]byte{1}); err != nil {
			t.Fatal(err)
		}
		goesOn(t, &tr.content, &old.content)
		if string(tr.Key()) != "new" || len(tr.znodes.get(ConfigPath).data) != 0 || tr.members[1].Rank != RankOwn || tr.members[2].Rank != RankRemoved {
			t.Errorf("%s, %v", tr.Key(), tr.members)
		}
		if min := old.zxid + hour*1000; tr.zxid < min || tr.zxid%zxidEpoch != 0 {
			t.Errorf("zxid %v, want at least %v", tr.zxid, min)
		}
		if n := tr.Register("c", [16]byte{3}); n < 2+leastMember+1 {
			t.Errorf("number %d may have been another's", n)
		}
		tr.znodes.each(func(path string, z *state) bool {
			if was := old.znodes.get(path); z.kind == container && was.creates == 0 && z.creates != 0 {
				t.Errorf("container %s looks as if it had had a child", path)
			} else if z.kind != container && z.creates < was.creates+leastCreate+hour/10 {
				t.Errorf("%s: sequence numbers go on at %d after %d", path, z.creates, was.creates)
			}
			return true
		})
		// Again from the same beginning, later: further than the first time can have gone meanwhile.
		if err := old.Rebirth(1000+2*hour, []byte("newer"), [16]byte{1}); err != nil || old.zxid < tr.zxid+hour*1000-zxidEpoch {
			t.Errorf("%v, %v after %v", err, old.zxid, tr.zxid)
		}
		again := New()
		if err := again.Restore(bytes.NewReader(snapshotOf(t, tr))); err != nil {
			t.Errorf("the state is not whole: %v", err)
		}
	}
}
