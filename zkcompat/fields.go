package zkcompat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Fields is what a word or a command tells by name, in an order of its own. As JSON it is an object.
type Fields []Field

// Field is one of them. Value is anything that JSON can tell: another Fields, too.
type Field struct {
	Name  string
	Value any
}

// MarshalJSON keeps the order.
func (fs Fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fs {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, fmt.Errorf("zkcompat: encode the name %q: %w", f.Name, err)
		}
		value, err := json.Marshal(f.Value)
		if err != nil {
			return nil, fmt.Errorf("zkcompat: encode %s: %w", f.Name, err)
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// add appends a field.
func (fs *Fields) add(name string, value any) { *fs = append(*fs, Field{name, value}) }

// ms is a duration as ZooKeeper tells latencies: whole milliseconds.
func ms(d time.Duration) int64 { return d.Milliseconds() }

// decimal is an average in milliseconds: always with a fraction, of four digits at most. It is a number in JSON.
func decimal(d time.Duration) json.Number {
	t := strings.TrimRight(strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 4, 64), "0")
	if strings.HasSuffix(t, ".") {
		t += "0"
	}
	return json.Number(t)
}
