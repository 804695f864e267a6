package tree

import (
	"io"

	"github.com/strata-coord/strata/tiers"
)

// Image is a snapshot that was read and checked, and is not the state of a tree yet.
type Image struct{ l *loader }

// ReadImage reads a snapshot, chunk by chunk, and nothing that follows it in r. Errors: ErrCorrupt (with ErrChecksum if that is why),
// ErrVersion, r's.
func ReadImage(r io.Reader) (*Image, error) {
	l := &loader{Tree: Tree{content: newContent()}}
	if err := l.load(r); err != nil {
		return nil, err
	}
	return &Image{l}, nil
}

// Zxid is that of the last txn in the image.
func (im *Image) Zxid() tiers.Zxid { return im.l.zxid }

// At is the time of the last entry in the image, milliseconds since the Unix epoch; 0 for none.
func (im *Image) At() int64 { return im.l.at }

// Stats counts what the image holds.
func (im *Image) Stats() Stats { return im.l.Stats() }

// Tree is a tree with the image's state. The image is its: it can't be used any more.
func (im *Image) Tree() *Tree {
	t := New()
	t.content = im.l.content
	return t
}
