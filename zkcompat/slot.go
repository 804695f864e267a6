package zkcompat

import (
	"time"

	"github.com/strata-coord/strata/tiers"
	"github.com/strata-coord/strata/zkcompat/jute"
)

// slot is the place of one request's reply in the order of its connection. The reader makes it, whoever has the answer fills
// it, the writer sends it. What the answer fills belongs to the filler until the slot is filled and to the writer afterwards.
type slot struct {
	seq  uint64 // 1, 2, 3 ... in a connection
	xid  int32
	op   jute.Opcode
	cost int // bytes of the request
	at   time.Time

	floor tiers.Zxid // what the connection knew to be applied when the request came

	// arm is the watch that the request arms; Scope 0 for none.
	arm arming

	// What the reply is encoded from besides the answer.
	path  jute.NullString  // sync
	parts []part           // multiRead
	ops   []jute.Opcode    // multi
	late  []lateEvent      // setWatches: what the client has missed; sent before the reply
	who   []tiers.Identity // whoAmI
	token []byte           // sasl

	// The answer.
	filled  bool // guarded by output.mu
	waiting int  // parts without an answer; guarded by output.mu
	receipt tiers.Receipt
	err     error
	code    jute.Code // if err is nil
	zxid    zxidRule
	fatal   bool // the connection ends here, without this reply
}

// part is the answer to one op of a multiRead.
type part struct {
	op   jute.Opcode
	view tiers.View
	err  error
}

// lateEvent is an event of setWatches; Type 0 for none.
type lateEvent struct {
	kind tiers.EventType
	path string
}

// zxidRule says what stands in a reply's header.
type zxidRule uint8

const (
	zxidOrdinary zxidRule = iota // that of the answer, or what the connection has seen already if that is newer
	zxidNone                     // 0: auth, sasl
	zxidUnknown                  // -1: an opcode that is not served
)

// position is the zxid of the answer; 0 if it tells none.
func (s *slot) position() tiers.Zxid { return max(s.receipt.Zxid, s.receipt.View.Zxid) }

// result is that of the i'th op.
func (s *slot) result(i int) *tiers.Result {
	if i < len(s.receipt.Results) {
		return &s.receipt.Results[i]
	}
	return &tiers.Result{}
}

// size is about how long the reply is.
func (s *slot) size() int {
	n := 100 + len(s.receipt.View.Data) + 24*len(s.receipt.View.Children) + 100*len(s.receipt.Results) + 64*len(s.late)
	for i := range s.parts {
		n += 100 + len(s.parts[i].view.Data) + 24*len(s.parts[i].view.Children)
	}
	return n
}
