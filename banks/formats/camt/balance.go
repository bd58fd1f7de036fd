package camt

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/kontoflow/kontoflow/banks"
)

// balance is a Bal.
type balance struct {
	kind      coded
	amount    amount
	indicator indicator
	day       day
}

// balanceTypes are the names that XS2A gives to ISO 20022 balance types. Others keep theirs.
var balanceTypes = map[string]string{
	"CLBD": "closingBooked", "OPBD": "openingBooked", "PRCD": "openingBooked", "ITBD": "interimBooked", "ITAV": "interimAvailable",
	"CLAV": "interimAvailable", "OPAV": "interimAvailable", "FWAV": "forwardAvailable", "XPCD": "expected",
}

func (d *decoder) beginBalance() { d.balance = balance{} }

// endBalance adds a balance to the report. What cannot be read is none.
func (d *decoder) endBalance() error {
	b := &d.balance
	d.balances++
	unreadable := func(what string) {
		d.report.Unreadable.Add(fmt.Sprintf("balance %d: %s", d.balances, what))
	}
	currency := d.currencyOf(&b.amount)
	value, ok := b.amount.in(currency)
	if !ok {
		unreadable("amount")
		return nil
	}
	if value, ok = b.amount.signed(value, b.indicator); !ok {
		unreadable("sign")
		return nil
	}
	if b.day.bad {
		unreadable("day")
	}
	kind := b.kind.text
	if name := balanceTypes[kind]; name != "" {
		kind = name
	}
	if kind == "" {
		kind = "expected"
	}
	d.statement.newest = max(d.statement.newest, b.day.date)
	d.report.Balances = append(d.report.Balances, banks.Balance{Type: kind, Amount: value, Currency: currency, Date: b.day.date})
	if len(d.report.Balances) == 2*maxBalances {
		d.report.Balances = newest(d.report.Balances)
	}
	return nil
}

// currencyOf is what an amount is in.
func (d *decoder) currencyOf(a *amount) string {
	for _, c := range []string{a.currency, d.statement.currency} {
		if c != "" {
			return c
		}
	}
	return d.currency
}

// newest leaves out the oldest balances beyond maxBalances. The newest of each type and currency
// goes last. A balance without a day is as new as can be.
func newest(balances []banks.Balance) []banks.Balance {
	if len(balances) <= maxBalances {
		return balances
	}
	type kind struct{ name, currency string }
	first := make(map[kind]int)
	for i := range balances {
		k := kind{balances[i].Type, balances[i].Currency}
		if j, known := first[k]; !known || age(balances[i]) <= age(balances[j]) {
			first[k] = i
		}
	}
	order := make([]int, len(balances))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := balances[i], balances[j]
		isFirst := [2]bool{first[kind{a.Type, a.Currency}] == i, first[kind{b.Type, b.Currency}] == j}
		switch {
		case isFirst[0] && !isFirst[1]:
			return -1
		case isFirst[1] && !isFirst[0]:
			return 1
		}
		return cmp.Or(cmp.Compare(age(a), age(b)), cmp.Compare(j, i)) // of equal days the last one is the newest
	})
	order = order[:maxBalances]
	slices.Sort(order)
	kept := make([]banks.Balance, len(order))
	for i, at := range order {
		kept[i] = balances[at]
	}
	return kept
}

// age grows with the days since a balance.
func age(b banks.Balance) int {
	if b.Date.IsZero() {
		return math.MinInt
	}
	return -int(b.Date)
}
