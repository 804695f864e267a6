package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The log is standard msgpack, written by appending and read in place: an entry of 4,000 txns is decoded on every member, and
// reflection would cost more than applying it.

func appendArray(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x90|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 128:
		return append(b, byte(v))
	case v <= math.MaxUint8:
		return append(b, 0xcc, byte(v))
	case v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

func appendInt(b []byte, v int64) []byte {
	switch {
	case v >= 0:
		return appendUint(b, uint64(v))
	case v >= -32:
		return append(b, byte(v))
	case v >= math.MinInt8:
		return append(b, 0xd0, byte(v))
	case v >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
}

func appendString(b []byte, s string) []byte {
	n := len(s)
	switch {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func appendNil(b []byte) []byte { return append(b, 0xc0) }

// appendBytes keeps nil (msgpack nil) and empty apart.
func appendBytes(b, v []byte) []byte {
	if v == nil {
		return appendNil(b)
	}
	switch n := len(v); {
	case n <= math.MaxUint8:
		b = append(b, 0xc4, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, v...)
}

var errMalformed = errors.New("malformed msgpack")

// reader reads msgpack from b, in all the forms that msgpack has for what is asked for. The first error sticks, and everything
// after it reads as zero; bytes share b's memory.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s, with %d bytes left", errMalformed, what, len(r.b))
	}
	r.b = nil
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("cut short")
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("cut short")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// big reads a big-endian number of n bytes.
func (r *reader) big(n uint64) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

// array reads the length of an array whose elements take at least so many bytes each: a length beyond what is left is refused
// before anything is allocated for it, so hostile bytes can't cost more than a small multiple of themselves.
func (r *reader) array(least int) int {
	c := r.byte()
	var n uint64
	switch {
	case c>>4 == 9:
		n = uint64(c & 15)
	case c == 0xdc:
		n = r.big(2)
	case c == 0xdd:
		n = r.big(4)
	default:
		r.fail("no array")
		return 0
	}
	if n > uint64(len(r.b)/least) {
		r.fail("array longer than its bytes")
		return 0
	}
	return int(n)
}

// fields reads the array of a record of a known number of fields.
func (r *reader) fields(want int) {
	if n := r.array(1); r.err == nil && n != want {
		r.fail("another number of fields")
	}
}

// absent reads a nil, if one comes.
func (r *reader) absent() bool {
	if len(r.b) > 0 && r.b[0] == 0xc0 {
		r.b = r.b[1:]
		return true
	}
	return false
}

// end demands that nothing is left.
func (r *reader) end() {
	if r.err == nil && len(r.b) > 0 {
		r.fail("bytes after the end")
	}
}

func (r *reader) uint() uint64 {
	switch c := r.byte(); {
	case c < 0x80:
		return uint64(c)
	case c >= 0xcc && c <= 0xcf:
		return r.big(1 << (c - 0xcc))
	}
	r.fail("no unsigned number")
	return 0
}

func (r *reader) int() int64 {
	switch c := r.byte(); {
	case c < 0x80:
		return int64(c)
	case c >= 0xe0:
		return int64(int8(c))
	case c >= 0xcc && c <= 0xcf:
		v := r.big(1 << (c - 0xcc))
		if v > math.MaxInt64 {
			r.fail("number too large")
			return 0
		}
		return int64(v)
	case c == 0xd0:
		return int64(int8(r.big(1)))
	case c == 0xd1:
		return int64(int16(r.big(2)))
	case c == 0xd2:
		return int64(int32(r.big(4)))
	case c == 0xd3:
		return int64(r.big(8))
	}
	r.fail("no number")
	return 0
}

func (r *reader) int32() int32 {
	v := r.int()
	if v != int64(int32(v)) {
		r.fail("number out of range")
		return 0
	}
	return int32(v)
}

// small reads a number below 256.
func (r *reader) small() uint8 {
	v := r.uint()
	if v > math.MaxUint8 {
		r.fail("number out of range")
		return 0
	}
	return uint8(v)
}

func (r *reader) uint32() uint32 {
	v := r.uint()
	if v > math.MaxUint32 {
		r.fail("number out of range")
		return 0
	}
	return uint32(v)
}

func (r *reader) string() string {
	c := r.byte()
	var n uint64
	switch {
	case c>>5 == 5:
		n = uint64(c & 31)
	case c >= 0xd9 && c <= 0xdb:
		n = r.big(1 << (c - 0xd9))
	default:
		r.fail("no string")
		return ""
	}
	return string(r.take(n))
}

func (r *reader) bytes() []byte {
	c := r.byte()
	switch {
	case c == 0xc0:
		return nil
	case c >= 0xc4 && c <= 0xc6:
		return r.take(r.big(1 << (c - 0xc4)))
	}
	r.fail("no bytes")
	return nil
}

// identity reads bytes of exactly the length of id.
func (r *reader) identity(id *[16]byte) {
	if b := r.bytes(); len(b) == len(id) {
		copy(id[:], b)
	} else {
		r.fail("no identity")
	}
}
