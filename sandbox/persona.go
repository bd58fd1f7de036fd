package sandbox

import (
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// A Persona is a way for a customer, and for the bank towards them, to behave. Its login may carry a suffix
// ("demo+17"): another customer who behaves the same.
type Persona struct {
	Login string
	Shows string // what there is to see, one line

	approach approach
	methods  []method // of strong customer authentication; none: exempted
	door     door
	again    bool // the bank wants a second authentication before it shows transactions
	recent   bool // … before it shows transactions of more than 90 days, unless the last one was just now
	polls    int  // a decoupled request counts as confirmed at this many status calls; 0: only by the control API
	files    bool // transactions are a file to be downloaded
	shuffles bool // accounts are listed in another order under every consent
	accounts []accountPlan
	faults   []Fault // always in force for this customer
}

// approach is how the bank authenticates the customer.
type approach string

const (
	embedded  approach = "EMBEDDED"
	redirect  approach = "REDIRECT"
	decoupled approach = "DECOUPLED"
	oauth     approach = "OAUTH" // REDIRECT in the header, with a scaOAuth link
)

// door says what happens to a customer who gives the right password.
type door string

const (
	open      door = ""
	wrongPIN  door = "wrong PIN"
	locked    door = "locked"
	changePIN door = "PIN change"
)

// Personas is the table of all customers. docs/sandbox.md shows it.
var Personas = []Persona{
	{Login: "demo", Shows: "one TAN method, challenge as text; a giro account with 400 days of history",
		methods: []method{smsTAN}, accounts: []accountPlan{{number: 4711951500}}},
	{Login: "methods", Shows: "chooses one of four TAN methods (SMS, photoTAN, chipTAN, app)",
		methods: []method{smsTAN, photoTAN, chipTAN, pushTAN}, polls: 3, accounts: one},
	{Login: "devices", Shows: "chooses a TAN method, then one of several devices",
		methods: []method{smsTANDevices, chipTANCards}, accounts: one},
	{Login: "photo", Shows: "photoTAN: the challenge is a PNG", methods: []method{photoTAN}, accounts: one},
	{Login: "unreadable", Shows: "photoTAN whose picture cannot be read; what there is to do stands beside it", methods: []method{blurredTAN}, accounts: one},
	{Login: "flicker", Shows: "chipTAN optical: the challenge is a flicker code (HHD 1.4)", methods: []method{chipTAN}, accounts: one},
	{Login: "markup", Shows: "the challenge is HTML, with things in it that nobody should show", methods: []method{markupTAN}, accounts: one},
	{Login: "decoupled", Shows: "confirms in the bank's app; counts as confirmed at the third status call",
		approach: decoupled, methods: []method{pushTAN}, polls: 3, accounts: one},
	{Login: "app", Shows: "confirms in the bank's app, which only the control API does",
		approach: decoupled, methods: []method{pushTAN}, accounts: one},
	{Login: "redirect", Shows: "authenticates on the bank's own pages", approach: redirect, methods: []method{smsTAN}, accounts: one},
	{Login: "oauth", Shows: "authenticates on the bank's own pages, OAuth2 integrated (PKCE)",
		approach: oauth, methods: []method{smsTAN}, accounts: one},
	{Login: "again", Shows: "a second challenge when transactions are read", methods: []method{smsTAN}, again: true, accounts: one},
	{Login: "recent", Shows: "more than the last 90 days of transactions only right after strong customer authentication",
		methods: []method{smsTAN}, recent: true, accounts: []accountPlan{{}}},
	{Login: "exempt", Shows: "no strong customer authentication: the password is enough", accounts: one},
	{Login: "wrongpin", Shows: "every password is wrong; the third locks", methods: []method{smsTAN}, door: wrongPIN, accounts: one},
	{Login: "locked", Shows: "online access is locked", methods: []method{smsTAN}, door: locked, accounts: one},
	{Login: "pinchange", Shows: "has to change the PIN first", methods: []method{smsTAN}, door: changePIN, accounts: one},
	{Login: "maintenance", Shows: "the bank is closed for maintenance (503)", methods: []method{smsTAN}, accounts: one,
		faults: []Fault{{Endpoint: "*", Action: ActStatus, Status: 503, Code: "SERVICE_UNAVAILABLE", Text: "Wartungsarbeiten bis 6:00 Uhr"}}},
	{Login: "slow", Shows: "every answer takes three seconds", accounts: one, faults: []Fault{{Endpoint: "*", Action: ActSlow}}},
	{Login: "flaky", Shows: "every first call of an endpoint fails (500), the second works", accounts: one,
		faults: []Fault{{Endpoint: "*", Action: ActStatus, Status: 500, Code: "INTERNAL_SERVER_ERROR", Every: 2}}},
	{Login: "limit", Shows: "429 ACCESS_EXCEEDED on transactions, with Retry-After", accounts: one,
		faults: []Fault{{Endpoint: "transactions", Action: ActStatus, Status: 429, Code: "ACCESS_EXCEEDED", RetryAfter: 3600}}},
	{Login: "limit-bare", Shows: "429 on transactions without Retry-After, its body a bare array", accounts: one,
		faults: []Fault{{Endpoint: "transactions", Action: ActBare429}}},
	{Login: "html", Shows: "answers accounts with an HTML page and status 200", accounts: one,
		faults: []Fault{{Endpoint: "accounts", Action: ActHTML}}},
	{Login: "truncated", Shows: "transactions break off in the middle of the JSON", accounts: one,
		faults: []Fault{{Endpoint: "transactions", Action: ActTruncate}}},
	{Login: "enormous", Shows: "answers accounts with 256 MiB in one JSON string", accounts: one,
		faults: []Fault{{Endpoint: "accounts", Action: ActEnormous}}},
	{Login: "elsewhere", Shows: "answers accounts with a redirect to another host", accounts: one,
		faults: []Fault{{Endpoint: "accounts", Action: ActElsewhere}}},
	{Login: "endless", Shows: "transactions never end: blanks trickle until the client hangs up", accounts: one,
		faults: []Fault{{Endpoint: "transactions", Action: ActEndless}}},
	{Login: "loop", Shows: "the next page of the transactions is always the same page", accounts: one,
		faults: []Fault{{Endpoint: "transactions", Action: ActLoop}}},
	{Login: "savings", Shows: "a giro, a savings and a daily savings account", methods: []method{smsTAN},
		accounts: []accountPlan{{}, {kind: savings}, {kind: dailySavings}}},
	{Login: "card", Shows: "a giro account and a credit card", methods: []method{smsTAN},
		accounts: []accountPlan{{}, {kind: card}}},
	{Login: "currencies", Shows: "one IBAN with accounts in EUR, USD and CHF", methods: []method{smsTAN},
		accounts: []accountPlan{{}, {currency: "USD", sameIBAN: true, pace: pace{calm: true}}, {currency: "CHF", sameIBAN: true, pace: pace{calm: true}}}},
	{Login: "pending", Shows: "pending entries every day; some vanish, some are booked with another amount, all under other ids and texts",
		accounts: []accountPlan{{history: 90, pace: pace{holds: true}}}},
	{Login: "partial", Shows: "today is not complete: its bookings come hour by hour", accounts: []accountPlan{{history: 90, pace: pace{holds: true, drips: true}}}},
	{Login: "returns", Shows: "transfers and direct debits come back three working days later, with a reason, and some with charges",
		accounts: []accountPlan{{history: 90, pace: pace{returns: true}}}},
	{Login: "twins", Shows: "a giro and a daily savings account with one IBAN and currency; every consent lists them in an order of its own",
		methods: []method{smsTAN}, shuffles: true, accounts: []accountPlan{{history: 90}, {kind: dailySavings, sameIBAN: true}}},
	{Login: "sums", Shows: "a batch of three transfers every working day: on its day as one sum, after it as its parts",
		accounts: []accountPlan{{history: 90, pace: pace{sums: true}}}},
	{Login: "static", Shows: "the same 89 entries of the winter of 2024, whatever days are asked for",
		accounts: []accountPlan{{static: true, pace: pace{once: true}}}},
	{Login: "undated", Shows: "entries have value dates only, and those of today no date at all", accounts: quirky(noBookingDates)},
	{Login: "ragged", Shows: "amounts with thousands, noise and other minus signs, days with zones and a 30 February, control characters, broken fields",
		accounts: []accountPlan{{quirk: ragged}}},
	{Login: "badamount", Shows: "two accounts; what is three days old on the second has an amount that nobody can read",
		accounts: []accountPlan{{history: 30, pace: pace{once: true}}, {history: 30, pace: pace{once: true}, quirk: badAmount}}},
	{Login: "badaccount", Shows: "three accounts; the transactions of the second always fail (500)", methods: []method{smsTAN},
		accounts: []accountPlan{{history: 90}, {history: 90, broken: "transactions"}, {kind: savings, history: 90}}},
	{Login: "noids", Shows: "transactions have no id at all", accounts: quirky(noIDs)},
	{Login: "placeholders", Shows: "every transaction has the id NOTPROVIDED", accounts: quirky(placeholders)},
	{Login: "sharedids", Shows: "all transactions of a day have the same id", accounts: quirky(sharedIDs)},
	{Login: "freshids", Shows: "all transactions get another id every day", accounts: quirky(freshIDs)},
	{Login: "movingdates", Shows: "the booking date of an entry moves to the next working day overnight", accounts: quirky(movingDates)},
	{Login: "swappeddates", Shows: "booking date and value date stand in each other's place", accounts: quirky(swappedDates)},
	{Login: "file", Shows: "transactions come as a link to a file", files: true, accounts: one},
	{Login: "thirty", Shows: "no challenge, one account with exactly 30 transactions", accounts: []accountPlan{{history: 30, pace: pace{once: true}}}},
	{Login: "thousand", Shows: "no challenge, one account with 1,000 old transactions and one a day since 2026",
		accounts: []accountPlan{{history: everything, pace: pace{once: true, bulk: 1_000}}}},
	{Login: "huge", Shows: "no challenge, one account with 1,000,000 old transactions and one a day since 2026",
		accounts: []accountPlan{{history: everything, pace: pace{once: true, bulk: 1_000_000}}}},
	{Login: "big", Shows: "ten accounts with 20,000 old transactions each, and one a day since 2026", methods: []method{smsTAN},
		accounts: repeat(10, accountPlan{history: everything, pace: pace{once: true, bulk: 20_000}})},
}

var one = []accountPlan{{history: 90}}

func quirky(q quirk) []accountPlan { return []accountPlan{{history: 90, quirk: q}} }

func repeat(n int, plan accountPlan) []accountPlan {
	plans := make([]accountPlan, n)
	for i := range plans {
		plans[i] = plan
	}
	return plans
}

// justNow is how long a strong authentication opens the whole history.
const justNow = 15 * time.Minute

// hides reports whether the bank wants strong authentication before it shows transactions from a day on: it has to show
// the last 90 days without (RTS 2018/389, Art. 10a). proven is when it was last done.
func (p *Persona) hides(from civil.Date, proven, now time.Time) bool {
	return p.recent && from < civil.On(now).AddDays(1-90) && now.Sub(proven) > justNow
}

// personaOf finds the row of a login.
func personaOf(login string) *Persona {
	name, _, _ := strings.Cut(login, "+")
	for i := range Personas {
		if Personas[i].Login == name {
			return &Personas[i]
		}
	}
	return nil
}

// A customer is a persona come to life.
type customer struct {
	login    string
	persona  *Persona
	owner    string
	accounts []*account
	password string
	wrong    int  // wrong PINs in a row
	locked   bool // after three of them
	visited  bool // the bank's own pages, where a first visit fails
	reform   int  // how often the bank reformatted the history (Bank.Reformat)
	eased    bool // a bank that wants strong authentication at every login does not of them (Bank.EaseLogins)
}

// customer finds the customer of a login; nil where the login names no persona. Needs b.mu.
func (b *Bank) customer(login string) *customer {
	if c := b.customers[login]; c != nil {
		return c
	}
	p := personaOf(login)
	if p == nil || len(login) > 64 {
		return nil
	}
	c := &customer{login: login, persona: p, owner: ownerOf(at(b.options.Seed, word(login))), password: b.options.Password}
	for _, plan := range p.accounts {
		if login != p.Login {
			plan.number = 0
		}
		b.addAccount(c, plan)
	}
	b.customers[login] = c
	return c
}

// addAccount needs b.mu.
func (b *Bank) addAccount(c *customer, plan accountPlan) *account {
	var before *account
	if n := len(c.accounts); n > 0 {
		before = c.accounts[n-1]
	}
	a := b.open(c.login, c.owner, plan, len(c.accounts), before)
	c.accounts = append(c.accounts, a)
	return a
}

var (
	givenNames  = []string{"Erika", "Jürgen", "Zoë", "Max", "Björn", "Käthe", "Łukasz", "Anneliese", "Özlem", "Günther", "Mário", "Sören"}
	familyNames = []string{"Mustermann", "Müller", "Weiß", "Schäfer", "Großmann", "Yılmaz", "Körner", "Böhme", "Nowak", "von der Höhe", "Jäger", "Strauß"}
)

func ownerOf(key uint64) string {
	return pick(mix(key+1), givenNames) + " " + pick(mix(key+2), familyNames)
}

// authenticate checks a password and says what the customer finds: open, wrongPIN, locked or changePIN. Three
// wrong passwords in a row lock. Needs b.mu.
func (b *Bank) authenticate(c *customer, password string) door {
	b.counters.Logins[c.login]++
	switch {
	case c.locked, c.persona.door == locked:
		return locked
	case c.persona.door == wrongPIN, password != c.password:
		b.counters.WrongPINs[c.login]++
		c.wrong++
		c.locked = c.wrong >= 3
		return wrongPIN
	case c.persona.door == changePIN:
		return changePIN
	}
	c.wrong = 0
	return open
}
