package xs2a

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// maxAccounts bounds how many accounts a consent may open.
const maxAccounts = 1000

// accountDetails is an account of /accounts or /card-accounts.
type accountDetails struct {
	ResourceID      text                   `json:"resourceId"`
	IBAN            text                   `json:"iban"`
	BBAN            text                   `json:"bban"`
	MaskedPAN       text                   `json:"maskedPan"`
	PAN             text                   `json:"pan"`
	MSISDN          text                   `json:"msisdn"`
	Currency        text                   `json:"currency"`
	Name            text                   `json:"name"`
	DisplayName     text                   `json:"displayName"`
	Product         text                   `json:"product"`
	CashAccountType text                   `json:"cashAccountType"`
	Status          text                   `json:"status"`
	BIC             text                   `json:"bic"`
	OwnerName       text                   `json:"ownerName"`
	DebitAccounting text                   `json:"debitAccounting"` // card: debits are quoted positive
	Balances        many[balance, upTo100] `json:"balances"`
	Links           links                  `json:"_links"`
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
	Accounts     many[accountDetails, upToAccounts] `json:"accounts"`
	CardAccounts many[accountDetails, upToAccounts] `json:"cardAccounts"`
	AccountList  many[accountDetails, upToAccounts] `json:"accountList"`
}

func (t *talk) accounts(ctx context.Context) ([]banks.Account, error) {
	if err := t.ready(); err != nil {
		return nil, err
	}
	withBalances := slices.Contains(scopes(t.lasting.Asked), scopeBalances)
	all, err := t.listed(ctx, withBalances)
	if err != nil {
		return nil, err
	}
	if t.asksCards() {
		cards, err := t.cards(ctx, len(all) > 0)
		if err != nil {
			return nil, err
		}
		all = append(all, cards...)
	}
	accounts := make([]banks.Account, 0, len(all))
	for _, found := range all {
		account, unreadable := found.account()
		if unreadable > 0 {
			t.options.Logger.WarnContext(ctx, "values of an account cannot be read", "count", unreadable)
		}
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

// listed reads the list of accounts, with balances where they are wanted. A bank that refuses the
// wish for balances (withBalance) is asked once more without, and from then on: then they are read
// account by account.
func (t *talk) listed(ctx context.Context, withBalances bool) ([]found, error) {
	asked := withBalances && !t.lasting.NoWithBalance
	all, err := t.list(ctx, "accounts", asked)
	if r, refused := asRefusal(err); asked && refused && r.objects() {
		if all, err = t.list(ctx, "accounts", false); err == nil {
			t.lasting.NoWithBalance, t.dirty = true, true
		}
	}
	return all, t.judgeRead(ctx, aboutNothing, err)
}

// cards reads the list of card accounts. Many banks have none, and each says so in its own words.
// Where there are other accounts (spare), whatever else this bank answers is no reason to do
// without them, unless it has shown cards before.
func (t *talk) cards(ctx context.Context, spare bool) ([]found, error) {
	cards, err := t.list(ctx, "card-accounts", false)
	var e *banks.Error
	switch {
	case err == nil:
	case spare && ctx.Err() == nil && errors.As(err, &e) && !(t.lasting.Cards && mayPass(e.Kind)):
		if mayPass(e.Kind) { // the next synchronization may find some
			t.options.Logger.WarnContext(ctx, "card accounts cannot be listed", "error", e.Error())
			return nil, nil
		}
	default:
		return nil, t.judgeRead(ctx, aboutNothing, err)
	}
	switch {
	case len(cards) == 0:
		t.lasting.NoCardsOn, t.dirty = t.today(), true
	case !t.lasting.Cards:
		t.lasting.Cards, t.dirty = true, true
	}
	return cards, nil
}

// mayPass reports whether an error may be over the next time.
func mayPass(kind banks.Kind) bool {
	return kind == banks.Transient || kind == banks.BankDown || kind == banks.LimitExceeded
}

// asksCards reports whether to look for card accounts: unless there were none, and then again when
// the customer is there, for it does not cost one of the day's unattended reads.
func (t *talk) asksCards() bool {
	none := t.lasting.NoCardsOn
	return none.IsZero() || none != t.today() && t.conv.PSU.IPAddress != ""
}

// found is an account with the list it stood in.
type found struct {
	accountDetails
	list   string
	unread bool // the bank offers transactions of others in the list, and not of this one
}

// list reads a list of accounts. The caller judges what a refusal means.
func (t *talk) list(ctx context.Context, list string, withBalances bool) ([]found, error) {
	u := t.bank.path("v1", list)
	if withBalances {
		u.RawQuery = "withBalance=true"
	}
	c := call{doing: "list the accounts", url: u, limit: maxList}
	t.reading(&c)
	var said accountLists
	if _, err := t.json(ctx, c, &said); err != nil {
		return nil, err
	}
	all := append(append(said.Accounts, said.AccountList...), said.CardAccounts...)
	if len(all) > maxAccounts {
		return nil, nonsense("list the accounts", "there are too many")
	}
	offered := slices.ContainsFunc(all, func(a accountDetails) bool { return a.offersTransactions() })
	result := make([]found, len(all))
	for i := range all {
		result[i] = found{accountDetails: all[i], list: list, unread: offered && !all[i].offersTransactions()}
	}
	return result, nil
}

// offersTransactions reports whether the bank links the account's transactions.
func (a *accountDetails) offersTransactions() bool {
	_, offered := a.Links.first("transactions")
	return offered
}

// balances reads an account's balances by themselves. A bank that does not want to show them leaves
// the account without.
func (t *talk) balances(ctx context.Context, f found) ([]banks.Balance, error) {
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
		Balances many[balance, upTo100] `json:"balances"`
	}
	err := t.read(ctx, call{doing: "read the balances", url: u, of: aboutAccount}, &said)
	if r, refused := asRefusal(err); refused {
		switch r.fault.Kind {
		case banks.NeedsAuthorization, banks.Transient, banks.BankDown:
			return nil, err
		}
		t.options.Logger.WarnContext(ctx, "no balances", "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, unreadable := f.balancesOf(said.Balances)
	if unreadable > 0 {
		t.options.Logger.WarnContext(ctx, "balances of an account cannot be read", "count", unreadable)
	}
	return list, nil
}

// account is the account as others know it. unreadable counts the values of it that had to be left
// out.
func (f *found) account() (a banks.Account, unreadable int) {
	a = banks.Account{
		ResourceID: lenient.Cut(string(f.ResourceID), maxID),
		Number:     lenient.Cut(cmp.Or(string(f.BBAN), string(f.MaskedPAN), string(f.PAN), string(f.MSISDN)), 64),
		BIC:        lenient.Cut(strings.ToUpper(string(f.BIC)), 11),
		Currency:   lenient.Currency(string(f.Currency)),
		Name:       lenient.Cut(cmp.Or(string(f.DisplayName), string(f.Name), string(f.Product)), 256),
		Owner:      lenient.Cut(string(f.OwnerName), 256),
		Card:       f.list == "card-accounts",
	}
	if f.unread {
		a.Unread = banks.UnreadNotOffered
	}
	a.Balances, unreadable = f.balancesOf(f.Balances)
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
	return a, unreadable
}

// kind names the account's type: from the list it stood in, the ISO 20022 cash account type, and
// the product's name where that says nothing.
func (f *found) kind() banks.AccountType {
	if f.list == "card-accounts" {
		return banks.CreditCard
	}
	name := strings.ToLower(string(f.Product + " " + f.Name))
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	switch f.CashAccountType {
	case "SVGS", "ONDP", "MOMA":
		if f.CashAccountType != "SVGS" || says("tagesgeld", "daily", "call money") {
			return banks.DailySavings
		}
		return banks.Savings
	case "LOAN", "MGLD":
		return banks.Loan
	case "CARD", "CCRD":
		return banks.CreditCard
	}
	switch {
	case says("tagesgeld"):
		return banks.DailySavings
	case says("sparbuch", "sparkonto", "spareinlage", "savings"):
		return banks.Savings
	case says("kreditkarte", "credit card", "mastercard", "visa"):
		return banks.CreditCard
	case says("darlehen", "kredit", "loan", "mortgage"):
		return banks.Loan
	case says("depot", "wertpapier"):
		return banks.Depot
	case says("paypal"):
		return banks.PayPal
	}
	switch {
	case f.CashAccountType == "CACC", f.CashAccountType == "TRAN", f.CashAccountType == "CASH", f.CashAccountType == "SLRY",
		f.IBAN != "" && says("giro", "konto", "current", "checking"):
		return banks.Giro
	}
	return banks.Unknown
}

// balancesOf are the balances of the account: those in its own currency, the newest of each type.
// unreadable counts the values of them that had to be left out.
func (f *found) balancesOf(all []balance) (list []banks.Balance, unreadable int) {
	own := lenient.Currency(string(f.Currency))
	if own == severalCurrencies {
		own = ""
	}
	for i := range all {
		b, trouble := all[i].read(f.DebitAccounting == "true")
		if trouble != "" {
			unreadable++
		}
		if trouble != troubleAmount && (own == "" || b.Currency == "" || b.Currency == own) {
			list = append(list, b)
		}
	}
	return newest(list), unreadable
}

// severalCurrencies is the currency of an account that has sub-accounts in several (ISO 4217: no
// currency).
const severalCurrencies = "XXX"

// read turns it into a balance. trouble says what of it cannot be read; without an amount it is no
// balance.
func (b *balance) read(debitPositive bool) (read banks.Balance, trouble string) {
	amount, ok := lenient.Amount(cmp.Or(string(b.Amount.Amount), string(b.Amount.Content)))
	if !ok {
		return read, troubleAmount
	}
	if debitPositive {
		amount = amount.Neg()
	}
	currency := lenient.Currency(string(b.Amount.Currency))
	if currency == "" && b.Amount.Currency != "" {
		return read, troubleAmount // of no currency that is known, it could be anything
	}
	date, ok := lenient.Day(string(b.Date))
	if !ok {
		trouble = "date"
	}
	if date.IsZero() {
		if date, ok = lenient.Day(string(b.Time)); !ok {
			trouble = "date"
		}
	}
	return banks.Balance{Type: cmp.Or(lenient.Cut(string(b.Type), 64), "expected"),
		Amount: lenient.WithoutNoise(amount, currency), Currency: currency, Date: date}, trouble
}

// newest bounds a list of balances. Where it is too long, the newest of each type and currency
// stays, and of these the newest ones; of two of one day the later one in the list.
func newest(list []banks.Balance) []banks.Balance {
	if len(list) <= maxBalances {
		return list
	}
	type kind struct{ name, currency string }
	at := make(map[kind]int)
	kept := list[:0]
	for _, b := range list {
		k := kind{b.Type, b.Currency}
		if i, known := at[k]; known {
			if b.Date >= kept[i].Date {
				kept[i] = b
			}
			continue
		}
		at[k] = len(kept)
		kept = append(kept, b)
	}
	if len(kept) > maxBalances {
		slices.SortStableFunc(kept, func(a, b banks.Balance) int { return cmp.Compare(b.Date, a.Date) })
		kept = kept[:maxBalances]
	}
	return kept
}

// ready refuses reads of a conversation that is not authorised.
func (t *talk) ready() error {
	if t.lasting.ConsentID == "" || t.lasting.ConsentStatus != consentValid {
		return needsAuthorization(errNoConsent)
	}
	return nil
}

// read sends a read under the consent. What the bank says about consent and token is kept for
// Authorize.
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

// spent is the error of a read. Without the customer the bank lets each thing be read so many times
// a day, and each synchronization may do so once: what the bank may have counted is over with this
// one, whatever became of the answer.
func (t *talk) spent(ctx context.Context, err error) error {
	var e *banks.Error
	if t.counted && ctx.Err() == nil && errors.As(err, &e) && e.Kind == banks.Transient {
		e.Kind = banks.BankDown
	}
	return err
}

// judgeRead notes why a read wants authorization: an authorisation that the bank offers, a token to
// be refreshed, or a consent that is over. One that the bank refuses without saying so is left.
func (t *talk) judgeRead(ctx context.Context, of subject, err error) error {
	r, refused := asRefusal(err)
	if !refused {
		return err
	}
	_, redirect := r.links["scaRedirect"]
	switch {
	case r.status == http.StatusUnauthorized && (redirect || len(r.links.starting()) > 0):
		begun := t.bank.begun(r.links)
		t.dialog = dialog{ForReading: true, Position: position{Links: begun, Authorisation: begun["scaStatus"]}, Start: begun.starting()}
		r.fault.Kind, r.fault.Code = banks.NeedsAuthorization, banks.CodeNotAuthorized
	case r.fault.Kind != banks.NeedsAuthorization:
		return err
	case r.token && t.lasting.Token != nil:
		t.dialog = dialog{RefreshToken: true}
	case of == aboutAccount && r.code != "CONSENT_EXPIRED" && t.stillValid(ctx):
		// The consent is good, and does not open this account: asking the customer again would
		// change nothing.
		r.fault.Kind = banks.Gone
		return err
	case r.consentOver():
		t.lasting.ConsentStatus, t.dialog = consentExpired, dialog{}
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
	return err == nil && status == consentValid
}
