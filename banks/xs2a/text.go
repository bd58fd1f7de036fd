package xs2a

import (
	"encoding/json"
	"errors"

	"github.com/go-faster/jx"

	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// Bounds of what a bank may tell us, in bytes.
const (
	maxID      = 512
	maxText    = 1024
	maxMessage = 4096
)

// text reads a JSON scalar of any type as text: banks send booleans and numbers as strings and the
// other way round. An object or an array reads as nothing.
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
		*t = text(lenient.Cut(string(b), maxMessage))
	}
	return nil
}

func (t text) String() string { return string(t) }

// many reads a JSON array of T; a single T counts as a list of one, and what cannot be read as T is
// left out. At most B elements are read, and what follows them costs nothing: a bank could send
// millions.
type many[T any, B bound] []T

// A bound is how many elements a list may have.
type bound interface{ most() int }

type (
	upToAccounts struct{} // one more than a consent may open, so that too many are noticed
	upTo10000    struct{}
	upTo100      struct{}
	upTo50       struct{}
)

func (upToAccounts) most() int { return maxAccounts + 1 }
func (upTo10000) most() int    { return 10_000 }
func (upTo100) most() int      { return 100 }
func (upTo50) most() int       { return 50 }

// errEnough ends the reading of a list.
var errEnough = errors.New("enough")

func (l *many[T, B]) UnmarshalJSON(b []byte) error {
	*l = nil
	var bound B
	take := func(raw []byte) {
		var v T
		if string(raw) != "null" && json.Unmarshal(raw, &v) == nil {
			*l = append(*l, v)
		}
	}
	if len(b) == 0 || b[0] != '[' {
		take(b)
		return nil
	}
	n := 0
	err := jx.DecodeBytes(b).Arr(func(d *jx.Decoder) error {
		if n++; n > bound.most() {
			return errEnough
		}
		raw, err := d.Raw()
		if err == nil {
			take(raw)
		}
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
