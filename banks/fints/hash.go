package fints

import (
	"context"
	"crypto/sha1"
	"fmt"

	//lint:ignore SA1019 the specification wants this hash
	"golang.org/x/crypto/ripemd160"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// In process variant 1 the bank makes the challenge from a hash of the order (HKTAN process 1), and
// the order follows with the TAN in its signature ("Sicherheitsverfahren PIN/TAN", sections B.4.1.1
// and B.4.3.2).

// noHash stands for the hash of what is no order: a login.
const noHash = "00000000"

// Procedures for the hash (data dictionary, "Auftrags-Hashwertverfahren").
const (
	hashRIPEMD = 1
	hashSHA1   = 2
)

// byHash reports whether the method is one of process variant 1.
func (m *method) byHash() bool { return m.Process == 1 }

// hashOf is the hash of an order with the number that it will be sent under, from its head to the
// sign that ends it (data dictionary, "Auftrags-Hashwert").
func (m *method) hashOf(order syntax.Segment) ([]byte, error) {
	wire, err := syntax.Append(nil, order)
	if err != nil {
		return nil, misconfigured(fmt.Errorf("hash the order: %w", err))
	}
	if m.Hash == hashSHA1 {
		sum := sha1.Sum(wire)
		return sum[:], nil
	}
	sum := ripemd160.New()
	_, _ = sum.Write(wire)
	return sum.Sum(nil), nil
}

// announceHash is HKTAN with process 1.
func (m *method) announceHash(order string, hash []byte, medium string) syntax.Segment {
	s := syntax.New("HKTAN", m.Version, syntax.Text("1"), syntax.Text(order), syntax.Empty(), syntax.Binary(hash), syntax.Empty(), syntax.Flag(false))
	if m.Medium && medium != "" {
		s.Elements = append(append(s.Elements, make([]syntax.Element, 4)...), syntax.Text(medium))
	}
	return s
}

// submit sends an order, and with it HKTAN where the bank may want a TAN. demanded says that the
// bank keeps the order, or waits for it, until the customer has authorized it.
func (t *talk) submit(ctx context.Context, doing, key string, order syntax.Segment, withTAN bool) (r *reply, demanded bool, err error) {
	defer func() { err = t.ofMethod(ctx, err) }()
	m := t.method()
	switch {
	case m == nil || !withTAN:
		r, err = t.order(ctx, doing, "", order)
	case m.byHash():
		return t.submitHash(ctx, doing, key, m, order)
	default:
		r, err = t.order(ctx, doing, "", order, tanFor(m, order.Name, t.lasting.Medium))
	}
	return r, err == nil && t.demands(r, order.Name, key), err
}

// submitHash sends an order's hash, and the order itself where that was enough.
func (t *talk) submitHash(ctx context.Context, doing, key string, m *method, order syntax.Segment) (r *reply, demanded bool, err error) {
	order.Number = orderSegment
	hash, err := m.hashOf(order)
	if err != nil {
		return nil, false, err
	}
	r, err = t.order(ctx, doing, "", m.announceHash(order.Name, hash, t.lasting.Medium))
	if err != nil {
		return r, false, err
	}
	if !t.demands(r, order.Name, key) {
		r, err = t.order(ctx, doing, "", order)
		return r, false, err
	}
	if t.dialog.Waiting.Segment, err = syntax.Append(nil, order); err != nil {
		return nil, false, misconfigured(fmt.Errorf("%s: %w", doing, err))
	}
	return r, true, nil
}

// withTAN is what is sent with the TAN for an order that waits: HKTAN with its reference, or in
// process variant 1 the order.
func (t *talk) withTAN(m *method, w *waiting) ([]syntax.Segment, error) {
	switch {
	case !m.byHash():
		return []syntax.Segment{syntax.New("HKTAN", m.Version, syntax.Text("2"), syntax.Empty(), syntax.Empty(), syntax.Empty(), syntax.Text(w.Reference), syntax.Flag(false))}, nil
	case len(w.Segment) == 0:
		return []syntax.Segment{tanFor(m, w.Order, t.chosen().Medium)}, nil
	}
	segments, err := syntax.Parse(w.Segment)
	if err != nil {
		return nil, misconfigured(fmt.Errorf("read the order that waits: %w", err))
	}
	return segments, nil
}
