package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What is wrong with a record.
var (
	ErrShort  = errors.New("record ends too early")
	ErrLength = errors.New("length is out of range")
	ErrNull   = errors.New("null where a value must be")
	ErrOp     = errors.New("op cannot be part of this multi")
)

// Decoder reads primitives from the front of a byte slice. The first error sticks: all that is read after it is zero, so a
// record is decoded as a whole and Err looked at once. Bytes after the record are nobody's business.
type Decoder struct {
	b   []byte
	err error
}

// NewDecoder reads b. Buffers that it returns are parts of b.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err is the first error.
func (d *Decoder) Err() error { return d.err }

// Len is how many bytes are left.
func (d *Decoder) Len() int { return len(d.b) }

func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

// take returns the next n bytes, or nil after an error.
func (d *Decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail(ErrShort)
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *Decoder) Int() int32 {
	if v := d.take(4); v != nil {
		return int32(binary.BigEndian.Uint32(v))
	}
	return 0
}

func (d *Decoder) Long() int64 {
	if v := d.take(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

func (d *Decoder) Bool() bool {
	v := d.take(1)
	return v != nil && v[0] != 0
}

// length reads the length of something whose elements take at least size bytes each. -1 is null.
func (d *Decoder) length(size int) int {
	n := int(d.Int())
	if n < -1 || n > len(d.b)/size {
		d.fail(fmt.Errorf("%w: %d", ErrLength, n))
	}
	if d.err != nil {
		return -1
	}
	return n
}

// Buffer returns a part of the decoded bytes; nil for null, not nil for empty.
func (d *Decoder) Buffer() []byte {
	n := d.length(1)
	if n < 0 {
		return nil
	}
	return d.take(n)
}

// String reads a string that may not be null.
func (d *Decoder) String() string {
	v := d.Buffer()
	if v == nil {
		d.fail(ErrNull)
	}
	return string(v)
}

// NullString is a string or null.
type NullString struct {
	S     string
	Valid bool // it is not null
}

// NullString reads a string that may be null.
func (d *Decoder) NullString() NullString {
	v := d.Buffer()
	return NullString{S: string(v), Valid: v != nil}
}

// count reads the length of a vector whose elements take at least size bytes each. -1 is null; what is below counts as 0, as in
// ZooKeeper.
func (d *Decoder) count(size int) int {
	n := int(d.Int())
	switch {
	case n > len(d.b)/size:
		d.fail(fmt.Errorf("%w: %d", ErrLength, n))
	case n < -1:
		n = 0
	}
	if d.err != nil {
		return -1
	}
	return n
}

// Strings reads a vector of strings that are not null themselves; nil for null.
func (d *Decoder) Strings() []string {
	n := d.count(4)
	if n < 0 {
		return nil
	}
	vs := make([]string, n)
	for i := range vs {
		vs[i] = d.String()
	}
	if d.err != nil {
		return nil
	}
	return vs
}
