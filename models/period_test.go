package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/models"
)

// How far back a reading asks, and how far back the account is known to have been asked for.
func TestReadingAsks(t *testing.T) {
	t.Parallel()
	today := civil.Day(2026, 3, 31)
	ago := func(days int) civil.Date { return today.AddDays(-days) }
	usual := ago(15) // the last complete day is yesterday
	for name, c := range map[string]struct {
		read    bool       // before, up to yesterday
		from    civil.Date // as far back as this
		period  models.Period
		asks    civil.Date
		becomes civil.Date
	}{
		"the first, all":                    {period: models.Period{Attended: true}},
		"the first, wanted":                 {period: models.Period{Attended: true, Wanted: 365}, asks: ago(365), becomes: ago(365)},
		"the first, bounded":                {period: models.Period{Attended: true, Most: 400}, asks: ago(400), becomes: ago(400)},
		"the first, wanted within bounds":   {period: models.Period{Attended: true, Wanted: 30, Most: 400}, asks: ago(30), becomes: ago(30)},
		"the first, wanted beyond bounds":   {period: models.Period{Attended: true, Wanted: 3650, Most: 400}, asks: ago(400), becomes: ago(400)},
		"the first, nobody there":           {period: models.Period{}, becomes: ago(89)},
		"the first, nobody there, wanted":   {period: models.Period{Wanted: 365}, asks: ago(365), becomes: ago(89)},
		"the first, nobody there, a little": {period: models.Period{Wanted: 10}, asks: ago(10), becomes: ago(10)},
		"later":                             {read: true, from: ago(30), period: models.Period{Attended: true}, asks: usual, becomes: ago(30)},
		"later, all":                        {read: true, period: models.Period{Attended: true, Wanted: 3650}, asks: usual},
		"later, less":                       {read: true, from: ago(30), period: models.Period{Attended: true, Wanted: 20}, asks: usual, becomes: ago(30)},
		"later, not so far back as usual":   {read: true, from: ago(5), period: models.Period{Attended: true}, asks: ago(5), becomes: ago(5)},
		"later, a few days":                 {read: true, from: ago(5), period: models.Period{Attended: true, Wanted: 10}, asks: usual, becomes: usual},
		"later, more":                       {read: true, from: ago(30), period: models.Period{Attended: true, Wanted: 365}, asks: ago(365), becomes: ago(365)},
		"later, more than the bound":        {read: true, from: ago(30), period: models.Period{Attended: true, Wanted: 365, Most: 90}, asks: ago(90), becomes: ago(90)},
		"later, the bound alone":            {read: true, from: ago(30), period: models.Period{Attended: true, Most: 90}, asks: usual, becomes: ago(30)},
		"later, more, nobody there":         {read: true, from: ago(30), period: models.Period{Wanted: 365}, asks: ago(365), becomes: ago(89)},
	} {
		r := models.Reading{Account: models.Account{ReadFrom: c.from}}
		if c.read {
			r.Account.ReadUntil = ago(1)
		}
		c.period.Today = today
		require.Equal(t, c.asks, r.Ask(c.period), name)
		require.Equal(t, c.becomes, r.ReadsFrom(), name)
	}
}
