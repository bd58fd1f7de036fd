package xs2a

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
)

const (
	scopeAccounts     = "ACCOUNTS"
	scopeBalances     = "BALANCES"
	scopeTransactions = "TRANSACTIONS"
)

// scopes are what a consent is wished for; none named means all.
func scopes(c banks.Consent) []string {
	if len(c.Scopes) == 0 {
		return []string{scopeAccounts, scopeBalances, scopeTransactions}
	}
	return c.Scopes
}

// unlimited asks for the longest consent that the bank gives (OpenAPI file 1.3.11, validUntil).
var unlimited = civil.Day(9999, 12, 31)

// consentRequest is the body of POST /consents.
type consentRequest struct {
	Access     access `json:"access"`
	Recurring  bool   `json:"recurringIndicator"`
	ValidUntil string `json:"validUntil"`
	Frequency  int    `json:"frequencyPerDay"`
	Combined   bool   `json:"combinedServiceIndicator"`
}

// access says what may be read. An empty list, as against none, lets the customer choose at the bank.
type access struct {
	Accounts     *[]reference `json:"accounts,omitempty"`
	Balances     *[]reference `json:"balances,omitempty"`
	Transactions *[]reference `json:"transactions,omitempty"`
	AllPSD2      string       `json:"allPsd2,omitempty"`
}

type reference struct {
	IBAN     string `json:"iban"`
	Currency string `json:"currency,omitempty"`
}

func (t *talk) consentRequest() consentRequest {
	wanted := t.conv.Consent
	r := consentRequest{Recurring: wanted.Recurring || t.dialect.onlyRecurring, Frequency: 1}
	until := t.today().AddDays(1)
	if r.Recurring {
		r.Frequency = 4 // what RTS 2018/389 Art. 36(5) allows without the customer
		switch days := wanted.PeriodDays; {
		case t.dialect.maxDays > 0 && (days <= 0 || days > t.dialect.maxDays):
			until = t.today().AddDays(t.dialect.maxDays)
		case days > 0:
			until = t.today().AddDays(days)
		default:
			until = unlimited
		}
	}
	r.ValidUntil = until.String()

	has := func(scope string) bool { return slices.Contains(scopes(wanted), scope) }
	if len(wanted.Accounts) == 0 && t.dialect.access == allPSD2 && has(scopeBalances) && has(scopeTransactions) {
		r.Access.AllPSD2 = "allAccounts"
		return r
	}
	named := []reference{}
	for _, account := range wanted.Accounts {
		named = append(named, reference{IBAN: account.IBAN, Currency: account.Currency})
	}
	r.Access.Accounts = &named
	if has(scopeBalances) {
		r.Access.Balances = &named
	}
	if has(scopeTransactions) {
		r.Access.Transactions = &named
	}
	return r
}

// postConsent creates the consent. The same requestID lets the bank recognise a repetition.
func (t *talk) postConsent(ctx context.Context, requestID string) error {
	header := t.identity()
	t.addRedirects(header)
	t.addPreference(header)
	if t.conv.PSU.IPAddress == "" {
		header["PSU-IP-Address"] = t.ownAddress()
	}
	asked := t.conv.Consent
	var a answer
	r, err := t.json(ctx, call{doing: "create the consent", method: http.MethodPost, url: t.bank.path("v1", "consents"),
		body: t.consentRequest(), header: header, requestID: requestID}, &a)
	if refused, ok := asRefusal(err); ok {
		if href, wanted := refused.links["scaOAuth"]; wanted && t.lasting.Token == nil && t.conv.Connection.OAuth != nil {
			// The bank wants a token before the consent, whatever the catalog says.
			t.dialog.Position = position{Links: links{"scaOAuth": href}}
			return nil
		}
	}
	if err != nil {
		return err
	}
	if a.ConsentID == "" || len(a.ConsentID) > maxID {
		return nonsense("create the consent", "the answer has no consent id")
	}
	if t.lasting.ConsentID != "" { // that of a synchronization which was cancelled meanwhile
		if err := t.leaveConsent(); err != nil {
			return err
		}
	}
	if next := t.lasting.Next; next != nil { // this one follows
		if err := t.leave(*next); err != nil {
			return err
		}
		t.lasting.Next = nil
	}
	t.lasting.forgetConsent()
	t.lasting.ConsentID, t.lasting.ConsentStatus, t.lasting.Asked = string(a.ConsentID), a.ConsentStatus, asked
	t.lasting.Renewal = t.conv.Renew
	t.dialog.Begun, t.dialog.Position = true, position{}
	t.arrive(&a, r)
	t.dialog.Start = t.dialog.Position.Links.starting()
	if t.lasting.ConsentStatus == consentValid {
		t.lasting.ConsentStatus = consentReceived // until it was read
		t.dialog.Position.SCAStatus = scaExempted
	}
	return nil
}

// readConsent reads what was really granted.
func (t *talk) readConsent(ctx context.Context) error {
	var a answer
	_, err := t.json(ctx, call{doing: "read the consent", method: http.MethodGet, of: aboutConsent,
		url: t.bank.path("v1", "consents", url.PathEscape(t.lasting.ConsentID))}, &a)
	if err != nil {
		return err
	}
	l := &t.lasting
	l.ConsentStatus, l.ValidUntil, l.FrequencyPerDay = a.ConsentStatus, a.validUntil(), a.frequency()
	t.dirty = true
	return nil
}

// consentStatus asks only for the status. That a consent is valid is believed when the consent itself was read.
func (t *talk) consentStatus(ctx context.Context) (status consentStatus, header http.Header, err error) {
	var a answer
	r, err := t.json(ctx, call{doing: "ask for the consent's status", method: http.MethodGet, of: aboutConsent,
		url: t.bank.path("v1", "consents", url.PathEscape(t.lasting.ConsentID), "status")}, &a)
	if err != nil {
		return "", nil, err
	}
	if a.ConsentStatus != "" && a.ConsentStatus != consentValid {
		t.lasting.ConsentStatus, t.dirty = a.ConsentStatus, true
	}
	return a.ConsentStatus, r.header, nil
}

func (t *talk) deleteConsent(ctx context.Context) error {
	_, err := t.json(ctx, call{doing: "end the consent", method: http.MethodDelete, of: aboutConsent,
		url: t.bank.path("v1", "consents", url.PathEscape(t.lasting.ConsentID))}, &answer{})
	return err
}

// revoke ends the consent at the bank, and the one that was to follow it; each whatever becomes of the other.
func (t *talk) revoke(ctx context.Context) error {
	t.turnBack()
	var open error
	if t.lasting.Next != nil {
		t.turnTo(t.lasting)
		open = t.revokeOne(ctx)
		t.turnBack()
	}
	if err := t.revokeOne(ctx); err != nil {
		return err
	}
	if open == nil {
		t.lasting, t.dialog = lasting{}, dialog{}
	}
	return open
}

// revokeOne ends the talk's consent. It is revoked when the bank has ended it, or says that it is over; every other refusal
// is an error, and may pass. A token that the bank does not take is renewed for it, or else left out: most banks know us
// by our certificate. Where one insists on a token and there is none any more, nobody but the customer can end the consent.
// Its refusal (401, often without a code) looks like one that passes, so the caller goes on asking until the consent has
// ended by itself, and then says that it was never revoked (activities.RevokeConsent).
func (t *talk) revokeOne(ctx context.Context) error {
	stale, renewed := t.lasting.Token != nil && t.lasting.Token.expired(t.options.Now()), false
	for t.lasting.ConsentID != "" {
		switch {
		case stale && !renewed && t.lasting.Token.Refresh != "":
			renewed = true
			if err := t.refreshToken(ctx); err != nil {
				return err
			}
		case stale:
			t.lasting.Token, t.dirty = nil, true
		}
		err := t.deleteConsent(ctx)
		r, refused := asRefusal(err)
		switch stale = refused && r.token && t.lasting.Token != nil; {
		case stale:
		case err == nil, refused && r.consentOver():
			t.lasting.forgetConsent()
		default:
			return err
		}
	}
	if t.tokenPerConsent() {
		t.lasting.Token = nil
	}
	t.dirty = true
	return nil
}
