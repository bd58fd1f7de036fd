package xs2a

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"kontoflow/providers"
	"kontoflow/providers/lenient"
)

// maxAccounts bounds how many accounts a consent may open.
const maxAccounts = 1000

// accountDetails is an account of /accounts or /card-accounts.
type accountDetails struct {
	ResourceID      text          `json:"resourceId"`
	IBAN            text          `json:"iban"`
	BBAN            text          `json:"bban"`
	MaskedPAN       text          `json:"maskedPan"`
	PAN             text          `json:"pan"`
	MSISDN          text          `json:"msisdn"`
	Currency        text          `json:"currency"`
	Name            text          `json:"name"`
	DisplayName     text          `json:"displayName"`
	Product         text          `json:"product"`
	CashAccountType text          `json:"cashAccountType"`
	Status          text          `json:"status"`
	BIC             text          `json:"bic"`
	OwnerName       text          `json:"ownerName"`
	DebitAccounting text          `json:"debitAccounting"` // card: debits are quoted positive
	Balances        many[balance] `json:"balances"`
	Links           links         `json:"_links"`
}

type balance struct {
	Amount money `json:"balanceAmount"`
	Type   text  `json:"balanceType"`
	Date   text  `json:"referenceDate"`
	Time   text  `json:"lastChangeDateTime"`
}

type money struct {
	Currency text `json:"currency"`
	Amount   text `json:"amount"`
	Content  text `json:"content"` // version 1.0
}

type accountLists struct {
	Accounts     many[accountDetails] `json:"accounts"`
	CardAccounts many[accountDetails] `json:"cardAccounts"`
	AccountList  many[accountDetails] `json:"accountList"`
}

func (t *talk) accounts(ctx context.Context) ([]providers.Account, error) {
	if err := t.ready(); err != nil {
		return nil, err
	}
	withBalances := slices.Contains(scopes(t.lasting.Asked), scopeBalances)
	all, err := t.list(ctx, "accounts", withBalances)
	if err != nil {
		return nil, err
	}
	if t.asksCards() {
		cards, err := t.list(ctx, "card-accounts", false)
		if r, refused := asRefusal(err); refused && len(all) > 0 && r.fault.Kind != providers.Transient && r.fault.Kind != providers.BankDown {
			err = nil // many banks have no cards to show, each in its own words
		}
		if err != nil {
			return nil, err
		}
		if len(cards) == 0 {
			t.lasting.NoCardsOn, t.dirty = t.today(), true
		}
		all = append(all, cards...)
	}
	accounts := make([]providers.Account, 0, len(all))
	for _, found := range all {
		account := found.account()
		if account.ResourceID == "" && account.IBAN == "" && account.Number == "" {
			continue // nothing can be read of it, and nothing recognised
		}
		if len(account.Balances) == 0 && withBalances && account.ResourceID != "" {
			if account.Balances, err = t.balances(ctx, found); err != nil {
				return nil, err
			}
		}
		accounts = append(accounts, account)
	}
	return accounts, nil
}

// asksCards reports whether to look for card accounts: unless there were none, and then again when the customer is
// there, for it does not cost one of the day's unattended reads.
func (t *talk) asksCards() bool {
	none := t.lasting.NoCardsOn
	return none.IsZero() || none != t.today() && t.conv.PSU.IPAddress != ""
}

// found is an account with the list it stood in.
type found struct {
	accountDetails
	list string
}

func (t *talk) list(ctx context.Context, list string, withBalances bool) ([]found, error) {
	u := t.bank.path("v1", list)
	if withBalances {
		u.RawQuery = "withBalance=true"
	}
	var said accountLists
	if err := t.read(ctx, call{doing: "list the accounts", url: u, limit: maxList}, &said); err != nil {
		return nil, err
	}
	all := append(append(said.Accounts, said.AccountList...), said.CardAccounts...)
	if len(all) > maxAccounts {
		return nil, nonsense("list the accounts", "there are too many")
	}
	result := make([]found, len(all))
	for i := range all {
		result[i] = found{all[i], list}
	}
	return result, nil
}

// balances reads an account's balances by themselves. A bank that does not want to show them leaves the account
// without.
func (t *talk) balances(ctx context.Context, f found) ([]providers.Balance, error) {
	u := t.bank.path("v1", f.list, url.PathEscape(string(f.ResourceID)), "balances")
	if href, ok := f.Links.first("balances"); ok {
		var err error
		if u, err = t.bank.resolve(href); err != nil {
			return nil, nonsense("read the balances", err.Error())
		}
	} else if len(f.Links) > 0 {
		return nil, nil // it says what can be read, and these are not among it
	}
	var said struct {
		Balances many[balance] `json:"balances"`
	}
	err := t.read(ctx, call{doing: "read the balances", url: u, of: aboutAccount}, &said)
	if r, refused := asRefusal(err); refused {
		switch r.fault.Kind {
		case providers.NeedsAuthorization, providers.Transient, providers.BankDown:
			return nil, err
		}
		t.options.Logger.WarnContext(ctx, "no balances", "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return balancesOf(said.Balances, f.DebitAccounting == "true"), nil
}

func (f *found) account() providers.Account {
	a := providers.Account{
		ResourceID: lenient.Cut(string(f.ResourceID), maxID),
		Number:     lenient.Cut(cmp.Or(string(f.BBAN), string(f.MaskedPAN), string(f.PAN), string(f.MSISDN)), 64),
		BIC:        lenient.Cut(strings.ToUpper(string(f.BIC)), 11),
		Currency:   lenient.Currency(string(f.Currency)),
		Name:       lenient.Cut(cmp.Or(string(f.DisplayName), string(f.Name), string(f.Product)), 256),
		Owner:      lenient.Cut(string(f.OwnerName), 256),
		Card:       f.list == "card-accounts",
		Balances:   balancesOf(f.Balances, f.DebitAccounting == "true"),
	}
	if iban, ok := lenient.IBAN(string(f.IBAN)); ok {
		a.IBAN = iban
		if iban[:2] == "DE" && len(iban) == 22 {
			a.BankCode = iban[4:12]
			if a.Number == "" || a.Number == a.BankCode+iban[12:] {
				a.Number = iban[12:]
			}
		}
	} else if f.IBAN != "" && a.Number == "" {
		a.Number = lenient.Cut(string(f.IBAN), 64) // a masked card number where an IBAN belongs
	}
	a.Type = f.kind()
	return a
}

// kind names the account's type: from the list it stood in, the ISO 20022 cash account type, and the product's name
// where that says nothing.
func (f *found) kind() providers.AccountType {
	if f.list == "card-accounts" {
		return providers.CreditCard
	}
	name := strings.ToLower(string(f.Product + " " + f.Name))
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	switch f.CashAccountType {
	case "SVGS", "ONDP", "MOMA":
		if f.CashAccountType != "SVGS" || says("tagesgeld", "daily", "call money") {
			return providers.DailySavings
		}
		return providers.Savings
	case "LOAN", "MGLD":
		return providers.Loan
	case "CARD", "CCRD":
		return providers.CreditCard
	}
	switch {
	case says("tagesgeld"):
		return providers.DailySavings
	case says("sparbuch", "sparkonto", "spareinlage", "savings"):
		return providers.Savings
	case says("kreditkarte", "credit card", "mastercard", "visa"):
		return providers.CreditCard
	case says("darlehen", "kredit", "loan", "mortgage"):
		return providers.Loan
	case says("depot", "wertpapier"):
		return providers.Depot
	case says("paypal"):
		return providers.PayPal
	}
	switch {
	case f.CashAccountType == "CACC", f.CashAccountType == "TRAN", f.CashAccountType == "CASH", f.CashAccountType == "SLRY",
		f.IBAN != "" && says("giro", "konto", "current", "checking"):
		return providers.Giro
	}
	return providers.Unknown
}

func balancesOf(all many[balance], debitPositive bool) []providers.Balance {
	var list []providers.Balance
	for _, b := range all {
		amount, ok := lenient.Amount(cmp.Or(string(b.Amount.Amount), string(b.Amount.Content)))
		if !ok || len(list) == 20 {
			continue
		}
		if debitPositive {
			amount = amount.Neg()
		}
		kind := lenient.Cut(string(b.Type), 64)
		if kind == "" {
			kind = "expected"
		}
		date := lenient.Date(string(b.Date))
		if date.IsZero() {
			date = lenient.Date(string(b.Time))
		}
		list = append(list, providers.Balance{Type: kind, Amount: amount, Currency: lenient.Currency(string(b.Amount.Currency)), Date: date})
	}
	return list
}

// ready refuses reads of a conversation that is not authorised.
func (t *talk) ready() error {
	if t.lasting.ConsentID == "" || t.lasting.ConsentStatus != "valid" {
		return needsAuthorization(errNoConsent)
	}
	return nil
}

// read sends a read under the consent. What the bank says about consent and token is kept for Authorize.
func (t *talk) read(ctx context.Context, c call, into any) error {
	t.reading(&c)
	_, err := t.json(ctx, c, into)
	return t.judgeRead(ctx, c.of, err)
}

func (t *talk) reading(c *call) {
	c.method = http.MethodGet
	c.header = map[string]string{"Consent-ID": t.lasting.ConsentID}
	_, there := t.customer()
	c.counted = !there
}

// spent is the error of a read. Without the customer the bank lets each thing be read so many times a day, and each
// synchronization may do so once: what the bank may have counted is over with this one, whatever became of the answer.
func (t *talk) spent(ctx context.Context, err error) error {
	var e *providers.Error
	if t.counted && ctx.Err() == nil && errors.As(err, &e) && e.Kind == providers.Transient {
		e.Kind = providers.BankDown
	}
	return err
}

// judgeRead notes why a read wants authorization: an authorisation that the bank offers, a token to be refreshed, or
// a consent that is over. One that the bank refuses without saying so is left.
func (t *talk) judgeRead(ctx context.Context, of subject, err error) error {
	r, refused := asRefusal(err)
	if !refused {
		return err
	}
	_, redirect := r.links["scaRedirect"]
	switch {
	case r.status == http.StatusUnauthorized && (redirect || len(r.links.starting()) > 0):
		t.dialog = dialog{ForReading: true, Position: position{Links: r.links}, Start: r.links.starting()}
		r.fault.Kind, r.fault.Code = providers.NeedsAuthorization, providers.CodeNotAuthorized
	case r.fault.Kind != providers.NeedsAuthorization:
		return err
	case tokenRefused(r) && t.lasting.Token != nil:
		t.dialog = dialog{RefreshToken: true}
	case of == aboutAccount && r.code != "CONSENT_EXPIRED" && t.stillValid(ctx):
		// The consent is good, and does not open this account: asking the customer again would change nothing.
		r.fault.Kind = providers.Gone
		return err
	case r.consentOver():
		t.lasting.ConsentStatus, t.dialog = "expired", dialog{}
	default:
		t.dialog = dialog{}
		if leaving := t.leaveConsent(); leaving != nil {
			return leaving
		}
	}
	t.dirty = true
	return err
}

// stillValid asks the bank whether the consent is valid.
func (t *talk) stillValid(ctx context.Context) bool {
	status, _, err := t.consentStatus(ctx)
	return err == nil && status == "valid"
}
