package fints

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// learnt is what reading found out about a bank beyond its parameters. It is kept, so that no
// message is sent in vain twice.
type learnt struct {
	// Version is that of the bank parameters under which it was found out. With others it has to be
	// found out again.
	Version int `json:"version,omitempty"`
	// Forms are how accounts have to be named, by order and handle; see formKey.
	Forms map[string]form `json:"forms,omitempty"`
	// Reach is how many days, today among them, the bank gives, by order, where it refused more;
	// noPeriod: it takes no days at all.
	Reach map[string]int `json:"reach,omitempty"`
	// Refused counts in how many synchronizations in a row the bank refused an order for an
	// account, by order and handle.
	Refused map[string]int `json:"refused,omitempty"`
	// WithTAN are orders that need HKTAN beside them although HIPINS says that they do not.
	WithTAN []string    `json:"with_tan,omitempty"`
	Listed  *sepaListed `json:"listed,omitempty"` // HISPA
}

// noPeriod in learnt.Reach stands for orders without days.
const noPeriod = -1

// learnt is what is known under the present bank parameters.
func (t *talk) learnt() *learnt {
	l := &t.lasting.Learnt
	if t.lasting.Bank != nil && l.Version != t.lasting.Bank.Version {
		*l = learnt{Version: t.lasting.Bank.Version, Listed: l.Listed}
		t.dirty = true
	}
	return l
}

// note keeps a value under a key; the zero value removes it.
func note[V comparable](t *talk, into *map[string]V, key string, value V) {
	var zero V
	if (*into)[key] == value {
		return
	}
	t.dirty = true
	if value == zero {
		delete(*into, key)
		return
	}
	if *into == nil {
		*into = map[string]V{}
	}
	if len(*into) < 8*maxAccounts {
		(*into)[key] = value
	}
}

// forgetOthers drops what was learnt about accounts that are not there any more.
func (t *talk) forgetOthers(accounts []userAccount) {
	l := t.learnt()
	known := map[string]bool{}
	for i := range accounts {
		for order := range spoken {
			known[formKey(order, &accounts[i])] = true
		}
	}
	before := len(l.Forms) + len(l.Refused)
	maps.DeleteFunc(l.Forms, func(key string, _ form) bool { return !known[key] })
	maps.DeleteFunc(l.Refused, func(key string, _ int) bool { return !known[key] })
	t.dirty = t.dirty || before != len(l.Forms)+len(l.Refused)
}

// ready makes sure that orders can be sent. A dialog that the bank ended is opened again, in a
// conversation in which the PIN was accepted; whether the customer is needed for that, the bank
// says.
func (t *talk) ready(ctx context.Context) error {
	d := &t.dialog
	switch {
	case d.About != nil || d.Ask != nil || d.Waiting != nil:
		return needsAuthorization("the authorization is not at its end")
	case d.Open:
		return nil
	case !d.LoggedIn && d.Refused == 0:
		return needsAuthorization("there is no dialog with the bank")
	}
	step, err := t.openDialog(ctx)
	switch {
	case err != nil:
		if _, refused := asRefusal(err); refused || isLost(err) { // the next login is Authorize's, announced
			t.forgetDialog()
			d.LoggedIn = false
		}
		return err
	case step.Status != banks.Ready:
		return needsAuthorization("the bank wants the customer at the new login")
	}
	return nil
}

// errDialogOver says that the dialog is over in which alone an order makes sense.
var errDialogOver = errors.New("the dialog is over")

// codeSignatures says that an order needs more signatures: HKTAN beside it, for banks with PIN and
// TAN.
const codeSignatures = 9370

// needsTAN reports whether HKTAN has to go along with an order.
func (t *talk) needsTAN(order string) bool {
	return slices.Contains(t.lasting.Bank.NeedTAN, order) || slices.Contains(t.learnt().WithTAN, order)
}

// read sends an order that reads, and with it HKTAN where the bank may want a TAN (HIPINS). key
// names the order to the answer that comes with the TAN. A dialog that turns out to be over is
// opened again, once; not for an order that is tied to it, which ends in errDialogOver.
func (t *talk) read(ctx context.Context, doing, key string, order syntax.Segment, tied bool) (*reply, error) {
	if r, err := t.take(doing, key); r != nil || err != nil {
		return r, err
	}
	for again := tied; ; {
		if err := t.ready(ctx); err != nil {
			return nil, err
		}
		m, withTAN := t.method(), t.needsTAN(order.Name)
		t.requests++
		r, demanded, err := t.submit(ctx, doing, key, order, withTAN)
		refused, _ := asRefusal(err)
		switch {
		case demanded:
			return nil, needsAuthorization(doing + ": the bank wants a TAN")
		case err == nil:
			return r, nil
		case m != nil && !withTAN && refused != nil && refused.has(codeSignatures) && (t.dialog.Open || !tied):
			l := t.learnt()
			l.WithTAN, t.dirty = append(l.WithTAN, order.Name), true
			continue
		case r != nil && r.dialogIsGone(err) && !again:
			again = true
			continue
		case r != nil && r.dialogIsGone(err) && tied:
			return nil, errors.Join(errDialogOver, err)
		case banks.AsError(err).Kind == banks.NeedsAuthorization:
			t.forgetDialog()
		}
		return nil, ofAccount(err)
	}
}

// ofAccount reads a refusal after the login: that something is locked then means the account.
func ofAccount(err error) error {
	refused, ok := asRefusal(err)
	if !ok || refused.fault.Code != banks.CodeAccessBlocked || refused.ofPIN() {
		return err
	}
	fault := *refused.fault
	fault.Kind, fault.Code = banks.Gone, banks.CodeAccountBlocked
	return &refusal{fault: &fault, said: refused.said}
}

// skippable reports whether the refusal of one account's order leaves the others readable.
func skippable(err error) bool {
	refused, ok := asRefusal(err)
	return ok && (refused.fault.Kind == banks.Rejected || refused.fault.Kind == banks.Gone)
}

// ofOneOrder reports whether a refusal is about one order only, for good or for the time being, and
// the dialog goes on.
func (t *talk) ofOneOrder(err error) bool {
	refused, ok := asRefusal(err)
	return skippable(err) || ok && t.dialog.Open && (refused.fault.Kind == banks.Transient || refused.fault.Kind == banks.BankDown)
}

// form is how an account is named to the bank in newer orders (kti; "Formals", section B.4.2).
type form string

const (
	wholeForm form = "WHOLE" // IBAN, BIC and the national account: number, sub-account, bank code
	ibanForm  form = "IBAN"  // IBAN and BIC only
)

// formKey names an order for an account.
func formKey(order string, a *userAccount) string { return order + " " + a.handle() }

// international is the first version of an order in which accounts are named as kti.
var international = map[string]int{"HKSAL": 7, "HKKAZ": 7, "HKCAZ": 1}

// versionFor is the version of an order to use for an account: the highest one, but without an IBAN
// one that names accounts without.
func (t *talk) versionFor(order string, a *userAccount) int {
	highest, from := t.lasting.Bank.version(order), international[order]
	if from == 0 || highest < from || !t.needsNational(a) {
		return highest
	}
	best := 0
	for _, version := range t.lasting.Bank.Orders[order] {
		if version < from {
			best = max(best, version)
		}
	}
	if national := t.lasting.Bank.National; best > 0 && national != nil && !*national {
		return best
	}
	return highest
}

// needsNational reports whether the account cannot be told by its IBAN.
func (t *talk) needsNational(a *userAccount) bool { return a.IBAN == "" || a.shared }

// formFor is how to name an account in an order: as it worked before, else as the bank says
// (HISPAS), else whole.
func (t *talk) formFor(order string, a *userAccount) form {
	known := t.learnt().Forms[formKey(order, a)]
	national := t.lasting.Bank.National
	switch {
	case t.needsNational(a):
		return wholeForm
	case a.Number == "":
		return ibanForm
	case known != "":
		return known
	case national != nil && !*national:
		return ibanForm
	}
	return wholeForm
}

// otherForm is the other way to name an account; "" there is none.
func (t *talk) otherForm(a *userAccount, f form) form {
	switch {
	case f == wholeForm && !t.needsNational(a):
		return ibanForm
	case f == ibanForm && a.Number != "":
		return wholeForm
	}
	return ""
}

// askAbout sends an order about an account. Where the bank refuses the account as it is named, it
// is named in the other way, once; what worked is kept. build makes the order.
func (t *talk) askAbout(ctx context.Context, doing, key, order string, a *userAccount, tied bool,
	build func(version int, account syntax.Element) syntax.Segment) (*reply, error) {
	version := t.versionFor(order, a)
	if from := international[order]; from == 0 || version < from {
		return t.read(ctx, doing, key, build(version, a.national(version)), tied)
	}
	first := t.formFor(order, a)
	r, err := t.read(ctx, doing, key, build(version, a.international(first)), tied)
	second := t.otherForm(a, first)
	if err == nil || second == "" || tied || !refusesAccount(err) {
		return r, err
	}
	r, again := t.read(ctx, doing, key, build(version, a.international(second)), tied)
	switch {
	case again == nil, banks.AsError(again).Kind == banks.NeedsAuthorization, refusesPeriod(again):
		note(t, &t.learnt().Forms, formKey(order, a), second)
		return r, again
	case skippable(again):
		return nil, err
	}
	return nil, again
}

// national is the account as older orders name it (ktv; "Formals", section B.4.2). Before version 5
// there was no sub-account.
func (a *userAccount) national(version int) syntax.Element {
	if version < 5 {
		return syntax.Text(a.Number, country, a.BankCode)
	}
	return syntax.Text(a.Number, a.Sub, country, a.BankCode)
}

// international is the account as newer orders name it (kti).
func (a *userAccount) international(f form) syntax.Element {
	if f == ibanForm {
		return syntax.Text(a.IBAN, a.BIC)
	}
	return syntax.Text(a.IBAN, a.BIC, a.Number, a.Sub, country, a.BankCode)
}
