package strong

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// Raft never answers some of its futures when it shuts down; those too must end, or each leaves a goroutine behind.
func TestLostFuturesEndWithRaft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.form()
		tier := c.members[0].tier
		f := tier.raft.Apply(nil, time.Second)
		tier.endsWithRaft(f)
		if reflect.ValueOf(f).Elem().FieldByName("ShutdownCh").IsNil() {
			t.Error("this version of raft has no way to end a lost future")
		}
		if err := f.Error(); err != nil {
			t.Errorf("one that is answered: %v", err)
		}
	})
}
