package eventual

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/strata-coord/strata/tiers"
)

const (
	sequencesFile = "sequences.json"
	// A sequence number is a count of this member's, times numberSpan, plus the member's number: ten digits that fit into 31 bits,
	// as clients of ZooKeeper parse them.
	numberSpan = 1000
	maxCount   = (1<<31-1)/numberSpan - 1
	// countBlock is how many numbers are promised to the disk at once.
	countBlock = 1000
)

// sequences counts the sequential creates of this member below each parent. A count is never given twice, also after a crash: what
// a start may give is on disk before, in blocks, so a start begins with the block after those that the last one may have used.
// The view's mu guards it.
type sequences struct {
	path string            // of the file; empty: nothing is kept, as a member without a directory is a new one at each start
	next map[string]uint32 // by parent: the count to give next
	mark map[string]uint32 // by parent: counts below are promised to the disk
}

// openSequences reads what was promised; live tells which parents are still worth it.
func openSequences(dir string, live func(parent string) bool) (*sequences, error) {
	s := &sequences{next: make(map[string]uint32), mark: make(map[string]uint32)}
	if dir == "" {
		return s, nil
	}
	s.path = filepath.Join(dir, sequencesFile)
	marks, err := readSequences(s.path)
	if err != nil {
		return nil, err
	}
	for parent, m := range marks {
		if live(parent) {
			s.next[parent], s.mark[parent] = m, m
		}
	}
	return s, nil
}

// readSequences reads the marks of a file; none if it was never written.
func readSequences(path string) (marks map[string]uint32, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("eventual: read %s: %w", path, err)
	}
	if err := json.Unmarshal(b, &marks); err != nil {
		return nil, fmt.Errorf("%w: %s: %w: put the file back from a backup, or give the member a new name and an empty directory", ErrCorrupt, path, err)
	}
	return marks, nil
}

// take is the next count below parent. Errors: ErrNodeExists when there are no more, ErrUnavailable when the disk fails.
func (s *sequences) take(parent string) (uint32, error) {
	n := s.next[parent]
	if n > maxCount {
		return 0, fmt.Errorf("%w: this member's sequence numbers for the parent are used up", tiers.ErrNodeExists)
	}
	if n >= s.mark[parent] {
		old := s.mark[parent]
		s.mark[parent] = n + countBlock
		if err := s.save(); err != nil {
			s.mark[parent] = old
			return 0, fmt.Errorf("%w: a sequence number could not be reserved: %w", tiers.ErrUnavailable, err)
		}
	}
	s.next[parent] = n + 1
	return n, nil
}

func (s *sequences) save() error {
	if s.path == "" {
		return nil
	}
	b, err := json.Marshal(s.mark)
	if err != nil {
		return fmt.Errorf("eventual: encode %s: %w", s.path, err)
	}
	return replaceFile(s.path, append(b, '\n'))
}

// numbered is a sequential create's path with a number in the place of the sequence.
func numbered(path string, count, member uint32) string {
	digits := strconv.FormatUint(uint64(count)*numberSpan+uint64(member), 10)
	const zeros = "0000000000"
	return path + zeros[len(digits):] + digits
}

// numberedFor gives a sequential create below parent its path. Callers hold the view's mu. Errors: those of take, ErrUnavailable
// before this member has a number, ErrContract if that is too great for a sequence.
func (w *writer) numberedFor(parent string, op *tiers.Op) (string, error) {
	member, ok := w.t.cfg.Number()
	switch {
	case !ok:
		return "", fmt.Errorf("%w: this member has no number yet: it is given one by the majority when it joins the cluster", tiers.ErrUnavailable)
	case member >= numberSpan:
		return "", &tiers.ContractError{
			Tier: "eventual", Path: op.Path, What: "a sequential create",
			Hint: fmt.Sprintf("this is member number %d of the cluster, only those below %d give sequence numbers here: use another member, or %s", member, numberSpan, strongHint),
		}
	}
	for {
		count, err := w.sequences.take(parent)
		if err != nil {
			return "", err
		}
		if path := numbered(op.Path, count, member); w.t.view.znodes[path] == nil { // somebody may have created one of that name
			return path, nil
		}
	}
}
