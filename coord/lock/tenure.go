package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-coord/strata/coord"
)

// hold begins the tenure of a claim that was granted. Its error is that of a claim that has ended meanwhile.
func (c *claim) hold() (*Held, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, context.Cause(c.ctx)
	}
	c.held, c.since, c.changed = true, time.Now(), make(chan struct{})
	c.story.add(c.since, "acquired with token %d", c.created)
	if c.policy.check != nil {
		c.session.Go(c.examine)
	}
	if c.standing.Late {
		c.jeopardize()
	}
	if c.ctx.Err() != nil { // it yields at once
		return nil, context.Cause(c.ctx)
	}
	return &Held{claim: c}, nil
}

// observe is told of the session's standing.
func (c *claim) observe(s coord.Standing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.standing
	c.standing = s
	switch {
	case c.ctx.Err() != nil:
	case s.Ended != nil:
		c.loseNow(reasonOf(s.Ended), s.Ended)
	case !c.held:
	case s.Late && !was.Late:
		c.jeopardize()
	case !s.Late && was.Late:
		c.story.add(time.Now(), "safe again: a majority has heard the renewal sent %v ago", rounded(time.Since(s.Renewed)))
		close(c.resumed)
		c.resumed, c.yieldsAt = nil, time.Time{}
		c.enterPhase(Safe)
	}
}

// jeopardize begins a jeopardy. Callers hold mu.
func (c *claim) jeopardize() {
	now := time.Now()
	c.story.add(now, "in jeopardy: the last renewal that a majority has heard was sent %v ago", rounded(now.Sub(c.standing.Renewed)))
	c.resumed = make(chan struct{})
	c.enterPhase(InJeopardy)
	if !c.policy.yields {
		return
	}
	if c.policy.grace == 0 {
		c.yieldNow(Disconnected, nil)
		return
	}
	c.yieldsAt = now.Add(c.policy.grace)
	resumed, left := c.resumed, c.policy.grace
	c.session.Go(func(context.Context) {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-timer.C:
			c.session.Standing() // which may tell that it is over
			c.yieldIf(resumed)
		case <-resumed:
		case <-c.ctx.Done():
		}
	})
}

// yieldIf yields unless the jeopardy that resumed ends is over.
func (c *claim) yieldIf(resumed chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resumed == resumed {
		c.yieldNow(GraceOver, nil)
	}
}

// examine asks for the holder's health until the claim has ended.
func (c *claim) examine(context.Context) {
	tick := time.NewTicker(c.policy.every)
	defer tick.Stop()
	var pending chan error // of a check that has not returned in its time
	for failed := 0; ; {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return
		}
		err := c.check(&pending)
		if err == nil {
			failed = 0
			continue
		}
		failed++
		c.mu.Lock()
		if c.ctx.Err() == nil {
			c.story.add(time.Now(), "health check failed (%d of %d): %v", failed, c.policy.failures, err)
			if failed >= c.policy.failures {
				c.yieldNow(Unhealthy, err)
			}
		}
		c.mu.Unlock()
	}
}

var errNoAnswer = errors.New("it has not returned in its time")

// check asks once, or goes on waiting for the check that is pending.
func (c *claim) check(pending *chan error) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.policy.every)
	defer cancel()
	if *pending == nil {
		answer := make(chan error, 1)
		c.session.Go(func(context.Context) { answer <- c.policy.check(ctx) })
		*pending = answer
	}
	select {
	case err := <-*pending:
		*pending = nil
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %v", errNoAnswer, c.policy.every)
	}
}

// beginTerm has a held claim end by itself then. It is false when the claim has ended.
func (c *claim) beginTerm(ends time.Time) bool {
	c.checkTerm()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	first := c.termEnds.IsZero()
	c.termEnds = ends
	if first {
		c.session.Go(c.awaitTerm)
	}
	return true
}

// awaitTerm ends the claim with its last term.
func (c *claim) awaitTerm(context.Context) {
	for left := c.checkTerm(); left > 0; left = c.checkTerm() {
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
		}
		timer.Stop()
	}
}

// checkTerm is how much is left of the term; at its end the claim yields. 0: there is no term, or the claim has ended.
func (c *claim) checkTerm() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.termEnds.IsZero() || c.ctx.Err() != nil {
		return 0
	}
	left := time.Until(c.termEnds)
	if left <= 0 {
		c.yieldNow(TermOver, nil)
	}
	return max(left, 0)
}

// lose ends a claim, unless it has ended.
func (c *claim) lose(why Reason, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loseNow(why, cause)
}

// loseNow is lose for those who hold mu.
func (c *claim) loseNow(why Reason, cause error) {
	switch {
	case c.ctx.Err() != nil:
		return
	case !c.held && cause != nil:
		c.end(cause)
		return
	case !c.held:
		c.end(fmt.Errorf("%s: %w: %v", c.path(), ErrLost, why))
		return
	}
	now := time.Now()
	if s := c.standing; c.phase == InJeopardy && !s.Renewed.IsZero() {
		c.story.add(now, "the last renewal that a majority has heard was sent %v ago", rounded(now.Sub(s.Renewed)))
	}
	c.lost = &LostError{Path: c.path(), Token: int64(c.created), Reason: why, Cause: cause}
	c.story.add(now, "lost: %s", c.lost.why())
	c.lost.Timeline = c.story
	c.end(c.lost)
	c.enterPhase(Lost)
}

// yieldNow loses the claim by its own policy, and removes it as soon as the tier lets it. Callers hold mu.
func (c *claim) yieldNow(why Reason, cause error) {
	if c.ctx.Err() == nil {
		c.loseNow(why, cause)
		c.removeLater()
	}
}

// letGo ends the claim for its release. It returns why it had ended before, if so.
func (c *claim) letGo() error {
	c.unobserve()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() == nil {
		c.end(ErrReleased)
		if c.held {
			c.enterPhase(Released)
		}
	}
	if why := context.Cause(c.ctx); !errors.Is(why, ErrReleased) {
		return why
	}
	return nil
}

// enterPhase changes the phase. Callers hold mu.
func (c *claim) enterPhase(p Phase) {
	c.phase, c.since = p, time.Now()
	close(c.changed)
	c.changed = nil
	if p == Safe || p == InJeopardy {
		c.changed = make(chan struct{})
	}
}
