package camt_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/camt"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// The same statement in the oldest and the newest version that banks send has to read the same.
func TestVersionsReadTheSame(t *testing.T) {
	t.Parallel()
	want := []banks.Entry{
		{
			TransactionID: "2026013100001", EntryReference: "N1", BookingDate: civil.Day(2026, 1, 31), ValueDate: civil.Day(2026, 2, 1),
			Amount: decimal.RequireFromString("-84.50"), Currency: "EUR",
			Counterparty: banks.Party{Name: "Stadtwerke Grünstadt GmbH", IBAN: "DE67900900424711951500", BIC: "DEMODE01XXX"},
			Remittance:   []string{"Abschlag Strom 01.26", "Vertragskonto 4711"}, BookingText: "FOLGELASTSCHRIFT", BookingKey: "PMNT-RDDT-ESDD",
			PrimanotaCode: "9310", EndToEndID: "E2E-1", MandateID: "M-4711", CreditorID: "DE98ZZZ09999999999", PurposeCode: "OTHR",
		},
		{
			BookingDate: civil.Day(2026, 1, 31), ValueDate: civil.Day(2026, 1, 31), Amount: decimal.RequireFromString("2500"), Currency: "EUR",
			Counterparty: banks.Party{Name: "Musterwerk AG", AccountNumber: "0815"}, CustomerReference: "RF18539007547034", Remittance: []string{"RF18539007547034"},
			BookingKey: "153", PrimanotaCode: "1",
		},
		{
			Pending: true, BookingDate: civil.Day(2026, 2, 1), Amount: decimal.RequireFromString("-9.99"), Currency: "EUR",
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
			require.Equal(t, []banks.Balance{
				{Type: "openingBooked", Amount: decimal.RequireFromString("100.00"), Currency: "EUR", Date: civil.Day(2026, 1, 30)},
				{Type: "closingBooked", Amount: decimal.RequireFromString("-15.50"), Currency: "EUR", Date: civil.Day(2026, 1, 31)},
			}, report.Balances)
		})
	}
}

// What stands at the entry is the entry's: its parts do not have it as well.
func TestPartsOfABatch(t *testing.T) {
	t.Parallel()
	const abroad = `<AmtDtls><InstdAmt><Amt Ccy="USD">33</Amt></InstdAmt></AmtDtls><Chrgs><Rcrd><Amt Ccy="EUR">2</Amt></Rcrd></Chrgs>`
	read := func(total string) []banks.Entry {
		report, err := camt.Read(strings.NewReader(message(`<Ntry><AcctSvcrRef>B</AcctSvcrRef><Amt Ccy="EUR">`+total+`</Amt><CdtDbtInd>DBIT</CdtDbtInd>`+abroad+
			`<NtryDtls>`+detail("10", "A")+`</NtryDtls><NtryDtls>`+detail("20", "B")+`</NtryDtls></Ntry>`)), "EUR")
		require.NoError(t, err)
		return report.Entries
	}
	parts := read("30")
	require.Len(t, parts, 2)
	for _, part := range parts {
		require.Empty(t, part.OriginalCurrency)
		require.Equal(t, map[string]string{"batch": "B"}, part.AdditionalInfo)
	}
	whole := read("32")
	require.Len(t, whole, 1)
	require.Equal(t, "-33 USD", whole[0].OriginalAmount.String()+" "+whole[0].OriginalCurrency)
	require.Equal(t, map[string]string{"charges": "2", "charges_currency": "EUR"}, whole[0].AdditionalInfo)
}

// A long text is cut between two characters, whatever they are.
func TestLongTexts(t *testing.T) {
	t.Parallel()
	for _, character := range []string{"x", "ü", "ж", "漢", "🙂", "&amp;", "\xfc"} {
		for shift := range 4 {
			text := strings.Repeat("a", shift) + strings.Repeat(character, 30_000)
			report, err := camt.Read(strings.NewReader(message(`<Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><AddtlNtryInf>`+text+`</AddtlNtryInf></Ntry>`)), "EUR")
			require.NoError(t, err)
			one := map[string]string{"&amp;": "&", "\xfc": "ü"}[character]
			if one == "" {
				one = character
			}
			got := report.Entries[0].BookingText
			require.Greater(t, len(got), 700)
			require.Empty(t, strings.Trim(strings.TrimLeft(got, "a"), one), "%q", character)
		}
	}
}

// Each message in each version has its spelling of the same things.
func TestEveryVersion(t *testing.T) {
	t.Parallel()
	for kind, elements := range map[string][2]string{"052": {"BkToCstmrAcctRpt", "Rpt"}, "053": {"BkToCstmrStmt", "Stmt"}, "054": {"BkToCstmrDbtCdtNtfctn", "Ntfctn"}} {
		for version := 2; version <= 13; version++ {
			since := func(first int, markup string) string {
				if version < first {
					return ""
				}
				return markup
			}
			bic, amount := "BICFI", `<Amt Ccy="EUR">84.50</Amt><CdtDbtInd>DBIT</CdtDbtInd>`
			if version < 4 {
				bic, amount = "BIC", `<AmtDtls><TxAmt><Amt Ccy="EUR">84.50</Amt></TxAmt></AmtDtls>`
			}
			body := fmt.Sprintf(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.%s.001.%02d"><%s><%s><Acct><Id><IBAN>DE02120300000000202051</IBAN></Id></Acct>`,
				kind, version, elements[0], elements[1]) +
				`<Bal><Tp><CdOrPrtry><Cd>CLAV</Cd></CdOrPrtry></Tp><CdtLine><Incl>false</Incl><Amt Ccy="EUR">500</Amt></CdtLine><Amt Ccy="EUR">7</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-01-31</Dt></Dt></Bal>` +
				`<Ntry><Amt Ccy="EUR">169.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>` + since(8, `<Cd>`) + `BOOK` + since(8, `</Cd>`) + `</Sts>` +
				`<BookgDt><DtTm>2026-01-31T00:00:00</DtTm></BookgDt><AcctSvcrRef>B-1</AcctSvcrRef><BkTxCd/><NtryDtls>` +
				strings.Repeat(`<TxDtls><Refs><AcctSvcrRef>P-1</AcctSvcrRef></Refs>`+amount+`<RltdPties><Cdtr>`+since(8, `<Pty>`)+`<Nm>Stadtwerke</Nm>`+since(8, `</Pty>`)+`</Cdtr></RltdPties>`+
					`<RltdAgts><CdtrAgt><FinInstnId><`+bic+`>demode01xxx</`+bic+`><ClrSysMmbId><MmbId>90090042</MmbId></ClrSysMmbId><Nm>Demobank</Nm></FinInstnId></CdtrAgt></RltdAgts></TxDtls>`, 2) +
				`</NtryDtls></Ntry></` + elements[1] + `></` + elements[0] + `></Document>`
			report, err := camt.Read(strings.NewReader(body), "EUR")
			require.NoError(t, err)
			part := banks.Entry{TransactionID: "P-1", BookingDate: civil.Day(2026, 1, 31), Amount: decimal.RequireFromString("-84.50"), Currency: "EUR",
				Counterparty:   banks.Party{Name: "Stadtwerke", BIC: "DEMODE01XXX", BankCode: "90090042", BankName: "Demobank"},
				AdditionalInfo: map[string]string{"batch": "B-1"}}
			require.Equal(t, []banks.Entry{part, part}, report.Entries, "camt.%s version %d", kind, version)
			require.Equal(t, []banks.Balance{{Type: "interimAvailable", Amount: decimal.New(7, 0), Currency: "EUR", Date: civil.Day(2026, 1, 31)}}, report.Balances)
		}
	}
}

// Whoever holds the account is not the other side of an entry, as far as the message says who that
// is.
func TestTheOtherSide(t *testing.T) {
	t.Parallel()
	const holder, other = `<Id><IBAN>DE02120300000000202051</IBAN></Id>`, `<Id><IBAN>DE89370400440532013000</IBAN></Id>`
	for _, row := range []struct{ name, account, indicator, more, debtor, debtorAccount, creditor, creditorAccount, want string }{
		{"money in", holder, "CRDT", "", "Anna", other, "Verein", holder, "Anna"},
		{"money out", holder, "DBIT", "", "Verein", holder, "Anna", other, "Anna"},
		{"money in, turned round", holder, "CRDT", "", "Verein", holder, "Anna", other, "Anna"},
		{"money out, turned round", holder, "DBIT", "", "Anna", other, "Verein", holder, "Anna"},
		{"debit returned", holder, "DBIT", "<RtrInf><Rsn><Cd>MD06</Cd></Rsn></RtrInf>", "Anna", other, "Verein", holder, "Anna"},
		{"debit returned, turned round", holder, "DBIT", "<RtrInf><Rsn><Cd>MD06</Cd></Rsn></RtrInf>", "Verein", holder, "Anna", other, "Anna"},
		{"transfer returned", holder, "CRDT", "<RtrInf><Rsn><Cd>AC01</Cd></Rsn></RtrInf>", "Verein", holder, "Anna", other, "Anna"},
		{"transfer returned, turned round", holder, "CRDT", "<RtrInf><Rsn><Cd>AC01</Cd></Rsn></RtrInf>", "Anna", other, "Verein", holder, "Anna"},
		{"own debit returned", holder, "CRDT", "<RvslInd>true</RvslInd>", "Verein", holder, "Anna", other, "Anna"},
		{"account not known", "", "DBIT", "<RtrInf><Rsn><Cd>MD06</Cd></Rsn></RtrInf>", "Anna", "", "Verein", "", "Anna"},
		{"account not known, no return", "", "DBIT", "", "Verein", "", "Anna", "", "Anna"},
		{"only the holder's account is known", holder, "CRDT", "", "Anna", "", "Verein", holder, "Anna"},
		{"only the other's account is known", holder, "CRDT", "", "Verein", "", "Anna", other, "Anna"},
		{"a transfer to the same account", holder, "CRDT", "", "Verein", holder, "Verein", holder, "Verein"},
		{"the holder alone", holder, "CRDT", "", "Verein", holder, "", "", ""},
		{"the holder alone, a number for an IBAN", holder, "CRDT", "", "Verein", `<Id><Othr><Id>0000202051</Id></Othr></Id>`, "", "", ""},
		{"somebody on the wrong side alone", holder, "CRDT", "", "", "", "Anna", other, "Anna"},
		{"somebody unknown on the wrong side alone", holder, "CRDT", "", "", "", "Verein", "", ""},
		{"a return with somebody unknown alone", holder, "CRDT", "<RtrInf><Rsn><Cd>AC01</Cd></Rsn></RtrInf>", "Anna", "", "", "", "Anna"},
	} {
		side := func(role, name, account string) string {
			return `<` + role + `><Nm>` + name + `</Nm></` + role + `><` + role + `Acct>` + account + `</` + role + `Acct>`
		}
		body := message(`<Acct>` + row.account + `</Acct><Ntry><Amt Ccy="EUR">5</Amt><CdtDbtInd>` + row.indicator + `</CdtDbtInd><NtryDtls><TxDtls>` + row.more +
			`<RltdPties>` + side("Dbtr", row.debtor, row.debtorAccount) + side("Cdtr", row.creditor, row.creditorAccount) + `</RltdPties></TxDtls></NtryDtls></Ntry>`)
		report, err := camt.Read(strings.NewReader(body), "EUR")
		require.NoError(t, err, row.name)
		require.Equal(t, row.want, report.Entries[0].Counterparty.Name, row.name)
	}
}

// Of more balances than are kept, the oldest go, and the newest of a kind goes last.
func TestNewestBalancesAreKept(t *testing.T) {
	t.Parallel()
	one := func(code, currency string, day civil.Date) string {
		return `<Bal><Tp><CdOrPrtry><Cd>` + code + `</Cd></CdOrPrtry></Tp><Amt Ccy="` + currency + `">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>` + day.String() + `</Dt></Dt></Bal>`
	}
	first := civil.Day(2026, 1, 1)
	read := func(bodies ...string) []banks.Balance {
		report, err := camt.Read(strings.NewReader(message(strings.Join(bodies, ""))), "EUR")
		require.NoError(t, err)
		return report.Balances
	}
	var up, down []string
	for i := range 400 {
		up = append(up, one("CLBD", "EUR", first.AddDays(i)))
		down = append(down, one("CLBD", "EUR", first.AddDays(399-i)))
	}
	old := one("XPCD", "CHF", first.AddDays(-1000))
	for name, bodies := range map[string][]string{
		"oldest first": append([]string{old}, up...), "newest first": append([]string{old}, down...), "the old one last": append(down, old), "in the middle": slices.Insert(up, 50, old),
	} {
		balances := read(bodies...)
		require.Len(t, balances, 50, name)
		days := map[civil.Date]bool{}
		for _, b := range balances {
			days[b.Date] = true
		}
		require.True(t, days[first.AddDays(-1000)], name)
		for i := range 49 {
			require.True(t, days[first.AddDays(399-i)], name)
		}
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
	read := func(xml string) []banks.Entry {
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

// FuzzRead holds what is true of every input, with the files of testdata and inputs of the field as
// seeds: what comes out is fit to be stored, does not depend on how the input arrives, and what
// encoding/xml can read is not broken.
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
		again, errAgain := camt.Read(iotest.OneByteReader(bytes.NewReader(body)), "EUR")
		require.Equal(t, err, errAgain)
		require.Equal(t, report, again)
		if err != nil {
			if isWellFormed(body) {
				require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
				require.NotContains(t, err.Error(), "broken XML")
			}
			return
		}
		for _, e := range report.Entries {
			text := fmt.Sprintf("%+v", e)
			require.True(t, utf8.ValidString(text))
			require.NotContains(t, text, "\x00")
			require.LessOrEqual(t, len(e.Amount.String()), 32)
			require.NotEmpty(t, e.Currency)
			require.True(t, e.Pending || !e.BookingDate.IsZero())
		}
		require.LessOrEqual(t, len(report.Balances), 50)
	})
}

// isWellFormed reports whether encoding/xml can read a document that has an element and no
// declarations.
func isWellFormed(body []byte) bool {
	if bytes.Contains(body, []byte("<?xml")) {
		return false
	}
	d, elements := xml.NewDecoder(bytes.NewReader(body)), 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return elements > 0
		}
		if err != nil {
			return false
		}
		switch token.(type) {
		case xml.StartElement:
			elements++
		case xml.Directive:
			return false
		}
	}
}
