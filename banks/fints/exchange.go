package fints

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

const (
	country  = "280" // Germany, as FinTS counts (ISO 3166 has 276 since reunification; banks kept the old one)
	oneStep  = "999"
	nobody   = "9999999999" // customer id of anonymous dialogs ("Formals", section C.5)
	noSystem = "0"
	// newDialog stands for the id of a dialog that is about to begin ("Formals", section B.5.2).
	newDialog = "0"
)

// feedback is a return code of the bank (HIRMG, HIRMS; "Formals", section B.7.2).
type feedback struct {
	code       int
	segment    int // of our message that it is about; 0: the whole message
	element    int // of that segment, its head is 1; 0: the bank did not say
	text       string
	parameters []string
}

// orderSegment is the number of the order in our messages: it comes first, behind the heads of
// message and signature.
const orderSegment = 3

// ofOrder reports whether the code is about our order, or about the whole message, and not about
// another segment such as HKTAN.
func (f *feedback) ofOrder() bool { return f.segment == 0 || f.segment == orderSegment }

// reply is the bank's answer to a message.
type reply struct {
	*syntax.Message
	feedback []feedback
	dialog   string // that it came in
}

// has reports whether the bank answered with the code.
func (r *reply) has(code int) bool { return r.find(code) != nil }

func (r *reply) find(code int) *feedback {
	for i := range r.feedback {
		if r.feedback[i].code == code {
			return &r.feedback[i]
		}
	}
	return nil
}

// envelope says how the next message is secured, and which dialog it belongs to.
type envelope struct {
	dialog   string // newDialog opens one
	number   int
	function string // "": in clear
	tan      string
}

// opensWithPIN reports whether the message logs a customer in.
func (e *envelope) opensWithPIN() bool { return e.dialog == newDialog && e.function != "" }

// exchange sends a message and reads the answer. Refusals of the bank are errors (*refusal); their
// reply is there, too.
func (t *talk) exchange(ctx context.Context, doing string, e envelope, segments ...syntax.Segment) (*reply, error) {
	m := syntax.Message{DialogID: e.dialog, Number: e.number, Segments: segments}
	if e.function != "" {
		if err := t.maySign(doing, e); err != nil {
			return nil, err
		}
		reference, err := rand.Int(rand.Reader, big.NewInt(9_000_000))
		if err != nil {
			return nil, misconfigured(fmt.Errorf("%s: no randomness", doing))
		}
		user, _ := t.names()
		m.Security = &syntax.Security{Function: e.function, SystemID: cmp.Or(t.lasting.SystemID, noSystem), Country: country,
			BankCode: t.conv.Connection.BankCode, UserID: user,
			At: t.options.Now().In(germany), Reference: strconv.FormatInt(1_000_000+reference.Int64(), 10), Signed: true,
			PIN: t.conv.Credentials[banks.CredentialPIN], TAN: e.tan}
	}
	wire, err := m.Wire()
	if err != nil {
		// The text that ISO 8859-1 does not have can only be the customer's own: the TAN, where
		// the PIN was sent before.
		code := banks.CodePINInvalid
		if e.tan != "" {
			code = banks.CodeTANInvalid
		}
		return nil, &banks.Error{Kind: banks.WrongCredentials, Code: code, Err: fmt.Errorf("%s: %w", doing, err)}
	}
	body, err := t.post(ctx, doing, wire)
	if e.opensWithPIN() && !isUnsent(err) {
		t.dialog.Logins++
		t.dirty = true
	}
	if err != nil {
		return nil, err
	}
	answer, err := syntax.Read(body)
	if err != nil {
		return nil, &lost{nonsense(doing, err.Error())}
	}
	if answer.Answers != nil && answer.Answers.Number != e.number && answer.Answers.Number != 0 {
		return nil, &lost{nonsense(doing, "the answer belongs to another message")}
	}
	r := &reply{Message: answer, dialog: e.dialog}
	if e.dialog == newDialog {
		r.dialog = answer.DialogID
	}
	for i := range answer.Segments {
		if s := &answer.Segments[i]; s.Name == "HIRMG" || s.Name == "HIRMS" {
			r.feedback = append(r.feedback, readFeedback(s)...)
		}
	}
	err = t.judged(ctx, doing, r.feedback)
	if refused, ok := asRefusal(err); ok && e.function != "" && refused.ofPIN() {
		t.dialog.Refused, t.lasting.Authorized, t.dirty = refused.fault.Code, false, true
	}
	return r, err
}

// maySign refuses to send a message that the bank would count as one with a wrong PIN: the client
// may have had the PIN forgotten since the synchronization began, or the bank has refused it since.
func (t *talk) maySign(doing string, e envelope) error {
	switch {
	case t.dialog.Refused != 0:
		return &banks.Error{Kind: banks.WrongCredentials, Code: t.dialog.Refused,
			Err: fmt.Errorf("%s: the bank refused the PIN before in this synchronization, and it is not sent again", doing)}
	case t.conv.Credentials[banks.CredentialLogin] == "" || t.conv.Credentials[banks.CredentialPIN] == "":
		return needsUser(banks.CodeActivationNeeded, doing+": the bank wants the login and the PIN, and they are not both there")
	case e.opensWithPIN() && t.dialog.Logins >= maxLogins+t.dialog.MoreLogins:
		return &banks.Error{Kind: banks.BankDown, Code: banks.CodeTemporary,
			Err: fmt.Errorf("%s: the PIN was sent %d times in this synchronization, and it is not sent again", doing, t.dialog.Logins)}
	}
	return nil
}

func readFeedback(s *syntax.Segment) []feedback {
	var all []feedback
	for _, e := range s.Elements {
		code, ok := e.Int(0)
		if !ok || len(all) == 100 {
			continue
		}
		f := feedback{code: code, segment: s.Reference, text: e.Get(2)}
		element, _, _ := strings.Cut(e.Get(1), ",") // "3,1": the first of the group that is the third element
		f.element, _ = strconv.Atoi(element)
		for i := 3; i < len(e) && i < 3+20; i++ {
			f.parameters = append(f.parameters, e.Get(i))
		}
		all = append(all, f)
	}
	return all
}

// order sends an order in the open dialog. A message whose answer was lost goes out again under its
// number: a bank that has seen it refuses the number, and nothing happens twice ("Formals", section
// B.5.2). Then the dialog is over.
func (t *talk) order(ctx context.Context, doing, tan string, segments ...syntax.Segment) (*reply, error) {
	e := envelope{dialog: t.dialog.ID, number: t.dialog.Next, function: t.dialog.Method, tan: tan}
	r, err := t.exchange(ctx, doing, e, segments...)
	if isLost(err) {
		return r, err
	}
	if r == nil { // it did not reach the bank
		return nil, err
	}
	t.dialog.Next++
	t.dirty = true
	if over(r, err) {
		t.forgetDialog()
	}
	return r, err
}

// over reports whether an answer ends the dialog.
func over(r *reply, err error) bool {
	refused, ok := asRefusal(err)
	return ok && (refused.has(codeAborted) || r.rejectsMessage() && !namesOrder(err))
}

// rejectsMessage reports whether the bank refused the message as a whole, and says nothing about
// its orders.
func (r *reply) rejectsMessage() bool {
	whole := false
	for _, f := range r.feedback {
		switch {
		case f.segment != 0 && f.code >= 9000:
			return false
		case f.code >= 9000:
			whole = true
		}
	}
	return whole
}

// dialogIsGone reports whether a refusal says no more than that there is no such dialog, or that
// the message's number is not its turn. Some banks refuse orders in the same way, without a
// reference to the order: their words tell.
func (r *reply) dialogIsGone(err error) bool {
	kind := banks.AsError(err).Kind
	return r.rejectsMessage() && !namesOrder(err) && (kind == banks.Transient || kind == banks.Rejected)
}

// forgetDialog is what a dialog that the bank ended leaves behind.
func (t *talk) forgetDialog() {
	d := &t.dialog
	d.ID, d.Next, d.Method, d.Open, d.Synchronizing, d.Waiting = "", 0, "", false, false, nil
	t.dirty = true
}

// hangUp ends the open dialog (HKEND; "Formals", section C.4). That it does not work out, or cannot
// be signed, is no error.
func (t *talk) hangUp(ctx context.Context) {
	if t.dialog.ID == "" {
		return
	}
	segment := syntax.New("HKEND", 1, syntax.Text(t.dialog.ID))
	_, _ = t.exchange(ctx, "end the dialog", envelope{dialog: t.dialog.ID, number: t.dialog.Next, function: t.dialog.Method}, segment)
	t.forgetDialog()
}
