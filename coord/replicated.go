package coord

import (
	"github.com/strata-coord/strata/internal/session"
	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/tiers/strong"
)

// replicated is the strong tier as the session table sees it.
type replicated struct{ *strong.Tier }

var _ session.Replicated = replicated{}

func (r replicated) Zxid() tiers.Zxid {
	v, err := r.ReadLocal(tiers.Query{Want: tiers.WantNothing})
	if err != nil {
		return 0 // it reads nothing, so nothing can be wrong
	}
	return v.Zxid
}

func (r replicated) hosted(s strong.Session) bool {
	member, incarnation, ok := r.Number()
	return ok && s.Host == member && s.Incarnation == incarnation
}

func (r replicated) SessionState(id tiers.SessionID) (session.State, bool) {
	s, state := r.Lookup(id)
	switch state {
	case strong.SessionLive:
		return session.Live, r.hosted(s)
	case strong.SessionEnded:
		return session.Ended, false
	}
	return session.Unknown, false
}

func (r replicated) OnSessionMove(f func(tiers.SessionID, bool)) {
	r.Tier.OnSessionMove(func(s strong.Session) { f(s.ID, r.hosted(s)) })
}
