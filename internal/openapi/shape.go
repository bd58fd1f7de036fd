package openapi

import (
	"errors"

	"github.com/go-faster/jx"
)

// Limits bound a JSON text by its shape, before anything is built of it.
type Limits struct {
	Values int // objects, lists, texts, numbers and so on, all together
	Depth  int // of objects and lists inside one another
}

// Errors of Limits.Check.
var (
	ErrTooManyValues = errors.New("too many values")
	ErrTooDeep       = errors.New("nested too deep")
	ErrNoJSON        = errors.New("not JSON")
)

// Check reads raw once and keeps nothing of it. It returns ErrTooManyValues or ErrTooDeep as soon as a limit is
// exceeded, and ErrNoJSON where raw is not one JSON value.
func (l Limits) Check(raw []byte) error {
	d := jx.DecodeBytes(raw)
	values := 0
	if err := l.walk(d, &values, 0); err != nil {
		if errors.Is(err, ErrTooManyValues) {
			return ErrTooManyValues
		}
		if errors.Is(err, ErrTooDeep) {
			return ErrTooDeep
		}
		return ErrNoJSON
	}
	if d.Next() != jx.Invalid { // something follows
		return ErrNoJSON
	}
	return nil
}

func (l Limits) walk(d *jx.Decoder, values *int, depth int) error {
	if *values++; *values > l.Values {
		return ErrTooManyValues
	}
	kind := d.Next()
	if kind != jx.Object && kind != jx.Array {
		return d.Skip()
	}
	if depth >= l.Depth {
		return ErrTooDeep
	}
	if kind == jx.Array {
		return d.Arr(func(d *jx.Decoder) error { return l.walk(d, values, depth+1) })
	}
	return d.ObjBytes(func(d *jx.Decoder, _ []byte) error { return l.walk(d, values, depth+1) })
}
