package xs2a_test

import (
	"strings"
	"unicode/utf16"
)

// camtRows are inputs of one format; see fieldRow.
var camtRows = append(append(append(append([]fieldRow{}, camtReturns...), camtDetails...), camtBytes...), camtValues...)

// camtMessage is a statement of the account DE02120300000000202051 with the given entries and
// balances.
func camtMessage(version, inside string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + camtDocument(version, inside)
}

func camtDocument(version, inside string) string {
	return `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.` + version + `"><BkToCstmrStmt>` +
		`<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-03-04T20:00:00+01:00</CreDtTm></GrpHdr><Stmt><Id>S1</Id>` +
		`<Acct><Id><IBAN>DE02120300000000202051</IBAN></Id><Ccy>EUR</Ccy><Ownr><Nm>Segelclub Musterhafen e.V.</Nm></Ownr></Acct>` +
		inside + `</Stmt></BkToCstmrStmt></Document>`
}

// camtEntry is an entry of 2 March with transactions.
func camtEntry(amount, indicator, more string) string {
	return `<Ntry><Amt Ccy="EUR">` + amount + `</Amt><CdtDbtInd>` + indicator + `</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-03-02</Dt></BookgDt>` +
		more + `</Ntry>`
}

func camtTransaction(inside string) string {
	return `<NtryDtls><TxDtls>` + inside + `</TxDtls></NtryDtls>`
}

const (
	holderAsDebtor   = `<Dbtr><Nm>Segelclub Musterhafen</Nm></Dbtr><DbtrAcct><Id><IBAN>DE02 1203 0000 0000 2020 51</IBAN></Id></DbtrAcct>`
	holderAsCreditor = `<Cdtr><Nm>Segelclub Musterhafen</Nm></Cdtr><CdtrAcct><Id><IBAN>DE02120300000000202051</IBAN></Id></CdtrAcct>`
	annaAsDebtor     = `<Dbtr><Nm>Anna Beispiel</Nm></Dbtr><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct>`
	annaAsCreditor   = `<Cdtr><Nm>Anna Beispiel</Nm></Cdtr><CdtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></CdtrAcct>`
)

var camtReturns = []fieldRow{
	{
		kind: "return", name: "direct debit that a member gave back, with charges",
		input: camtMessage("02", camtEntry("28.50", "DBIT", `<BkTxCd><Prtry><Cd>NRTI+109+930</Cd><Issr>DK</Issr></Prtry></BkTxCd>`+camtTransaction(
			`<Refs><EndToEndId>BEITRAG-8</EndToEndId><MndtId>MG-8</MndtId></Refs><AmtDtls><InstdAmt><Amt Ccy="EUR">25.00</Amt></InstdAmt></AmtDtls>`+
				`<Chrgs><Amt Ccy="EUR">3.50</Amt></Chrgs><RltdPties>`+annaAsDebtor+holderAsCreditor+`</RltdPties><RmtInf><Ustrd>Beitrag Maerz</Ustrd></RmtInf>`+
				`<RtrInf><Rsn><Cd>AM04</Cd></Rsn><AddtlInf>Konto nicht gedeckt</AddtlInf></RtrInf>`))),
		entries: []inputEntry{{amount: "-28.5 EUR", original: "-25 EUR", name: "Anna Beispiel", iban: "DE89370400440532013000", text: "Beitrag Maerz",
			endToEnd: "BEITRAG-8", mandate: "MG-8", key: "109", primanota: "930",
			info: map[string]string{"return_reason": "AM04", "return_reason_text": "Konto nicht gedeckt", "charges": "3.5"}}},
	},
	{
		kind: "return", name: "transfer that came back, reason in words only",
		input: camtMessage("08", camtEntry("120.00", "CRDT", camtTransaction(
			`<RltdPties>`+holderAsDebtor+annaAsCreditor+`</RltdPties><RtrInf><Rsn><Prtry>Konto erloschen</Prtry></Rsn></RtrInf>`))),
		entries: []inputEntry{{amount: "120 EUR", name: "Anna Beispiel", iban: "DE89370400440532013000", text: "Konto erloschen",
			info: map[string]string{"return_reason": "Konto erloschen"}}},
	},
	{
		kind: "return", name: "transfer that came back, by a bank that turns the parties round",
		input: camtMessage("08", camtEntry("120.00", "CRDT", camtTransaction(
			`<RltdPties>`+annaAsDebtor+holderAsCreditor+`</RltdPties><RtrInf><Rsn><Cd> AC04 </Cd></Rsn><AddtlInf>
			Konto
		</AddtlInf><AddtlInf> erloschen </AddtlInf></RtrInf>`))),
		entries: []inputEntry{{amount: "120 EUR", name: "Anna Beispiel", iban: "DE89370400440532013000", text: "Konto erloschen",
			info: map[string]string{"return_reason": "AC04", "return_reason_text": "Konto erloschen"}}},
	},
	{
		kind: "return", name: "own debit given back, known by its code alone",
		input: camtMessage("08", camtEntry("9.99", "CRDT", `<BkTxCd><Prtry><Cd>NDDT+181+9310</Cd></Prtry></BkTxCd>`+camtTransaction(
			`<RltdPties><Dbtr><Pty><Nm>Otto Muster</Nm></Pty></Dbtr><Cdtr><Pty><Nm>Zeitschrift Muster</Nm></Pty></Cdtr></RltdPties>`))),
		entries: []inputEntry{{amount: "9.99 EUR", name: "Zeitschrift Muster", key: "181", primanota: "9310"}},
	},
	{
		kind: "return", name: "no accounts, but the holder's name",
		input: camtMessage("08", camtEntry("25", "DBIT", camtTransaction(
			`<RltdPties><Dbtr><Pty><Nm>Anna Beispiel</Nm></Pty></Dbtr><Cdtr><Pty><Nm>SEGELCLUB  MUSTERHAFEN E.V.</Nm></Pty></Cdtr></RltdPties>`))),
		entries: []inputEntry{{amount: "-25 EUR", name: "Anna Beispiel"}},
	},
	{
		kind: "reversal", name: "RvslInd as a number, reversed direct debit",
		input:   camtMessage("02", camtEntry("25", "DBIT", `<RvslInd>1</RvslInd>`+camtTransaction(`<RltdPties>`+annaAsDebtor+holderAsCreditor+`</RltdPties>`))),
		entries: []inputEntry{{amount: "-25 EUR", name: "Anna Beispiel", info: map[string]string{"reversal": "true"}}},
	},
	{
		kind: "reversal", name: "RvslInd in capitals, account numbers instead of IBANs",
		input: camtMessage("02", camtEntry("25", "CRDT", `<RvslInd>TRUE</RvslInd>`+camtTransaction(
			`<RltdPties><Dbtr><Nm>SCM</Nm></Dbtr><DbtrAcct><Id><Othr><Id>202051</Id></Othr></Id></DbtrAcct>`+
				`<Cdtr><Nm>Anna Beispiel</Nm></Cdtr><CdtrAcct><Id><Othr><Id>0532013000</Id></Othr></Id></CdtrAcct></RltdPties>`))),
		entries: []inputEntry{{amount: "25 EUR", name: "Anna Beispiel", number: "0532013000", info: map[string]string{"reversal": "true"}}},
	},
	{
		kind: "reversal", name: "parts of a batch",
		input: camtMessage("08", camtEntry("40", "DBIT", `<RvslInd>true</RvslInd><NtryDtls>`+
			`<TxDtls><Amt Ccy="EUR">25</Amt><CdtDbtInd>DBIT</CdtDbtInd><RltdPties>`+annaAsDebtor+holderAsCreditor+`</RltdPties><RtrInf><Rsn><Cd>MD06</Cd></Rsn></RtrInf></TxDtls>`+
			`<TxDtls><Amt Ccy="EUR">15</Amt><RltdPties><Dbtr><Nm>Otto Muster</Nm></Dbtr></RltdPties><RtrInf><Rsn><Cd>MS03</Cd></Rsn></RtrInf></TxDtls></NtryDtls>`)),
		entries: []inputEntry{
			{amount: "-25 EUR", name: "Anna Beispiel", info: map[string]string{"reversal": "true", "return_reason": "MD06"}},
			{amount: "-15 EUR", name: "Otto Muster", info: map[string]string{"reversal": "true", "return_reason": "MS03"}},
		},
	},
	{
		kind: "wrong side", name: "money in, the payer as creditor",
		input:   camtMessage("02", camtEntry("5", "CRDT", camtTransaction(`<RltdPties>`+holderAsDebtor+annaAsCreditor+`</RltdPties>`))),
		entries: []inputEntry{{amount: "5 EUR", name: "Anna Beispiel", iban: "DE89370400440532013000"}},
	},
	{
		kind: "wrong side", name: "money out, the payee as debtor, nobody as creditor",
		input:   camtMessage("02", camtEntry("5", "DBIT", camtTransaction(`<RltdPties>`+annaAsDebtor+`</RltdPties>`))),
		entries: []inputEntry{{amount: "-5 EUR", name: "Anna Beispiel", iban: "DE89370400440532013000"}},
	},
	{
		kind: "wrong side", name: "only the holder, who is nobody's other side",
		input:   camtMessage("02", camtEntry("5", "DBIT", camtTransaction(`<RltdPties>`+holderAsCreditor+`</RltdPties>`))),
		entries: []inputEntry{{amount: "-5 EUR", name: "-", iban: "-"}},
	},
}

var camtDetails = []fieldRow{
	{
		kind: "structured", name: "text of a Swiss invoice",
		input: camtMessage("04", camtEntry("70", "CRDT", camtTransaction(
			`<RmtInf><Strd><RfrdDocInf><Tp><CdOrPrtry><Cd>CINV</Cd></CdOrPrtry></Tp><Nb>2026-118</Nb><RltdDt>2026-02-27</RltdDt></RfrdDocInf>`+
				`<CdtrRefInf><Ref>210000000003139471430009017</Ref></CdtrRefInf><AddtlRmtInf>Liegeplatz 14</AddtlRmtInf><AddtlRmtInf>Saison 2026</AddtlRmtInf></Strd></RmtInf>`))),
		entries: []inputEntry{{amount: "70 EUR", text: "Liegeplatz 14 Saison 2026", customer: "210000000003139471430009017",
			info: map[string]string{"document_number": "2026-118", "document_date": "2026-02-27", "document_type": "CINV"}}},
	},
	{
		kind: "structured", name: "a reference and nothing else",
		input:   camtMessage("08", camtEntry("70", "CRDT", camtTransaction(`<RmtInf><Strd><CdtrRefInf><Ref>RF18539007547034</Ref></CdtrRefInf></Strd></RmtInf>`))),
		entries: []inputEntry{{text: "RF18539007547034", customer: "RF18539007547034"}},
	},
	{
		kind: "structured", name: "several invoices, the text once more in the structured part",
		input: camtMessage("13", camtEntry("70", "CRDT", camtTransaction(
			`<RmtInf><Ustrd>Rechnungen</Ustrd><Strd><RfrdDocInf><Nb>R-1</Nb><RltdDt><Dt>2026-02-30</Dt></RltdDt></RfrdDocInf><AddtlRmtInf>Rechnungen</AddtlRmtInf></Strd>`+
				`<Strd><RfrdDocInf><Tp><CdOrPrtry><Prtry>Gutschrift</Prtry></CdOrPrtry></Tp><Nb>R-2</Nb></RfrdDocInf></Strd></RmtInf>`))),
		entries: []inputEntry{{text: "Rechnungen", info: map[string]string{"document_number": "R-1, R-2", "document_date": "2026-02-28", "document_type": "Gutschrift"}}}, unreadable: 1,
	},
	{
		kind: "party", name: "an institution instead of a person",
		input: camtMessage("08", camtEntry("70", "DBIT", camtTransaction(
			`<RltdPties><Cdtr><Agt><FinInstnId><BICFI>testdeffxxx</BICFI><Nm>Musterbank Karten</Nm></FinInstnId></Agt></Cdtr></RltdPties>`))),
		entries: []inputEntry{{name: "Musterbank Karten"}},
	},
	{
		kind: "party", name: "only the ultimate party has a name",
		input: camtMessage("08", camtEntry("70", "DBIT", camtTransaction(
			`<RltdPties><Cdtr><Pty><Nm>NOTPROVIDED</Nm></Pty></Cdtr><UltmtCdtr><Pty><Nm>Tuchhaus Beispiel</Nm></Pty></UltmtCdtr></RltdPties>`))),
		entries: []inputEntry{{name: "Tuchhaus Beispiel"}},
	},
	{
		kind: "party", name: "a payment service and whom it pays for",
		input: camtMessage("02", camtEntry("70", "DBIT", camtTransaction(
			`<RltdPties><Cdtr><Nm>Bezahldienst Muster</Nm><Id><OrgId><Othr><Id>HRB 1</Id></Othr><Othr><Id>DE98ZZZ09999999999</Id></Othr></OrgId></Id></Cdtr>`+
				`<UltmtCdtr><Nm>Tuchhaus Beispiel</Nm></UltmtCdtr></RltdPties><Purp><Prtry>EINKAUF</Prtry></Purp>`))),
		entries: []inputEntry{{name: "Bezahldienst Muster", creditor: "DE98ZZZ09999999999", purpose: "EINKAUF", info: map[string]string{"ultimate_party": "Tuchhaus Beispiel"}}},
	},
	{
		kind: "code", name: "a business transaction code alone",
		input:   camtMessage("02", camtEntry("70", "DBIT", `<BkTxCd><Prtry><Cd>106</Cd></Prtry></BkTxCd>`)),
		entries: []inputEntry{{key: "106", primanota: "-"}},
	},
	{
		kind: "code", name: "four parts, in the transaction only",
		input:   camtMessage("02", camtEntry("70", "DBIT", `<BkTxCd/>`+camtTransaction(`<BkTxCd><Prtry><Cd>NTRF+166+9249+888</Cd><Issr>DK</Issr></Prtry></BkTxCd>`))),
		entries: []inputEntry{{key: "166", primanota: "9249"}},
	},
	{
		kind: "code", name: "no border between the parts",
		input:   camtMessage("02", camtEntry("70", "DBIT", `<BkTxCd><Prtry><Cd>DTRF177+9201</Cd><Issr>ZKA</Issr></Prtry></BkTxCd>`)),
		entries: []inputEntry{{key: "177", primanota: "9201"}},
	},
	{
		kind: "code", name: "both codes",
		input: camtMessage("08", camtEntry("70", "DBIT", `<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn>`+
			`<Prtry><Cd>NTRF+116+9200</Cd></Prtry></BkTxCd><AddtlNtryInf>UEBERWEISUNG</AddtlNtryInf>`)),
		entries: []inputEntry{{key: "PMNT-ICDT-ESCT", primanota: "9200", bookingText: "UEBERWEISUNG"}},
	},
	{
		kind: "id", name: "FI-UMSATZ-ID beside a placeholder",
		input: camtMessage("02", camtEntry("70", "DBIT", `<AcctSvcrRef>NONREF</AcctSvcrRef>`+camtTransaction(
			`<Refs><Prtry><Tp>FI-UMSATZ-ID</Tp><Ref>2026-03-02-11.22.33.000002</Ref></Prtry></Refs>`))),
		entries: []inputEntry{{id: "2026-03-02-11.22.33.000002", reference: "-"}},
	},
	{
		kind: "id", name: "FI-UMSATZ-ID beside another id",
		input: camtMessage("08", camtEntry("70", "DBIT", `<NtryRef>notprovided</NtryRef><AcctSvcrRef>A-4711</AcctSvcrRef>`+camtTransaction(
			`<Refs><Prtry><Tp>BANK</Tp><Ref>X</Ref></Prtry><Prtry><Tp>FI-UMSATZ-ID</Tp><Ref>2026-03-02-11.22.33.000003</Ref></Prtry></Refs>`))),
		entries: []inputEntry{{id: "2026-03-02-11.22.33.000003", reference: "A-4711"}},
	},
	{
		kind: "id", name: "a placeholder above the transaction's own id",
		input:   camtMessage("02", camtEntry("70", "DBIT", `<AcctSvcrRef>NOTPROVIDED</AcctSvcrRef>`+camtTransaction(`<Refs><AcctSvcrRef>0000</AcctSvcrRef><TxId>T-1</TxId></Refs>`))),
		entries: []inputEntry{{id: "T-1", reference: "-"}},
	},
}

// camtText is a message whose one entry has a name and a text.
func camtText(name, text string) string {
	return camtDocument("02", camtEntry("5", "DBIT", camtTransaction(`<RltdPties><Cdtr><Nm>`+name+`</Nm></Cdtr></RltdPties><RmtInf><Ustrd>`+text+`</Ustrd></RmtInf>`)))
}

// camtUTF16 writes a text as UTF-16, low byte first unless big.
func camtUTF16(text string, big bool) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		if low, high := byte(unit), byte(unit>>8); big {
			b.Write([]byte{high, low})
		} else {
			b.Write([]byte{low, high})
		}
	}
	return b.String()
}

var camtBytes = []fieldRow{
	{
		kind: "character set", name: "ISO 8859-1 under UTF-8",
		input:   `<?xml version="1.0" encoding="UTF-8"?>` + camtText("B\xe4ckerei M\xfcller", "S\xfc\xdfes f\xfcr Ostern"),
		entries: []inputEntry{{name: "Bäckerei Müller", text: "Süßes für Ostern"}},
	},
	{
		kind: "character set", name: "Windows-1252 without a declaration",
		input:   camtText("Caf\xe9 \x84Kuli\xdf\x93", "5 \x80 \x96 Dank\x85"),
		entries: []inputEntry{{name: "Café „Kuliß“", text: "5 € – Dank…"}},
	},
	{
		kind: "character set", name: "UTF-8 and ISO 8859-1 in one message",
		input:   `<?xml version="1.0" encoding="UTF-8"?>` + camtText("Bäckerei Müller", "S\xfc\xdfes für Ostern"),
		entries: []inputEntry{{name: "Bäckerei Müller", text: "Süßes für Ostern"}},
	},
	{
		kind: "character set", name: "UTF-8 under ISO 8859-1, and one character cut in two",
		input:   `<?xml version="1.0" encoding="ISO-8859-1"?>` + camtText("Bäckerei Müller", "Süßes f\xc3"),
		entries: []inputEntry{{name: "Bäckerei Müller", text: "Süßes f"}},
	},
	{
		kind: "character set", name: "UTF-16 with a mark",
		input:   "\xff\xfe" + camtUTF16(`<?xml version="1.0" encoding="UTF-16"?>`+camtText("Bäckerei Müller", "5 € 🙂"), false),
		entries: []inputEntry{{name: "Bäckerei Müller", text: "5 € 🙂"}},
	},
	{
		kind: "character set", name: "UTF-16 without a mark, high byte first",
		input:   camtUTF16(camtText("Bäckerei Müller", "5 €"), true),
		entries: []inputEntry{{name: "Bäckerei Müller", text: "5 €"}},
	},
	{
		kind: "character set", name: "UTF-16 declared, UTF-8 written",
		input:   `<?xml version="1.0" encoding="utf-16"?>` + camtText("Bäckerei Müller", "5 €"),
		entries: []inputEntry{{name: "Bäckerei Müller", text: "5 €"}},
	},
	{
		kind: "character set", name: "ISO 8859-15 as declared",
		input:   `<?xml version="1.0" encoding="ISO-8859-15"?>` + camtText("B\xe4ckerei", "5 \xa4"),
		entries: []inputEntry{{name: "Bäckerei", text: "5 €"}},
	},
	{
		kind: "markup", name: "ampersands and unknown entities",
		input:   camtMessage("02", camtEntry("5", "DBIT", camtTransaction(`<RmtInf><Ustrd>Kaffee & Kuchen &amp; Tee&nbsp;&lt;3 M&uuml;ller &#252;ber &#8364; AT&T</Ustrd></RmtInf>`))),
		entries: []inputEntry{{text: "Kaffee & Kuchen & Tee&nbsp;<3 M&uuml;ller über € AT&T"}},
	},
	{
		kind: "markup", name: "control characters, and characters that XML forbids",
		input:   "<?xml version='1.1'?>" + camtText("Anna\x00 Beispiel", "Miete\x1a M&#x1A;aer&#0;z &#150; Rest"),
		entries: []inputEntry{{name: "Anna Beispiel", text: "Miete Maerz – Rest"}},
	},
	{
		kind: "markup", name: "less-than signs",
		input:   camtText("A < B", "1 <2, x<y und i <3"),
		entries: []inputEntry{{name: "A < B", text: "1 <2, x<y und i <3"}},
	},
	{
		kind: "markup", name: "CDATA, comments, prefixes, a document type",
		input: `<!DOCTYPE n:Document [<!ENTITY geheim SYSTEM "file:///etc/passwd"> <!-- don't > -->]><n:Document xmlns:n='urn:bank'><n:BkToCstmrStmt><n:Stmt>` +
			`<n:Ntry ><n:Amt Ccy = 'CHF'>5</n:Amt ><n:CdtDbtInd><!-- out -->DBIT</n:CdtDbtInd><n:BookgDt><n:Dt>2026-03-02</n:Dt></n:BookgDt>` +
			`<n:NtryDtls><n:TxDtls><n:RmtInf><n:Ustrd>A<![CDATA[ <b> & ]]>B<?x y?> &geheim;</n:Ustrd></n:RmtInf></n:TxDtls></n:NtryDtls></n:Ntry>` +
			`</n:Stmt></n:BkToCstmrStmt></n:Document>`,
		entries: []inputEntry{{amount: "-5 CHF", text: "A <b> & B &geheim;"}},
	},
	{
		kind: "markup", name: "a mark and blank lines in front, several messages one after the other",
		input: "\ufeff\r\n\r\n" + camtMessage("02", camtEntry("5", "DBIT", "")) + "\r\n\ufeff" + camtMessage("08", camtEntry("6", "DBIT", "")) +
			`<?xml version="1.0" encoding="ISO-8859-15"?>` + camtText("Caf\xe9 5 \xa4", ""),
		entries: []inputEntry{{amount: "-5 EUR"}, {amount: "-6 EUR"}, {amount: "-5 EUR", name: "Café 5 €"}},
	},
}

var camtValues = []fieldRow{
	{
		kind: "day", name: "with zones, and UTC",
		input: camtMessage("08", `<Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>2026-03-02+01:00</Dt></BookgDt><ValDt><Dt>2026-03-03Z</Dt></ValDt></Ntry>`+
			`<Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><DtTm>2026-03-01T23:00:00Z</DtTm></BookgDt><ValDt><DtTm>2026-07-01T22:30:00.000+00:00</DtTm></ValDt></Ntry>`),
		entries: []inputEntry{{booked: "2026-03-02", valued: "2026-03-03"}, {booked: "2026-03-02", valued: "2026-07-02"}},
	},
	{
		kind: "day", name: "that the calendar does not have, and one without hyphens",
		input: camtMessage("08", `<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>20260301</Dt></Dt></Bal>`+
			`<Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>2026-03-01</Dt></BookgDt><ValDt><Dt>2026-02-30</Dt></ValDt></Ntry>`),
		entries: []inputEntry{{booked: "2026-03-01", valued: "2026-02-28"}}, balances: []string{"closingBooked 2026-03-01 1 EUR"}, unreadable: 1,
	},
	{
		kind: "day", name: "none: that of the value, of the message, of the balance",
		input: camtMessage("08", `<Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><ValDt><Dt>2026-02-27</Dt></ValDt></Ntry>`+
			`<Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>neulich</Dt></BookgDt></Ntry>`+
			`<Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts></Ntry>`) +
			`<Document><BkToCstmrAcctRpt><Rpt><Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd></Ntry>` +
			`<Bal><Amt Ccy="EUR">1</Amt><CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2026-02-26</Dt></Dt></Bal></Rpt></BkToCstmrAcctRpt></Document>`,
		entries: []inputEntry{{booked: "2026-02-27"}, {booked: "2026-03-04"}, {booked: "-", pending: true}, {booked: "2026-02-26"}}, unreadable: 1,
	},
	{
		kind: "amount", name: "noise of floating-point numbers",
		input: camtMessage("08", `<Bal><Tp><CdOrPrtry><Cd>ITBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">101.960000000017</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>`+
			camtEntry("7.000000000001", "DBIT", `<NtryDtls><TxDtls><Amt Ccy="EUR">2.9999999999998</Amt></TxDtls><TxDtls><Amt Ccy="EUR">4.0000000000003</Amt></TxDtls></NtryDtls>`)),
		entries: []inputEntry{{amount: "-3 EUR"}, {amount: "-4 EUR"}}, balances: []string{"interimBooked 101.96 EUR"},
	},
	{
		kind: "amount", name: "in other forms",
		input:   camtMessage("08", camtEntry("1.2345678E7", "CRDT", "")+camtEntry(" 1.234,50 ", "CRDT", "")+camtEntry("1'000.00", "dbit", "")),
		entries: []inputEntry{{amount: "12345678 EUR"}, {amount: "1234.5 EUR"}, {amount: "-1000 EUR"}},
	},
	{
		kind: "amount", name: "with a sign of its own",
		input:   camtMessage("08", camtEntry("-5.00", "", "")+camtEntry("+6.00", "", "")+camtEntry("-7.00", "DBIT", "")+camtEntry("\u22128.00", "DBIT", "")+camtEntry("0.00", "", "")),
		entries: []inputEntry{{amount: "-5 EUR"}, {amount: "6 EUR"}, {amount: "-7 EUR"}, {amount: "-8 EUR"}, {amount: "0 EUR"}},
	},
	{
		kind: "amount", name: "whose indicator stands in the transaction",
		input:   camtMessage("08", `<Ntry><Amt Ccy="EUR">5</Amt>`+camtTransaction(`<CdtDbtInd>DBIT</CdtDbtInd>`)+`</Ntry>`),
		entries: []inputEntry{{amount: "-5 EUR", booked: "2026-03-04"}},
	},
	{kind: "unreadable entry", name: "amount", input: camtMessage("08", camtEntry("1", "CRDT", "")+camtEntry("12..34", "CRDT", "")), fails: "entry 2: amount"},
	{kind: "unreadable entry", name: "no amount", input: camtMessage("08", `<Ntry><CdtDbtInd>CRDT</CdtDbtInd></Ntry>`), fails: "entry 1: amount"},
	{kind: "unreadable entry", name: "one thousand or one and a bit", input: camtMessage("08", camtEntry("1,234", "CRDT", "")), fails: "entry 1: amount"},
	{kind: "unreadable entry", name: "no indicator", input: camtMessage("08", camtEntry("5", "", "")), fails: "entry 1: sign"},
	{kind: "unreadable entry", name: "garbled indicator", input: camtMessage("08", camtEntry("5", "X", "")), fails: "entry 1: sign"},
	{kind: "unreadable entry", name: "a minus that comes in", input: camtMessage("08", camtEntry("-5", "CRDT", "")), fails: "entry 1: sign"},
	{kind: "unreadable entry", name: "currency", input: camtMessage("08", strings.Replace(camtEntry("5", "CRDT", ""), `"EUR"`, `"E1R"`, 1)), fails: "entry 1: currency"},
	{
		kind: "unreadable value", name: "counted, and the entry kept",
		input: camtMessage("08", camtEntry("5", "CRDT", `<RvslInd>maybe</RvslInd><ValDt><Dt>31.13.2026</Dt></ValDt>`+camtTransaction(
			`<AmtDtls><InstdAmt><Amt Ccy="USD">x</Amt></InstdAmt></AmtDtls>`))+
			`<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">zwei</Amt></Bal>`),
		entries: []inputEntry{{amount: "5 EUR", valued: "-", original: "-"}}, balances: []string{}, unreadable: 4,
	},
	{
		kind: "unreadable value", name: "an unknown status means what the booking date says",
		input: camtMessage("08", strings.Replace(camtEntry("5", "CRDT", ""), "BOOK", "<Prtry>gebucht</Prtry>", 1)+
			`<Ntry><Amt Ccy="EUR">5</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Prtry>vorgemerkt</Prtry></Sts></Ntry>`),
		entries: []inputEntry{{amount: "5 EUR"}, {amount: "5 EUR", pending: true}}, unreadable: 2,
	},
	{
		kind: "unreadable value", name: "a balance that may be either",
		input: camtMessage("08", `<Bal><Amt Ccy="EUR">2</Amt></Bal><Bal><Amt Ccy="EUR">-3</Amt></Bal>`), entries: []inputEntry{}, balances: []string{"expected -3 EUR"}, unreadable: 1,
	},
	{
		kind: "currency", name: "of the statement, where an amount has none",
		input: camtMessage("08", `<Ntry><Amt>5</Amt><CdtDbtInd>CRDT</CdtDbtInd></Ntry>`), preset: "CHF",
		entries: []inputEntry{{amount: "5 EUR"}},
	},
	{
		kind: "currency", name: "of the account, where the statement has none",
		input: strings.Replace(camtMessage("08", `<Ntry><Amt Ccy="">5</Amt><CdtDbtInd>CRDT</CdtDbtInd></Ntry>`), "<Ccy>EUR</Ccy>", "", 1), preset: "CHF",
		entries: []inputEntry{{amount: "5 CHF"}},
	},
	{
		kind: "currency", name: "foreign, with its rate",
		input: camtMessage("08", camtEntry("9.25", "DBIT", `<AmtDtls><InstdAmt><Amt Ccy="USD">10.00</Amt></InstdAmt><CntrValAmt><Amt Ccy="EUR">9.25</Amt>`+
			`<CcyXchg><XchgRate>0.925</XchgRate></CcyXchg></CntrValAmt></AmtDtls>`)),
		entries: []inputEntry{{amount: "-9.25 EUR", original: "-10 USD", info: map[string]string{"exchange_rate": "0.925"}}},
	},
	{
		kind: "empty", name: "message without statements", input: `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.052.001.08"><BkToCstmrAcctRpt/></Document>`,
		entries: []inputEntry{}, balances: []string{},
	},
	{kind: "empty", name: "document of a camt namespace", input: `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"/>`, entries: []inputEntry{}, balances: []string{}},
	{kind: "empty", name: "statement without entries", input: camtMessage("12", ""), entries: []inputEntry{}, balances: []string{}},
}
