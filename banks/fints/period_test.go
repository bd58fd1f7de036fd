package fints_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// today of the script.
var today = civil.Day(2026, 3, 2)

// keeps is a bank that gives so many days, today among them, and refuses more. It sends one entry
// for each day that it was asked for, the oldest one first.
func keeps(days int, refusal func(*syntax.Segment) []syntax.Segment) func(*syntax.Segment) []syntax.Segment {
	return func(o *syntax.Segment) []syntax.Segment {
		from, err := civil.Parse(dashed(o.Get(2, 0)))
		if err != nil {
			from = today.AddDays(1 - days)
		}
		if from < today.AddDays(1-days) {
			return refusal(o)
		}
		var entries []string
		for day := from; day <= today; day++ {
			entries = append(entries, fmt.Sprintf(":61:%sD1,00NMSCNONREF//%s", strings.ReplaceAll(day.String()[2:], "-", ""), day))
		}
		return statement("", entries...)
	}
}

func dashed(day string) string {
	if len(day) != 8 {
		return day
	}
	return day[:4] + "-" + day[4:6] + "-" + day[6:]
}

// askedFrom keeps the first days that statements were asked for.
func (s *script) askedFrom(into *[]string, answer func(*syntax.Segment) []syntax.Segment) func(*syntax.Segment) []syntax.Segment {
	return func(o *syntax.Segment) []syntax.Segment {
		*into = append(*into, dashed(o.Get(2, 0)))
		return answer(o)
	}
}

// A bank that refuses a period is asked again for a shorter one: at most seven orders, and the
// oldest entry is within one step of what the bank gives.
func TestRefusedPeriod(t *testing.T) {
	t.Parallel()
	rungs := []int{30, 60, 90, 180, 365, 730}
	for refusal, codes := range map[string][]string{
		"9210 Wert":     {"9210", "Wert widerspricht Bankvorgaben."},
		"9210 Zeitraum": {"9210", "Zeitraum hier nicht erlaubt"},
		"9010":          {"9010", "Der Abfragezeitraum ist zu lang"},
		"9215":          {"9215", "Das Von-Datum liegt zu weit in der Vergangenheit"},
		"9391":          {"9391", "Only the last days can be shown, not older transactions"},
		"no reason":     {"9210", "Auftrag abgelehnt"},
		"no text":       {"9210", ""},
	} {
		for _, depth := range []int{800, 365, 120, 90, 89, 60, 45, 30} {
			t.Run(fmt.Sprintf("%s, %d days", refusal, depth), func(t *testing.T) {
				t.Parallel()
				s := newScript(t)
				s.more = []syntax.Segment{parameters("HIKAZS", 6, "4000", "N", "N")}
				var asked []string
				s.orders = orders{"HKSPA": ibans, "HKKAZ": s.askedFrom(&asked, keeps(depth, refuse(codes)))}
				c := s.customer()
				r, err := c.first(banks.Window{From: today.AddDays(-3000)})
				require.NoError(t, err)
				require.LessOrEqual(t, len(asked), 7, "%v", asked)
				oldest := r.entries[0].BookingDate
				within := 0 // the longest of the steps that the bank gives, and the one below
				for i, days := range rungs {
					if days <= depth {
						within = rungs[max(0, i-1)]
					}
				}
				require.LessOrEqual(t, oldest, today.AddDays(1-within), "%v", asked)
				require.Equal(t, oldest, r.last.Covered.From, "what was not asked for is not covered")
				require.Equal(t, today, r.last.Covered.To)

				asked = nil
				c.again()
				again, err := c.first(banks.Window{From: today.AddDays(-3000)})
				require.NoError(t, err)
				require.Len(t, asked, 1, "the bank is asked for what it gave")
				require.Equal(t, r.entries, again.entries)
				asked = nil
				c.again()
				_, err = c.first(banks.Window{From: today.AddDays(-9)})
				require.NoError(t, err)
				require.Equal(t, []string{today.AddDays(-9).String()}, asked)
			})
		}
	}
}

// The steps themselves, and what else there is to them.
func TestStepsOfPeriods(t *testing.T) {
	t.Parallel()
	tooLong := refuse([]string{"9210", "Wert widerspricht Bankvorgaben."})
	ago := func(days ...int) (all []string) {
		for _, n := range days {
			all = append(all, today.AddDays(-n).String())
		}
		return all
	}
	for name, test := range map[string]struct {
		kept    string // days, in the bank parameters
		answer  func(*syntax.Segment) []syntax.Segment
		window  banks.Window
		alone   bool
		want    []string
		covered civil.Date // zero: it fails
	}{
		"the bank counts today":               {kept: "90", answer: keeps(90, tooLong), want: ago(90, 89), covered: today.AddDays(-89)},
		"a year is named, a quarter is given": {kept: "370", answer: keeps(90, tooLong), want: ago(370, 364, 179, 89), covered: today.AddDays(-89)},
		"a day that the bank names": {kept: "370", answer: keeps(100, refuse([]string{"9210", "Umsätze sind frühestens ab 23.11.2025 verfügbar"})),
			want: append(ago(370), "2025-11-23"), covered: civil.Day(2025, 11, 23)},
		"no days at all": {kept: "370", answer: func(o *syntax.Segment) []syntax.Segment {
			if o.Get(2, 0)+o.Get(3, 0) != "" {
				return refuse([]string{"9210", "Zeitraum hier nicht erlaubt"})(o)
			}
			return statement("", ":61:260201D1,00NMSCNONREF//A1")
		}, want: append(ago(370, 364, 179, 89, 59, 29), ""), covered: civil.Day(2026, 2, 1)},
		"nothing at all": {kept: "370", answer: tooLong, want: append(ago(370, 364, 179, 89, 59, 29), "")},
		"a window that is short already": {kept: "370", answer: keeps(15, tooLong), window: banks.Window{From: today.AddDays(-20)},
			want: append(ago(20), ""), covered: today.AddDays(-14)},
		"without the customer":          {kept: "370", answer: keeps(180, tooLong), alone: true, want: ago(370, 89), covered: today.AddDays(-89)},
		"without the customer, in vain": {kept: "370", answer: keeps(60, tooLong), alone: true, want: ago(370, 89)},
		"older ones are not available": {kept: "370", answer: keeps(90, refuse([]string{"9210", "Umsätze, die älter als 90 Tage sind, sind nicht verfügbar"})),
			want: ago(370, 364, 179, 89), covered: today.AddDays(-89)},
		"none are available, for good": {kept: "370", answer: refuse([]string{"9210", "Der Zeitraum ist derzeit nicht verfügbar"}), want: append(ago(370, 364, 179, 89, 59, 29), "")},
		"what passes is no period":     {kept: "370", answer: refuse([]string{"9210", "Nicht verfügbar, bitte versuchen Sie es in einigen Tagen erneut"}), want: ago(370)},
		"a failure is no period":       {kept: "370", answer: refuse([]string{"9010", "Interner Fehler 4711"}), want: ago(370)},
		"neither is a block":           {kept: "370", answer: refuse([]string{"9210", "Das Konto ist gesperrt"}), want: ago(370)},
		"nor a missing right":          {kept: "370", answer: refuse([]string{"9210", "Sie sind für diesen Auftrag nicht berechtigt"}), want: ago(370)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.more = []syntax.Segment{parameters("HIKAZS", 6, test.kept, "N", "N")}
			var asked []string
			s.orders = orders{"HKSPA": ibans, "HKKAZ": s.askedFrom(&asked, test.answer)}
			c := s.customer()
			require.NoError(t, c.connect())
			accounts, err := c.provider.Accounts(t.Context(), &c.conv)
			require.NoError(t, err)
			c.conv.Interactive = !test.alone
			r, err := c.read(accounts[0], test.window)
			require.Equal(t, test.want, asked)
			if test.covered.IsZero() {
				require.Error(t, err)
				if len(asked) > 1 {
					requireError(t, err, banks.Rejected, banks.CodeBankCannot) // not tried again
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.covered, r.last.Covered.From)
		})
	}
}

// A bank that refuses everything for no reason is not asked for every period in every
// synchronization.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	var asked []string
	s.orders = orders{"HKSPA": ibans, "HKKAZ": s.askedFrom(&asked, refuse([]string{"9210", "Auftrag abgelehnt"}))}
	c := s.customer()
	for _, want := range []int{5, 1, 1} { // 90 days are kept: as asked, 90, 60, 30, none
		_, err := c.first(banks.Window{})
		requireError(t, err, banks.Rejected, banks.CodeBankCannot)
		require.Len(t, asked, want)
		asked = nil
		c.again()
	}
	s.orders["HKKAZ"] = s.askedFrom(&asked, keeps(90, refuse([]string{"9210", "Auftrag abgelehnt"})))
	_, err := c.first(banks.Window{From: today.AddDays(-30)})
	require.NoError(t, err)
}

// A TAN that is wanted for a shorter period brings the entries of that period, and not of the one
// that was refused.
func TestTANForAShorterPeriod(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.needTAN = []string{"HKKAZ"}
	s.more = []syntax.Segment{parameters("HIKAZS", 6, "370", "N", "N")}
	var asked []string
	s.orders = orders{"HKSPA": ibans, "HKKAZ": s.askedFrom(&asked, keeps(180, refuse([]string{"9210", "Wert widerspricht Bankvorgaben."})))}
	s.challenge = func(order string) *challenge {
		if order == "HKKAZ" && len(asked) >= 2 && s.tans.Load() == 0 {
			return &challenge{text: "TAN"}
		}
		return nil
	}
	c := s.customer()
	require.NoError(t, c.connect())
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	_, err = c.read(accounts[0], banks.Window{})
	requireError(t, err, banks.NeedsAuthorization, banks.CodeNotAuthorized)
	require.NoError(t, c.connect())
	r, err := c.read(accounts[0], banks.Window{})
	require.NoError(t, err)
	require.Equal(t, today.AddDays(-179), r.last.Covered.From)
	require.Equal(t, today.AddDays(-179), r.entries[0].BookingDate)
}

// A refusal that ends the dialog leads to one more login with the PIN, and not to one for each
// step.
func TestPeriodRefusedWithTheDialog(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.more = []syntax.Segment{parameters("HIKAZS", 6, "370", "N", "N")}
	var asked []string
	answer := s.askedFrom(&asked, keeps(90, func(o *syntax.Segment) []syntax.Segment {
		clear(s.dialogs)
		return []syntax.Segment{feedback("HIRMG", 0, []string{"9800", "Dialog abgebrochen"}), feedback("HIRMS", o.Number, []string{"9210", "Wert widerspricht Bankvorgaben."})}
	}))
	s.orders = orders{"HKSPA": ibans, "HKKAZ": answer}
	c := s.customer()
	require.NoError(t, c.connect())
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	logins := s.logins.Load()
	_, err = c.read(accounts[0], banks.Window{})
	require.NoError(t, err)
	require.Equal(t, []string{today.AddDays(-370).String(), today.AddDays(-89).String()}, asked)
	require.Equal(t, logins+1, s.logins.Load())
}

// What was learnt about periods ends with the bank parameters under which it was: another night,
// another bank.
func TestPeriodIsLearntAnew(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.more = []syntax.Segment{parameters("HIKAZS", 6, "370", "N", "N")}
	var asked []string
	s.orders = orders{"HKSPA": ibans, "HKKAZ": s.askedFrom(&asked, keeps(90, refuse([]string{"9210", "Wert widerspricht Bankvorgaben."})))}
	c := s.customer()
	_, err := c.first(banks.Window{})
	require.NoError(t, err)
	s.bpd = 8
	s.orders["HKKAZ"] = s.askedFrom(&asked, keeps(400, nil))
	asked = nil
	c.again()
	r, err := c.first(banks.Window{})
	require.NoError(t, err)
	require.Equal(t, []string{today.AddDays(-370).String()}, asked)
	require.Equal(t, today.AddDays(-370), r.last.Covered.From)
}
