package jute

import "encoding/binary"

func AppendInt(b []byte, v int32) []byte  { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func AppendLong(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendBuffer appends v; nil is null.
func AppendBuffer(b, v []byte) []byte {
	if v == nil {
		return AppendInt(b, -1)
	}
	return append(AppendInt(b, int32(len(v))), v...)
}

// AppendString appends v, which is never null.
func AppendString(b []byte, v string) []byte { return append(AppendInt(b, int32(len(v))), v...) }

// AppendNullString appends v, or null if it is not valid.
func AppendNullString(b []byte, v NullString) []byte {
	if !v.Valid {
		return AppendInt(b, -1)
	}
	return AppendString(b, v.S)
}

// AppendStrings appends a vector; nil is null.
func AppendStrings(b []byte, vs []string) []byte {
	if vs == nil {
		return AppendInt(b, -1)
	}
	b = AppendInt(b, int32(len(vs)))
	for _, v := range vs {
		b = AppendString(b, v)
	}
	return b
}

// BeginFrame appends room for a frame's length; EndFrame, given the length of b before that, fills it in.
func BeginFrame(b []byte) []byte { return append(b, 0, 0, 0, 0) }

// EndFrame completes the frame that began at start and ends at the end of b.
func EndFrame(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}
