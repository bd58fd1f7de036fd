package camt

import (
	"strings"

	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/banks/formats/remittance"
)

// An element is one of those that are of interest, by its path. All functions may be nil.
type element struct {
	children    map[string]*element
	transparent bool                   // what it does not know is looked for in anywhere, else left out
	begin       func(*decoder)         // after the start tag
	attribute   string                 // of interest
	value       func(*decoder, []byte) // takes the attribute
	text        func(*decoder, []byte) // takes the element's own text, without the blanks around it, at the end tag
	isLine      bool                   // the text is a line of several: the blanks around it stay
	end         func(*decoder) error   // after the end tag
}

// child finds an element in an element. A nil element has none.
func (e *element) child(name []byte) *element {
	if e == nil {
		return nil
	}
	if c, known := e.children[string(name)]; known || !e.transparent {
		return c
	}
	if c, known := anywhere.children[string(name)]; known {
		return c
	}
	return anywhere
}

// at finds or makes the element of a path.
func (e *element) at(path string) *element {
	for name := range strings.SplitSeq(path, "/") {
		if e.children == nil {
			e.children = make(map[string]*element)
		}
		if e.children[name] == nil {
			e.children[name] = &element{}
		}
		e = e.children[name]
	}
	return e
}

// reads lets the element of a path hand its text over.
func (e *element) reads(path string, text func(*decoder, []byte)) { e.at(path).text = text }

// holds lets the element of a path fill a field.
func (e *element) holds(path string, limit int, field func(*decoder) *string) {
	e.reads(path, func(d *decoder, text []byte) { *field(d) = lenient.Text(string(text), limit) })
}

// collects lets the elements of a path fill a list of texts.
func (e *element) collects(path string, limit int, field func(*decoder) *[]string) {
	e.reads(path, func(d *decoder, text []byte) {
		if one := lenient.Text(string(text), limit); one != "" && len(*field(d)) < maxLines {
			*field(d) = append(*field(d), one)
		}
	})
}

// lists lets the elements of a path fill a list of lines.
func (e *element) lists(path string, limit int, field func(*decoder) *[]string) {
	e.at(path).isLine = true
	e.reads(path, func(d *decoder, text []byte) {
		if len(*field(d)) < maxLines {
			*field(d) = remittance.Append(*field(d), lenient.Line(string(text), limit))
		}
	})
}

// codes lets an element fill a code: with its Cd, its Prtry or its text.
func (e *element) codes(path string, field func(*decoder) *coded) {
	for inner, rank := range map[string]uint8{"": justText, "/Prtry": proprietary, "/Prtry/Cd": proprietary, "/Cd": code} {
		e.reads(path+inner, func(d *decoder, text []byte) { field(d).read(text, rank) })
	}
}

// days lets an element fill a day: with its Dt, its DtTm or its text.
func (e *element) days(path string, field func(*decoder) *day) {
	for _, inner := range []string{"", "/Dt", "/DtTm"} {
		e.reads(path+inner, func(d *decoder, text []byte) { field(d).read(text) })
	}
}

// amounts lets an element fill an amount.
func (e *element) amounts(path string, field func(*decoder) *amount) {
	at := e.at(path)
	at.begin = func(d *decoder) { field(d).begin() }
	at.attribute, at.value = "Ccy", func(d *decoder, value []byte) { field(d).readCurrency(value) }
	at.text = func(d *decoder, text []byte) { field(d).read(text) }
}

// anywhere holds the elements that may stand anywhere but in an entry or a balance.
var anywhere = tree()

func tree() *element {
	root := &element{transparent: true}
	root.at("Document").begin = (*decoder).beginDocument
	root.at("Document").transparent = true
	root.reads("GrpHdr/CreDtTm", func(d *decoder, text []byte) { d.created.read(text) })
	for _, name := range []string{"BkToCstmrAcctRpt", "BkToCstmrStmt", "BkToCstmrDbtCdtNtfctn"} {
		message := root.at(name)
		message.transparent, message.begin = true, (*decoder).beginMessage
	}
	root.children["SplmtryData"], root.children["TxsSummry"] = nil, nil // other people's elements, and sums
	balanceTree(root.at("Bal"))
	entryTree(root.at("Ntry"))
	for _, name := range []string{"Rpt", "Stmt", "Ntfctn"} {
		statement := root.at(name)
		statement.transparent, statement.begin, statement.end = true, (*decoder).beginStatement, (*decoder).endStatement
		statement.reads("CreDtTm", func(d *decoder, text []byte) { d.statement.created.read(text) })
		statement.reads("Acct/Id/IBAN", func(d *decoder, text []byte) { d.statement.holder.account.readIBAN(text) })
		statement.reads("Acct/Id/Othr/Id", func(d *decoder, text []byte) { d.statement.holder.account.readNumber(text) })
		statement.reads("Acct/Ccy", func(d *decoder, text []byte) { d.statement.currency = lenient.Currency(string(text)) })
		for _, owner := range []string{"Acct/Ownr/Nm", "Acct/Ownr/Pty/Nm"} {
			statement.holds(owner, 1024, func(d *decoder) *string { return &d.statement.holder.name })
		}
	}
	return root
}

func balanceTree(e *element) {
	e.begin, e.end = (*decoder).beginBalance, (*decoder).endBalance
	e.codes("Tp/CdOrPrtry", func(d *decoder) *coded { return &d.balance.kind })
	e.codes("Tp", func(d *decoder) *coded { return &d.balance.kind })
	e.amounts("Amt", func(d *decoder) *amount { return &d.balance.amount })
	e.reads("CdtDbtInd", func(d *decoder, text []byte) { d.balance.indicator.read(text) })
	e.days("Dt", func(d *decoder) *day { return &d.balance.day })
}

func entryTree(e *element) {
	e.begin, e.end = (*decoder).beginEntry, (*decoder).endEntry
	e.holds("NtryRef", 512, func(d *decoder) *string { return &d.entry.reference })
	e.amounts("Amt", func(d *decoder) *amount { return &d.entry.amount })
	e.reads("CdtDbtInd", func(d *decoder, text []byte) { d.entry.indicator.read(text) })
	e.reads("RvslInd", func(d *decoder, text []byte) { d.entry.reversal.read(text) })
	e.codes("Sts", func(d *decoder) *coded { return &d.entry.status })
	e.days("BookgDt", func(d *decoder) *day { return &d.entry.booking })
	e.days("ValDt", func(d *decoder) *day { return &d.entry.value })
	e.holds("AcctSvcrRef", 512, func(d *decoder) *string { return &d.entry.servicerRef })
	e.holds("AddtlNtryInf", 1024, func(d *decoder) *string { return &d.entry.additional })
	codeTree(e, func(d *decoder) *bankCode { return &d.entry.code })
	amountsTree(e, func(d *decoder) *amounts { return &d.entry.amounts })
	chargesTree(e, func(d *decoder) *charges { return &d.entry.charges })
	detailsTree(e.at("NtryDtls/TxDtls"))
}

func codeTree(e *element, field func(*decoder) *bankCode) {
	e.holds("BkTxCd/Domn/Cd", 16, func(d *decoder) *string { return &field(d).domain })
	e.holds("BkTxCd/Domn/Fmly/Cd", 16, func(d *decoder) *string { return &field(d).family })
	e.holds("BkTxCd/Domn/Fmly/SubFmlyCd", 16, func(d *decoder) *string { return &field(d).subFamily })
	e.holds("BkTxCd/Prtry/Cd", 35, func(d *decoder) *string { return &field(d).bank })
}

func amountsTree(e *element, field func(*decoder) *amounts) {
	for name, one := range map[string]struct {
		amount func(*amounts) *amount
		rate   func(*amounts) *string
	}{
		"InstdAmt": {func(a *amounts) *amount { return &a.instructed }, func(a *amounts) *string { return &a.instructedRate }},
		"TxAmt":    {func(a *amounts) *amount { return &a.transaction }, func(a *amounts) *string { return &a.transactionRate }},
		"OrgnlAmt": {func(a *amounts) *amount { return &a.original }, func(a *amounts) *string { return &a.counterRate }},
	} {
		e.amounts("AmtDtls/"+name+"/Amt", func(d *decoder) *amount { return one.amount(field(d)) })
		e.holds("AmtDtls/"+name+"/CcyXchg/XchgRate", 32, func(d *decoder) *string { return one.rate(field(d)) })
	}
	e.holds("AmtDtls/CntrValAmt/CcyXchg/XchgRate", 32, func(d *decoder) *string { return &field(d).counterRate })
}

func chargesTree(e *element, field func(*decoder) *charges) {
	e.amounts("Chrgs/TtlChrgsAndTaxAmt", func(d *decoder) *amount { return &field(d).total })
	for _, path := range []string{"Chrgs/Amt", "Chrgs/Rcrd/Amt"} {
		e.amounts(path, func(d *decoder) *amount { return &field(d).one })
		e.at(path).end = func(d *decoder) error { field(d).add(); return nil }
	}
}

func detailsTree(e *element) {
	now := func(field func(*details) *string) func(*decoder) *string {
		return func(d *decoder) *string { return field(d.entry.current) }
	}
	e.begin, e.end = (*decoder).beginDetails, (*decoder).endDetails
	e.holds("Refs/EndToEndId", 256, now(func(t *details) *string { return &t.endToEndID }))
	e.holds("Refs/MndtId", 256, now(func(t *details) *string { return &t.mandateID }))
	e.holds("Refs/AcctSvcrRef", 512, now(func(t *details) *string { return &t.servicerRef }))
	e.holds("Refs/TxId", 512, now(func(t *details) *string { return &t.transaction }))
	e.holds("Refs/ChqNb", 64, now(func(t *details) *string { return &t.cheque }))
	e.holds("Refs/Prtry/Tp", 35, now(func(t *details) *string { return &t.refType }))
	e.holds("Refs/Prtry/Ref", 512, now(func(t *details) *string { return &t.ref }))
	e.at("Refs/Prtry").end = func(d *decoder) error { d.entry.current.takeRef(); return nil }

	e.amounts("Amt", func(d *decoder) *amount { return &d.entry.current.amount })
	e.reads("CdtDbtInd", func(d *decoder, text []byte) { d.entry.current.indicator.read(text) })
	e.reads("RvslInd", func(d *decoder, text []byte) { d.entry.current.reversal.read(text) })
	codeTree(e, func(d *decoder) *bankCode { return &d.entry.current.code })
	amountsTree(e, func(d *decoder) *amounts { return &d.entry.current.amounts })
	chargesTree(e, func(d *decoder) *charges { return &d.entry.current.charges })
	sideTree(e, "Dbtr", func(d *decoder) *side { return &d.entry.current.debtor })
	sideTree(e, "Cdtr", func(d *decoder) *side { return &d.entry.current.creditor })

	e.codes("Purp", func(d *decoder) *coded { return &d.entry.current.purpose })
	e.lists("RmtInf/Ustrd", 1024, func(d *decoder) *[]string { return &d.entry.current.unstructured })
	e.lists("RmtInf/Strd/AddtlRmtInf", 1024, func(d *decoder) *[]string { return &d.entry.current.structured })
	e.reads("RmtInf/Strd/CdtrRefInf/Ref", func(d *decoder, text []byte) {
		if t := d.entry.current; t.reference == "" {
			t.reference = lenient.Text(string(text), 256)
		}
	})
	e.collects("RmtInf/Strd/RfrdDocInf/Nb", 64, func(d *decoder) *[]string { return &d.entry.current.documents })
	e.days("RmtInf/Strd/RfrdDocInf/RltdDt", func(d *decoder) *day { return &d.entry.current.documentDate })
	e.codes("RmtInf/Strd/RfrdDocInf/Tp/CdOrPrtry", func(d *decoder) *coded { return &d.entry.current.documentType })
	e.holds("AddtlTxInf", 1024, now(func(t *details) *string { return &t.additional }))
	e.codes("RtrInf/Rsn", func(d *decoder) *coded { return &d.entry.current.returnReason })
	e.collects("RtrInf/AddtlInf", 256, func(d *decoder) *[]string { return &d.entry.current.returnText })
}

// sideTree is everything about a debtor (Dbtr) or creditor (Cdtr).
func sideTree(e *element, name string, field func(*decoder) *side) {
	holds := func(path string, limit int, text func(*side) *string) {
		e.holds(path, limit, func(d *decoder) *string { return text(field(d)) })
	}
	party := "RltdPties/" + name
	for _, at := range []string{party, party + "/Pty"} {
		holds(at+"/Nm", 1024, func(s *side) *string { return &s.name })
		for _, id := range []string{"/Id/PrvtId/Othr/Id", "/Id/OrgId/Othr/Id"} {
			e.reads(at+id, func(d *decoder, text []byte) { field(d).readID(text) })
		}
	}
	holds(party+"/Agt/FinInstnId/Nm", 1024, func(s *side) *string { return &s.institution })
	for _, at := range []string{"/Nm", "/Pty/Nm"} {
		holds("RltdPties/Ultmt"+name+at, 1024, func(s *side) *string { return &s.ultimate })
	}
	account := party + "Acct"
	e.reads(account+"/Id/IBAN", func(d *decoder, text []byte) { field(d).readIBAN(text) })
	e.reads(account+"/Id/Othr/Id", func(d *decoder, text []byte) { field(d).readNumber(text) })
	holds(account+"/Nm", 1024, func(s *side) *string { return &s.accountName })
	bank := "RltdAgts/" + name + "Agt/FinInstnId"
	for _, bic := range []string{"/BIC", "/BICFI"} {
		holds(bank+bic, 32, func(s *side) *string { return &s.bic })
		holds(party+"/Agt/FinInstnId"+bic, 32, func(s *side) *string { return &s.ownBIC })
	}
	holds(bank+"/ClrSysMmbId/MmbId", 35, func(s *side) *string { return &s.bankCode })
	holds(bank+"/Nm", 256, func(s *side) *string { return &s.bankName })
}
