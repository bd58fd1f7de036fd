package sandbox

import (
	"cmp"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// pageParameter carries our place in a list of transactions from one page to the next; clients only follow links.
const pageParameter = "page"

// wholeFile as a page stands for all of them in one answer.
const wholeFile = "all"

// statement is what a read of transactions asks for.
type statement struct {
	account  *account
	from, to civil.Date
	booked   bool
	pending  bool
	balance  bool
	now      time.Time
	size     int        // entries in a page; 0: all in one
	day      civil.Date // where the page begins, going back from there
	nth      int        // entries of that day that came before
	first    bool       // the first page: pending entries and balances stand there
}

func (f *face) getTransactions(c *call) error     { return f.transactions(c, false) }
func (f *face) getCardTransactions(c *call) error { return f.transactions(c, true) }
func (f *face) download(c *call) error            { return f.transactions(c, false) }

func (f *face) transactions(c *call, isCard bool) error {
	s, no := f.statement(c, isCard)
	if no != nil {
		return no
	}
	format, no := f.format(c, isCard)
	if no != nil {
		return no
	}
	b := f.bank
	b.mu.Lock()
	a, no := c.account(seeTransactions, isCard)
	if no == nil && (c.consent.again || c.customer.persona.hides(s.from, c.consent.proven, c.now)) {
		no = refuse(401, "CONSENT_INVALID", "Für die Umsätze ist eine weitere Freigabe nötig.")
		no.links = links{"startAuthorisation": c.link("/v1/consents/", c.consent.id, "/authorisations")}
	}
	how := edition{today: c.today}
	if no == nil {
		how.reform = c.customer.reform
	}
	b.mu.Unlock()
	if no != nil {
		return no
	}
	s.account = a
	if s.size == 100 && a.pace.bulk > 0 {
		s.size = 2_000
	}
	s.from = max(s.from, a.shown(c.today))
	if a.static {
		s.from, s.to, s.day = a.opened, c.today, c.today
	}

	w := &writer{to: c.w, edition: how, dialect: f.dialect, version: "08"}
	switch {
	case f.dialect.reads.mt940:
		return c.mt940(s, how)
	case format == "camt.052" || format == "camt.053":
		c.w.Header().Set("Content-Type", "application/xml")
		w.camt(s, c.today, format)
	case c.customer.persona.files && c.endpoint != "download":
		query := c.r.URL.Query()
		query.Set(pageParameter, wholeFile)
		return c.answer(http.StatusOK, map[string]any{"account": a.reference(),
			"_links": links{"download": c.link("/v1/downloads/", c.r.PathValue("account"), "?", query.Encode())}})
	default:
		c.w.Header().Set("Content-Type", "application/json")
		w.json(c, s)
	}
	w.flush()
	return nil
}

// statement reads the query of a read of transactions.
func (f *face) statement(c *call, isCard bool) (s statement, no *refusal) {
	if no := c.onlyParameters("dateFrom", "dateTo", "bookingStatus", "withBalance", "itemsPerPage", pageParameter); no != nil {
		return s, no
	}
	query := c.r.URL.Query()
	switch status := query.Get("bookingStatus"); status {
	case "":
		return s, formatError("bookingStatus", "is missing")
	case "booked":
		s.booked = true
	case "pending":
		s.pending = true
	case "both":
		s.booked, s.pending = true, true
	case "information":
		if isCard {
			return s, formatError("bookingStatus", "has an unknown value")
		}
	case "all":
		if isCard {
			return s, formatError("bookingStatus", "has an unknown value")
		}
		s.booked, s.pending = true, true
	default:
		return s, formatError("bookingStatus", "has an unknown value")
	}
	if f.dialect.onlyBooked && s.pending {
		return s, &refusal{status: 400, code: "PARAMETER_NOT_SUPPORTED", path: "bookingStatus", text: "only booked and information are supported"}
	}
	if s.balance, no = c.flag("withBalance"); no != nil {
		return s, no
	}
	s.now, s.to = c.now, c.today
	for name, into := range map[string]*civil.Date{"dateFrom": &s.from, "dateTo": &s.to} {
		v := query.Get(name)
		if v == "" {
			continue
		}
		day, err := civil.Parse(v)
		if err != nil {
			return s, formatError(name, "is no date")
		}
		*into = day
	}
	if s.from.IsZero() {
		return s, formatError("dateFrom", "is missing")
	}
	if s.from > s.to {
		return s, &refusal{status: 400, code: "PERIOD_INVALID", path: "dateFrom", text: "dateFrom lies after dateTo"}
	}
	s.to = min(s.to, c.today)
	if no := f.dialect.reads.bound(&s); no != nil {
		return s, no
	}
	s.size = cmp.Or(f.dialect.pageSize, 100)
	if v := query.Get("itemsPerPage"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return s, formatError("itemsPerPage", "is no positive number")
		}
		s.size = min(n, 5_000)
	}
	s.day, s.first = s.to, true
	switch page := query.Get(pageParameter); page {
	case "":
	case wholeFile:
		s.size = 0
	default:
		var day int32
		if _, err := fmt.Sscanf(page, "%d.%d", &day, &s.nth); err != nil || s.nth < 0 || civil.Date(day) < s.from || civil.Date(day) > s.to {
			return s, formatError(pageParameter, "is unknown")
		}
		s.day, s.first = civil.Date(day), false
	}
	return s, nil
}

// format agrees on how transactions are sent.
func (f *face) format(c *call, isCard bool) (string, *refusal) {
	xml := f.dialect.xml
	if xml == "" {
		xml = "camt.053" // booked entries only
		if status := c.r.URL.Query().Get("bookingStatus"); status != "booked" {
			xml = "camt.052"
		}
	}
	best, quality := "", 0.0
	for _, part := range strings.Split(cmp.Or(c.r.Header.Get("Accept"), "*/*"), ",") {
		media, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if v, err := strconv.ParseFloat(parameters["q"], 64); err == nil {
			q = v
		}
		offers := map[string]string{"application/json": "json", "application/*": "json", "*/*": "json"}
		if !isCard {
			offers["application/xml"], offers["text/xml"] = xml, xml
		}
		if f.dialect.xml != "" {
			offers = map[string]string{"application/xml": xml, "text/xml": xml, "application/*": xml, "*/*": xml}
		}
		if offer := offers[media]; offer != "" && q > quality {
			best, quality = offer, q
		}
	}
	if best == "" {
		return "", refuse(406, "REQUESTED_FORMATS_INVALID", "none of these formats is offered")
	}
	return best, nil
}

// walk calls yield for the entries of a page, newest first, and returns where the next page begins, if there is one.
func (s *statement) walk(yield func(*booking)) (next string) {
	left := s.size
	var day []booking
	skip := s.nth
	for d := s.day; d >= s.from; d-- {
		day = s.account.posted(day[:0], d, s.now)
		for i := len(day) - 1 - skip; i >= 0; i-- {
			if s.size > 0 && left == 0 {
				return fmt.Sprintf("%d.%d", int32(d), len(day)-1-i)
			}
			left--
			yield(&day[i])
		}
		skip = 0
	}
	return ""
}

// writer streams a statement. Half a million entries take no more memory than one.
type writer struct {
	to      io.Writer
	buffer  []byte
	edition edition
	dialect *dialect
	version string       // of camt messages: 08, 02
	reword  func(*Entry) // nil: texts as they are
	bare    bool         // "&" is written as it is, in XML
}

func (w *writer) flush() {
	_, _ = w.to.Write(w.buffer) // the peer may be gone; the walk ends soon enough
	w.buffer = w.buffer[:0]
}

func (w *writer) flushSome() {
	if len(w.buffer) > 32<<10 {
		w.flush()
	}
}

func (w *writer) raw(s string) { w.buffer = append(w.buffer, s...) }

// text writes a JSON string.
func (w *writer) text(s string) {
	w.buffer = append(w.buffer, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			w.buffer = append(w.buffer, '\\', c)
		case c < ' ':
			w.buffer = fmt.Appendf(w.buffer, `\u%04x`, c)
		default:
			w.buffer = append(w.buffer, c)
		}
	}
	w.buffer = append(w.buffer, '"')
}

// field writes a member of a JSON object that begins with transactionAmount; an absent one is left out.
func (w *writer) field(name, value string) {
	if value == "" {
		return
	}
	w.raw(`,"` + name + `":`)
	w.text(value)
}

func (w *writer) json(c *call, s statement) {
	a := s.account
	isCard := a.kind == card
	if w.dialect.reads.loose {
		w.raw("\uFEFF\r\n")
	}
	key, list := "account", "transactions"
	if isCard {
		key, list = "cardAccount", "cardTransactions"
	}
	w.raw(`{"` + key + `":{`)
	if isCard {
		w.raw(`"maskedPan":"` + a.pan)
	} else {
		w.raw(`"iban":"` + a.iban)
	}
	w.raw(`","currency":"` + a.currency + `"},"` + list + `":{`)
	next := ""
	if s.booked {
		w.raw(`"booked":[`)
		comma := ""
		next = s.walk(func(b *booking) {
			w.raw(comma)
			comma = ","
			w.entry(a, b)
			w.flushSome()
		})
		w.raw(`],`)
	}
	if pending := a.pending(c.today); s.pending && s.first && !(w.dialect.reads.loose && len(pending) == 0) {
		w.raw(`"pending":[`)
		for i := range pending {
			if i > 0 {
				w.raw(",")
			}
			w.entry(a, &pending[len(pending)-1-i])
		}
		w.raw(`],`)
	}
	if !s.booked && !s.pending {
		w.raw(`"information":[],`)
	}
	path := "/v1/accounts/"
	if isCard {
		path = "/v1/card-accounts/"
	}
	self := c.link(path, c.r.PathValue("account"))
	w.raw(`"_links":{"` + key + `":{"href":`)
	w.text(self.Href)
	w.raw(`}`)
	if next != "" {
		query := url.Values{}
		for name, v := range c.r.URL.Query() {
			query[name] = v
		}
		query.Set("dateTo", s.to.String()) // tomorrow's page of today's list
		query.Set(pageParameter, next)
		w.raw(`,"next":{"href":`)
		w.text(self.Href + "/transactions?" + query.Encode())
		w.raw(`}`)
	}
	w.oddLinks(c, next)
	w.raw(`}}`)
	if s.balance && s.first {
		w.raw(`,"balances":[`)
		for i, b := range c.face.balanceList(c, a) {
			if i > 0 {
				w.raw(",")
			}
			w.raw(`{"balanceAmount":{"currency":"` + b.Amount.Currency + `","amount":"` + b.Amount.Amount + `"},"balanceType":"` + b.Type + `","referenceDate":"` + b.Date.String() + `"}`)
		}
		w.raw(`]`)
	}
	w.raw(`}`)
}

// entry writes one transaction as JSON.
func (w *writer) entry(a *account, b *booking) {
	e := a.describe(b, w.edition)
	w.raw(`{"transactionAmount":{"currency":"` + e.Currency + `","amount":`)
	w.amount(&e)
	w.raw(`}`)
	if a.kind == card {
		w.cardEntry(&e, a)
		w.raw(`}`)
		return
	}
	if !w.dialect.noIDs {
		w.field("transactionId", e.ID)
		w.field("entryReference", e.Reference)
	}
	w.days(&e)
	w.field("endToEndId", e.EndToEndID)
	w.field("mandateId", e.MandateID)
	w.field("creditorId", e.CreditorID)
	other, own := "creditor", "debtor"
	if e.otherIsDebtor() {
		other, own = own, other
	}
	if e.Reason != "" {
		w.field(own+"Name", a.owner)
		w.raw(`,"` + own + `Account":{"iban":"` + a.iban + `"}`)
	}
	w.field(other+"Name", e.writing.text(e.Name))
	if e.IBAN != "" {
		w.raw(`,"` + other + `Account":{"iban":"` + e.IBAN + `"}`)
	}
	w.field(other+"Agent", e.BIC)
	lines := cut(e.why(), 140)
	w.field("remittanceInformationUnstructured", lines[0])
	if len(lines) > 1 {
		w.raw(`,"remittanceInformationUnstructuredArray":[`)
		for i, line := range lines {
			if i > 0 {
				w.raw(",")
			}
			w.text(line)
		}
		w.raw(`]`)
	}
	w.field("purposeCode", e.Purpose)
	w.field("bankTransactionCode", e.Code)
	w.field("proprietaryBankTransactionCode", "NMSC+"+e.GVC+"+"+e.Primanota)
	info := e.BookingText
	if e.Foreign != "" {
		w.raw(`,"currencyExchange":[{"sourceCurrency":"` + e.Foreign + `","exchangeRate":"` + e.Rate + `","unitCurrency":"` + e.Currency +
			`","targetCurrency":"` + e.Currency + `","quotationDate":"` + e.PurchaseDate.String() + `"}]`)
		info += " " + e.Foreign + " " + string(appendCents(nil, e.ForeignCents))
	}
	w.field("additionalInformation", info)
	w.raw(`}`)
}

// cardEntry writes what is different about a transaction of a credit card.
func (w *writer) cardEntry(e *Entry, a *account) {
	w.field("cardTransactionId", e.ID)
	w.field("transactionDate", e.PurchaseDate.String())
	if !e.Pending {
		w.field("bookingDate", e.BookingDate.String())
		w.field("valueDate", e.ValueDate.String())
	}
	if e.Foreign != "" {
		w.raw(`,"originalAmount":{"currency":"` + e.Foreign + `","amount":"`)
		w.buffer = appendCents(w.buffer, e.ForeignCents)
		w.raw(`"}`)
	}
	w.field("terminalId", e.Acceptor)
	if e.AcceptorTown != "" {
		w.raw(`,"cardAcceptorAddress":{"townName":"` + e.AcceptorTown + `","country":"DE"}`)
	}
	w.field("merchantCategoryCode", e.MerchantCode)
	w.field("maskedPAN", a.pan)
	w.field("transactionDetails", e.Name+" "+e.Remittance)
	w.field("proprietaryBankTransactionCode", e.BookingText)
}

// cut splits a text into pieces of at most n characters, words or not.
func cut(s string, n int) []string {
	if len(s) <= n {
		return []string{s}
	}
	var pieces []string
	for letters := range slices.Chunk([]rune(s), n) {
		pieces = append(pieces, string(letters))
	}
	return pieces
}

// getTransaction shows one booked transaction; its id tells the day.
func (f *face) getTransaction(c *call) error {
	b := f.bank
	b.mu.Lock()
	a, no := c.account(seeTransactions, false)
	how := edition{today: c.today}
	if no == nil {
		how.reform = c.customer.reform
	}
	b.mu.Unlock()
	if no != nil {
		return no
	}
	id := strings.TrimPrefix(c.r.PathValue("id"), "N")
	if len(id) > 8 {
		day, err := civil.Parse(id[:4] + "-" + id[4:6] + "-" + id[6:8])
		if err == nil && day >= a.shown(c.today) && day <= c.today {
			for _, booking := range a.posted(nil, day, c.now) {
				if e := a.describe(&booking, how); e.ID != c.r.PathValue("id") {
					continue
				}
				w := &writer{to: c.w, edition: how, dialect: f.dialect}
				c.w.Header().Set("Content-Type", "application/json")
				w.raw(`{"transactionsDetails":`)
				w.entry(a, &booking)
				w.raw(`}`)
				w.flush()
				return nil
			}
		}
	}
	return refuse(404, "RESOURCE_UNKNOWN", "there is no such transaction")
}
