package lock

import (
	"errors"
	"reflect"
	"testing"
)

func FuzzDecodeTarget(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"weight":1}`, `{"weight":2,"name":"a","shards":[0,1,9999]}`, `{"weight":-1}`, `{"shards":[10000]}`, `{"shards":[-1]}`, `{"weight":1e9}`, "[]", "null",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		target, err := decodeTarget(data)
		if err != nil {
			if !errors.Is(err, errNoTarget) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if len(target.Shards) == 0 {
			target.Shards = nil // the two are written alike
		}
		if again, err := decodeTarget(target.encode()); err != nil || !reflect.DeepEqual(again, target) {
			t.Errorf("%q is %+v, and read again %+v, %v", data, target, again, err)
		}
		assign(100, []share{{id: "a", weight: target.Weight, has: target.Shards}, {id: "b", weight: 1}})
	})
}
