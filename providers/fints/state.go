package fints

import (
	"encoding/json"
	"fmt"
	"time"

	"kontoflow/plain"
	"kontoflow/providers"
)

// lasting lives with the access: what the next synchronization needs so that nobody has to be asked again.
type lasting struct {
	// SystemID is the customer-system id (HISYN). A bank that does not meet it again asks for a TAN at every login.
	SystemID string          `json:"system_id,omitempty"`
	Bank     *bankParameters `json:"bank,omitempty"` // BPD
	User     userParameters  `json:"user,omitzero"`  // UPD
	Allowed  []string        `json:"allowed,omitempty"`
	Method   string          `json:"method,omitempty"` // security function, as the customer chose or the bank has only one
	Medium   string          `json:"medium,omitempty"` // name of the TAN medium, where the method needs one
	// Authorized says that a login with the method was completed: what the bank asked for, it got.
	Authorized bool `json:"authorized,omitempty"`
	// Unclear says that the answer to the last login is lost, and with it whether the PIN is still right.
	Unclear bool `json:"unclear,omitempty"`
	// Owed says that the bank demanded strong customer authentication for a login, or for what is asked of it without the
	// customer, and did not get it.
	Owed bool `json:"owed,omitempty"`
	// Proven is the day of the last strong customer authentication at a login; zero: the bank never wanted any.
	Proven plain.Date `json:"proven,omitempty"`
	// Learnt is what reading found out about the bank: which of several ways works.
	Learnt learnt `json:"learnt,omitzero"`
}

// dialog lives with the synchronization: where the dialog with the bank stands, and what may be under way.
type dialog struct {
	// About announces a message that must not be sent twice unknowingly. It is sealed before it is sent.
	About *announcement `json:"about,omitempty"`
	// Ask is the question that is open at the customer.
	Ask *question `json:"ask,omitempty"`
	// LoggedIn says that the bank accepted the PIN in this conversation.
	LoggedIn bool `json:"logged_in,omitempty"`
	// Refused is the error's code since the bank refused the login or the PIN in this conversation; 0: it did not. Nothing
	// is signed with it any more.
	Refused int `json:"refused,omitempty"`

	ID     string `json:"id,omitempty"`     // of the open dialog at the bank
	Next   int    `json:"next,omitempty"`   // number of the next message in it
	Method string `json:"method,omitempty"` // security function that it was opened with
	Open   bool   `json:"open,omitempty"`   // orders may be sent: the login is complete
	// Synchronizing says that it was opened for a customer-system id, and is good for nothing else.
	Synchronizing bool `json:"synchronizing,omitempty"`

	Waiting *waiting `json:"waiting,omitempty"`
	Kept    *kept    `json:"kept,omitempty"`
	Media   []medium `json:"media,omitempty"` // that the customer may choose from
	// BalanceTAN says that the bank wanted a TAN for a balance in this synchronization.
	BalanceTAN bool `json:"balance_tan,omitempty"`
	// Restarts counts authorizations begun afresh because answers were lost, or the method was refused.
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
	forMedia   step = "MEDIA"   // which TAN media he has
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
	Polls     int    `json:"polls,omitempty"`
}

// kept is the answer to an order that needed a TAN: it came with the TAN, and the next read takes it.
type kept struct {
	Key    string `json:"key"`
	Dialog string `json:"dialog"` // that it came in
	Gzip   []byte `json:"gzip"`   // the bank's segments, compressed
}

// A question is the open challenge as the caller got it, and what an answer to it needs.
type question struct {
	Challenge providers.Challenge `json:"challenge"`
	For       step                `json:"for,omitempty"`        // METHOD_SELECTION: METHODS, MEDIA
	PollAfter time.Duration       `json:"poll_after,omitempty"` // DECOUPLED
	NotBefore time.Time           `json:"not_before,omitzero"`  // DECOUPLED: earliest next poll
}

// A medium is a device or card that TANs are made with (HITAB).
type medium struct {
	Class string `json:"class"`
	Name  string `json:"name"`
	Phone string `json:"phone,omitempty"` // with digits hidden by the bank
	Card  string `json:"card,omitempty"`
}

func load(conv *providers.Conversation) (l lasting, d dialog, err error) {
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
