package sandbox

import (
	"encoding/xml"
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// camt writes a statement as camt.052 (account report) or camt.053 (statement), ISO 20022, in the
// writer's version.
func (w *writer) camt(s statement, today civil.Date, format string) {
	a := s.account
	message, element := "BkToCstmrAcctRpt", "Rpt"
	opening, closing := "OPBD", "ITBD"
	if format == "camt.053" {
		message, element, closing = "BkToCstmrStmt", "Stmt", "CLBD"
	}
	created := s.now.Format(time.RFC3339)
	w.raw(xml.Header)
	w.raw(`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:` + format + `.001.` + w.version + `"><` + message + `><GrpHdr><MsgId>` +
		s.now.Format("20060102150405") + `</MsgId><CreDtTm>` + created + `</CreDtTm></GrpHdr><` + element + `>`)
	w.tag("Id", format[5:]+"-"+s.from.String()+"-"+s.to.String())
	w.tag("CreDtTm", created)
	w.raw(`<FrToDt><FrDtTm>` + s.from.String() + `T00:00:00Z</FrDtTm><ToDtTm>` + s.to.String() + `T23:59:59Z</ToDtTm></FrToDt>`)
	w.raw(`<Acct><Id><IBAN>` + a.iban + `</IBAN></Id><Ccy>` + a.currency + `</Ccy><Ownr>`)
	w.tag("Nm", a.owner)
	w.raw(`</Ownr><Svcr><FinInstnId><` + w.bic() + `>` + w.dialect.BIC + `</` + w.bic() + `></FinInstnId></Svcr></Acct>`)
	w.camtBalance(opening, a.closing(s.from-1), a.currency, s.from-1)
	end := a.balance(s.now)
	if s.to < today {
		end = a.closing(s.to)
	}
	w.camtBalance(closing, end, a.currency, s.to)
	s.size, s.day, s.nth = 0, s.to, 0
	if s.pending && format == "camt.052" {
		pending := a.pending(today)
		for i := range pending {
			w.camtEntry(a, &pending[i])
		}
	}
	if s.booked {
		s.walk(func(b *booking) {
			w.camtEntry(a, b)
			w.flushSome()
		})
	}
	w.raw(`</` + element + `></` + message + `></Document>`)
}

func (w *writer) camtBalance(code string, cents int64, currency string, day civil.Date) {
	w.raw(`<Bal><Tp><CdOrPrtry><Cd>` + code + `</Cd></CdOrPrtry></Tp>`)
	w.camtAmount(cents, currency, writing{})
	w.raw(`<Dt><Dt>` + day.String() + `</Dt></Dt></Bal>`)
}

func (w *writer) camtAmount(cents int64, currency string, how writing) {
	indicator := "CRDT"
	if cents < 0 {
		indicator = "DBIT"
	}
	w.raw(`<Amt Ccy="` + currency + `">`)
	if how == (writing{}) {
		w.buffer = appendCents(w.buffer, max(cents, -cents))
	} else {
		w.raw(how.amount(cents, false))
	}
	w.raw(`</Amt><CdtDbtInd>` + indicator + `</CdtDbtInd>`)
}

func (w *writer) camtEntry(a *account, b *booking) {
	e := a.describe(b, w.edition)
	if w.reword != nil {
		w.reword(&e)
	}
	w.bare = e.writing.ragged
	w.raw(`<Ntry>`)
	if !w.dialect.noIDs {
		w.tag("NtryRef", e.Reference)
	}
	w.camtAmount(e.Cents, e.Currency, e.writing)
	if e.Pending {
		w.raw(w.status("PDNG"))
	} else {
		w.raw(w.status("BOOK"))
		if !e.writing.undated {
			w.raw(`<BookgDt><Dt>` + e.writing.day(e.BookingDate) + `</Dt></BookgDt>`)
		}
		if !e.ValueDate.IsZero() {
			w.raw(`<ValDt><Dt>` + e.writing.day(e.ValueDate) + `</Dt></ValDt>`)
		}
	}
	if !w.dialect.noIDs {
		w.tag("AcctSvcrRef", e.ID)
	}
	w.raw(`<BkTxCd>`)
	if parts := strings.Split(e.Code, "-"); len(parts) == 3 {
		w.raw(`<Domn><Cd>` + parts[0] + `</Cd><Fmly><Cd>` + parts[1] + `</Cd><SubFmlyCd>` + parts[2] + `</SubFmlyCd></Fmly></Domn>`)
	}
	w.raw(`<Prtry><Cd>NMSC+` + e.GVC + `+` + e.Primanota + `</Cd><Issr>DK</Issr></Prtry></BkTxCd><NtryDtls><TxDtls><Refs>`)
	w.tag("EndToEndId", e.EndToEndID)
	w.tag("MndtId", e.MandateID)
	w.raw(`</Refs>`)
	w.camtAmount(e.Cents, e.Currency, e.writing)
	if e.Foreign != "" {
		cents := max(e.ForeignCents, -e.ForeignCents)
		w.raw(`<AmtDtls><InstdAmt><Amt Ccy="` + e.Foreign + `">`)
		w.buffer = appendCents(w.buffer, cents)
		w.raw(`</Amt><CcyXchg><SrcCcy>` + e.Foreign + `</SrcCcy><TrgtCcy>` + e.Currency + `</TrgtCcy><XchgRate>` + e.Rate + `</XchgRate></CcyXchg></InstdAmt></AmtDtls>`)
	}
	w.camtCharges(&e)
	w.camtParties(a, &e)
	if e.Purpose != "" {
		w.raw(`<Purp><Cd>` + e.Purpose + `</Cd></Purp>`)
	}
	w.raw(`<RmtInf>`)
	for _, line := range cut(e.Remittance, 140) {
		w.tag("Ustrd", line)
	}
	w.raw(`</RmtInf>`)
	if e.Reason != "" {
		w.raw(`<RtrInf><Rsn><Cd>` + e.Reason + `</Cd></Rsn>`)
		w.tag("AddtlInf", e.ReasonText)
		w.raw(`</RtrInf>`)
	}
	w.raw(`</TxDtls></NtryDtls>`)
	w.tag("AddtlNtryInf", e.BookingText)
	w.raw(`</Ntry>`)
}

// camtCharges writes the amount of what came back, and what the bank takes for it.
func (w *writer) camtCharges(e *Entry) {
	if e.Reason == "" {
		return
	}
	w.raw(`<AmtDtls><InstdAmt><Amt Ccy="` + e.Currency + `">`)
	w.buffer = appendCents(w.buffer, max(e.OriginalCents, -e.OriginalCents))
	w.raw(`</Amt></InstdAmt></AmtDtls>`)
	if e.ChargeCents > 0 {
		w.raw(`<Chrgs>` + w.since08(`<Rcrd>`) + `<Amt Ccy="` + e.Currency + `">`)
		w.buffer = appendCents(w.buffer, e.ChargeCents)
		w.raw(`</Amt>` + w.since08(`</Rcrd>`) + `</Chrgs>`)
	}
}

// camtParties writes who is on the other side; of what comes back, and of what the holder takes,
// both sides.
func (w *writer) camtParties(a *account, e *Entry) {
	party, own := "Cdtr", "Dbtr"
	if e.otherIsDebtor() {
		party, own = own, party
	}
	holder := e.Reason != "" || e.CreditorID != "" && own == "Cdtr"
	if e.Name != "" {
		w.raw(`<RltdPties>`)
		if holder && own == "Dbtr" {
			w.camtParty(own, a.owner, a.iban, "")
		}
		creditorID := e.CreditorID
		if party == "Dbtr" {
			creditorID = ""
		}
		w.camtParty(party, e.writing.text(e.Name), e.IBAN, creditorID)
		if holder && own == "Cdtr" {
			w.camtParty(own, a.owner, a.iban, e.CreditorID)
		}
		w.raw(`</RltdPties>`)
	}
	if e.BIC != "" {
		w.raw(`<RltdAgts><` + party + `Agt><FinInstnId><` + w.bic() + `>` + e.BIC + `</` + w.bic() + `></FinInstnId></` + party + `Agt></RltdAgts>`)
	}
}

func (w *writer) camtParty(party, name, iban, creditorID string) {
	w.raw(`<` + party + `>` + w.since08(`<Pty>`))
	w.tag("Nm", name)
	if creditorID != "" {
		w.raw(`<Id><PrvtId><Othr><Id>` + creditorID + `</Id><SchmeNm><Prtry>SEPA</Prtry></SchmeNm></Othr></PrvtId></Id>`)
	}
	w.raw(w.since08(`</Pty>`) + `</` + party + `>`)
	if iban != "" {
		w.raw(`<` + party + `Acct><Id><IBAN>` + iban + `</IBAN></Id></` + party + `Acct>`)
	}
}

// bic names the element of a BIC, status is an entry's, since08 is markup that came with version
// 08.
func (w *writer) bic() string {
	if w.version == "02" {
		return "BIC"
	}
	return "BICFI"
}

func (w *writer) status(code string) string {
	return `<Sts>` + w.since08(`<Cd>`) + code + w.since08(`</Cd>`) + `</Sts>`
}

func (w *writer) since08(markup string) string {
	if w.version == "02" {
		return ""
	}
	return markup
}

// tag writes an element with text; an absent one is left out.
func (w *writer) tag(name, value string) {
	if value == "" {
		return
	}
	w.raw(`<` + name + `>`)
	escape := escapeXML
	if w.bare {
		escape = escapeMarkup
	}
	w.raw(escape.Replace(value))
	w.raw(`</` + name + `>`)
}

var (
	escapeXML    = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	escapeMarkup = strings.NewReplacer("<", "&lt;", ">", "&gt;")
)
