package fints

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"kontoflow/plain"
	"kontoflow/providers"
	"kontoflow/providers/fints/syntax"
	"kontoflow/providers/lenient"
)

// ready makes sure that orders can be sent. A dialog that the bank ended is opened again, in a conversation in which the
// PIN was accepted; whether the customer is needed for that, the bank says.
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
	case step.Status != providers.Ready:
		return needsAuthorization("the bank wants the customer at the new login")
	}
	return nil
}

// errDialogOver says that the dialog is over in which alone an order makes sense.
var errDialogOver = errors.New("the dialog is over")

// read sends an order that reads, and with it HKTAN where the bank may want a TAN (HIPINS). key names the order to the
// answer that comes with the TAN. A dialog that turns out to be over is opened again, once; not for an order that is tied to
// it, which ends in errDialogOver.
func (t *talk) read(ctx context.Context, doing, key string, order syntax.Segment, tied bool) (*reply, error) {
	if r, err := t.take(doing, key); r != nil || err != nil {
		return r, err
	}
	for again := tied; ; again = true {
		if err := t.ready(ctx); err != nil {
			return nil, err
		}
		segments := []syntax.Segment{order}
		if m := t.method(); m != nil && slices.Contains(t.lasting.Bank.NeedTAN, order.Name) {
			segments = append(segments, tanFor(m, order.Name, t.lasting.Medium))
		}
		r, err := t.order(ctx, doing, "", segments...)
		switch {
		case err == nil && t.demands(r, order.Name, key):
			return nil, needsAuthorization(doing + ": the bank wants a TAN")
		case err == nil:
			return r, nil
		case r != nil && r.dialogIsGone(err) && !again:
			continue
		case r != nil && r.dialogIsGone(err) && tied:
			return nil, errors.Join(errDialogOver, err)
		case providers.AsError(err).Kind == providers.NeedsAuthorization:
			t.forgetDialog()
		}
		return nil, ofAccount(err)
	}
}

// ofAccount reads a refusal after the login: that something is locked then means the account.
func ofAccount(err error) error {
	refused, ok := asRefusal(err)
	if !ok || refused.fault.Code != providers.CodeAccessBlocked || refused.ofPIN() {
		return err
	}
	fault := *refused.fault
	fault.Kind, fault.Code = providers.Gone, providers.CodeAccountBlocked
	return &refusal{fault: &fault, said: refused.said}
}

// accounts lists the accounts of the user parameters, with IBANs and BICs from HKSPA and balances from HKSAL.
func (t *talk) accounts(ctx context.Context) ([]providers.Account, error) {
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	if err := t.completeAccounts(ctx); err != nil {
		return nil, err
	}
	var all []providers.Account
	for i := range t.lasting.User.Accounts {
		a := &t.lasting.User.Accounts[i]
		account := providers.Account{ResourceID: a.handle(), IBAN: a.IBAN, Number: a.Number, BankCode: a.BankCode, BIC: a.BIC,
			Currency: cmp.Or(a.Currency, "EUR"), Name: a.Product, Owner: a.Owner, Type: a.kind()}
		if a.allows("HKSAL") {
			balances, err := t.balances(ctx, a)
			if err != nil && !skippable(err) {
				return nil, err
			}
			account.Balances = balances
		}
		all = append(all, account)
	}
	return all, nil
}

// skippable reports whether the refusal of one account's order leaves the others readable.
func skippable(err error) bool {
	refused, ok := asRefusal(err)
	return ok && (refused.fault.Kind == providers.Rejected || refused.fault.Kind == providers.Gone)
}

// completeAccounts asks for the accounts' IBANs and BICs, once for each version of the user parameters.
func (t *talk) completeAccounts(ctx context.Context) error {
	u := &t.lasting.User
	version := t.lasting.Bank.version("HKSPA")
	incomplete := len(u.Accounts) == 0 || slices.ContainsFunc(u.Accounts, func(a userAccount) bool { return a.IBAN == "" || a.BIC == "" })
	if u.Asked || !incomplete || version == 0 {
		return nil
	}
	r, err := t.read(ctx, "ask for the accounts' IBANs", "HKSPA", syntax.New("HKSPA", version), false)
	switch {
	case skippable(err):
		return nil
	case err != nil:
		return err
	}
	u = &t.lasting.User
	u.Asked, t.dirty = true, true
	for _, s := range r.All("HISPA") {
		for _, e := range s.Elements {
			iban, ok := lenient.IBAN(e.Get(1))
			if !ok || len(u.Accounts) >= maxAccounts {
				continue
			}
			found := userAccount{IBAN: iban, BIC: lenient.Text(e.Get(2), 16), Number: lenient.Text(e.Get(3), 64), Sub: lenient.Text(e.Get(4), 64),
				BankCode: lenient.Text(e.Get(6), 64), Unlisted: true}
			known := false
			for i := range u.Accounts {
				if a := &u.Accounts[i]; a.Number == found.Number && a.Sub == found.Sub {
					a.IBAN, a.BIC, known = iban, found.BIC, true
				}
			}
			if !known {
				u.Accounts = append(u.Accounts, found)
			}
		}
	}
	return nil
}

// handle names an account within the access.
func (a *userAccount) handle() string {
	return strings.Join([]string{a.BankCode, a.Number, a.Sub, a.Currency}, "/")
}

// account finds the user parameters of an account: by our handle, or where that changed (or the account was read over
// another protocol before) by IBAN and currency.
func (t *talk) account(of providers.Account) *userAccount {
	var found *userAccount
	for i := range t.lasting.User.Accounts {
		a := &t.lasting.User.Accounts[i]
		switch {
		case of.IBAN != "" && a.IBAN != "" && a.IBAN != of.IBAN:
		case a.handle() == of.ResourceID:
			return a
		case a.IBAN != "" && a.IBAN == of.IBAN && (a.Currency == of.Currency || of.Currency == ""):
			found = a
		}
	}
	return found
}

// national is the account as older orders name it (ktv; "Formals", section B.4.2).
func (a *userAccount) national() syntax.Element {
	return syntax.Text(a.Number, a.Sub, country, a.BankCode)
}

// international is the account as newer orders name it (kti).
func (a *userAccount) international() syntax.Element {
	return syntax.Text(a.IBAN, a.BIC, a.Number, a.Sub, country, a.BankCode)
}

// named is the account in an order's version.
func (a *userAccount) named(version, international int) syntax.Element {
	if version >= international {
		return a.international()
	}
	return a.national()
}

// balances asks for an account's balance (HKSAL 5 to 7). A bank that wants a TAN for one is given it; one that wants a TAN
// for each, or from a customer who is not there, is asked for none any more: statements have balances, too.
func (t *talk) balances(ctx context.Context, a *userAccount) ([]providers.Balance, error) {
	const order = "HKSAL"
	d, version, key := &t.dialog, t.lasting.Bank.version(order), order+" "+a.handle()
	if version == 0 && (d.Kept == nil || d.Kept.Key != key) {
		return nil, nil
	}
	r, err := t.read(ctx, "ask for the balance", key, syntax.New(order, version, a.named(version, 7), syntax.Flag(false)), false)
	if err != nil && d.Waiting != nil && d.Waiting.Order == order {
		if d.BalanceTAN || !t.conv.Interactive {
			delete(t.lasting.Bank.Orders, order)
		}
		d.BalanceTAN, t.dirty = true, true
	}
	if err != nil {
		return nil, err
	}
	var all []providers.Balance
	for _, s := range r.All("HISAL") {
		if s.Version < 5 || len(all) > 10 {
			continue
		}
		currency := cmp.Or(lenient.Currency(s.Get(2, 0)), a.Currency, "EUR")
		if b, ok := readBalance(s.At(3), currency); ok {
			b.Type = "closingBooked"
			all = append(all, b)
		}
		if amount, ok := lenient.Amount(s.Get(6, 0)); ok { // Verfügbarer Betrag: unsigned
			all = append(all, providers.Balance{Type: "interimAvailable", Amount: amount, Currency: cmp.Or(lenient.Currency(s.Get(6, 1)), currency)})
		}
	}
	return all, nil
}

// readBalance reads a balance: C or D, amount, currency, day, time ("sdo"; "Formals", section B.4.2).
func readBalance(e syntax.Element, currency string) (providers.Balance, bool) {
	amount, ok := amountOf(e.Get(0), e.Get(1))
	if !ok {
		return providers.Balance{}, false
	}
	return providers.Balance{Amount: amount, Currency: cmp.Or(lenient.Currency(e.Get(2)), currency), Date: dayOf(e.Get(3))}, true
}

func amountOf(sign, value string) (decimal.Decimal, bool) {
	amount, ok := lenient.Amount(value)
	if sign == "D" {
		amount = amount.Neg()
	}
	return amount, ok && (sign == "C" || sign == "D")
}

// dayOf reads a day as FinTS writes it, 20260131.
func dayOf(s string) plain.Date {
	if len(s) != 8 {
		return 0
	}
	return lenient.Date(s[:4] + "-" + s[4:6] + "-" + s[6:])
}

// fintsDay writes a day as FinTS has it; "" for none.
func fintsDay(d plain.Date) string { return strings.ReplaceAll(d.String(), "-", "") }
