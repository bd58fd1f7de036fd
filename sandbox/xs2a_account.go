package sandbox

import (
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// resourceID is the handle of an account under one consent; the next consent has another.
func (a *account) resourceID(k *consent) string {
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(k.id+a.iban+a.pan+a.currency+a.sub+strconv.Itoa(int(a.kind))))
	return id.String()
}

type accountDetails struct {
	ResourceID      string          `json:"resourceId"`
	IBAN            string          `json:"iban,omitempty"`
	BBAN            string          `json:"bban,omitempty"`
	MaskedPAN       string          `json:"maskedPan,omitempty"`
	Currency        string          `json:"currency"`
	Name            string          `json:"name,omitempty"`
	Product         string          `json:"product,omitempty"`
	CashAccountType string          `json:"cashAccountType,omitempty"`
	Status          string          `json:"status,omitempty"`
	BIC             string          `json:"bic,omitempty"`
	Usage           string          `json:"usage,omitempty"`
	OwnerName       string          `json:"ownerName,omitempty"`
	CreditLimit     *amount         `json:"creditLimit,omitempty"`
	Balances        []balanceObject `json:"balances,omitempty"`
	Links           links           `json:"_links"`
}

type balanceObject struct {
	Amount    amount     `json:"balanceAmount"`
	Type      string     `json:"balanceType"`
	Limit     bool       `json:"creditLimitIncluded,omitempty"`
	Date      civil.Date `json:"referenceDate,omitempty"`
	LastEntry string     `json:"lastCommittedTransaction,omitempty"`
}

type amount struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

func money(cents int64, currency string) amount {
	return amount{currency, string(appendCents(nil, cents))}
}

// appendCents writes an amount with its two decimals.
func appendCents(to []byte, cents int64) []byte {
	if cents < 0 {
		to = append(to, '-')
		cents = -cents
	}
	to = strconv.AppendInt(to, cents/100, 10)
	return append(to, '.', byte('0'+cents/10%10), byte('0'+cents%10))
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// reading opens the consent of a read: it has to be there, valid and, without the customer, within its limit.
// Every read counts under what it reads, "" under nothing. Needs Bank.mu.
func (c *call) reading(what string) (*consent, *refusal) {
	id := c.r.Header.Get("Consent-ID")
	if id == "" {
		return nil, formatError("Consent-ID", "is missing")
	}
	k := c.consent
	if k == nil {
		return nil, &refusal{status: 400, code: "CONSENT_UNKNOWN", path: "Consent-ID", text: "there is no such consent"}
	}
	switch k.status {
	case valid:
	case expired:
		return nil, refuse(401, "CONSENT_EXPIRED", "the consent has expired")
	default:
		return nil, refuse(401, "CONSENT_INVALID", "the consent is "+string(k.status))
	}
	k.lastAction = c.today
	if c.attended() || what == "" {
		return k, nil
	}
	c.face.bank.counters.Unattended[k.id]++
	recent := k.reads[what]
	for len(recent) > 0 && c.now.Sub(recent[0]) >= 24*time.Hour {
		recent = recent[1:]
	}
	if len(recent) >= k.frequency {
		c.face.bank.counters.Exceeded[k.id]++
		no := refuse(429, "ACCESS_EXCEEDED", "the daily limit of reads without the customer is used up")
		if !c.face.dialect.sharedBudget { // those do not say when
			no.retryAfter = int(recent[0].Add(24*time.Hour).Sub(c.now).Seconds()) + 1
		}
		return nil, no
	}
	if k.reads == nil {
		k.reads = map[string][]time.Time{}
	}
	k.reads[what] = append(recent, c.now)
	return k, nil
}

// account is the one in the path, if the consent opens it for what is wanted. Needs Bank.mu.
func (c *call) account(what right, isCard bool) (*account, *refusal) {
	id := c.r.PathValue("account")
	name := [...]string{"account", "balances", "transactions"}[what]
	k := c.consent
	if k != nil && c.customer != nil {
		for _, a := range c.customer.accounts {
			if (a.kind == card) != isCard || a.resourceID(k) != id {
				continue
			}
			budget := name
			if !c.face.dialect.sharedBudget {
				budget += a.iban + a.pan + a.currency + a.sub
			}
			if c.r.URL.Query().Get(pageParameter) != "" {
				budget = "" // a further page belongs to the read before it
			}
			if _, no := c.reading(budget); no != nil {
				return nil, no
			}
			if !k.allows(what, a) {
				return nil, refuse(401, "CONSENT_INVALID", "the consent does not allow this")
			}
			if a.broken == name {
				return nil, refuse(500, "INTERNAL_SERVER_ERROR", "Interner Fehler 4711")
			}
			return a, nil
		}
	}
	if _, no := c.reading(name); no != nil {
		return nil, no
	}
	return nil, refuse(404, "RESOURCE_UNKNOWN", "there is no such account")
}

func (f *face) listAccounts(c *call) error     { return f.list(c, false, "accounts") }
func (f *face) listCardAccounts(c *call) error { return f.list(c, true, "cardAccounts") }

func (f *face) list(c *call, isCard bool, key string) error {
	withBalance, no := c.flag("withBalance")
	if no == nil {
		no = c.onlyParameters("withBalance")
	}
	if no == nil {
		no = f.dialect.reads.refuseList(c, isCard)
	}
	if no != nil {
		return no
	}
	b := f.bank
	b.mu.Lock()
	k, no := c.reading(key)
	if no != nil {
		b.mu.Unlock()
		return no
	}
	var open []*account
	for _, a := range c.customer.accounts {
		if (a.kind == card) == isCard && k.allows(seeAccount, a) {
			open = append(open, a)
		}
	}
	b.mu.Unlock()
	list := make([]accountDetails, 0, len(open))
	for _, a := range c.customer.shuffled(open, k) {
		list = append(list, f.details(c, k, a, withBalance && k.allows(seeBalances, a)))
	}
	return c.answer(http.StatusOK, map[string]any{key: list})
}

func (f *face) getAccount(c *call) error     { return f.one(c, false, "account") }
func (f *face) getCardAccount(c *call) error { return f.one(c, true, "cardAccount") }

func (f *face) one(c *call, isCard bool, key string) error {
	withBalance, no := c.flag("withBalance")
	if no == nil {
		no = c.onlyParameters("withBalance")
	}
	if no != nil {
		return no
	}
	b := f.bank
	b.mu.Lock()
	a, no := c.account(seeAccount, isCard)
	b.mu.Unlock()
	if no != nil {
		return no
	}
	return c.answer(http.StatusOK, map[string]any{key: f.details(c, c.consent, a, withBalance && c.consent.allows(seeBalances, a))})
}

func (f *face) getBalances(c *call) error     { return f.balances(c, false, "account") }
func (f *face) getCardBalances(c *call) error { return f.balances(c, true, "cardAccount") }

func (f *face) balances(c *call, isCard bool, key string) error {
	if no := c.onlyParameters(); no != nil {
		return no
	}
	b := f.bank
	b.mu.Lock()
	a, no := c.account(seeBalances, isCard)
	b.mu.Unlock()
	if no != nil {
		return no
	}
	return c.answer(http.StatusOK, map[string]any{key: a.reference(), "balances": f.balanceList(c, a)})
}

func (f *face) details(c *call, k *consent, a *account, withBalance bool) accountDetails {
	status := f.dialect.accountStatus
	if status == "" {
		status = "enabled"
	}
	d := accountDetails{
		ResourceID: a.resourceID(k),
		Currency:   a.currency,
		Name:       a.name,
		Product:    a.product,
		Status:     status,
		Usage:      "PRIV",
		OwnerName:  a.owner,
		Links:      links{},
	}
	path := "/v1/accounts/"
	if a.kind == card {
		path = "/v1/card-accounts/"
		d.MaskedPAN = a.pan
		limit := money(500_000, a.currency)
		d.CreditLimit = &limit
	} else {
		d.IBAN, d.BBAN = a.iban, bankCode+a.number
		if f.dialect.BIC[6] != '0' { // the Demobank's is known everywhere, but no BIC that ISO 9362 allows
			d.BIC = f.dialect.BIC
		}
		d.CashAccountType = map[accountKind]string{giro: "CACC", savings: "SVGS", dailySavings: "SVGS"}[a.kind]
	}
	if k.allows(seeBalances, a) {
		d.Links["balances"] = c.link(path, d.ResourceID, "/balances")
	}
	if k.allows(seeTransactions, a) && f.dialect.reads.links(a) {
		d.Links["transactions"] = c.link(path, d.ResourceID, "/transactions")
	}
	if withBalance {
		d.Balances = f.balanceList(c, a)
	}
	return d
}

func (f *face) balanceList(c *call, a *account) []balanceObject {
	booked := a.balance(c.now)
	expected := booked
	for _, b := range a.pending(c.today) {
		expected += b.cents
	}
	list := []balanceObject{
		{Amount: money(booked, a.currency), Type: "closingBooked", Date: c.today},
		{Amount: money(expected, a.currency), Type: "expected", Date: c.today},
	}
	if a.kind == giro {
		list = append(list, balanceObject{Amount: money(expected+100_000, a.currency), Type: "interimAvailable", Limit: true, Date: c.today})
	}
	return list
}

// flag reads a boolean query parameter.
func (c *call) flag(name string) (bool, *refusal) {
	switch c.r.URL.Query().Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, formatError(name, "is neither true nor false")
}

// onlyParameters refuses query parameters that the call does not know.
func (c *call) onlyParameters(known ...string) *refusal {
	for name := range c.r.URL.Query() {
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			return &refusal{status: 400, code: "PARAMETER_NOT_SUPPORTED", path: name, text: name + " is not supported"}
		}
	}
	return nil
}
