package history

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func TestExpiry(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		story func(r *Recorder)
		want  string
	}{
		"in time":      {func(r *Recorder) { <-time.After(11 * time.Second); r.SessionEnded(1) }, ""},
		"early":        {func(r *Recorder) { <-time.After(9 * time.Second); r.SessionEnded(1) }, "early expiry"},
		"late":         {func(r *Recorder) { <-time.After(13 * time.Second); r.SessionEnded(1) }, "late expiry"},
		"never":        {func(r *Recorder) { <-time.After(13 * time.Second) }, "late expiry"},
		"closed early": {func(r *Recorder) { r.SessionClosed(1); r.SessionEnded(1) }, ""},
		"touched again": {func(r *Recorder) {
			<-time.After(8 * time.Second)
			r.touched(1)
			r.SessionRenewed(1, time.Now())
			<-time.After(8 * time.Second)
		}, ""},
		"touched again, and early": {func(r *Recorder) {
			<-time.After(8 * time.Second)
			r.touched(1)
			r.SessionRenewed(1, time.Now())
			<-time.After(8 * time.Second)
			r.SessionEnded(1)
		}, "early expiry"},
	} {
		synctest.Test(t, func(t *testing.T) {
			rec := New()
			rec.SessionOpened(1, 10*time.Second)
			rec.SessionRenewed(1, time.Now())
			test.story(rec)
			var v *Violation
			switch err := rec.Check(Options{ExpiryBound: 2 * time.Second}); {
			case test.want == "" && err != nil:
				t.Errorf("%s: %v", name, err)
			case test.want != "" && (!errors.As(err, &v) || v.Check != test.want):
				t.Errorf("%s: %v, want %s", name, err, test.want)
			}
		})
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	do := func(c *Client, z tiers.Zxid) {
		c.call(&tiers.Txn{Session: 7}, nil, false).answer(z, nil, tiers.View{}, nil)
	}
	get := func(c *Client, z tiers.Zxid) {
		c.call(nil, &tiers.Query{Path: "/x", Want: tiers.WantNothing, Session: 7}, true).answer(z, nil, tiers.View{}, nil)
	}
	for name, test := range map[string]struct {
		story func(a, b *Client)
		want  string
	}{
		"in order":           {func(a, b *Client) { do(a, 1); get(a, 1); get(b, 3); do(b, 4) }, ""},
		"a write not seen":   {func(a, b *Client) { do(a, 2); get(a, 1) }, "back in time"},
		"older after a move": {func(a, b *Client) { get(a, 5); get(b, 4) }, "back in time"},
		"a read that overtakes": {func(a, b *Client) {
			write := a.call(&tiers.Txn{Session: 7}, nil, false)
			get(a, 1)
			write.answer(2, nil, tiers.View{}, nil)
		}, "overtaken write"},
		"writes out of order": {func(a, b *Client) {
			first := a.call(&tiers.Txn{Session: 7}, nil, false)
			second := a.call(&tiers.Txn{Session: 7}, nil, false)
			first.answer(2, nil, tiers.View{}, nil)
			second.answer(1, nil, tiers.View{}, nil)
		}, "session order"},
	} {
		rec := New()
		test.story(rec.Client("a", "m1", nil), rec.Client("a", "m2", nil))
		var v *Violation
		switch err := rec.Check(Options{}); {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!errors.As(err, &v) || v.Check != test.want):
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}
