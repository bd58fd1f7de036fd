package xs2a_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// readingBank grants a consent at once, and answers reads as the test says.
type readingBank struct {
	t       *testing.T
	conv    *banks.Conversation
	adapter banks.Adapter
	account banks.Account

	mu    sync.Mutex
	asked []*url.URL
}

// said is an answer to a read.
type said struct {
	status int // 0: 200
	media  string
	body   string
}

var readingToday = civil.Day(2026, 11, 30)

// newReadingBank opens a bank whose answer to the nth read of a path
// ("/v1/accounts/a/transactions") is read's.
func newReadingBank(t *testing.T, read func(n int, r *http.Request) said) *readingBank {
	t.Helper()
	b := &readingBank{t: t, account: banks.Account{ResourceID: "a", IBAN: "DE02120300000000202051", Currency: "EUR"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := said{body: strings.Replace(valid, `"recurring`, `"x`, 1)}
		if !strings.Contains(r.URL.Path, "/consents") {
			b.mu.Lock()
			b.asked = append(b.asked, r.URL)
			n := 0
			for _, u := range b.asked {
				if u.Path == r.URL.Path {
					n++
				}
			}
			b.mu.Unlock()
			answer = read(n, r)
		} else if r.Method == http.MethodPost {
			answer.status = http.StatusCreated
		}
		if answer.media == "" {
			answer.media = "application/json"
		}
		w.Header().Set("Content-Type", answer.media)
		if answer.status != 0 {
			w.WriteHeader(answer.status)
		}
		_, _ = w.Write([]byte(answer.body))
	}))
	t.Cleanup(server.Close)
	b.conv = conversation(banks.Connection{Protocol: "XS2A", URL: server.URL}, "demo")
	b.adapter = xs2a.New(xs2a.Options{Now: func() time.Time { return readingToday.Time().Add(12 * time.Hour) }})
	_, err := authorize(t, b.adapter, b.conv)
	require.NoError(t, err)
	return b
}

// requests are what the bank was asked since the last call.
func (b *readingBank) requests() []*url.URL {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.asked
	b.asked = nil
	return all
}

// read reads all pages. last is the last one.
func (b *readingBank) read(window banks.Window) (entries []banks.Entry, last banks.Page, err error) {
	b.t.Helper()
	for cursor := ""; ; {
		page, err := b.adapter.Transactions(b.t.Context(), b.conv, b.account, window, cursor)
		entries, last = append(entries, page.Entries...), page
		if cursor = page.Next; err != nil || cursor == "" {
			return entries, last, err
		}
	}
}

// booked is a list of transactions by their ids, as JSON.
func booked(ids ...string) string {
	for i, id := range ids {
		ids[i] = fmt.Sprintf(`{"transactionId":%q,"bookingDate":"2026-11-20","transactionAmount":{"currency":"EUR","amount":"-1.00"}}`, id)
	}
	return `"booked":[` + strings.Join(ids, ",") + `]`
}

func idsOf(entries []banks.Entry) string {
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.TransactionID)
	}
	return strings.Join(ids, " ")
}

const (
	mt940File = "\r\n:20:STARTUMS\r\n:25:12030000/202051\r\n:28C:0\r\n:60F:C261119EUR10,00\r\n:61:2611201120D1,00NMSCNONREF\r\n:86:105?00LASTSCHRIFT?20SVWZ+Strom\r\n:62F:C261120EUR9,00\r\n-\r\n"
	mt942File = ":20:STARTDISPE\r\n:25:12030000/202051\r\n:28C:0\r\n:34F:EURD0,\r\n:13:2611301200\r\n:61:2611301130D2,00NMSCNONREF\r\n:86:106?20SVWZ+Kiosk\r\n:90D:1EUR2,00\r\n:90C:0EUR0,00\r\n-\r\n"
	noEntries = ":20:STARTUMS\r\n:25:12030000/202051\r\n:28C:0\r\n:60F:C261119EUR10,00\r\n:62F:C261120EUR10,00\r\n-\r\n"
	camtFile  = `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.052.001.08"><BkToCstmrAcctRpt><Rpt><Ntry><Amt Ccy="EUR">1.00</Amt><CdtDbtInd>DBIT</CdtDbtInd>` +
		`<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-20</Dt></BookgDt></Ntry></Rpt></BkToCstmrAcctRpt></Document>`
	camtEmpty = `<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.052.001.02"></Document>`
)

// Only an answer that says "none" covers a window: a list, be it empty, status 204, an empty
// document. Every other answer covers nothing, and whatever is stored stays.
func TestOnlyNoneMeansNone(t *testing.T) {
	t.Parallel()
	const nothing, booked, both = "nothing", "booked", "both"
	for name, row := range map[string]struct {
		said    said
		covers  string
		entries int
		kind    banks.Kind // the answer is an error
	}{
		"an empty list":                      {said: said{body: `{"transactions":{"booked":[],"pending":[]}}`}, covers: both},
		"an empty list of booked ones":       {said: said{body: `{"transactions":{"booked":[]}}`}, covers: booked},
		"null for the pending ones":          {said: said{body: `{"transactions":{"booked":[],"pending":null}}`}, covers: booked},
		"status 204":                         {said: said{status: 204}, covers: both},
		"an empty report":                    {said: said{body: camtEmpty, media: "application/xml"}, covers: both},
		"an empty statement in MT940":        {said: said{body: noEntries, media: "text/plain"}, covers: booked},
		"empty statements in MT940 and 942":  {said: said{body: noEntries + strings.Replace(mt942File, ":61:2611301130D2,00NMSCNONREF\r\n:86:106?20SVWZ+Kiosk\r\n", "", 1), media: "text/plain"}, covers: both},
		"an empty object":                    {said: said{body: `{}`}, covers: nothing},
		"null":                               {said: said{body: `{"transactions":null}`}, covers: nothing},
		"null for the list":                  {said: said{body: `{"transactions":{"booked":null,"pending":[]}}`}, covers: nothing},
		"only pending ones":                  {said: said{body: `{"transactions":{"pending":[{"transactionAmount":{"amount":"1","currency":"EUR"}}]}}`}, covers: nothing, entries: 1},
		"only links":                         {said: said{body: `{"account":{"iban":"DE02120300000000202051"},"transactions":{"_links":{"account":{"href":"/v1/accounts/a"}}}}`}, covers: nothing},
		"an unknown shape":                   {said: said{body: `{"accountReport":{"entries":[]}}`}, covers: nothing},
		"an object where the list belongs":   {said: said{body: `{"transactions":{"booked":{}}}`}, covers: nothing},
		"a list where an object belongs":     {said: said{body: `{"transactions":[]}`}, covers: nothing},
		"a text where the list belongs":      {said: said{body: `{"transactions":{"booked":"none"}}`}, covers: nothing},
		"a message without a code":           {said: said{body: `{"tppMessages":[{"category":"ERROR","text":"Bitte spaeter"}]}`}, covers: nothing},
		"a message with an unheard-of code":  {said: said{body: `{"tppMessages":[{"category":"ERROR","code":"UNHEARD_OF"}]}`}, covers: nothing},
		"only an MT942":                      {said: said{body: mt942File, media: "text/plain"}, covers: nothing, entries: 1},
		"a passing error with status 200":    {said: said{body: `{"tppMessages":[{"category":"ERROR","code":"SERVICE_UNAVAILABLE"}]}`}, kind: banks.Transient},
		"an error of the server":             {said: said{body: `{"tppMessages":[{"category":"ERROR","code":"INTERNAL_SERVER_ERROR"}]}`}, kind: banks.Transient},
		"a limit":                            {said: said{body: `[{"category":"ERROR","code":"ACCESS_EXCEEDED"}]`}, kind: banks.LimitExceeded},
		"a problem (RFC 7807)":               {said: said{body: `{"type":"x","title":"over","code":"RESOURCE_BLOCKED"}`}, kind: banks.Gone},
		"an expired consent with status 200": {said: said{body: `{"tppMessages":[{"category":"ERROR","code":"CONSENT_EXPIRED"}]}`}, kind: banks.NeedsAuthorization},
		"a page for people":                  {said: said{body: `<html><body>Wartung</body></html>`, media: "text/html"}, kind: banks.Rejected},
		"null at the top":                    {said: said{body: `null`}, kind: banks.Rejected},
		"nothing at all":                     {said: said{}, kind: banks.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newReadingBank(t, func(int, *http.Request) said { return row.said })
			entries, page, err := b.read(banks.Window{From: readingToday.AddDays(-20)})
			if row.kind != "" {
				requireKind(t, err, row.kind)
				return
			}
			require.NoError(t, err)
			require.Len(t, entries, row.entries)
			require.Equal(t, row.covers == both, page.PendingCovered)
			if row.covers == nothing {
				require.Zero(t, page.Covered)
				require.Equal(t, banks.NoList, page.Withheld)
				return
			}
			require.Equal(t, banks.Window{From: readingToday.AddDays(-20), To: readingToday}, page.Covered)
			require.Empty(t, page.Withheld)
		})
	}
}

// A page in the middle that is no list keeps the whole read from covering anything, wherever it
// stands.
func TestEveryPageHasToBeAList(t *testing.T) {
	t.Parallel()
	page := func(n int, lists string) string {
		link := ""
		if n < 3 {
			link = fmt.Sprintf(`"next":{"href":"/v1/accounts/a/transactions?page=%d"}`, n+1)
		}
		if lists != "" {
			lists += ","
		}
		return `{"transactions":{` + lists + `"_links":{` + link + `}}}`
	}
	for _, gap := range []int{0, 1, 2, 3} {
		for _, pendingOn := range []int{0, 1, 3} {
			t.Run(fmt.Sprint("gap on page ", gap, ", pending on page ", pendingOn), func(t *testing.T) {
				t.Parallel()
				b := newReadingBank(t, func(_ int, r *http.Request) said {
					n := 1
					_, _ = fmt.Sscan(r.URL.Query().Get("page"), &n)
					lists := booked(fmt.Sprint(n))
					if n == gap {
						lists = ""
					}
					if n == pendingOn {
						lists = strings.TrimPrefix(lists+`,"pending":[]`, ",")
					}
					return said{body: page(n, lists)}
				})
				entries, last, err := b.read(banks.Window{From: readingToday.AddDays(-20)})
				require.NoError(t, err)
				if gap == 0 {
					require.Equal(t, "1 2 3", idsOf(entries))
					require.NotZero(t, last.Covered)
					require.Equal(t, pendingOn > 0, last.PendingCovered)
					require.Empty(t, last.Withheld)
					return
				}
				require.Len(t, entries, 2)
				require.Zero(t, last.Covered)
				require.False(t, last.PendingCovered)
				require.Equal(t, banks.NoList, last.Withheld)
			})
		}
	}
}

// The content tells what an answer is, whatever the media type says.
func TestFormatsAreToldByContent(t *testing.T) {
	t.Parallel()
	list := `{"transactions":{` + booked("1") + `,"pending":[]}}`
	for name, body := range map[string]string{
		"JSON": list, "JSON behind a byte order mark": "\uFEFF" + list, "JSON behind blank lines": "\r\n \r\n" + list,
		"camt": camtFile, "camt behind a byte order mark": "\uFEFF" + camtFile, "camt behind blank lines": "\r\n\r\n" + camtFile,
		"camt with a declaration": `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + camtFile,
		"MT940":                   strings.TrimSpace(mt940File), "MT940 behind a byte order mark": "\uFEFF" + strings.TrimSpace(mt940File), "MT940 behind blank lines": "\r\n\r\n" + mt940File,
		"MT940 behind a hyphen": "-\r\n" + strings.TrimSpace(mt940File), "MT940 with line feeds": strings.ReplaceAll(mt940File, "\r\n", "\n"),
		"MT940 in an envelope": "{1:F01DEMODE01XXXX0000000000}{2:I940DEMODE01XXXXN}{4:" + mt940File + "}",
	} {
		for _, media := range []string{"application/json", "application/xml", "text/xml", "text/plain;charset=UTF-8", "application/octet-stream", "text/html", "nonsense"} {
			t.Run(name+" as "+media, func(t *testing.T) {
				t.Parallel()
				b := newReadingBank(t, func(int, *http.Request) said { return said{media: media, body: body} })
				entries, page, err := b.read(banks.Window{From: readingToday.AddDays(-20)})
				require.NoError(t, err)
				require.Len(t, entries, 1)
				require.Equal(t, "-1", entries[0].Amount.String())
				require.Equal(t, civil.Day(2026, 11, 20), entries[0].BookingDate)
				require.NotZero(t, page.Covered)
			})
		}
	}
}

// A line of a text that looks like the beginning of a statement ends no MT942 message.
func TestInterimReportsAreNotCutInTexts(t *testing.T) {
	t.Parallel()
	body := strings.Replace(mt942File, "SVWZ+Kiosk\r\n", "SVWZ+Kiosk 18\r\n:20:15 Uhr\r\n:61:2611301130D3,00NMSCNONREF\r\n", 1)
	b := newReadingBank(t, func(int, *http.Request) said { return said{media: "text/plain", body: mt940File + body} })
	entries, _, err := b.read(banks.Window{From: readingToday.AddDays(-20)})
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.False(t, entries[0].Pending)
	require.True(t, entries[1].Pending)
	require.True(t, entries[2].Pending, "behind the line")
	require.Equal(t, []string{"Kiosk 18:20:15 Uhr"}, entries[1].Remittance)
}

// MT942 messages hold what is pending, wherever they stand in the file.
func TestInterimReportsArePending(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"behind": mt940File + mt942File, "before": mt942File + mt940File, "between": noEntries + mt942File + mt940File,
		"with line feeds":              strings.ReplaceAll(mt940File+mt942File, "\r\n", "\n"),
		"a hyphen before the next one": strings.ReplaceAll(mt940File+mt942File, "\r\n-\r\n", "\r\n-"),
		"blanks before the fields":     strings.ReplaceAll(mt940File+mt942File, "\r\n:", "\r\n :"),
		"texts that look like fields":  strings.ReplaceAll(mt940File+mt942File, "SVWZ+", "SVWZ+T11\r\n:34F:00 T12\r\n:20:15 Uhr "),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newReadingBank(t, func(int, *http.Request) said { return said{media: "text/plain", body: body} })
			entries, page, err := b.read(banks.Window{From: readingToday.AddDays(-20)})
			require.NoError(t, err)
			require.Len(t, entries, 2)
			require.Equal(t, "-1 false, -2 true", fmt.Sprintf("%v %v, %v %v", entries[0].Amount, entries[0].Pending, entries[1].Amount, entries[1].Pending))
			require.True(t, page.PendingCovered)
		})
	}
}

// A file for download is read where it is the only source. Beside entries it is not asked for, and
// beside an empty list it may fail in any way. It never says that the account is gone.
func TestDownloads(t *testing.T) {
	t.Parallel()
	const link = `"_links":{"download":{"href":"/v1/accounts/a/transactions/download/x"}}`
	file := func(b said) func(*http.Request) said { return func(*http.Request) said { return b } }
	missing := said{status: 404, body: `{"tppMessages":[{"category":"ERROR","code":"RESOURCE_UNKNOWN"}]}`}
	octets := said{media: "application/octet-stream", body: "PK\x03\x04\x00\x01"}
	whole := said{media: "application/octet-stream", body: camtFile}
	for name, row := range map[string]struct {
		page    string
		file    func(*http.Request) said
		entries int
		asked   int // for the file
		kind    banks.Kind
		covered bool
	}{
		"beside entries":                     {page: `{"transactions":{` + booked("1") + `,"pending":[]},` + link + `}`, file: file(missing), entries: 1, covered: true},
		"in the lists, beside entries":       {page: `{"transactions":{` + booked("1") + `,"pending":[],` + link + `}}`, file: file(octets), entries: 1, covered: true},
		"beside an empty list, gone":         {page: `{"transactions":{"booked":[],"pending":[]},` + link + `}`, file: file(missing), asked: 1, covered: true},
		"beside an empty list, octets":       {page: `{"transactions":{"booked":[],"pending":[]},` + link + `}`, file: file(octets), asked: 1, covered: true},
		"beside an empty list, refused":      {page: `{"transactions":{"booked":[],"pending":[]},` + link + `}`, file: file(said{status: 401}), asked: 1, covered: true},
		"beside an empty list, with entries": {page: `{"transactions":{"booked":[],"pending":[]},` + link + `}`, file: file(whole), asked: 1, entries: 1, covered: true},
		"beside an empty list, elsewhere":    {page: `{"transactions":{"booked":[],"pending":[]},"_links":{"download":"https://elsewhere.invalid/x"}}`, file: file(whole), covered: true},
		"alone":                              {page: `{` + link + `}`, file: file(whole), asked: 1, entries: 1, covered: true},
		"alone, in MT940":                    {page: `{"transactions":{` + link + `}}`, file: file(said{media: "text/plain", body: mt940File}), asked: 1, entries: 1, covered: true},
		"alone, gone":                        {page: `{` + link + `}`, file: file(missing), asked: 1, kind: banks.Rejected},
		"alone, octets":                      {page: `{` + link + `}`, file: file(octets), asked: 1, kind: banks.Rejected},
		"alone, and no list":                 {page: `{` + link + `}`, file: file(said{body: `{}`}), asked: 1},
		"alone, and elsewhere":               {page: `{"_links":{"download":"https://elsewhere.invalid/x"}}`, file: file(whole), kind: banks.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newReadingBank(t, func(_ int, r *http.Request) said {
				if strings.Contains(r.URL.Path, "/download/") {
					return row.file(r)
				}
				return said{body: row.page}
			})
			entries, page, err := b.read(banks.Window{From: readingToday.AddDays(-20)})
			asked := slices.DeleteFunc(b.requests(), func(u *url.URL) bool { return !strings.Contains(u.Path, "/download/") })
			require.Len(t, asked, row.asked)
			if row.kind != "" {
				requireKind(t, err, row.kind)
				require.Equal(t, banks.CodeBankCannot, banks.AsError(err).Code)
				return
			}
			require.NoError(t, err)
			require.Len(t, entries, row.entries)
			require.Equal(t, row.covered, page.Covered != banks.Window{})
			require.Equal(t, !row.covered, page.Withheld == banks.NoList)
			require.Equal(t, "valid", b.lastingOf("consent_status"), "a refused file does not end the consent")
		})
	}
}

// Where the pages lead is the bank's business, as long as it is to the bank, and comes to an end.
func TestNextPages(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		next    string // of the first page; of the second: second
		second  string
		entries string
		covered bool
		kind    banks.Kind
	}{
		"null":                      {next: `null`, entries: "1", covered: true},
		"an empty link":             {next: `{"href":""}`, entries: "1", covered: true},
		"a blank link":              {next: `{"href":"  "}`, entries: "1", covered: true},
		"a link of null":            {next: `{"href":null}`, entries: "1", covered: true},
		"the word null":             {next: `{"href":"null"}`, entries: "1", covered: true},
		"null for the server":       {next: `{"href":"null/v1/accounts/a/transactions?page=2"}`, entries: "1 2", covered: true},
		"a path":                    {next: `{"href":"/v1/accounts/a/transactions?page=2"}`, entries: "1 2", covered: true},
		"a text":                    {next: `"/v1/accounts/a/transactions?page=2"`, entries: "1 2", covered: true},
		"a list of one":             {next: `[{"href":"/v1/accounts/a/transactions?page=2"}]`, entries: "1 2", covered: true},
		"a query":                   {next: `{"href":"?page=2"}`, entries: "1 2", covered: true},
		"relative to the page":      {next: `{"href":"transactions?page=2"}`, entries: "1 2", covered: true},
		"relative to the base":      {next: `{"href":"v1/accounts/a/transactions?page=2"}`, entries: "1 2", covered: true},
		"itself":                    {next: `{"href":"SELF"}`, entries: "1"},
		"in a ring":                 {next: `{"href":"?page=2"}`, second: `{"href":"?page=2"}`, entries: "1 2"},
		"back to the first":         {next: `{"href":"?page=2"}`, second: `{"href":"FIRST"}`, entries: "1 2"},
		"to somebody else":          {next: `{"href":"https://elsewhere.invalid/x"}`, kind: banks.Rejected},
		"to a page that is missing": {next: `{"href":"/v1/accounts/a/transactions?page=9"}`, kind: banks.Transient},
		"to a page that is gone":    {next: `{"href":"/v1/accounts/a/transactions?page=10"}`, kind: banks.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := ""
			b := newReadingBank(t, func(_ int, r *http.Request) said {
				next := row.next
				switch page := r.URL.Query().Get("page"); page {
				case "":
					first = r.URL.RequestURI()
					next = strings.ReplaceAll(next, "SELF", first)
					return said{body: `{"transactions":{` + booked("1") + `,"pending":[],"_links":{"next":` + next + `}}}`}
				case "2":
					next = "null"
					if row.second != "" {
						next = strings.ReplaceAll(row.second, "FIRST", first)
					}
					return said{body: `{"transactions":{` + booked("2") + `},"_links":{"next":` + next + `}}`}
				case "9":
					return said{status: 404, body: `{"tppMessages":[{"category":"ERROR","code":"RESOURCE_UNKNOWN"}]}`}
				}
				return said{status: 410, media: "text/html", body: "gone"}
			})
			entries, page, err := b.read(banks.Window{From: readingToday.AddDays(-20)})
			if row.kind != "" {
				requireKind(t, err, row.kind)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.entries, idsOf(entries))
			require.Len(t, b.requests(), len(strings.Fields(row.entries)))
			require.Equal(t, row.covered, page.Covered != banks.Window{})
			require.Equal(t, !row.covered, page.Withheld == banks.Partial)
		})
	}
}

// Links of a bank whose address has a path.
func TestRelativePagesBelowABase(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"?page=2", "transactions?page=2", "accounts/a/transactions?page=2", "/v1/accounts/a/transactions?page=2", "v1/accounts/a/transactions?page=2", "/psd2/v1/accounts/a/transactions?page=2", "../a/transactions?page=2"} {
		t.Run(next, func(t *testing.T) {
			t.Parallel()
			b := newReadingBank(t, func(_ int, r *http.Request) said {
				if r.URL.Query().Get("page") == "2" {
					return said{body: `{"transactions":{` + booked("2") + `}}`}
				}
				return said{body: `{"transactions":{` + booked("1") + `,"_links":{"next":"` + next + `"}}}`}
			})
			b.conv.Connection.URL += "/psd2"
			entries, _, err := b.read(banks.Window{From: readingToday.AddDays(-20)})
			require.NoError(t, err)
			require.Equal(t, "1 2", idsOf(entries))
			for _, u := range b.requests() {
				require.Equal(t, "/psd2/v1/accounts/a/transactions", u.Path)
			}
		})
	}
}

// An entry that is booked has a date in any case.
func TestBookedEntriesHaveADate(t *testing.T) {
	t.Parallel()
	b := newReadingBank(t, func(int, *http.Request) said {
		return said{body: `{"transactions":{"booked":[{"transactionAmount":{"amount":"1"}},{"bookingDate":"soon","transactionAmount":{"amount":"2"}},
			{"valueDate":"2026-11-29","transactionAmount":{"amount":"3"}}],"pending":[{"transactionAmount":{"amount":"4"}}]}}`}
	})
	entries, page, err := b.read(banks.Window{})
	require.NoError(t, err)
	require.Equal(t, 1, page.Unreadable.Count)
	require.Equal(t, "booked entry 2: bookingDate", page.Unreadable.First)
	require.Equal(t, []civil.Date{readingToday, readingToday, civil.Day(2026, 11, 29), 0},
		[]civil.Date{entries[0].BookingDate, entries[1].BookingDate, entries[2].BookingDate, entries[3].BookingDate})
}

// An amount that cannot be read fails the account, with the place and without the content.
func TestAnUnreadableAmountNamesItsPlace(t *testing.T) {
	t.Parallel()
	b := newReadingBank(t, func(int, *http.Request) said {
		return said{body: strings.Replace(`{"transactions":{`+booked("1", "2")+`}}`, `"-1.00"}}]`, `"geheim"}}]`, 1)}
	})
	_, _, err := b.read(banks.Window{})
	requireKind(t, err, banks.Rejected)
	var place *banks.EntryError
	require.ErrorAs(t, err, &place)
	require.Equal(t, "booked entry 2: amount", place.Place)
	require.Contains(t, err.Error(), "booked entry 2: amount")
	require.NotContains(t, err.Error(), "geheim")
}

// lastingOf is a member of the adapter's lasting state.
func (b *readingBank) lastingOf(member string) any {
	var state map[string]any
	require.NoError(b.t, json.Unmarshal(b.conv.Lasting, &state))
	return state[member]
}

// An account whose handle is gone is read under the one that it has now. Where several accounts
// have its number and currency, none of them is read in its place.
func TestNewHandles(t *testing.T) {
	t.Parallel()
	const same = `"iban":"DE02120300000000202051","currency":"EUR"}`
	for name, c := range map[string]struct {
		list string
		read bool
	}{
		"one account":                      {`{"resourceId":"b",` + same, true},
		"one account, named twice":         {`{"resourceId":"b",` + same + `,{"resourceId":"b",` + same, true},
		"two with its number and currency": {`{"resourceId":"b",` + same + `,{"resourceId":"c",` + same, false},
		"one of another currency":          {`{"resourceId":"b",` + strings.Replace(same, "EUR", "USD", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newReadingBank(t, func(_ int, r *http.Request) said {
				switch {
				case strings.HasSuffix(r.URL.Path, "/accounts"):
					return said{body: `{"accounts":[` + c.list + `]}`}
				case strings.HasPrefix(r.URL.Path, "/v1/accounts/a/"):
					return said{status: 404, body: `{"tppMessages":[{"category":"ERROR","code":"RESOURCE_UNKNOWN"}]}`}
				}
				return said{body: `{"transactions":{` + booked("1") + `,"pending":[]}}`}
			})
			entries, _, err := b.read(banks.Window{From: readingToday.AddDays(-20)})
			if c.read {
				require.NoError(t, err)
				require.Len(t, entries, 1)
				return
			}
			var e *banks.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, banks.Gone, e.Kind)
			require.Empty(t, entries)
		})
	}
}
