package camt_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/camt"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// plainDocument is what encoding/xml reads of a well-formed message.
type plainDocument struct {
	Statements []struct {
		Entries []struct {
			Amount struct {
				Value    string `xml:",chardata"`
				Currency string `xml:"Ccy,attr"`
			} `xml:"Amt"`
			Indicator string   `xml:"CdtDbtInd"`
			Day       string   `xml:"BookgDt>Dt"`
			Reference string   `xml:"AcctSvcrRef"`
			Name      string   `xml:"NtryDtls>TxDtls>RltdPties>Cdtr>Nm"`
			IBAN      string   `xml:"NtryDtls>TxDtls>RltdPties>CdtrAcct>Id>IBAN"`
			EndToEnd  string   `xml:"NtryDtls>TxDtls>Refs>EndToEndId"`
			Lines     []string `xml:"NtryDtls>TxDtls>RmtInf>Ustrd"`
			Text      string   `xml:"AddtlNtryInf"`
		} `xml:"Ntry"`
	} `xml:"BkToCstmrStmt>Stmt"`
}

func (d *plainDocument) entries(t require.TestingT) []banks.Entry {
	var all []banks.Entry
	for _, s := range d.Statements {
		for _, e := range s.Entries {
			amount, err := decimal.NewFromString(strings.TrimSpace(e.Amount.Value))
			require.NoError(t, err)
			day, err := civil.Parse(strings.TrimSpace(e.Day))
			require.NoError(t, err)
			entry := banks.Entry{
				Amount: amount.Neg(), Currency: e.Amount.Currency, BookingDate: day, TransactionID: lenient.Text(e.Reference, 512),
				Counterparty: banks.Party{Name: lenient.Text(e.Name, 1024)}, EndToEndID: lenient.Text(e.EndToEnd, 256), BookingText: lenient.Text(e.Text, 1024),
			}
			entry.Counterparty.IBAN, _ = lenient.IBAN(strings.TrimSpace(e.IBAN))
			for _, line := range e.Lines {
				if line = lenient.Text(line, 1024); line != "" {
					entry.Remittance = append(entry.Remittance, line)
				}
			}
			all = append(all, entry)
		}
	}
	return all
}

// A writer writes XML in one of the many ways that mean the same.
type writer struct {
	strings.Builder
	t      *rapid.T
	prefix string
}

func (w *writer) maybe(label string) bool { return rapid.IntRange(0, 5).Draw(w.t, label) == 0 }

// noise is what means nothing between two elements.
func (w *writer) noise() {
	w.WriteString(rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r\n", "<!-- <Ntry> & - -->", "<?a <b>?>"}).Draw(w.t, "noise"))
}

func (w *writer) element(name, attributes string, inside func()) {
	blank := rapid.SampledFrom([]string{"", "", "", " ", "\n"}).Draw(w.t, "blank")
	w.WriteString("<" + w.prefix + name + attributes + blank)
	before := w.Len()
	w.WriteString(">")
	inside()
	if w.Len() == before+1 && w.maybe("self-closing") {
		all := w.String()
		w.Reset()
		w.WriteString(all[:before] + "/>")
		return
	}
	w.WriteString("</" + w.prefix + name + blank + ">")
}

func (w *writer) leaf(name, attributes, text string) {
	w.element(name, attributes, func() { w.text(text) })
}

// text writes a text, each character in one of the ways that it can be written.
func (w *writer) text(text string) {
	for _, r := range text {
		switch rapid.IntRange(0, 20).Draw(w.t, "form") {
		case 0:
			fmt.Fprintf(w, "&#%d;", r)
			continue
		case 1:
			fmt.Fprintf(w, "&#x%X;", r)
			continue
		case 2:
			fmt.Fprintf(w, "<![CDATA[%c]]>", r)
			continue
		case 3:
			w.WriteString("<!--x-->")
		}
		if escaped, ok := map[rune]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': "&quot;", '\'': "&apos;"}[r]; ok {
			w.WriteString(escaped)
			continue
		}
		w.WriteRune(r)
	}
}

// text is anything that XML can hold. Left out are the letters of N'Ko, which are taken for
// Windows-1252.
func anyText(t *rapid.T, label string) string {
	runes := rapid.OneOf(
		rapid.RuneFrom([]rune("abcXYZ0189 &<>\"'];äöüß€\u00a0/+-\n\t\r")),
		rapid.Rune().Filter(func(r rune) bool {
			return r >= ' ' && (r < 0x7f || r >= 0xA0) && r != 0xFFFE && r != 0xFFFF && !(r >= 0x07C0 && r < 0x0800) && !unicode.Is(unicode.Cs, r)
		}),
	)
	return string(rapid.SliceOfN(runes, 0, 24).Draw(t, label))
}

func wellFormed(t *rapid.T) string {
	w := &writer{t: t, prefix: rapid.SampledFrom([]string{"", "", "ns2:"}).Draw(t, "prefix")}
	w.WriteString(rapid.SampledFrom([]string{"", `<?xml version="1.0" encoding="UTF-8"?>`, "\ufeff<?xml version='1.0'?>\n"}).Draw(t, "declaration"))
	space := ` xmlns="urn:bank"`
	if w.prefix != "" {
		space = ` xmlns:ns2='urn:bank'`
	}
	w.element("Document", space, func() {
		w.element("BkToCstmrStmt", "", func() {
			for range rapid.IntRange(1, 2).Draw(t, "statements") {
				w.element("Stmt", "", func() {
					for range rapid.IntRange(0, 4).Draw(t, "entries") {
						w.noise()
						w.entry()
					}
				})
			}
		})
	})
	w.noise()
	return w.String()
}

func (w *writer) entry() {
	t := w.t
	w.element("Ntry", rapid.SampledFrom([]string{"", ` a=">&amp;'"`}).Draw(t, "attribute"), func() {
		w.noise()
		quote := rapid.SampledFrom([]string{`"`, `'`}).Draw(t, "quote")
		amount := decimal.New(rapid.Int64Range(1, 1e12).Draw(t, "amount"), -int32(rapid.IntRange(0, 4).Draw(t, "scale")))
		w.leaf("Amt", ` a="b" Ccy = `+quote+rapid.SampledFrom([]string{"EUR", "CHF"}).Draw(t, "currency")+quote, amount.String())
		w.noise()
		w.leaf("CdtDbtInd", "", "DBIT")
		w.element("BookgDt", "", func() {
			w.noise()
			w.leaf("Dt", "", civil.Day(2026, 1, rapid.IntRange(1, 365).Draw(t, "day")).String())
		})
		w.leaf("AcctSvcrRef", "", "R"+anyText(t, "reference"))
		if w.maybe("unknown") {
			w.element("Unknown", ` a=">"`, func() { w.leaf("Amt", ` Ccy="USD"`, anyText(t, "unknown")) })
		}
		w.element("NtryDtls", "", func() {
			w.element("TxDtls", "", func() {
				w.element("Refs", "", func() { w.leaf("EndToEndId", "", anyText(t, "end to end")) })
				w.element("RltdPties", "", func() {
					w.leaf("Cdtr", "", "")
					w.element("Cdtr", "", func() { w.noise(); w.leaf("Nm", "", anyText(t, "name")) })
					w.element("CdtrAcct", "", func() { w.element("Id", "", func() { w.leaf("IBAN", "", "DE89370400440532013000") }) })
				})
				w.element("RmtInf", "", func() {
					for range rapid.IntRange(0, 3).Draw(t, "lines") {
						w.leaf("Ustrd", "", anyText(t, "line"))
						w.noise()
					}
				})
			})
		})
		w.leaf("AddtlNtryInf", "", anyText(t, "text"))
	})
}

// Well-formed messages read as encoding/xml reads them, however they are written and however they
// arrive.
func TestWellFormedMessages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body := wellFormed(t)
		var document plainDocument
		require.NoError(t, xml.Unmarshal([]byte(strings.TrimPrefix(body, "\ufeff")), &document), body)
		report, err := camt.Read(strings.NewReader(body), "EUR")
		require.NoError(t, err, body)
		want := document.entries(t)
		require.Len(t, report.Entries, len(want), body)
		for i := range want {
			require.Equal(t, fmt.Sprintf("%+v", want[i]), fmt.Sprintf("%+v", report.Entries[i]), body)
		}
		again, err := camt.Read(iotest.HalfReader(iotest.DataErrReader(strings.NewReader(body))), "EUR")
		require.NoError(t, err)
		require.Equal(t, report, again)
		again, err = camt.Read(iotest.OneByteReader(strings.NewReader(body)), "EUR")
		require.NoError(t, err)
		require.Equal(t, report, again)
	})
}

// What a reader fails with is what reading fails with, wherever it fails.
func TestReadersErrors(t *testing.T) {
	t.Parallel()
	failure := errors.New("the line is down")
	whole := message(`<!-- a --><?b c?><Ntry a="b"><Amt Ccy="EUR">1.5</Amt><CdtDbtInd>CRDT</CdtDbtInd><AddtlNtryInf><![CDATA[a]]>&amp;</AddtlNtryInf></Ntry>`)
	for n := range len(whole) {
		_, err := camt.Read(io.MultiReader(strings.NewReader(whole[:n]), iotest.ErrReader(failure)), "EUR")
		require.ErrorIs(t, err, failure, "after %q", whole[:n])
	}
	_, err := camt.Read(stuck{}, "EUR")
	require.ErrorIs(t, err, io.ErrNoProgress)
}

// stuck is a reader that reads nothing, and says nothing about it.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }
