package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
)

// Codec turns values into a znode's data and back. Implementations may be called concurrently.
type Codec interface {
	Encode(v any) ([]byte, error)
	Decode(data []byte, into any) error // into is a pointer to a fresh value; data must not be changed or kept
}

// Format is a well-known Codec.
type Format string

const (
	// JSON is data as encoding/json has it. Unknown fields are ignored, so that old programs can read what new ones write.
	JSON Format = "json"
	// YAML is data as one YAML document. Unknown keys are ignored.
	YAML Format = "yaml"
)

// Encode implements Codec.
func (f Format) Encode(v any) ([]byte, error) {
	switch f {
	case JSON:
		return json.Marshal(v)
	case YAML:
		return yaml.Marshal(v)
	}
	return nil, f.unknown()
}

// Decode implements Codec. Empty data is no document of either format.
func (f Format) Decode(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return errEmpty
	}
	switch f {
	case JSON:
		return json.Unmarshal(data, into)
	case YAML:
		if err := yaml.Unmarshal(data, into); err != nil {
			return &yamlError{err}
		}
		return nil
	}
	return f.unknown()
}

// yamlError is an error of the YAML package in one line: its own text is several lines of the document.
type yamlError struct{ err error }

func (e *yamlError) Error() string { return yaml.FormatError(e.err, false, false) }
func (e *yamlError) Unwrap() error { return e.err }

var errEmpty = errors.New("the document is empty")

func (f Format) unknown() error {
	return fmt.Errorf("unknown format %q: use JSON, YAML or a Codec of your own", string(f))
}

// DecodeError says that a znode's data can't be decoded.
type DecodeError struct {
	Path    string
	Version int32 // the znode's data version
	Err     error // the codec's
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("decode %s at version %d: %v", e.Path, e.Version, e.Err)
}
func (e *DecodeError) Unwrap() error { return e.Err }
