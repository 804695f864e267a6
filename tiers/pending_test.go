package tiers_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strata-coord/strata/tiers"
)

func TestPendingCompletesOnce(t *testing.T) {
	p := new(tiers.Pending)
	if _, _, done := p.Result(); done {
		t.Error("done before Complete")
	}
	var story []int
	p.Then(func(tiers.Receipt, error) { story = append(story, 1) })
	p.Then(func(r tiers.Receipt, err error) {
		story = append(story, 2)
		if r.Zxid != 7 || !errors.Is(err, tiers.ErrNoNode) {
			t.Errorf("%+v, %v", r, err)
		}
	})
	select {
	case <-p.Done():
		t.Error("done before Complete")
	default:
	}
	if !p.Complete(tiers.Receipt{Zxid: 7}, tiers.ErrNoNode) || p.Complete(tiers.Receipt{Zxid: 8}, nil) {
		t.Error("it does not complete once")
	}
	<-p.Done()
	p.Then(func(tiers.Receipt, error) { story = append(story, 3) })
	if len(story) != 3 || story[0] != 1 || story[1] != 2 || story[2] != 3 {
		t.Errorf("followers ran as %v", story)
	}
	if r, err := p.Wait(t.Context()); r.Zxid != 7 || !errors.Is(err, tiers.ErrNoNode) {
		t.Errorf("%+v, %v", r, err)
	}
	<-tiers.Completed(tiers.Receipt{}, nil).Done()
}

func TestWaitEndsWithItsContext(t *testing.T) {
	p := new(tiers.Pending)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err := p.Wait(ctx)
	ue := (*tiers.UnknownOutcomeError)(nil)
	if !errors.Is(err, tiers.ErrUnknownOutcome) || !errors.Is(err, why) || !errors.As(err, &ue) || ue.Cause != why {
		t.Errorf("%v", err)
	}
	if _, _, done := p.Result(); done {
		t.Error("who stops waiting answers for all")
	}
}

func TestPendingFromManySides(t *testing.T) {
	for range 100 {
		p := new(tiers.Pending)
		var wins, told atomic.Int32
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if p.Complete(tiers.Receipt{Zxid: tiers.Zxid(i)}, nil) {
					wins.Add(1)
				}
			})
			wg.Go(func() { p.Then(func(tiers.Receipt, error) { told.Add(1) }) })
			wg.Go(func() { <-p.Done() })
		}
		wg.Wait()
		if wins.Load() != 1 || told.Load() != 4 {
			t.Fatalf("completed %d times, %d of 4 told", wins.Load(), told.Load())
		}
	}
}
