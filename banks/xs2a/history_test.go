package xs2a_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// shortHistory is a bank that gives so many days, today among them, an entry on each, and refuses
// more.
type shortHistory struct {
	days     int
	refusal  func(oldest civil.Date) said
	onlyBook bool // it refuses pending entries as well, in the same words
}

func (s *shortHistory) answer(r *http.Request) said {
	query := r.URL.Query()
	from, err := civil.Parse(query.Get("dateFrom"))
	if err != nil {
		return said{status: 500}
	}
	oldest := readingToday.AddDays(1 - s.days)
	if from < oldest || s.onlyBook && query.Get("bookingStatus") != "booked" {
		return s.refusal(oldest)
	}
	var entries []string
	for day := from; day <= readingToday; day++ {
		entries = append(entries, fmt.Sprintf(`{"transactionId":"%s","bookingDate":"%s","transactionAmount":{"currency":"EUR","amount":"1"}}`, day, day))
	}
	pending := ""
	if query.Get("bookingStatus") == "both" {
		pending = `,"pending":[]`
	}
	return said{body: `{"transactions":{"booked":[` + strings.Join(entries, ",") + `]` + pending + `}}`}
}

// refuse is a refusal that names no date.
func refuse(status int, code, text string) func(civil.Date) said {
	return func(civil.Date) said {
		if code == "" && text == "" {
			return said{status: status, media: "text/plain", body: "refused"}
		}
		return said{status: status, body: fmt.Sprintf(`{"tppMessages":[{"category":"ERROR","code":%q,"text":%q}]}`, code, text)}
	}
}

// A bank that gives less than it is asked for refuses, each in its own words. It is asked for less,
// step by step, at most seven times, and as much as the ladder's rungs allow is read. The next
// synchronization begins with what worked.
func TestHistoryLadder(t *testing.T) {
	t.Parallel()
	refusals := map[string]func(civil.Date) said{
		"the code for it":              refuse(400, "PERIOD_INVALID", "the period is too long"),
		"a code of its own":            refuse(400, "EXECUTION_DATE_INVALID", ""),
		"a format error":               refuse(400, "FORMAT_ERROR", "dateFrom too far in the past"),
		"a format error without words": refuse(400, "FORMAT_ERROR", ""),
		"no code": func(civil.Date) said {
			return said{status: 400, body: `{"status":400,"message":"within the allowed period"}`}
		},
		"not even words": refuse(400, "", ""),
		"a time stamp":   refuse(400, "TIMESTAMP_INVALID", ""),
		"unprocessable":  refuse(422, "WRONG_TRANSACTIONS_PERIOD", ""),
		"forbidden":      refuse(403, "", ""),
		"not supported":  refuse(400, "PARAMETER_NOT_SUPPORTED", ""),
		"with status 200": func(civil.Date) said {
			return said{body: `{"tppMessages":[{"category":"ERROR","code":"PERIOD_INVALID"}]}`}
		},
		"not found":   refuse(404, "", "no such period"),
		"not allowed": refuse(405, "SERVICE_INVALID", ""),
		"a date": func(d civil.Date) said {
			return refuse(400, "FORMAT_ERROR", "dateFrom must not be before "+d.String())(d)
		},
		"a date in a field": func(d civil.Date) said {
			return said{status: 400, body: `{"error":"x","minimum":"` + d.String() + `"}`}
		},
	}
	for name, refusal := range refusals {
		for _, days := range []int{30, 45, 60, 89, 90, 91, 365, 400, 730, 1000} {
			t.Run(fmt.Sprint(name, ", ", days), func(t *testing.T) {
				t.Parallel()
				bank := &shortHistory{days: days, refusal: refusal}
				b := newReadingBank(t, func(_ int, r *http.Request) said { return bank.orList(r) })
				entries, page, err := b.read(banks.Window{})
				require.NoError(t, err)
				asked := len(b.requestsFor("transactions"))
				require.LessOrEqual(t, asked, 7)
				rung := rungOf(days)
				if strings.HasPrefix(name, "a date") {
					require.Equal(t, 2, asked)
					rung = days
				}
				require.GreaterOrEqual(t, len(entries), atLeast(name, rung))
				require.Equal(t, readingToday.AddDays(1-len(entries)), entries[0].BookingDate)
				require.Equal(t, entries[0].BookingDate, page.Covered.From)

				read := len(entries)
				entries, page, err = b.read(banks.Window{})
				require.NoError(t, err)
				require.Len(t, entries, read)
				require.Len(t, b.requestsFor("transactions"), 1, "what worked is remembered")
				require.True(t, page.PendingCovered, "only the period is refused")
			})
		}
	}
}

// orList answers a list of accounts, beside the transactions.
func (s *shortHistory) orList(r *http.Request) said {
	if !strings.HasSuffix(r.URL.Path, "/transactions") {
		return said{body: `{"accounts":[{"resourceId":"a","iban":"DE02120300000000202051","currency":"EUR"}]}`}
	}
	return s.answer(r)
}

// requestsFor are the paths with queries that the bank was asked and that end so.
func (b *readingBank) requestsFor(suffix string) (all []string) {
	for _, u := range b.requests() {
		if strings.HasSuffix(u.Path, suffix) {
			all = append(all, u.Query().Get("dateFrom")+" "+u.Query().Get("bookingStatus"))
		}
	}
	return all
}

func rungOf(days int) int {
	for _, rung := range []int{730, 365, 180, 90, 60, 30} {
		if rung <= days {
			return rung
		}
	}
	return 0
}

// atLeast is how many days have to be read. Where the bank says that it is the booking status, that
// is changed first, and one rung is left out so that the shortest one can still be asked for.
func atLeast(name string, rung int) int {
	if rung == 60 && (name == "not supported" || name == "not allowed") {
		return 30
	}
	return rung
}

// A bank that refuses pending entries in the words in which others refuse a period is asked for
// booked ones, for all that it gives; and it is remembered.
func TestARefusalOfEither(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		refusal func(civil.Date) said
		days    int
		window  banks.Window
		most    int // requests
		read    int // days
	}{
		"no words, all days":                      {refusal: refuse(400, "FORMAT_ERROR", ""), days: 20 * 366, most: 4, read: 20*366 + 1},
		"no words, a year":                        {refusal: refuse(400, "FORMAT_ERROR", ""), days: 365, most: 6, read: 365},
		"no words, 90 days":                       {refusal: refuse(400, "FORMAT_ERROR", ""), days: 90, most: 7, read: 90},
		"no words, 30 days":                       {refusal: refuse(400, "FORMAT_ERROR", ""), days: 30, most: 7, read: 30},
		"no words, a short window":                {refusal: refuse(400, "FORMAT_ERROR", ""), days: 90, window: banks.Window{From: readingToday.AddDays(-9)}, most: 2, read: 10},
		"the code for it":                         {refusal: refuse(400, "PARAMETER_NOT_SUPPORTED", ""), days: 20 * 366, most: 2, read: 20*366 + 1},
		"words":                                   {refusal: refuse(400, "FORMAT_ERROR", "bookingStatus both is not supported"), days: 20 * 366, most: 2, read: 20*366 + 1},
		"the code for it, and the period as well": {refusal: refuse(400, "PARAMETER_NOT_SUPPORTED", ""), days: 180, most: 6, read: 180},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bank := &shortHistory{days: row.days + 1, refusal: row.refusal, onlyBook: true}
			if row.days < 3660 {
				bank.days = row.days
			}
			b := newReadingBank(t, func(_ int, r *http.Request) said { return bank.orList(r) })
			entries, page, err := b.read(row.window)
			require.NoError(t, err)
			require.Len(t, entries, row.read)
			require.False(t, page.PendingCovered)
			require.NotZero(t, page.Covered)
			asked := b.requestsFor("transactions")
			require.LessOrEqual(t, len(asked), row.most, "%v", asked)

			_, _, err = b.read(row.window)
			require.NoError(t, err)
			again := len(b.requestsFor("transactions"))
			require.LessOrEqual(t, again, 2)
			_, _, err = b.read(row.window)
			require.NoError(t, err)
			require.Len(t, b.requestsFor("transactions"), 1)
		})
	}
}

// What is refused for another reason is not asked for again.
func TestOtherRefusalsAreNoReasonToAskForLess(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		status int
		code   string
		kind   banks.Kind
	}{
		{429, "ACCESS_EXCEEDED", banks.LimitExceeded}, {429, "", banks.LimitExceeded}, {401, "CONSENT_EXPIRED", banks.NeedsAuthorization},
		{403, "CONSENT_UNKNOWN", banks.Gone}, // for this account; the consent itself is valid {400, "CONSENT_UNKNOWN", banks.Gone}, {401, "TOKEN_INVALID", banks.Gone},
		{401, "CERTIFICATE_INVALID", banks.Rejected}, {401, "SIGNATURE_INVALID", banks.Rejected}, {400, "SIGNATURE_WRONG", banks.Rejected}, {401, "ROLE_INVALID", banks.Rejected},
		{401, "PSU_CREDENTIALS_INVALID", banks.WrongCredentials}, {403, "PSU_BLOCKED", banks.NeedsUser}, {403, "SERVICE_BLOCKED", banks.NeedsUser},
		{408, "", banks.Transient}, {500, "", banks.Transient}, {503, "PERIOD_INVALID", banks.Rejected},
	} {
		t.Run(fmt.Sprint(row.status, " ", row.code), func(t *testing.T) {
			t.Parallel()
			b := newReadingBank(t, func(int, *http.Request) said {
				return said{status: row.status, body: fmt.Sprintf(`{"tppMessages":[{"category":"ERROR","code":%q}]}`, row.code)}
			})
			_, _, err := b.read(banks.Window{})
			requireKind(t, err, row.kind)
			require.Len(t, b.requestsFor("transactions"), 1)
		})
	}
}

// Without the customer each thing may be read a few times a day, so there is one step, to what
// every bank shows.
func TestTheLadderWithoutTheCustomer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		days    int
		refusal func(civil.Date) said
		from    civil.Date
		read    int // days; 0: the read fails
	}{
		"a year":                    {days: 365, refusal: refuse(400, "PERIOD_INVALID", ""), from: readingToday.AddDays(-900), read: 90},
		"a year, and it says so":    {days: 365, refusal: func(d civil.Date) said { return refuse(400, "PERIOD_INVALID", d.String())(d) }, from: readingToday.AddDays(-900), read: 365},
		"90 days without the words": {days: 90, refusal: refuse(400, "", ""), from: readingToday.AddDays(-900), read: 90},
		"60 days":                   {days: 60, refusal: refuse(400, "PERIOD_INVALID", ""), from: readingToday.AddDays(-900)},
		"60 of 70 days":             {days: 60, refusal: refuse(400, "PERIOD_INVALID", ""), from: readingToday.AddDays(-69), read: 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bank := &shortHistory{days: row.days, refusal: row.refusal}
			b := newReadingBank(t, func(_ int, r *http.Request) said { return bank.orList(r) })
			b.conv.Interactive, b.conv.PSU = false, banks.PSU{}
			before := string(b.conv.Lasting)
			entries, _, err := b.read(banks.Window{From: row.from})
			require.LessOrEqual(t, len(b.requestsFor("transactions")), 2)
			require.Equal(t, before, string(b.conv.Lasting), "the customer's next read asks for more")
			if row.read == 0 {
				requireKind(t, err, banks.Rejected)
				return
			}
			require.NoError(t, err)
			require.Len(t, entries, row.read)
		})
	}
}

// What the operator allows bounds the ladder, and so does what the caller asks for.
func TestTheLadderIsBounded(t *testing.T) {
	t.Parallel()
	bank := &shortHistory{days: 365, refusal: refuse(400, "PERIOD_INVALID", "")}
	b := newReadingBank(t, func(_ int, r *http.Request) said { return bank.orList(r) })
	b.conv.Connection.HistoryDays = 500
	_, page, err := b.read(banks.Window{})
	require.NoError(t, err)
	require.Equal(t, []string{"2025-07-18 both", "2025-12-01 both"}, b.requestsFor("transactions"))
	require.Equal(t, civil.Day(2025, 12, 1), page.Covered.From)

	_, page, err = b.read(banks.Window{From: civil.Day(2026, 10, 1), To: civil.Day(2026, 10, 31)})
	require.NoError(t, err)
	require.Equal(t, []string{"2026-10-01 both"}, b.requestsFor("transactions"))
	require.Equal(t, banks.Window{From: civil.Day(2026, 10, 1), To: civil.Day(2026, 10, 31)}, page.Covered)

	b.conv.Connection.HistoryDays = 0
	_, _, err = b.read(banks.Window{From: civil.Day(2020, 1, 1), To: civil.Day(2021, 1, 1)})
	requireKind(t, err, banks.Rejected, "nothing that the bank gives lies in it")
	require.LessOrEqual(t, len(b.requestsFor("transactions")), 1)
}
