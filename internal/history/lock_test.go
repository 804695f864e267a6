package history

import (
	"errors"
	"testing"
)

func TestLocks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		story func(r *Recorder)
		want  string // the check
	}{
		"one after the other":       {func(r *Recorder) { r.Grant("l", "a", 1)(); r.Grant("l", "b", 2)(); r.Grant("other", "b", 1) }, ""},
		"two at a time":             {func(r *Recorder) { r.Grant("l", "a", 1); r.Grant("l", "b", 2) }, "mutual exclusion"},
		"a token again":             {func(r *Recorder) { r.Grant("l", "a", 1)(); r.Grant("l", "b", 1)() }, "token reuse"},
		"a smaller token":           {func(r *Recorder) { r.Grant("l", "a", 2)(); r.Grant("l", "b", 1)() }, "token order"},
		"readers in any order":      {func(r *Recorder) { r.GrantShared("l", "a", 2); r.GrantShared("l", "b", 1) }, ""},
		"a reader behind a writer":  {func(r *Recorder) { r.Grant("l", "a", 2)(); r.GrantShared("l", "b", 1) }, "token order"},
		"a writer behind a reader":  {func(r *Recorder) { r.GrantShared("l", "a", 2)(); r.Grant("l", "b", 1) }, "token order"},
		"a semaphore's token again": {func(r *Recorder) { r.GrantPart("l", "a", 1, 1, 3)(); r.GrantPart("l", "b", 1, 1, 3) }, "token reuse"},
		"readers together":          {func(r *Recorder) { r.GrantShared("l", "a", 1); r.GrantShared("l", "b", 2) }, ""},
		"a reader and a writer":     {func(r *Recorder) { r.GrantShared("l", "a", 1); r.Grant("l", "b", 2) }, "mutual exclusion"},
		"parts of three":            {func(r *Recorder) { r.GrantPart("l", "a", 1, 1, 3); r.GrantPart("l", "b", 2, 2, 3) }, ""},
		"four parts of three":       {func(r *Recorder) { r.GrantPart("l", "a", 1, 2, 3); r.GrantPart("l", "b", 2, 2, 3) }, "mutual exclusion"},
	} {
		rec := New()
		test.story(rec)
		var v *Violation
		switch err := rec.Check(Options{}); {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!errors.As(err, &v) || v.Check != test.want):
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}
