package xs2a

import (
	"encoding/json"

	"kontoflow/providers/lenient"
)

// Bounds of what a bank may tell us, in bytes.
const (
	maxID      = 512
	maxText    = 1024
	maxMessage = 4096
)

// text reads a JSON scalar of any type as text: banks send booleans and numbers as strings and the other way
// round. An object or an array reads as nothing.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case len(b) == 0 || string(b) == "null" || b[0] == '{' || b[0] == '[':
		*t = ""
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = text(lenient.Text(s, maxMessage))
	default:
		*t = text(b)
	}
	return nil
}

func (t text) String() string { return string(t) }

// many reads a JSON array of T; a single T counts as a list of one, and what cannot be read as T is left out.
type many[T any] []T

func (l *many[T]) UnmarshalJSON(b []byte) error {
	*l = nil
	var raw []json.RawMessage
	if len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(b, &raw); err != nil {
			return err
		}
	} else {
		raw = []json.RawMessage{b}
	}
	for _, r := range raw {
		var v T
		if string(r) != "null" && json.Unmarshal(r, &v) == nil {
			*l = append(*l, v)
		}
	}
	return nil
}
