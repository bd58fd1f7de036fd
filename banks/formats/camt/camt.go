// Package camt reads ISO 20022 bank-to-customer messages as banks send them over XS2A and FinTS:
// camt.052 (account report), camt.053 (statement) and camt.054 (notification), versions 001.02 to
// 001.13.
//
// The versions differ little: 001.04 renames BIC to BICFI, 001.08 puts a status into a Cd and a
// party into a Pty. All spellings are understood everywhere. The namespace matters only for an
// empty message. docs/reading.md has the rules.
package camt

import (
	"io"

	"github.com/kontoflow/kontoflow/banks"
)

// Report is what a message says about an account.
type Report struct {
	Entries    []banks.Entry
	Balances   []banks.Balance
	Unreadable banks.Unreadable // what had to be left out or clamped
}

// Bounds of a message.
const (
	maxKept     = 64 << 20 // of what is kept of a message, in bytes
	maxBalances = 50       // beyond, the oldest are dropped
	maxDetails  = 10_000   // transactions that one entry can be taken apart into
	maxLines    = 64       // of a remittance
	maxDepth    = 64
	maxText     = 4 << 10 // of one text as it stands in the message, in bytes; the rest is not looked at
)

// What a message can be refused for, beside a *banks.EntryError.
const (
	ErrTooLarge = banks.OwnError("the message holds too much")
	errTooDeep  = banks.OwnError("elements are nested too deep")
	errNoCamt   = banks.OwnError("no camt message")
)

// Read reads a message, of which there may be several statements, or several messages one after the
// other. currency stands in where neither an amount nor its statement has one. The caller bounds
// the reader.
//
// An entry whose amount, sign or currency cannot be read is a *banks.EntryError. Input that
// breaks off is io.ErrUnexpectedEOF, and what is kept of it is bounded by ErrTooLarge. Errors never
// quote the message.
func Read(r io.Reader, currency string) (*Report, error) {
	input, err := inUTF8(r)
	if err != nil {
		return nil, err
	}
	d := newDecoder(input, currency)
	if err := d.run(); err != nil {
		return nil, err
	}
	if !d.known {
		return nil, errNoCamt
	}
	d.date(d.report.Entries[d.statement.first:])
	d.report.Balances = newest(d.report.Balances)
	return &d.report, nil
}
