package peernet

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
)

func FuzzFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, replyError, 'x'})
	f.Add([]byte{0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		read := 0
		for {
			x, err := readFrame(r)
			if err != nil {
				if !errors.Is(err, ErrFrame) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("%v", err)
				}
				return
			}
			if read += 4 + frameHeader + len(x.body); read > len(b) {
				t.Fatalf("%d bytes out of %d", read, len(b))
			}
			if x.method == replyError && x.remoteError() == nil {
				t.Fatal("an error that is none")
			}
		}
	})
}
