package coord

import (
	"errors"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// TestStanding follows a session from what is not at stake, over late renewals, to its end.
func TestStanding(t *testing.T) {
	inSession(t, func(t *testing.T, x *table, s *Session) {
		var told []Standing // by keepAlive, or in Standing and Observe
		stop := s.Observe(func(now Standing) {
			if now.Ended != nil && s.Context().Err() != nil {
				t.Error("told of the end after the context had ended")
			}
			told = append(told, now)
		})
		defer stop()
		if len(told) != 1 || !told[0].Renewed.IsZero() || told[0].Late {
			t.Fatalf("at first: %+v", told)
		}
		renewed := time.Now()
		x.setSafe(renewed.Add(10 * time.Second))
		if now := s.Standing(); !now.Renewed.Equal(renewed) || !now.Until.Equal(renewed.Add(9*time.Second)) || now.Late {
			t.Errorf("renewed: %+v", now)
		}
		<-time.After(5 * time.Second)
		if now := s.Standing(); len(told) != 2 || !told[1].Late || !now.Late {
			t.Errorf("5 s later: %+v, told %+v", now, told)
		}
		x.setSafe(time.Now().Add(10 * time.Second))
		if now := s.Standing(); len(told) != 3 || told[2].Late || now.Late {
			t.Errorf("renewed again: %+v, told %+v", now, told)
		}
		silent := s.Observe(func(Standing) {})
		silent()
		<-s.Context().Done()
		if last := told[len(told)-1]; len(told) != 5 || !errors.Is(last.Ended, ErrNotRenewed) || !errors.Is(s.Standing().Ended, tiers.ErrSessionExpired) {
			t.Errorf("at the end: told %+v", told)
		}
		ended := false
		s.Observe(func(now Standing) { ended = now.Ended != nil })()
		if !ended {
			t.Error("who comes too late is not told so")
		}
	})
}

// TestStandingOfWhatIsNotAtStakeAnyMore: a session whose opening has failed owns nothing, however late its renewals were.
func TestStandingOfWhatIsNotAtStakeAnyMore(t *testing.T) {
	inSession(t, func(t *testing.T, x *table, s *Session) {
		x.setSafe(time.Now().Add(10 * time.Second))
		<-time.After(5 * time.Second)
		if now := s.Standing(); !now.Late {
			t.Errorf("not renewed: %+v", now)
		}
		x.setSafe(time.Time{})
		<-time.After(time.Hour)
		if now := s.Standing(); now != (Standing{}) || s.Context().Err() != nil {
			t.Errorf("nothing at stake: %+v", now)
		}
	})
}
