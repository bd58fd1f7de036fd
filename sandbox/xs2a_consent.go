package sandbox

import (
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// A consent of account information (Implementation Guidelines, section 6). Guarded by Bank.mu.
type consent struct {
	id         string
	bank       string // path
	login      string // "": nobody known yet
	access     access
	recurring  bool
	validUntil civil.Date
	frequency  int
	status     consentStatus
	created    time.Time
	ends       time.Time // a one-off consent: when it is over
	lastAction civil.Date
	again      bool      // valid, but transactions want a second authentication
	proven     time.Time // when strong authentication was last done
	explicit   bool      // the client starts authorisations itself
	// withoutPages says that the client wants the customer not to be sent to the bank's pages.
	withoutPages bool
	redirectTo   string
	nokTo        string

	authorisations []*authorisation
	reads          map[string][]time.Time // unattended reads of the last 24 hours, by resource
}

type consentStatus string

const (
	received        consentStatus = "received"
	rejected        consentStatus = "rejected"
	valid           consentStatus = "valid"
	revokedByPSU    consentStatus = "revokedByPsu"
	expired         consentStatus = "expired"
	terminatedByTPP consentStatus = "terminatedByTpp"
)

type access struct {
	Accounts              *[]accountReference `json:"accounts,omitempty"`
	Balances              *[]accountReference `json:"balances,omitempty"`
	Transactions          *[]accountReference `json:"transactions,omitempty"`
	AvailableAccounts     string              `json:"availableAccounts,omitempty"`
	AvailableWithBalance  string              `json:"availableAccountsWithBalance,omitempty"`
	AllPSD2               string              `json:"allPsd2,omitempty"`
	RestrictedTo          []string            `json:"restrictedTo,omitempty"`
	AdditionalInformation *struct {
		OwnerName *[]accountReference `json:"ownerName,omitempty"`
	} `json:"additionalInformation,omitempty"`
}

type accountReference struct {
	IBAN      string `json:"iban,omitempty"`
	BBAN      string `json:"bban,omitempty"`
	MaskedPAN string `json:"maskedPan,omitempty"`
	Currency  string `json:"currency,omitempty"`
}

// age lets time do its work on the consent.
func (k *consent) age(now time.Time) {
	if k.status == valid && (civil.On(now) > k.validUntil || !k.ends.IsZero() && now.After(k.ends)) {
		k.status = expired
	}
	if k.status == received && now.Sub(k.created) > 24*time.Hour {
		k.status = expired
	}
}

type consentRequest struct {
	Access    *access `json:"access"`
	Recurring *bool   `json:"recurringIndicator"`
	Until     *string `json:"validUntil"`
	Frequency *int    `json:"frequencyPerDay"`
	Combined  *bool   `json:"combinedServiceIndicator"`
}

type consentAnswer struct {
	Status     consentStatus  `json:"consentStatus"`
	ID         string         `json:"consentId"`
	Methods    []methodObject `json:"scaMethods,omitempty"`
	Chosen     *methodObject  `json:"chosenScaMethod,omitempty"`
	Challenge  *challengeData `json:"challengeData,omitempty"`
	Links      links          `json:"_links"`
	PSUMessage string         `json:"psuMessage,omitempty"`
	SCAStatus  scaStatus      `json:"scaStatus,omitempty"`
}

func (f *face) createConsent(c *call) error {
	if c.r.Header.Get("PSU-IP-Address") == "" {
		return formatError("PSU-IP-Address", "is missing")
	}
	if no := c.psu(); no != nil {
		return no
	}
	var request consentRequest
	if no := c.read(&request); no != nil {
		return no
	}
	until, no := f.checkConsent(c, &request)
	if no != nil {
		return no
	}

	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	k := &consent{
		id:         uuid.NewString(),
		bank:       f.dialect.Path,
		access:     *request.Access,
		recurring:  *request.Recurring,
		validUntil: until,
		frequency:  min(*request.Frequency, 4),
		status:     received,
		created:    c.now,
		lastAction: c.today,
		explicit:   c.r.Header.Get("TPP-Explicit-Authorisation-Preferred") == "true",

		withoutPages: c.r.Header.Get("TPP-Redirect-Preferred") == "false",
		redirectTo:   c.r.Header.Get("TPP-Redirect-URI"),
		nokTo:        c.r.Header.Get("TPP-Nok-Redirect-URI"),
	}
	if c.customer != nil {
		k.login = c.customer.login
		if no := k.checkAccounts(c.customer); no != nil {
			return no
		}
	}
	approach := f.approachOf(c.customer, k)
	if (approach == redirect || approach == oauth) && k.redirectTo == "" {
		return formatError("TPP-Redirect-URI", "is missing")
	}
	b.consents[k.id] = k
	c.consent = k

	self := c.link("/v1/consents/", k.id)
	answer := consentAnswer{ID: k.id, Links: links{"self": self, "status": {self.Href + "/status"}}}
	f.offerAuthorisation(c, k, &answer, self.Href+"/authorisations")
	answer.Status = k.status
	c.w.Header().Set("Location", f.base(c.r)+"/v1/consents/"+k.id)
	if !f.dialect.brokenStatus {
		c.w.Header().Set("ASPSP-SCA-Approach", string(approach.header()))
	}
	return c.answer(http.StatusCreated, answer)
}

// offerAuthorisation says how the consent is authorised: the links of its answer. start is where an authorisation starts.
func (f *face) offerAuthorisation(c *call, k *consent, answer *consentAnswer, start string) {
	approach := f.approachOf(c.customer, k)
	switch {
	case f.dialect.tokenFirst():
		f.offerAfterPreStep(c, answer, start)
	case f.dialect.noAuthorisations, (approach == redirect || approach == oauth) && !k.explicit:
		a := f.begin(c, k, k.redirectTo, k.nokTo)
		view := f.view(c, a)
		answer.SCAStatus = view.Status
		for name, link := range view.Links {
			answer.Links[name] = link
		}
	case f.dialect.startIsUpdate:
		begun := start + "/" + f.begin(c, k, "", "").id
		answer.Links["scaStatus"], answer.Links["startAuthorisationWithEncryptedPsuAuthentication"] = href{begun}, href{begun}
	case f.dialect.passwordAtStart:
		answer.Links["startAuthorisationWithPsuAuthentication"] = href{start}
	case f.dialect.encryptedPassword:
		answer.Links["startAuthorisationWithEncryptedPsuAuthentication"] = href{start}
	case c.customer == nil:
		answer.Links["startAuthorisationWithPsuIdentification"] = href{start}
	default:
		answer.Links["startAuthorisation"] = href{start}
	}
}

// offerAfterPreStep lets the consent itself say what is missing, for the token has told who the customer is:
// nothing, a TAN, or the choice of a method.
func (f *face) offerAfterPreStep(c *call, answer *consentAnswer, start string) {
	a := f.begin(c, c.consent, "", "")
	c.consent.authorisations = nil // offered, not started: the client's POST starts it
	f.authenticated(c, a)
	view := f.view(c, a)
	answer.Methods, answer.Chosen, answer.Challenge, answer.PSUMessage = view.Methods, view.Chosen, view.Challenge, view.PSUMessage
	switch {
	case f.dialect.noMethodLink && a.status != exempted:
		answer.Methods, answer.Chosen, answer.Challenge = nil, nil, nil
		answer.Links["startAuthorisation"] = href{start}
	case len(view.Methods) > 0:
		answer.Links["startAuthorisationWithAuthenticationMethodSelection"] = href{start}
	case view.Challenge != nil:
		answer.Links["startAuthorisationWithTransactionAuthorisation"] = href{start}
	case a.status != exempted:
		answer.Links["startAuthorisation"] = href{start}
	}
}

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

func (f *face) checkConsent(c *call, request *consentRequest) (until civil.Date, no *refusal) {
	switch {
	case request.Access == nil:
		return 0, formatError("access", "is missing")
	case request.Recurring == nil:
		return 0, formatError("recurringIndicator", "is missing")
	case request.Until == nil:
		return 0, formatError("validUntil", "is missing")
	case request.Frequency == nil:
		return 0, formatError("frequencyPerDay", "is missing")
	case request.Combined == nil:
		return 0, formatError("combinedServiceIndicator", "is missing")
	case *request.Combined:
		return 0, refuse(400, "SESSIONS_NOT_SUPPORTED", "combined services are not offered")
	case *request.Frequency < 1:
		return 0, formatError("frequencyPerDay", "has to be at least 1")
	case !*request.Recurring && *request.Frequency != 1:
		return 0, formatError("frequencyPerDay", "has to be 1 without recurringIndicator")
	case !*request.Recurring && f.dialect.onlyRecurring:
		return 0, formatError("recurringIndicator", "has to be true at this bank")
	}
	until, err := civil.Parse(*request.Until)
	if err != nil {
		return 0, formatError("validUntil", "is no date")
	}
	if until < c.today {
		return 0, &refusal{status: 400, code: "TIMESTAMP_INVALID", path: "validUntil", text: "validUntil has passed"}
	}
	longest := f.dialect.maxDays
	if longest == 0 {
		longest = 180
	}
	return min(until, c.today.AddDays(longest)), request.Access.check()
}

func (a *access) check() *refusal {
	lists := map[string]*[]accountReference{"access.accounts": a.Accounts, "access.balances": a.Balances, "access.transactions": a.Transactions}
	if a.AdditionalInformation != nil {
		lists["access.additionalInformation.ownerName"] = a.AdditionalInformation.OwnerName
	}
	some := false
	for field, list := range lists {
		if list == nil {
			continue
		}
		some = true
		for _, ref := range *list {
			switch {
			case ref.IBAN == "" && ref.BBAN == "" && ref.MaskedPAN == "":
				return formatError(field, "names no account")
			case ref.IBAN != "" && !validIBAN(ref.IBAN):
				return formatError(field, "has an IBAN whose check digits are wrong")
			case ref.Currency != "" && !currencyCode.MatchString(ref.Currency):
				return formatError(field, "has an invalid currency")
			}
		}
	}
	global := 0
	for field, v := range map[string]string{"access.availableAccounts": a.AvailableAccounts, "access.availableAccountsWithBalance": a.AvailableWithBalance, "access.allPsd2": a.AllPSD2} {
		if v == "" {
			continue
		}
		global++
		if v != "allAccounts" && v != "allAccountsWithOwnerName" {
			return formatError(field, "has an unknown value")
		}
	}
	switch {
	case !some && global == 0:
		return formatError("access", "asks for nothing")
	case global > 1 || global == 1 && some:
		return formatError("access", "mixes kinds of access")
	}
	return nil
}

// validIBAN checks the check digits of an IBAN of any country (ISO 13616: modulo 97-10, A=10 … Z=35).
func validIBAN(s string) bool {
	if len(s) < 15 || len(s) > 34 {
		return false
	}
	rest := 0
	for _, c := range s[4:] + s[:4] {
		switch {
		case c >= '0' && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return false
		}
	}
	return rest == 1
}

// checkAccounts refuses a consent for accounts that the customer does not have.
func (k *consent) checkAccounts(customer *customer) *refusal {
	for _, list := range []*[]accountReference{k.access.Accounts, k.access.Balances, k.access.Transactions} {
		if list == nil {
			continue
		}
		for _, ref := range *list {
			if !slices.ContainsFunc(customer.accounts, ref.means) {
				return &refusal{status: 400, code: "RESOURCE_UNKNOWN", path: "access", text: "one of the accounts is not the customer's"}
			}
		}
	}
	return nil
}

func (ref accountReference) means(a *account) bool {
	if ref.Currency != "" && ref.Currency != a.currency {
		return false
	}
	switch {
	case ref.MaskedPAN != "" || a.kind == card:
		return ref.MaskedPAN != "" && ref.MaskedPAN == a.pan
	case ref.IBAN != "":
		return ref.IBAN == a.iban
	default:
		return ref.BBAN == a.number
	}
}

// grant makes the consent valid. Empty lists become the accounts that the customer has (or chose). Needs Bank.mu.
func (k *consent) grant(c *call, customer *customer, chosen []*account) {
	k.proven = c.now
	if k.status == valid { // a second authentication
		k.again = false
		k.lastAction = c.today
		return
	}
	k.status = valid
	k.login = customer.login
	k.lastAction = c.today
	k.again = customer.persona.again && !c.face.dialect.noAuthorisations
	if !k.recurring {
		k.ends = c.now.Add(time.Hour)
	}
	if chosen == nil {
		chosen = customer.accounts
	}
	k.choose(chosen)
	c.face.bank.counters.Consents[customer.login]++
	if !k.recurring || !c.face.dialect.endsFormer {
		return
	}
	for _, former := range c.face.bank.consents {
		if former != k && former.bank == k.bank && former.login == k.login && former.recurring && former.status == valid {
			former.status, former.lastAction = expired, c.today
		}
	}
}

func (a *account) reference() accountReference {
	if a.kind == card {
		return accountReference{MaskedPAN: a.pan, Currency: a.currency}
	}
	return accountReference{IBAN: a.iban, Currency: a.currency}
}

// What a consent may allow.
type right int

const (
	seeAccount right = iota
	seeBalances
	seeTransactions
)

// allows reports whether the consent opens an account for one kind of reading.
func (k *consent) allows(what right, a *account) bool {
	if k.access.AllPSD2 != "" {
		return true
	}
	if k.access.AvailableAccounts != "" {
		return what == seeAccount
	}
	if k.access.AvailableWithBalance != "" {
		return what != seeTransactions
	}
	lists := []*[]accountReference{k.access.Accounts, k.access.Balances, k.access.Transactions} // each implies seeing the account
	switch what {
	case seeBalances:
		lists = lists[1:2]
	case seeTransactions:
		lists = lists[2:]
	}
	for _, list := range lists {
		if list == nil {
			continue
		}
		for _, ref := range *list {
			if ref.means(a) {
				return true
			}
		}
	}
	return false
}

func (f *face) getConsent(c *call) error {
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	k, no := c.addressed()
	if no != nil {
		return no
	}
	l := links{"self": c.link("/v1/consents/", k.id)}
	if k.status == valid {
		l["account"] = c.link("/v1/accounts")
	}
	return c.answer(http.StatusOK, struct {
		Access     access        `json:"access"`
		Recurring  bool          `json:"recurringIndicator"`
		ValidUntil civil.Date    `json:"validUntil"`
		Frequency  int           `json:"frequencyPerDay"`
		LastAction civil.Date    `json:"lastActionDate"`
		Status     consentStatus `json:"consentStatus"`
		Links      links         `json:"_links"`
	}{k.access, k.recurring, k.validUntil, k.frequency, k.lastAction, k.status, l})
}

func (f *face) getConsentStatus(c *call) error {
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	k, no := c.addressed()
	if no != nil {
		return no
	}
	status := http.StatusOK
	if f.dialect.brokenStatus {
		for _, a := range k.authorisations {
			f.poll(c, a)
			if a.status == started {
				status = http.StatusAccepted
			}
		}
	}
	return c.answer(status, struct {
		Status consentStatus `json:"consentStatus"`
	}{k.status})
}

func (f *face) deleteConsent(c *call) error {
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	k, no := c.addressed()
	if no != nil {
		return no
	}
	if k.status == valid || k.status == received {
		k.status = terminatedByTPP
		k.lastAction = c.today
	}
	for _, a := range k.authorisations { // what the customer has open ends with it
		if a.status != finalised && a.status != exempted {
			a.status = failed
		}
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// addressed is the consent in the path.
func (c *call) addressed() (*consent, *refusal) {
	if c.consent == nil {
		return nil, refuse(403, "CONSENT_UNKNOWN", "there is no such consent")
	}
	return c.consent, nil
}

// choose remembers the accounts that the customer picked.
func (k *consent) choose(chosen []*account) {
	for _, list := range []**[]accountReference{&k.access.Accounts, &k.access.Balances, &k.access.Transactions} {
		if *list == nil || len(**list) > 0 {
			continue
		}
		all := make([]accountReference, 0, len(chosen))
		for _, a := range chosen {
			all = append(all, a.reference())
		}
		*list = &all
	}
}
