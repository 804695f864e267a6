package strong

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-coord/strata/tiers"
)

// journal is what a member logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// lines are those that contain what.
func (j *journal) lines(what string) (ls []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for l := range strings.Lines(j.text.String()) {
		if strings.Contains(l, what) {
			ls = append(ls, l)
		}
	}
	return ls
}

func (m *member) limit(t *testing.T, path, limits string) {
	t.Helper()
	m.do(t, 0, create("/zookeeper/quota"+path, "", tiers.Persistent))
	m.do(t, 0, create("/zookeeper/quota"+path+"/zookeeper_limits", limits, tiers.Persistent))
	m.do(t, 0, create("/zookeeper/quota"+path+"/zookeeper_stats", "", tiers.Persistent))
}

// The leader's setting decides, at every member.
func TestQuotaIsEnforcedByTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enforced := "m1"
		c := tunedCluster(t, 3, func(cfg *Config) { cfg.EnforceQuota = cfg.Name == enforced })
		c.form()
		for range 10 {
			if c.leader("").name == enforced {
				break
			}
			if err := c.leader("").tier.Handover(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		leader := c.leader("")
		if leader.name != enforced {
			t.Fatalf("%s leads", leader.name)
		}
		m := c.others(leader)[0]
		m.do(t, 0, create("/q", "", tiers.Persistent))
		m.limit(t, "/q", "count=-1,bytes=-1=;countHardLimit=2")
		m.do(t, 0, create("/q/a", "", tiers.Persistent))
		if _, err := tiers.Do(t.Context(), m.tier, tiers.Txn{Ops: []tiers.Op{create("/q/b", "", tiers.Persistent)}}); !errors.Is(err, tiers.ErrQuotaExceeded) {
			t.Errorf("beyond a hard limit: %v", err)
		}
		c.net.Down(leader.ip)
		c.leader(leader.name)
		m.do(t, 0, create("/q/b", "", tiers.Persistent))
		for _, x := range c.others(leader) {
			if got := x.get(t, "/zookeeper/quota/q/zookeeper_stats"); got != "count=3,bytes=0" {
				t.Errorf("at %s: %q", x.name, got)
			}
		}
	})
}

func TestExcessIsLoggedOnceAMinuteByTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journals := map[string]*journal{"m1": {}, "m2": {}, "m3": {}}
		c := tunedCluster(t, 3, func(cfg *Config) { cfg.Logger = slog.New(slog.NewTextHandler(journals[cfg.Name], nil)) })
		c.form()
		leader := c.leader("")
		m := c.others(leader)[0]
		m.do(t, 0, create("/q", "", tiers.Persistent))
		m.limit(t, "/q", "count=1,bytes=2=;byteHardLimit=3")
		for _, data := range []string{"1", "12", "123", "1234", "12345", "123456"} {
			m.do(t, 0, set("/q", data))
		}
		m.do(t, 0, create("/q/a", "", tiers.Persistent))
		synctest.Wait()
		const what = "a quota is exceeded"
		for name, j := range journals {
			if got := j.lines(what); (len(got) == 3) != (name == leader.name) || len(got) != 0 && name != leader.name {
				t.Errorf("%s says %q", name, got)
			}
		}
		<-time.After(time.Minute)
		m.do(t, 0, set("/q", "1234567"))
		synctest.Wait()
		got := journals[leader.name].lines(what)
		if len(got) != 4 || !strings.Contains(got[3], "path=/q of=bytes used=7 limit=3 kind=hard") || !strings.Contains(got[0], "used=3 limit=2 kind=soft") {
			t.Errorf("a minute later: %q", got)
		}
	})
}
