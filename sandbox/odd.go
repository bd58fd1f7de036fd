package sandbox

import (
	"slices"
	"strings"

	"kontoflow/plain"
)

// What is odd about some accounts: batches that are booked as one sum first, a history that never changes, and two
// accounts under one IBAN.

// batch are the transfers of a batch, which is booked on every working day of an account with sums.
var batch = []kind{
	{name: "Lotte Nowak", account: 310031, low: -190_000, high: -120_000, text: "ONLINE-UEBERWEISUNG", code: "PMNT-ICDT-ESCT", gvc: "116", purpose: "SALA", remittance: "Honorar %m/%y Vertrag %c"},
	{name: "Günther Körner", account: 320032, low: -90_000, high: -50_000, text: "ONLINE-UEBERWEISUNG", code: "PMNT-ICDT-ESCT", gvc: "116", remittance: "Rechnung %n vom %d"},
	{name: "Özlem Jäger", account: 330034, low: -45_000, high: -10_000, text: "ONLINE-UEBERWEISUNG", code: "PMNT-ICDT-ESCT", gvc: "116", remittance: "Auslagen %d"},
}

// batchSum is the batch as it is booked on its day.
var batchSum = kind{text: "SAMMELUEBERWEISUNG", code: "PMNT-ICDT-ESCT", gvc: "191", remittance: "Sammelauftrag vom %d, 3 Posten"}

// sumPlace is the sum's place in the day: its id is none of the day's others.
const sumPlace = 900

// batched appends the parts of a working day's batch.
func (a *account) batched(list []booking, day plain.Date) []booking {
	if !a.pace.sums {
		return list
	}
	for i := range batch {
		key := at(a.key, drawOthers, uint64(day), uint64(i))
		list = append(list, booking{kind: &batch[i], cents: batch[i].amount(key), key: key})
	}
	return list
}

// folded puts the sum in the place of the parts, which are the last of the day's bookings.
func (a *account) folded(day []booking) []booking {
	if parts := len(day) - len(batch); a.pace.sums && parts >= 0 && day[len(day)-1].kind == &batch[len(batch)-1] {
		sum := day[parts]
		sum.kind, sum.cents, sum.nth = &batchSum, 0, sumPlace
		for _, part := range day[parts:] {
			sum.cents += part.cents
		}
		return append(day[:parts], sum)
	}
	return day
}

// The days of a history that never changes.
var (
	staticFrom = plain.Day(2024, 11, 4)
	staticTo   = plain.Day(2025, 1, 31)
)

// secondSub is the sub-account number of the second account under one IBAN in one currency.
const secondSub = "01"

// shuffled is the list of accounts as the customer's bank orders it: by their handles, where it has no order of its own.
func (c *customer) shuffled(accounts []*account, k *consent) []*account {
	if c.persona.shuffles {
		slices.SortFunc(accounts, func(a, b *account) int { return strings.Compare(a.resourceID(k), b.resourceID(k)) })
	}
	return accounts
}
