package lock

import (
	"errors"
	"testing"
)

func FuzzDecodeCount(f *testing.F) {
	for _, seed := range []string{"", "0", "-1", "+7", "007", "1.5", "1_000", "9223372036854775807", "9223372036854775808", "\x00\x00\x00\x07", "\xff\xff\xff\xff", "12345"} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, curator bool) {
		n, err := decodeCount(data, curator)
		if err != nil {
			if n != 0 || !errors.Is(err, ErrNoCounter) {
				t.Errorf("%q: %d, %v", data, n, err)
			}
			return
		}
		c := &Counter{queue{options: options{curator: curator}}}
		again, err := c.encode(n)
		if err != nil {
			t.Fatalf("%q is %d, which can't be written: %v", data, n, err)
		}
		if m, err := decodeCount(again, curator); m != n || err != nil {
			t.Errorf("%q is %d, written as %q, and read as %d, %v", data, n, again, m, err)
		}
	})
}
