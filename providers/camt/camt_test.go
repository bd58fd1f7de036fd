package camt_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"kontoflow/plain"
	"kontoflow/providers"
	"kontoflow/providers/camt"
)

// The same statement in the oldest and the newest version that banks send has to read the same.
func TestVersionsReadTheSame(t *testing.T) {
	t.Parallel()
	want := []providers.Entry{
		{
			TransactionID: "2026013100001", EntryReference: "N1", BookingDate: plain.Day(2026, 1, 31), ValueDate: plain.Day(2026, 2, 1),
			Amount: decimal.RequireFromString("-84.50"), Currency: "EUR",
			Counterparty: providers.Party{Name: "Stadtwerke Grünstadt GmbH", IBAN: "DE67900900424711951500", BIC: "DEMODE01XXX"},
			Remittance:   []string{"Abschlag Strom 01.26", "Vertragskonto 4711"}, BookingText: "FOLGELASTSCHRIFT", BookingKey: "PMNT-RDDT-ESDD",
			PrimanotaCode: "9310", EndToEndID: "E2E-1", MandateID: "M-4711", CreditorID: "DE98ZZZ09999999999", PurposeCode: "OTHR",
		},
		{
			BookingDate: plain.Day(2026, 1, 31), ValueDate: plain.Day(2026, 1, 31), Amount: decimal.RequireFromString("2500"), Currency: "EUR",
			Counterparty: providers.Party{Name: "Musterwerk AG", AccountNumber: "0815"}, CustomerReference: "RF18539007547034", Remittance: []string{"RF18539007547034"},
			BookingKey: "153", PrimanotaCode: "1",
		},
		{
			Pending: true, BookingDate: plain.Day(2026, 2, 1), Amount: decimal.RequireFromString("-9.99"), Currency: "EUR",
			OriginalAmount: decimal.RequireFromString("-10.80"), OriginalCurrency: "USD", Remittance: []string{"Kaffee & Kuchen"},
			AdditionalInfo: map[string]string{"exchange_rate": "1.0811"},
		},
	}
	for _, file := range []string{"camt.052.001.02.xml", "camt.052.001.08.xml", "camt.053.001.02.iso-8859-1.xml", "camt.053.001.08.xml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(filepath.Join("testdata", file))
			require.NoError(t, err)
			defer f.Close()
			report, err := camt.Read(f, "EUR")
			require.NoError(t, err)
			require.Equal(t, want, report.Entries)
			require.Equal(t, []providers.Balance{
				{Type: "openingBooked", Amount: decimal.RequireFromString("100.00"), Currency: "EUR", Date: plain.Day(2026, 1, 30)},
				{Type: "closingBooked", Amount: decimal.RequireFromString("-15.50"), Currency: "EUR", Date: plain.Day(2026, 1, 31)},
			}, report.Balances)
		})
	}
}

func message(entries string) string {
	return `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>` + entries + `</Stmt></BkToCstmrStmt></Document>`
}

func batch(total string, details ...string) string {
	return message(`<Ntry><NtryRef>B</NtryRef><Amt Ccy="EUR">` + total + `</Amt><CdtDbtInd>DBIT</CdtDbtInd><NtryDtls>` + strings.Join(details, "") + `</NtryDtls></Ntry>`)
}

func detail(amount, name string) string {
	return `<TxDtls><Amt Ccy="EUR">` + amount + `</Amt><CdtDbtInd>DBIT</CdtDbtInd><RltdPties><Cdtr><Pty><Nm>` + name + `</Nm></Pty></Cdtr></RltdPties></TxDtls>`
}

// A batch is taken apart only where its parts add up to it: otherwise money would appear or vanish.
func TestBatches(t *testing.T) {
	t.Parallel()
	read := func(xml string) []providers.Entry {
		report, err := camt.Read(strings.NewReader(xml), "EUR")
		require.NoError(t, err)
		return report.Entries
	}
	parts := read(batch("30", detail("10", "A"), detail("20", "B")))
	require.Len(t, parts, 2)
	require.Equal(t, "-10 A -20 B", fmt.Sprint(parts[0].Amount, " ", parts[0].Counterparty.Name, " ", parts[1].Amount, " ", parts[1].Counterparty.Name))
	require.Empty(t, parts[0].EntryReference, "the batch's id is not the part's")
	require.Equal(t, "B", parts[0].AdditionalInfo["batch"])

	whole := read(batch("31", detail("10", "A"), detail("20", "B")))
	require.Len(t, whole, 1)
	require.Equal(t, "-31", whole[0].Amount.String())
	require.Empty(t, whole[0].Counterparty.Name, "one of the parties is not the batch's")
}

func TestWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, err string }{
		"nothing":         {"", "no camt message"},
		"blanks":          {" \r\n ", "no camt message"},
		"no XML":          {"20260131;12,34;EUR", "no camt message"},
		"another format":  {"<html><body>Wartung</body></html>", "no camt message"},
		"another message": {`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt/></Document>`, "no camt message"},
		"too deep":        {strings.Repeat("<a>", 1000), "nested too deep"},
		"wrong end tag":   {`<BkToCstmrStmt>geheim</Stmt>`, "broken XML at byte 28"},
		"end tag alone":   {`</geheim>`, "broken XML at byte 9"},
		"unknown set":     {`<?xml version="1.0" encoding="klingon"?><BkToCstmrStmt/>`, "character set"},
		"secret words":    {message(`<Ntry><Amt>geheim</Amt></Ntry>`), "cannot be read: entry 1: amount"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := camt.Read(strings.NewReader(c.body), "EUR")
			require.ErrorContains(t, err, c.err)
			require.NotContains(t, err.Error(), "geheim")
		})
	}
}

// A message that breaks off is never taken for a whole one, wherever it breaks off.
func TestWhatBreaksOff(t *testing.T) {
	t.Parallel()
	whole := `<?xml version="1.0"?><!DOCTYPE Document [<!ENTITY a "<b>">]><!-- a --><?b c?>` +
		message(`<Ntry><Amt Ccy="EUR">1.5</Amt><CdtDbtInd>CRDT</CdtDbtInd><AddtlNtryInf><![CDATA[a]]>&amp;</AddtlNtryInf></Ntry>`)
	twice := whole + whole
	for n := 1; n < len(twice); n++ {
		_, err := camt.Read(strings.NewReader(twice[:n]), "EUR")
		switch {
		case n == len(whole):
			require.NoError(t, err)
		case err == nil:
			t.Fatalf("cut off after %q", twice[:n])
		case n > len(whole) || strings.Contains(twice[:n], "<Document xmlns"):
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut off after %q", twice[:n])
		}
	}
	report, err := camt.Read(strings.NewReader(twice), "EUR")
	require.NoError(t, err)
	require.Len(t, report.Entries, 2)
}

// A message of a camt namespace that holds nothing says that there is nothing.
func TestNoneIsNoError(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.052.001.08"/>`,
		`<?xml version="1.0"?><d:Document xmlns:d='urn:iso:std:iso:20022:tech:xsd:camt.053.001.13'></d:Document>`,
		`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.02"><BkToCstmrDbtCdtNtfctn/></Document>`,
		`<Document xmlns="urn:other"><BkToCstmrAcctRpt><GrpHdr><MsgId>1</MsgId></GrpHdr><Rpt><Id>1</Id></Rpt></BkToCstmrAcctRpt></Document>`,
	} {
		report, err := camt.Read(strings.NewReader(body), "EUR")
		require.NoError(t, err, body)
		require.Equal(t, camt.Report{}, *report, body)
	}
}

func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.xml")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Add([]byte(batch("30", detail("10", "A"), detail("20", "B"))))
	f.Fuzz(func(t *testing.T, body []byte) {
		report, err := camt.Read(bytes.NewReader(body), "EUR")
		if err != nil {
			return
		}
		for _, e := range report.Entries {
			text := fmt.Sprintf("%+v", e)
			require.True(t, utf8.ValidString(text))
			require.NotContains(t, text, "\x00")
			require.LessOrEqual(t, len(e.Amount.String()), 32)
		}
	})
}
