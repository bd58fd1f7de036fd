package sandbox

import (
	"math"
	"net/http"
	"strconv"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// readingHabits are what is odd about how a bank lists accounts and writes transactions.
type readingHabits struct {
	file           bool                             // links a file beside the entries: it is not there, or holds what nobody can read
	ignoresDates   bool                             // sends all it has, whatever period is asked for
	refusesBalance bool                             // refuses withBalance, and lists no cards (500)
	days           int                              // of transactions, today among them; 0: no bound
	refusal        func(oldest civil.Date) *refusal // of what lies before them
	mt940          bool                             // transactions only as MT940 and MT942, in text/plain
	loose          bool                             // byte order mark, amounts as doubles, date-times; no list of pending ones where there are none
	circle         bool                             // the last page's next page is itself
	giroOnly       bool                             // offers transactions of giro accounts only
}

// readingDialects are the banks of the table that are odd where they are read.
var readingDialects = []dialect{
	{Path: "download", Name: "Demo-Archivbank", BankCode: "90090100", BIC: "DEMODE3AXXX",
		Shows: "links a file beside the transactions; the file is not there (giro accounts), or holds what nobody can read",
		reads: readingHabits{file: true}},
	{Path: "ignores-dates", Name: "Demo-Zeitlosbank", BankCode: "90090101", BIC: "DEMODE3BXXX",
		Shows: "ignores the period that it is asked for, and sends all it has", reads: readingHabits{ignoresDates: true}},
	{Path: "refuses-balance", Name: "Demo-Saldobank", BankCode: "90090102", BIC: "DEMODE3CXXX",
		Shows: "refuses to list accounts with their balances (400); answers 500 to a request for cards", reads: readingHabits{refusesBalance: true}},
	{Path: "short-history-30", Name: "Demo-Monatsbank", BankCode: "90090103", BIC: "DEMODE3DXXX",
		Shows: "gives 30 days, and refuses more with 403 and no code",
		reads: readingHabits{days: 30, refusal: func(civil.Date) *refusal { return refuse(403, "", "") }}},
	{Path: "short-history-60", Name: "Demo-Zweimonatsbank", BankCode: "90090104", BIC: "DEMODE3EXXX",
		Shows: "gives 60 days, and refuses more with 422 and a code of its own",
		reads: readingHabits{days: 60, refusal: func(civil.Date) *refusal { return refuse(422, "WRONG_TRANSACTIONS_PERIOD", "") }}},
	{Path: "short-history-90", Name: "Demo-Quartalsbank", BankCode: "90090105", BIC: "DEMODE3FXXX",
		Shows: "gives 90 days, and refuses more with 400 and `FORMAT_ERROR`",
		reads: readingHabits{days: 90, refusal: func(civil.Date) *refusal { return refuse(400, "FORMAT_ERROR", "") }}},
	{Path: "short-history-365", Name: "Demo-Jahresbank", BankCode: "90090106", BIC: "DEMODE3GXXX",
		Shows: "gives 365 days, and names the first of them where it refuses more",
		reads: readingHabits{days: 365, refusal: func(oldest civil.Date) *refusal {
			return refuse(400, "PERIOD_INVALID", "dateFrom must not be before "+oldest.String())
		}}},
	{Path: "plain-mt940", Name: "Demo-Textbank", BankCode: "90090107", BIC: "DEMODE3HXXX",
		Shows: "transactions only as MT940 and MT942, in text/plain", reads: readingHabits{mt940: true}},
	{Path: "loose", Name: "Demo-Kommabank", BankCode: "90090108", BIC: "DEMODE3JXXX",
		Shows: "JSON behind a byte order mark, amounts as doubles, date-times with a zone in place of days; no list of pending entries where there are none",
		reads: readingHabits{loose: true}},
	{Path: "circle", Name: "Demo-Kreisbank", BankCode: "90090109", BIC: "DEMODE3KXXX",
		Shows: "the last page of transactions links itself as the next one", reads: readingHabits{circle: true}},
	{Path: "giro-only", Name: "Demo-Teilbank", BankCode: "90090110", BIC: "DEMODE3LXXX",
		Shows: "lists all accounts, and links the transactions of giro accounts only", reads: readingHabits{giroOnly: true}},
}

// refuseList refuses a list of accounts that the bank does not give.
func (h *readingHabits) refuseList(c *call, isCard bool) *refusal {
	switch {
	case !h.refusesBalance:
	case isCard:
		return refuse(500, "INTERNAL_SERVER_ERROR", "")
	case c.r.URL.Query().Has("withBalance"):
		return &refusal{status: 400, code: "PARAMETER_NOT_SUPPORTED", path: "withBalance", text: "withBalance is not supported"}
	}
	return nil
}

// links reports whether the bank links the transactions of an account.
func (h *readingHabits) links(a *account) bool { return !h.giroOnly || a.kind == giro }

// bound makes the period the bank's own, or refuses it.
func (h *readingHabits) bound(s *statement) *refusal {
	today := civil.On(s.now)
	if oldest := today.AddDays(1 - h.days); h.days > 0 && s.from < oldest {
		return h.refusal(oldest)
	}
	if h.ignoresDates {
		s.from, s.to = 1, today
	}
	return nil
}

// oddLinks writes the links that lead nowhere.
func (w *writer) oddLinks(c *call, next string) {
	if w.dialect.reads.file {
		w.raw(`,"download":{"href":`)
		w.text(c.link("/v1/files/", c.r.PathValue("account")).Href)
		w.raw(`}`)
	}
	if w.dialect.reads.circle && next == "" {
		w.raw(`,"next":{"href":`)
		w.text(c.face.prefix + c.r.URL.RequestURI())
		w.raw(`}`)
	}
}

// file is what stands behind the link of a bank that links files.
func (f *face) file(c *call) error {
	if !f.dialect.reads.file {
		return refuse(404, "RESOURCE_UNKNOWN", "no such resource")
	}
	b := f.bank
	b.mu.Lock()
	a, no := c.account(seeTransactions, false)
	b.mu.Unlock()
	if no != nil {
		return no
	}
	if a.kind == giro {
		return refuse(404, "RESOURCE_UNKNOWN", "the file is not there")
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = c.w.Write([]byte("\x00\x01\x02\x03"))
	return nil
}

// amount writes an entry's amount as a JSON text, or as a double, as Java prints it.
func (w *writer) amount(e *Entry) {
	switch {
	case w.dialect.reads.loose:
	case e.writing == (writing{}):
		w.raw(`"`)
		w.buffer = appendCents(w.buffer, e.Cents)
		w.raw(`"`)
		return
	default:
		w.text(e.writing.amount(e.Cents, true))
		return
	}
	amount := float64(e.Cents) / 100
	form := byte('f')
	if math.Abs(amount) >= 1e7 || amount != 0 && math.Abs(amount) < 1e-3 {
		form = 'E'
	}
	w.buffer = strconv.AppendFloat(w.buffer, amount, form, -1, 64)
}

// days writes the days of an entry.
func (w *writer) days(e *Entry) {
	booking, value, form := "bookingDate", "valueDate", ""
	if w.dialect.reads.loose {
		booking, value, form = "bookingDateTime", "valueDateTime", "T00:00:00.000+01:00"
	}
	if !e.Pending && !e.writing.undated {
		w.field(booking, e.writing.day(e.BookingDate)+form)
	}
	if !e.ValueDate.IsZero() {
		w.field(value, e.writing.day(e.ValueDate)+form)
	}
}

// mt940 answers with statements in text/plain, and with what is pending behind them.
func (c *call) mt940(s statement, how edition) error {
	desk := &fintsCall{shape: &fintsShapes[0], now: c.now, today: c.today}
	window := &fintsWindow{account: s.account, from: s.from, to: s.to, first: true, how: how}
	file := desk.statements(window)
	if s.pending {
		file = append(file, desk.interim(window)...)
	}
	if len(file) == 0 {
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	c.w.Header().Set("Content-Type", "text/plain;charset=ISO-8859-1")
	_, _ = c.w.Write(file)
	return nil
}
