package tree

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strata-coord/strata/tiers"
)

func put(path, data string) tiers.Op {
	return tiers.Op{Kind: tiers.OpCreate, Path: path, Data: []byte(data), ACL: tiers.OpenACL}
}

func overwrite(path, data string) tiers.Op {
	return tiers.Op{Kind: tiers.OpSetData, Path: path, Data: []byte(data), Version: tiers.AnyVersion}
}

func (d *driver) text(path string) string {
	d.t.Helper()
	v, err := d.Read(tiers.Query{Path: path, Want: tiers.WantData})
	if err != nil {
		d.t.Fatal(err)
	}
	return string(v.Data)
}

// limit makes a quota as setquota does.
func (d *driver) limit(path, limits string) {
	d.t.Helper()
	for i := 1; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			_, _ = d.do(0, put(quotaRoot+path[:i], "")) // may be there
		}
	}
	d.must(0, put(quotaRoot+path+limitsName, limits))
	d.must(0, put(quotaRoot+path+statsName, "count=0,bytes=0"))
}

func TestQuotaIsCounted(t *testing.T) {
	d := drive(t)
	d.must(0, put("/qa", "1234"), put("/qa/x", "5678"))
	d.limit("/qa", "count=-1,bytes=-1")
	stats := quotaRoot + "/qa" + statsName
	want := func(text string) {
		t.Helper()
		if got := d.text(stats); got != text {
			t.Errorf("the stats are %q, want %q", got, text)
		}
	}
	want("count=2,bytes=8")
	before, _ := d.Read(tiers.Query{Path: stats})
	heard := &log{}
	d.Hub().Add(stats, tiers.ScopePersistent, heard)
	d.must(0, put("/qa/yyy", "12"))
	want("count=3,bytes=10")
	d.must(0, overwrite("/qa/yyy", "123456"))
	want("count=3,bytes=14")
	d.must(7, opening, mk("/qa/e", tiers.Ephemeral))
	want("count=4,bytes=19")
	d.must(7, tiers.Op{Kind: tiers.OpCloseSession})
	want("count=3,bytes=14")
	c := mk("/qa/ttl", tiers.PersistentTTL)
	c.TTL = time.Millisecond
	d.must(0, c)
	due, _ := d.Due(1<<40, 0)
	d.Reap(1<<40, due)
	want("count=3,bytes=14")
	d.must(0, put("/qab", "not below"), put("/qa/yyy/z", ""))
	want("count=4,bytes=14")
	if _, err := d.do(0, put("/qa/no", "x"), tiers.Op{Kind: tiers.OpDelete, Path: "/qa/x", Version: -1}, tiers.Op{Kind: tiers.OpCheck, Path: "/none"}); err == nil {
		t.Error("the multi succeeds")
	}
	want("count=4,bytes=14")
	after, _ := d.Read(tiers.Query{Path: stats})
	before.Stat.DataLength = after.Stat.DataLength
	if after.Stat != before.Stat || len(heard.events) != 0 {
		t.Errorf("the stats changed from %+v to %+v, with events %v", before.Stat, after.Stat, heard.events)
	}

	back := &driver{Tree: New(), t: t, n: d.n}
	if err := back.Restore(bytes.NewReader(snapshotOf(t, d.Tree))); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*driver{d, back} {
		x.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/qa/yyy/z", Version: -1}, tiers.Op{Kind: tiers.OpDelete, Path: "/qa/x", Version: -1})
		if got := x.text(stats); got != "count=2,bytes=10" {
			t.Errorf("the stats are %q", got)
		}
	}
	if !bytes.Equal(snapshotOf(t, d.Tree), snapshotOf(t, back.Tree)) {
		t.Error("restored, it goes another way")
	}

	// What is written into the stats is what is counted on from; without limits nothing is counted.
	d.must(0, overwrite(stats, "bytes=100,a=1,count=7"))
	d.must(0, put("/qa/n", "1"))
	want("count=8,bytes=101=;a=1")
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: quotaRoot + "/qa" + limitsName, Version: -1})
	d.must(0, put("/qa/m", "1"))
	want("count=8,bytes=101=;a=1")

	// The root has no quota, and what only looks like one is none.
	d.must(0, put(quotaRoot+limitsName, "count=0"), put(quotaRoot+statsName, "as it is"), put("/zookeeper/quotax", ""), put("/zookeeper/quotax"+limitsName, ""))
	d.must(0, put("/x", ""))
	if got := d.text(quotaRoot + statsName); got != "as it is" || len(d.quotas) != 0 {
		t.Errorf("%q, %v", got, d.quotas)
	}
	d.limit("/not/there", "count=-1,bytes=-1")
	if got := d.text(quotaRoot + "/not/there" + statsName); got != "count=0,bytes=0" {
		t.Errorf("%q", got)
	}
}

func TestQuotaIsEnforced(t *testing.T) {
	d := drive(t)
	var told []Excess
	d.OnExcess(func(x Excess) { told = append(told, x) })
	says := func(want ...Excess) {
		t.Helper()
		if !slices.Equal(told, want) {
			t.Errorf("told of %+v, want %+v", told, want)
		}
		told = nil
	}
	d.must(0, put("/q", "12345"))
	d.limit("/q", "count=3,bytes=-1=;byteHardLimit=10;countHardLimit=4")
	d.must(0, put("/q/a", ""))
	d.must(0, put("/q/b", ""))
	says()
	d.must(0, put("/q/c", ""))
	says(Excess{"/q", "count", 4, 3, false})
	d.must(0, put("/q/d", "123456"))
	says(Excess{"/q", "count", 5, 4, true}, Excess{"/q", "bytes", 11, 10, true})

	d.EnforceQuota(true)
	quota := func(ops ...tiers.Op) {
		t.Helper()
		if _, err := d.do(0, ops...); !errors.Is(err, tiers.ErrQuotaExceeded) {
			t.Errorf("%+v: %v", ops, err)
		}
	}
	quota(put("/q/e", ""))
	quota(overwrite("/q", "1234567"))
	d.must(0, overwrite("/q", "1234")) // it shrinks
	d.must(0, overwrite("/q", "4321")) // it does not grow
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: "/q/a", Version: -1}, tiers.Op{Kind: tiers.OpDelete, Path: "/q/b", Version: -1})
	quota(put("/q/a", ""), put("/q/b", "")) // in one txn too
	d.must(0, put("/q/a", ""))
	quota(overwrite("/q/a", "x"))
	says(Excess{"/q", "count", 4, 3, false})

	// What is told first is what zk-protocol 5.2 says.
	for i, row := range []struct {
		op   tiers.Op
		want error
	}{
		{put("/q/a", "too much data"), tiers.ErrNodeExists},
		{put("/q/none/x", "too much data"), tiers.ErrNoNode},
		{tiers.Op{Kind: tiers.OpSetData, Path: "/q/a", Data: []byte("too much data"), Version: 9}, tiers.ErrQuotaExceeded},
		{overwrite("/q/none", "too much data"), tiers.ErrNoNode},
	} {
		if _, err := d.do(0, row.op); !errors.Is(err, row.want) {
			t.Errorf("row %d: %v, want %v", i, err, row.want)
		}
	}

	// The longest quota alone counts.
	d.limit("/q/d", "count=-1,bytes=1")
	d.must(0, put("/q/d/x", ""), put("/q/d/y", ""))
	says()
	d.must(0, put("/q/d/z", "1"))
	says(Excess{"/q/d", "bytes", 7, 1, false})
	if got := d.text(quotaRoot + "/q" + statsName); got != "count=4,bytes=10" {
		t.Errorf("%q", got)
	}
	// Without stats there is nothing to hold against the limits.
	d.must(0, tiers.Op{Kind: tiers.OpDelete, Path: quotaRoot + "/q" + statsName, Version: -1})
	d.must(0, put("/q/e", "12345678901234567890"))
}

func TestUsage(t *testing.T) {
	for text, want := range map[string]usage{
		"":                {-1, -1, nil},
		"count=5,bytes=6": {5, 6, nil},
		"count=5,bytes=20=;byteHardLimit=30;countHardLimit=4":  {5, 20, []figure{{"byteHardLimit", 30}, {"countHardLimit", 4}}},
		"countHardLimit=4;;,count=1;byteHardLimit=-1,,bytes=2": {1, 2, []figure{{"byteHardLimit", -1}, {"countHardLimit", 4}}},
		"count=1,count=2,x=1,x=2":                              {2, -1, []figure{{"x", 2}}},
		"count=,bytes":                                         {-1, -1, nil},
		"count=1x,bytes= 1,a=99999999999999999999":             {-1, -1, nil},
		"count==3,bytes=9223372036854775807":                   {-1, 1<<63 - 1, nil},
		"\xff=1,=2":                                            {-1, -1, []figure{{"", 2}, {"\xff", 1}}},
		"count=1" + strings.Repeat(",", maxUsage) + "bytes=1":  {1, -1, nil},
	} {
		if got := parseUsage([]byte(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%.60q: %+v, want %+v", text, got, want)
		}
	}
	for want, u := range map[string]usage{
		"count=-1,bytes=3": {-1, 3, nil},
		"count=5,bytes=20=;byteHardLimit=30;countHardLimit=4": {5, 20, []figure{{"byteHardLimit", 30}, {"countHardLimit", 4}}},
	} {
		if got := string(u.append(nil)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// FuzzUsage: whatever clients write, what is read of it is what is read of what is written for it.
func FuzzUsage(f *testing.F) {
	for _, s := range []string{"", "count=1,bytes=2", "count=5,bytes=20=;byteHardLimit=30;countHardLimit=4", ";;a==,=,b=-0;count=+7", "\xff\x00=1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		u := parseUsage(text)
		if len(text) > maxUsage/4 {
			return // what is written for it may be longer than what is read
		}
		if again := parseUsage(u.append(nil)); !reflect.DeepEqual(u, again) {
			t.Errorf("%q: %+v became %+v", text, u, again)
		}
	})
}

// BenchmarkSetDataBelowQuota is what a quota adds to BenchmarkSetData.
func BenchmarkSetDataBelowQuota(b *testing.B) {
	d, paths := benchTree(b, benchSize)
	for i := range 100 {
		top := fmt.Sprintf("%s/parent-%02d", quotaRoot, i)
		for _, op := range []tiers.Op{put(top, ""), put(top+limitsName, "count=-1,bytes=-1=;byteHardLimit=1000000000"), put(top+statsName, "")} {
			if _, err := d.do(0, op); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		op := tiers.Op{Kind: tiers.OpSetData, Path: paths[scatter(i)], Data: make([]byte, 100+i%7), Version: -1}
		if _, err := d.do(0, op); err != nil {
			b.Fatal(err)
		}
	}
}
