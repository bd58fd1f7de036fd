package sandbox

import "github.com/kontoflow/kontoflow/internal/civil"

// What comes back: transfers and direct debits that the account's holder sent, and direct debits
// that were taken from others or from the account, and were given back. Each comes back three
// working days later, with a reason (ISO 20022 external return reason codes), and shows the parties
// of what it undoes.

// reason is why something comes back.
type reason struct{ code, text string }

var (
	transferReasons = []reason{{"AC04", "Konto erloschen"}, {"AC01", "IBAN fehlerhaft"}, {"AC06", "Konto gesperrt"}}
	debitReasons    = []reason{{"MD06", "Widerspruch des Zahlers"}, {"MD01", "Kein gueltiges Mandat"}}
	dueReasons      = []reason{{"AM04", "Konto nicht gedeckt"}, {"MD06", "Widerspruch des Zahlers"}, {"AC04", "Konto erloschen"}}
)

// dues are direct debits that the holder takes from others.
var dues = []kind{
	{name: "Lotte Körner", account: 180018, low: 2_500, high: 6_000, day: 8, text: "LASTSCHRIFTEINZUG", code: "PMNT-IDDT-ESDD", gvc: "171", creditor: 490, remittance: "Jahresbeitrag %y Mitglied %c"},
	{name: "Mário Weiß", account: 190019, low: 1_200, high: 3_000, day: 12, text: "LASTSCHRIFTEINZUG", code: "PMNT-IDDT-ESDD", gvc: "171", creditor: 490, remittance: "Kursgebühr %m/%y Mitglied %c"},
	{name: "Zoë Böhme", account: 210021, low: 1_200, high: 3_000, day: 22, text: "LASTSCHRIFTEINZUG", code: "PMNT-IDDT-ESDD", gvc: "171", creditor: 490, remittance: "Kursgebühr %m/%y Mitglied %c"},
}

var monthlyWithDues []kind // of an account where things come back

// comesBack makes the kind that a kind comes back as, if it is a transfer or a direct debit.
func (k *kind) comesBack() {
	if k.account == 0 || len(k.code) < len("PMNT-ICDT") {
		return
	}
	back := *k
	switch k.code[:len("PMNT-ICDT")] {
	case "PMNT-ICDT", "PMNT-IRCT":
		back.text, back.code, back.gvc, back.reasons = "RETOURE", "PMNT-ICDT-RRTN", "159", transferReasons
	case "PMNT-RDDT":
		back.text, back.code, back.gvc, back.reasons = "WIEDERGUTSCHRIFT", "PMNT-RDDT-PRDD", "181", debitReasons
	case "PMNT-IDDT":
		back.text, back.code, back.gvc, back.reasons, back.charges = "RUECKLASTSCHRIFT", "PMNT-IDDT-UPDD", "109", dueReasons, 300
	default:
		return
	}
	k.back = &back
}

// returned appends what comes back on a working day: two thirds of what could.
func (a *account) returned(list []booking, day civil.Date) []booking {
	sent := before(before(before(day)))
	if !a.pace.returns || sent < a.opened {
		return list
	}
	for _, b := range a.working(nil, sent) {
		if b.kind.back != nil && b.key%3 > 0 {
			list = append(list, booking{kind: b.kind.back, cents: -b.cents - b.kind.back.charges, key: b.key})
		}
	}
	return list
}

// undo puts into words why an entry came back, and what it was before.
func (e *Entry) undo(b *booking) {
	if len(b.kind.reasons) == 0 {
		return
	}
	why := b.kind.reasons[b.key/3%uint64(len(b.kind.reasons))]
	e.Reason, e.ReasonText = why.code, why.text
	e.OriginalCents, e.ChargeCents = b.cents+b.kind.charges, b.kind.charges
}

// why is the reason in words, in front of the remittance, for formats that have no place for it.
func (e *Entry) why() string {
	if e.Reason == "" {
		return e.Remittance
	}
	return "RUECKGABE " + e.Reason + " " + e.ReasonText + " " + e.Remittance
}

// otherIsDebtor reports whether the other side of an entry is the debtor: of money in, and of money
// out that comes back.
func (e *Entry) otherIsDebtor() bool { return (e.Cents >= 0) == (e.Reason == "") }
