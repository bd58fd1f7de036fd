// Package providers is the seam between Kontoflow and the banks: what a protocol adapter takes and gives.
//
// An adapter (banks/xs2a, banks/fints) turns one bank protocol into the few moves below. It keeps
// nothing between calls: everything that has to live on is in the Conversation, which the caller seals into
// the database after every move. That is what lets a worker die while the customer looks for their TAN.
package banks

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// An Adapter speaks one bank protocol. It is safe for concurrent use, and holds no state of a conversation.
//
// Errors are always *Error: classified once, here, and never carrying a secret or a person's data except in
// Error.Message.
type Adapter interface {
	// Authorize moves conv one step towards Ready: it re-uses what is still valid of conv.Lasting (consent,
	// tokens, customer-system id), and asks the bank for the rest. It is also the way on after Accounts or
	// Transactions ended in NeedsAuthorization: the state remembers what the bank demanded.
	Authorize(ctx context.Context, conv *Conversation) (Step, error)

	// Answer hands the customer's answer to the open challenge to the bank. Calling it again after a Moving
	// step needs the same answer.
	Answer(ctx context.Context, conv *Conversation, answer Answer) (Step, error)

	// Poll asks the bank once how a DECOUPLED challenge stands. It never asks sooner than the bank allows:
	// the caller waits Step.PollAfter between two calls.
	Poll(ctx context.Context, conv *Conversation) (Step, error)

	// Accounts lists what conv's consent opens, with balances where the bank gives them. Ready conversations only.
	Accounts(ctx context.Context, conv *Conversation) ([]Account, error)

	// Transactions reads one page of an account's entries. Several accounts may be read at once (as many as
	// Connection.AccountsAtOnce says), each with its own copy of conv; of these, the copy of a call that ended in
	// NeedsAuthorization is the one to keep. The first page has an empty cursor, the next ones the Page.Next of the page
	// before; the last page has an empty Next. Ready conversations only.
	Transactions(ctx context.Context, conv *Conversation, account Account, window Window, cursor string) (Page, error)

	// Revoke ends the consent at the bank, and one that was to follow it. A consent that the bank says is over, or not there, is
	// revoked; after every other refusal it has to be taken for valid.
	Revoke(ctx context.Context, conv *Conversation) error
}

// A HangUpper is an Adapter whose conversations keep something open at the bank until it is ended.
type HangUpper interface {
	// HangUp ends it. A bank that does not hear of it does so by itself, some time later.
	HangUp(ctx context.Context, conv *Conversation) error
}

// A Prober is an Adapter that can look whether a bank is there, without any customer.
type Prober interface {
	// Probe asks once at the connection's address; nothing secret of the connection goes along. A bank that answers in its
	// protocol is there, whatever it answers. It returns the addresses at which the bank says that it is reached, where
	// the protocol has them: to be compared, never to be followed. ErrUntrusted: its certificate is wrong.
	Probe(ctx context.Context, c *Connection) (addresses []string, err error)
}

// A Conversation is everything a move needs. Lasting and Dialog are the adapter's own JSON, sealed at rest;
// everything else is given by the caller, fresh for every call.
type Conversation struct {
	Connection  Connection
	Credentials map[string]string // credential field key → value, as the catalog names them
	PSU         PSU
	// Interactive says that the customer can be asked. Without them a step that needs them ends in NeedsUser: no consent and no
	// authorisation is begun at the bank, and no TAN or push message is called forth where that can be known beforehand.
	// Where the bank wants them for more, the last DaysWithoutSCA are read. It also says that somebody waits: of what shares the
	// bank's Connection.RequestsPerSecond, the interactive goes first.
	Interactive bool
	Consent     Consent // what is asked for
	// Renew names a wish for a new consent although one is in force, which stays so until the customer has granted the new
	// one. Each name is fulfilled once; "": no wish. Only where Interactive, and where the protocol knows consents.
	Renew string
	// ChooseMethod names a wish to choose the method of strong customer authentication, and its medium, anew although one
	// is stored. Each name is fulfilled once; "": no wish. Only where Interactive. The bank is asked again which methods
	// there are, unless it was in this synchronization; where there is only one, the customer is not asked. What is stored
	// stays until an authentication with the new choice has succeeded.
	ChooseMethod string
	// Restart names a wish to give up the open question, and the order or the authorisation that it belongs to, and to
	// begin another one in its place: with the same method and medium, or after a new choice where ChooseMethod names a
	// wish as well. Each name is fulfilled once; "": no wish. Only for Authorize, and only where Interactive. It does
	// nothing where no question is open. The caller bounds how often it is wished for: each wish allows an adapter what
	// it takes to fulfil it once (a login with the PIN, an authorisation begun afresh) beyond its own bounds.
	Restart  string
	Redirect Redirect

	Lasting json.RawMessage // lives with the access: consent id, tokens, FinTS customer-system id and BPD; see ConsentID
	Dialog  json.RawMessage // lives with the synchronization: authorisation id, waiting order, message number

	// Resumed is true on the first call since Lasting and Dialog were loaded: what they announce as about to be
	// sent may have been sent already, and the adapter finds out before it sends anything that cannot be repeated.
	Resumed bool

	// Granted is what the bank gave, kept up by the adapter: nil until there is a valid consent. It belongs to the consent of
	// ConsentID.
	Granted *Grant

	// Methods are the customer's methods of strong customer authentication as far as Lasting knows them, kept up by the
	// adapter. The one that is used without asking has Default. nil: none is known.
	Methods []AuthMethod

	// Left are earlier states like Lasting whose consent the adapter has given up although the bank may still hold it
	// valid. The caller takes them away when it stores Lasting, and has them revoked.
	Left []json.RawMessage
}

// NextConsent is the part of a state like Conversation.Lasting that is about a consent which is to follow the one in force, and
// is not granted yet; nil: there is none. By itself it is such a state, too. Adapters keep it as the member next.
func NextConsent(lasting json.RawMessage) json.RawMessage {
	var state struct {
		Next json.RawMessage `json:"next"`
	}
	if json.Unmarshal(lasting, &state) != nil {
		return nil
	}
	if id := ConsentID(state.Next); id == "" || id == ConsentID(lasting) { // a bank that answered with the one it has
		return nil
	}
	return state.Next
}

// WithoutNextConsent is such a state without that part.
func WithoutNextConsent(lasting json.RawMessage) (json.RawMessage, error) {
	var state map[string]json.RawMessage
	if err := json.Unmarshal(lasting, &state); err != nil {
		return nil, fmt.Errorf("read lasting state: %w", err)
	}
	delete(state, "next")
	rest, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("write lasting state: %w", err)
	}
	return rest, nil
}

// ConsentID is the bank's id of the consent that a state like Conversation.Lasting holds (the one in force, where another is to
// follow it), by which two of them are known to hold the same one; "": it holds none. Adapters keep it as the member
// consent_id.
func ConsentID(lasting json.RawMessage) string {
	var state struct {
		ConsentID string `json:"consent_id"`
	}
	if json.Unmarshal(lasting, &state) != nil {
		return "" // there is no state yet
	}
	return state.ConsentID
}

// NeedsUserEachTime reports whether a state like Conversation.Lasting says that the bank wants strong customer
// authentication at every login, so that nothing can be read without the customer. Adapters keep it as the member
// each_login: true after two logins in a row at which the bank wanted it although the last one was recent, and false again
// after a login without.
func NeedsUserEachTime(lasting json.RawMessage) bool {
	var state struct {
		EachLogin bool `json:"each_login"`
	}
	return json.Unmarshal(lasting, &state) == nil && state.EachLogin
}

// PSU is the payment service user's presence. Without IPAddress the bank counts a read as unattended.
type PSU struct {
	IPAddress string
	UserAgent string
}

// Consent is what the client wishes to be allowed to read.
type Consent struct {
	Recurring  bool
	PeriodDays int              // how long, from today; 0: as long as the bank lets
	Scopes     []string         // ACCOUNTS, BALANCES, TRANSACTIONS; empty: all three
	Accounts   []AccountRequest // empty: all accounts, or those chosen at the bank
}

// AccountRequest names an account in a consent request.
type AccountRequest struct {
	IBAN     string
	Currency string
}

// Grant is the consent that the bank really gave.
type Grant struct {
	ValidUntil      time.Time // zero: the bank did not say
	FrequencyPerDay int       // unattended reads per 24 hours and account; 0: the bank did not say
}

// Redirect is where the bank sends the customer back to.
type Redirect struct {
	URL   string // our callback, without query
	State string // unguessable, belongs to the open challenge; goes out as query parameter `state`
}

// StepStatus says how a move ended.
type StepStatus string

const (
	Ready      StepStatus = "READY"      // authorized: accounts and transactions can be read
	Challenged StepStatus = "CHALLENGED" // the customer is asked: Step.Challenge
	Moving     StepStatus = "MOVING"     // nobody is asked; seal the state, then call the same method again
	Pending    StepStatus = "PENDING"    // Poll only: not confirmed yet, ask again after Step.PollAfter
)

// A Step is the outcome of one move.
type Step struct {
	Status    StepStatus
	Challenge *Challenge    // with Challenged
	PollAfter time.Duration // with Pending, and with Challenged where the challenge is DECOUPLED
}

// ChallengeType is how the customer answers.
type ChallengeType string

const (
	MethodSelection ChallengeType = "METHOD_SELECTION"
	Embedded        ChallengeType = "EMBEDDED"
	RedirectTo      ChallengeType = "REDIRECT"
	Decoupled       ChallengeType = "DECOUPLED"
)

// Formats of an EMBEDDED challenge.
const (
	FormatText  = "TEXT"
	FormatHTML  = "HTML"
	FormatPhoto = "PHOTO" // Data is an RFC 2397 data URI
	FormatHHD   = "HHD"   // Data is the flicker code
)

// A Challenge is a question to the customer. Its JSON is what the API answers (beside id and created_at).
type Challenge struct {
	Type           ChallengeType `json:"type"`
	AuthMethods    []AuthMethod  `json:"auth_methods,omitempty"`    // METHOD_SELECTION
	Format         string        `json:"format,omitempty"`          // EMBEDDED
	Data           string        `json:"data,omitempty"`            // EMBEDDED
	Label          string        `json:"label,omitempty"`           // EMBEDDED
	Version        string        `json:"version,omitempty"`         // EMBEDDED with HHD: "1.3", "1.4"
	AdditionalInfo string        `json:"additional_info,omitempty"` // EMBEDDED; must be shown
	InputFormat    string        `json:"input_format,omitempty"`    // characters | integer
	MinLength      int           `json:"min_length,omitempty"`
	MaxLength      int           `json:"max_length,omitempty"`
	Location       string        `json:"location,omitempty"` // REDIRECT
	Message        string        `json:"message,omitempty"`  // DECOUPLED
}

// AuthMethod is a way of strong customer authentication, or one of several devices for it.
type AuthMethod struct {
	ID             string            `json:"id"`
	Type           string            `json:"type"`
	MediumName     string            `json:"medium_name,omitempty"`
	AdditionalInfo map[string]string `json:"additional_info,omitempty"`
	Default        bool              `json:"default,omitempty"` // only in Conversation.Methods
}

// An Answer is the customer's answer to the open challenge; what is set depends on its type.
type Answer struct {
	Value    string            `json:"value,omitempty"`     // EMBEDDED
	MethodID string            `json:"method_id,omitempty"` // METHOD_SELECTION
	Query    map[string]string `json:"query,omitempty"`     // REDIRECT: what came back on our callback (code, error, …)
}

// An Account as the bank describes it.
type Account struct {
	ResourceID string      `json:"resource_id"` // the bank's handle for this consent; not an identity
	IBAN       string      `json:"iban,omitempty"`
	Number     string      `json:"number,omitempty"` // BBAN, FinTS account number or masked PAN
	BankCode   string      `json:"bank_code,omitempty"`
	BIC        string      `json:"bic,omitempty"`
	Currency   string      `json:"currency,omitempty"`
	Name       string      `json:"name,omitempty"`
	Owner      string      `json:"owner,omitempty"`
	Type       AccountType `json:"type"`
	Card       bool        `json:"card,omitempty"` // read through the protocol's card calls
	Balances   []Balance   `json:"balances,omitempty"`
	// Unread says why the account's transactions are never asked for, as one of the fixed codes below; empty: they
	// are. Such an account is listed and shown, with its balance where there is one, and fails no synchronization.
	Unread string `json:"unread,omitempty"`
}

// Reasons of Account.Unread. Adapters add their own; each is a fixed word, never something that a bank has sent.
const (
	// UnreadNotOffered: the bank offers transactions of other accounts of the same access, and not of this one.
	UnreadNotOffered = "NO_TRANSACTIONS_OFFERED"
	// UnreadNoOrder: the bank has no order by which the account's transactions could be asked for (FinTS).
	UnreadNoOrder = "NO_STATEMENT_ORDER"
	// UnreadDepot: the account holds securities, which are not read.
	UnreadDepot = "DEPOT"
)

// AccountType is the family's name of an account's kind.
type AccountType string

const (
	Giro         AccountType = "Giro account"
	Savings      AccountType = "Savings account"
	DailySavings AccountType = "Daily savings account"
	CreditCard   AccountType = "Credit card"
	Loan         AccountType = "Loan account"
	PayPal       AccountType = "PayPal"
	Depot        AccountType = "Depot"
	Unknown      AccountType = "Unknown"
)

// Balance is an account's balance of one kind, in the account's currency unless Currency says otherwise.
type Balance struct {
	Type     string          `json:"type"` // as XS2A names them: closingBooked, expected, interimAvailable, …
	Amount   decimal.Decimal `json:"amount"`
	Currency string          `json:"currency,omitempty"`
	Date     civil.Date      `json:"date,omitempty"` // zero: the bank did not say
}

// DaysWithoutSCA is how many days of transactions, today among them, every bank shows without strong customer
// authentication, once it was done within 180 days (RTS 2018/389, Art. 10a). More it may keep for the customer.
const DaysWithoutSCA = 90

// Window is a closed range of booking dates. A zero From means as far back as the bank gives; a zero To, until now.
type Window struct {
	From, To civil.Date
}

// A Page is a part of an account's entries, in the bank's order.
type Page struct {
	Entries  []Entry
	Balances []Balance // where the bank sends them with the entries
	Next     string    // cursor of the next page; empty: this was the last one
	// Covered is the window that the bank really answered for, known on the last page at the latest. A bank that
	// shortens what was asked for says so here: rows outside Covered are not missing, they were not looked at. The zero
	// Window covers nothing: only an answer that says "none" means none.
	Covered Window
	// PendingCovered is true where the answer holds the complete set of pending entries.
	PendingCovered bool
	// Withheld says why Covered is zero, or PendingCovered false although pending entries were asked for.
	Withheld Withheld
	// Unreadable counts what had to be left out of Entries' and Balances' fields.
	Unreadable Unreadable
}

// An Entry is one line of an account's statement as the bank sent it, cleaned of protocol but not of quirks.
// Only Amount and Currency are sure to be there.
type Entry struct {
	TransactionID    string // the bank's id, placeholders included; reconcile judges them
	EntryReference   string // a second id that some banks send instead or besides
	Pending          bool   // not booked yet
	BookingDate      civil.Date
	ValueDate        civil.Date
	Amount           decimal.Decimal // signed: negative is money out
	Currency         string          // ISO 4217
	OriginalAmount   decimal.Decimal // foreign amount, zero where there is none
	OriginalCurrency string

	Counterparty      Party
	Remittance        []string // remittance lines as sent, unstructured; joined and cleaned for display by reconcile
	BookingText       string   // the bank's word for the kind of booking: "Lastschrift"
	BookingKey        string   // ISO 20022 bank transaction code "PMNT-RDDT-ESDD", or the GVC of MT940
	PrimanotaCode     string   // transaction_code
	EndToEndID        string
	MandateID         string
	CreditorID        string
	CustomerReference string
	PurposeCode       string // ISO 20022 external purpose code: SALA, RINP
	AdditionalInfo    map[string]string
}

// Party is the other side of an entry.
type Party struct {
	Name          string
	IBAN          string
	AccountNumber string // BBAN or masked PAN
	BIC           string
	BankCode      string
	BankName      string
}

// Keys of Conversation.Credentials that adapters understand. The catalog's credential fields carry these keys,
// whatever their labels say.
const (
	CredentialLogin       = "login" // PSU-ID; FinTS: user id
	CredentialPIN         = "pin"
	CredentialCorporateID = "corporate_id" // PSU-Corporate-ID; FinTS: customer id
)
