package camt

import (
	"strings"

	"github.com/kontoflow/kontoflow/banks"
)

// bankCode is a BkTxCd: the ISO 20022 bank transaction code, and the bank's own one.
type bankCode struct {
	domain, family, subFamily string
	bank                      string
}

func (c *bankCode) size() int { return len(c.domain) + len(c.family) + len(c.subFamily) + len(c.bank) }

// own takes the bank's own code apart. The German one has up to four parts, of which any but the
// second may be missing: "NTRF+166+9310+997" is the SWIFT code, the business transaction code
// (Geschäftsvorfallcode, GVC, three digits), the primanota and the text key extension (DK, FinTS
// data formats, camt: Prtry with the issuer DK or ZKA). Other banks have codes of other forms:
// these come back as they are.
func (c *bankCode) own() (key, primanota string) {
	rest := c.bank
	for begin := true; rest != ""; begin = false {
		part := rest
		if i := strings.IndexAny(rest, "+/"); i >= 0 {
			part, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		part = strings.TrimSpace(part)
		if begin && len(part) == 7 && isLetters(part[:4]) { // without a border: "NTRF166+9310"
			part = part[4:]
		}
		if len(part) == 3 && isDigits(part) {
			primanota, _, _ = strings.Cut(rest, "+")
			return part, strings.TrimSpace(primanota)
		}
	}
	if parts := strings.Split(c.bank, "+"); len(parts) > 1 {
		if len(parts) > 2 {
			primanota = strings.TrimSpace(parts[2])
		}
		return strings.TrimSpace(parts[1]), primanota
	}
	return c.bank, ""
}

// describe puts the bank transaction code into an entry.
func (c *bankCode) describe(e *banks.Entry) {
	key, primanota := c.own()
	if c.domain != "" && c.family != "" {
		key = c.domain + "-" + c.family + "-" + c.subFamily
	}
	if e.BookingKey == "" {
		e.BookingKey = key
	}
	if e.PrimanotaCode == "" {
		e.PrimanotaCode = primanota
	}
}

// returned reports whether the code stands for something that comes back.
func (c *bankCode) returned() bool {
	switch c.subFamily {
	case "UPDD", "PRDD", "RCDD", "RRTN", "RPCR", "UPCT", "UPCQ":
		return true
	}
	switch key, _ := c.own(); key {
	case "108", "109", "193", // direct debits, taken from the creditor again
		"181", "184", // direct debits, given to the debtor again
		"159", "160": // transfers, given to their sender again
		return true
	}
	return false
}

func isLetters(s string) bool { return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" }

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
