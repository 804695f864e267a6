// Package jute is the wire format of ZooKeeper's client protocol: primitives, headers and the records that requests, replies
// and watch events are made of. Encoding appends to a byte slice; decoding reads from one. There is no reflection and no I/O.
//
// All integers are big-endian.
//
//	frame   int length | body                       (both directions)
//	request body: int xid | int opcode | record
//	reply   body: int xid | long zxid | int code | record, only if the code is OK
//	bool    1 byte, anything but 0 is true
//	buffer  int length | bytes                      (length -1: null, which is not the same as empty)
//	string  a buffer of UTF-8
//	vector  int count | elements                    (count -1: null)
//
// A [Decoder] never panics and never allocates more than a small multiple of the bytes it was given, whatever is in them.
package jute
