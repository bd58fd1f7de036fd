package fints

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// accounts lists the accounts of the user parameters, with IBANs and BICs from HKSPA and balances
// from HKSAL.
func (t *talk) accounts(ctx context.Context) ([]banks.Account, error) {
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	if err := t.askListed(ctx); err != nil {
		return nil, err
	}
	list := t.list()
	t.forgetOthers(list)
	var all []banks.Account
	for i := range list {
		a := &list[i]
		account := banks.Account{ResourceID: a.handle(), IBAN: a.IBAN, Number: a.Number, BankCode: a.BankCode, BIC: a.BIC,
			Currency: cmp.Or(a.Currency, "EUR"), Name: a.Product, Owner: a.Owner, Type: a.kind(), Unread: t.unread(a)}
		if a.allows("HKSAL") && (account.Unread == "" || !a.Unlisted) {
			balances, err := t.balances(ctx, a)
			if err != nil && !t.ofOneOrder(err) {
				return nil, err
			}
			account.Balances = balances
		}
		all = append(all, account)
	}
	return all, nil
}

// unread says why the account's transactions are never asked for; "": they are.
func (t *talk) unread(a *userAccount) string {
	switch {
	case len(t.statementOrders(a)) > 0:
		return ""
	case a.kind() == banks.Depot:
		return banks.UnreadDepot
	}
	return banks.UnreadNoOrder
}

// askListed asks for the accounts' IBANs and BICs (HKSPA), once for each list in the user
// parameters.
func (t *talk) askListed(ctx context.Context) error {
	user := t.lasting.User.Accounts
	version, list := t.lasting.Bank.version("HKSPA"), fingerprint(user)
	known := t.learnt().Listed
	if version == 0 || known != nil && known.For == list {
		return nil
	}
	complete := len(user) > 0
	for i := range user {
		complete = complete && user[i].IBAN != "" && user[i].BIC != ""
	}
	if complete {
		return nil
	}
	r, err := t.read(ctx, "ask for the accounts' IBANs", "HKSPA", syntax.New("HKSPA", version), false)
	switch {
	case err != nil && t.ofOneOrder(err):
		return nil
	case err != nil:
		return err
	}
	// The list may have become another one meanwhile, with a new login.
	t.learnt().Listed, t.dirty = &sepaListed{For: fingerprint(t.lasting.User.Accounts), Accounts: readSEPA(r)}, true
	return nil
}

// fingerprint tells lists of accounts in user parameters apart.
func fingerprint(list []userAccount) string {
	hash := sha256.New()
	for i := range list {
		a := &list[i]
		_, _ = io.WriteString(hash, strings.Join([]string{a.IBAN, a.Number, a.Sub, a.BankCode, a.Currency}, "\x00")+"\n")
	}
	return hex.EncodeToString(hash.Sum(nil)[:12])
}

// maxBalances bounds the HISAL of an answer that are looked at.
const maxBalances = 100

// balances asks for an account's balance (HKSAL 4 to 8). A bank that wants a TAN for one is given
// it; one that wants a TAN for each, or from a customer who is not there, is asked for none any
// more: statements have balances, too.
func (t *talk) balances(ctx context.Context, a *userAccount) ([]banks.Balance, error) {
	const order = "HKSAL"
	d, key := &t.dialog, order+" "+a.handle()
	if t.lasting.Bank.version(order) == 0 && (d.Kept == nil || d.Kept.Key != key) {
		return nil, nil
	}
	r, err := t.askAbout(ctx, "ask for the balance", key, order, a, false, func(version int, account syntax.Element) syntax.Segment {
		return syntax.New(order, version, account, syntax.Flag(false))
	})
	if err != nil && d.Waiting != nil && d.Waiting.Order == order {
		if d.BalanceTAN || !t.conv.Interactive {
			delete(t.lasting.Bank.Orders, order)
		}
		d.BalanceTAN, t.dirty = true, true
	}
	if err != nil {
		return nil, err
	}
	return readBalances(r, a), nil
}

// readBalances reads the balances of an account (HISAL). A bank may answer with those of several
// accounts: of the same IBAN in several currencies, or of sub-accounts.
func readBalances(r *reply, a *userAccount) (all []banks.Balance) {
	segments := r.All("HISAL")
	segments = segments[:min(len(segments), maxBalances)]
	for _, s := range segments {
		currency := cmp.Or(lenient.Currency(s.Get(2, 0)), lenient.Currency(s.Get(3, 2)), a.Currency, "EUR")
		if len(segments) > 1 && (!a.names(s.At(0)) || a.Currency != "" && currency != a.Currency) {
			continue
		}
		if b, ok := readBalance(s.At(3), currency); ok {
			b.Type = "closingBooked"
			all = append(all, b)
		}
		// The line of credit (element 5) is no balance.
		if b, ok := readAvailable(s.At(6), currency); ok {
			all = append(all, b)
		}
	}
	return all
}

// readBalance reads a balance: C or D, amount, currency, day, time ("sdo"; "Formals", section
// B.4.2). Some banks leave out the day.
func readBalance(e syntax.Element, currency string) (banks.Balance, bool) {
	amount, ok := amountOf(e.Get(0), e.Get(1))
	if !ok {
		return banks.Balance{}, false
	}
	currency = cmp.Or(lenient.Currency(e.Get(2)), currency)
	return banks.Balance{Amount: lenient.WithoutNoise(amount, currency), Currency: currency, Date: lenient.Date(e.Get(3))}, true
}

// readAvailable reads the amount that the customer can dispose of: amount, currency, and in newer
// segments C or D ("btg", "btgv").
func readAvailable(e syntax.Element, currency string) (banks.Balance, bool) {
	amount, ok := amountOf(cmp.Or(e.Get(2), "C"), e.Get(0))
	if !ok {
		return banks.Balance{}, false
	}
	currency = cmp.Or(lenient.Currency(e.Get(1)), currency)
	return banks.Balance{Type: "interimAvailable", Amount: lenient.WithoutNoise(amount, currency), Currency: currency}, true
}

// amountOf reads an amount and its sign, C or D.
func amountOf(sign, value string) (decimal.Decimal, bool) {
	amount, ok := unsigned(value)
	if sign == "D" {
		amount = amount.Neg()
	}
	return amount, ok && (sign == "C" || sign == "D")
}

// unsigned reads an amount. Its comma is always the decimal sign ("wrt"; "Formals", section B.4.2).
func unsigned(value string) (decimal.Decimal, bool) {
	if strings.Count(value, ",") == 1 && !strings.Contains(value, ".") {
		value = strings.Replace(value, ",", ".", 1)
	}
	return lenient.Amount(value)
}

// fintsDay writes a day as FinTS has it; "" for none.
func fintsDay(d civil.Date) string { return strings.ReplaceAll(d.String(), "-", "") }
