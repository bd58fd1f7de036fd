package fints

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// maxKept bounds the compressed answer that waits in the sealed state for the next read.
const maxKept = 8 << 20

// keep puts the answer that came with a TAN where the next read finds it.
func (t *talk) keep(key string, r *reply) error {
	const doing = "keep the bank's answer"
	wire, err := syntax.Append(nil, r.Segments...)
	if err != nil {
		return nonsense(doing, err.Error())
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, err = zip.Write(wire)
	if err = errors.Join(err, zip.Close()); err != nil {
		return misconfigured(fmt.Errorf("%s: %w", doing, err))
	}
	if packed.Len() > maxKept {
		return nonsense(doing, "it is too large")
	}
	t.dialog.Kept, t.dirty = &kept{Key: key, Dialog: r.dialog, Gzip: packed.Bytes()}, true
	return nil
}

// take is the kept answer to an order; nil where there is none.
func (t *talk) take(doing, key string) (*reply, error) {
	k := t.dialog.Kept
	if k == nil || key == "" || k.Key != key {
		return nil, nil
	}
	t.dialog.Kept, t.dirty = nil, true
	zip, err := gzip.NewReader(bytes.NewReader(k.Gzip))
	if err != nil {
		return nil, misconfigured(fmt.Errorf("%s: open the kept answer: %w", doing, err))
	}
	wire, err := io.ReadAll(io.LimitReader(zip, syntax.MaxMessage))
	if err != nil {
		return nil, misconfigured(fmt.Errorf("%s: open the kept answer: %w", doing, err))
	}
	segments, err := syntax.Parse(wire)
	if err != nil {
		return nil, misconfigured(fmt.Errorf("%s: read the kept answer: %w", doing, err))
	}
	r := &reply{Message: &syntax.Message{Segments: segments}, dialog: k.Dialog}
	for i := range segments {
		if s := &segments[i]; s.Name == "HIRMG" || s.Name == "HIRMS" {
			r.feedback = append(r.feedback, readFeedback(s)...)
		}
	}
	return r, nil
}
