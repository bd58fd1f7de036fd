package fints

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// lasting lives with the access: what the next synchronization needs so that nobody has to be asked
// again.
type lasting struct {
	// SystemID is the customer-system id (HISYN). A bank that does not meet it again asks for a TAN
	// at every login.
	SystemID string          `json:"system_id,omitempty"`
	Bank     *bankParameters `json:"bank,omitempty"` // BPD
	User     userParameters  `json:"user,omitzero"`  // UPD
	Allowed  []string        `json:"allowed,omitempty"`
	Method   string          `json:"method,omitempty"` // security function, as the customer chose or the bank has only one
	Medium   string          `json:"medium,omitempty"` // name of the TAN medium, where the method needs one
	// NoMedium says that the bank was asked for the media of Method, and named none that can be
	// used.
	NoMedium bool `json:"no_medium,omitempty"`
	// Reselect says that the bank refused Method for an order.
	Reselect bool `json:"reselect,omitempty"`
	// Chose is the last wish for another choice of the method that was fulfilled
	// (banks.Conversation.ChooseMethod).
	Chose string `json:"chose,omitempty"`
	// Renamed is what the bank calls the customer.
	Renamed *renamed `json:"renamed,omitempty"`
	// Authorized says that a login with the method was completed: what the bank asked for, it got.
	Authorized bool `json:"authorized,omitempty"`
	// Unclear says that the answer to the last login is lost, and with it whether the PIN is still
	// right.
	Unclear bool `json:"unclear,omitempty"`
	// Owed says that the bank demanded strong customer authentication for a login, or for what is
	// asked of it without the customer, and did not get it.
	Owed bool `json:"owed,omitempty"`
	// Proven is the day of the last strong customer authentication at a login; zero: the bank never
	// wanted any.
	Proven civil.Date `json:"proven,omitempty"`
	// Learnt is what reading found out about the bank: which of several ways works.
	Learnt learnt `json:"learnt,omitzero"`
	// Let says that the bank let us in without strong customer authentication since then.
	Let bool `json:"let,omitempty"`
	// Demands counts the logins in a row for which the bank demanded it although it was recent, and
	// DemandedOn is the day of the last one; zero: the customer has authenticated since.
	Demands    int        `json:"demands,omitempty"`
	DemandedOn civil.Date `json:"demanded_on,omitempty"`
	// EachLogin says that the bank demands it for every login. banks.NeedsUserEachTime reads
	// it.
	EachLogin bool `json:"each_login,omitempty"`
	// Renewing says that parameters and methods were dropped after a refusal, and no login has
	// succeeded since.
	Renewing bool `json:"renewing,omitempty"`
}

// dialog lives with the synchronization: where the dialog with the bank stands, and what may be
// under way.
type dialog struct {
	// About announces a message that must not be sent twice unknowingly. It is sealed before it is
	// sent.
	About *announcement `json:"about,omitempty"`
	// Ask is the question that is open at the customer.
	Ask *question `json:"ask,omitempty"`
	// LoggedIn says that the bank accepted the PIN in this conversation.
	LoggedIn bool `json:"logged_in,omitempty"`
	// Refused is the error's code since the bank refused the login or the PIN in this conversation;
	// 0: it did not. Nothing is signed with it any more.
	Refused int `json:"refused,omitempty"`
	// Logins counts the messages with the PIN that opened a dialog, or may have: at most maxLogins
	// and MoreLogins.
	Logins int `json:"logins,omitempty"`
	// MoreLogins is how many the customer's restarts allow beyond maxLogins.
	MoreLogins int `json:"more_logins,omitempty"`

	ID     string `json:"id,omitempty"`     // of the open dialog at the bank
	Next   int    `json:"next,omitempty"`   // number of the next message in it
	Method string `json:"method,omitempty"` // security function that it was opened with
	Open   bool   `json:"open,omitempty"`   // orders may be sent: the login is complete
	// Synchronizing says that it was opened for a customer-system id, and is good for nothing else.
	Synchronizing bool `json:"synchronizing,omitempty"`

	Waiting *waiting `json:"waiting,omitempty"`
	Kept    *kept    `json:"kept,omitempty"`
	// Choice is a choice of another method that is under way, by wish. The stored one stays until a
	// login with it succeeds.
	Choice *choice `json:"choice,omitempty"`
	// Media are the TAN media of the chosen method, once MediaAsked says that the bank was asked
	// for them.
	Media      []medium `json:"media,omitempty"`
	MediaAsked bool     `json:"media_asked,omitempty"`
	// MethodsAsked says that the bank was asked for the customer's methods in this synchronization.
	MethodsAsked bool `json:"methods_asked,omitempty"`
	// FormerMedium is the medium that was stored when the parameters were dropped. It is taken
	// again if it is still there.
	FormerMedium string `json:"former_medium,omitempty"`
	// Personal says that the bank gives its parameters to customers only: it has no anonymous
	// dialog.
	Personal bool `json:"personal,omitempty"`
	// AnonymousFailures counts the anonymous dialogs that the bank's HTTP server refused.
	AnonymousFailures int `json:"anonymous_failures,omitempty"`
	// Fresh says that the bank parameters and the customer's methods come from this
	// synchronization.
	Fresh bool `json:"fresh,omitempty"`
	// Rechosen says that the method was dropped because the bank refused the login with fresh
	// parameters, too.
	Rechosen bool `json:"rechosen,omitempty"`
	// Restarted is the last wish for another challenge that was fulfilled
	// (banks.Conversation.Restart).
	Restarted string `json:"restarted,omitempty"`
	// Synchronized says that the customer-system id is from this synchronization.
	Synchronized bool `json:"synchronized,omitempty"`
	// BalanceTAN says that the bank wanted a TAN for a balance in this synchronization.
	BalanceTAN bool `json:"balance_tan,omitempty"`
	// Restarts counts authorizations begun afresh because answers were lost, or the method was
	// refused.
	Restarts int `json:"restarts,omitempty"`
}

// An announcement is a message that is about to be sent, or was sent without an answer that we saw.
type announcement struct {
	Step    step `json:"step"`
	Purpose step `json:"purpose,omitempty"` // of a login
	// NotSent says that it has not been sent since, and may be: it is announced again before that.
	NotSent bool `json:"not_sent,omitempty"`
	Again   bool `json:"again,omitempty"` // sent a second time
}

// step names what cannot be taken back, and what a login is for.
type step string

const (
	login   step = "LOGIN"
	sendTAN step = "SEND_TAN"

	forMethods step = "METHODS" // which methods the customer has; the customer-system id
	forSystem  step = "SYSTEM"  // the customer-system id, where the bank did not give it along with the methods
	forMedia   step = "MEDIA"   // which TAN media they have
	forReading step = "READING"
)

// waiting is an order that the bank keeps until the customer has authorized it.
type waiting struct {
	Order     string `json:"order"` // HKIDN: the login itself
	Key       string `json:"key,omitempty"`
	Reference string `json:"reference"` // Auftragsreferenz
	Challenge string `json:"challenge,omitempty"`
	HHDUC     []byte `json:"hhd_uc,omitempty"`
	Decoupled bool   `json:"decoupled,omitempty"`
	Segment   []byte `json:"segment,omitempty"` // process variant 1: the order, which goes along with the TAN
	Polls     int    `json:"polls,omitempty"`
	// Since and Until are when the challenge came, and until when it is valid. Until is zero where
	// the bank did not say.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// A choice is a method and a medium that the customer chose. Empty fields are still to be chosen.
type choice struct {
	Wish     string `json:"wish"`
	Asked    bool   `json:"asked,omitempty"` // the bank, for the customer's methods
	Method   string `json:"method,omitempty"`
	Medium   string `json:"medium,omitempty"`
	NoMedium bool   `json:"no_medium,omitempty"`
}

// kept is the answer to an order that needed a TAN: it came with the TAN, and the next read takes
// it.
type kept struct {
	Key    string `json:"key"`
	Dialog string `json:"dialog"` // that it came in
	Gzip   []byte `json:"gzip"`   // the bank's segments, compressed
}

// A question is the open challenge as the caller got it, and what an answer to it needs.
type question struct {
	Challenge banks.Challenge `json:"challenge"`
	For       step            `json:"for,omitempty"`        // METHOD_SELECTION: METHODS, MEDIA
	PollAfter time.Duration   `json:"poll_after,omitempty"` // DECOUPLED
	NotBefore time.Time       `json:"not_before,omitzero"`  // DECOUPLED: earliest next poll
}

// A medium is a device or card that TANs are made with (HITAB).
type medium struct {
	Class string `json:"class"`
	Name  string `json:"name"`
	Phone string `json:"phone,omitempty"` // with digits hidden by the bank
	Card  string `json:"card,omitempty"`
}

func load(conv *banks.Conversation) (l lasting, d dialog, err error) {
	if len(conv.Lasting) > 0 {
		if err := json.Unmarshal(conv.Lasting, &l); err != nil {
			return l, d, fmt.Errorf("read lasting state: %T", err)
		}
	}
	if len(conv.Dialog) > 0 {
		if err := json.Unmarshal(conv.Dialog, &d); err != nil {
			return l, d, fmt.Errorf("read dialog state: %T", err)
		}
	}
	return l, d, nil
}
