package fints

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/internal/civil"
)

const (
	// maxRestarts bounds how often a synchronization begins the authorization afresh, after answers
	// were lost.
	maxRestarts = 3
	// maxLogins bounds how often a synchronization sends the PIN to open a dialog. A first one
	// needs three logins: for the methods, for the TAN media, and for reading. The others are for
	// what goes wrong. Restarts by the customer allow more (dialog.MoreLogins).
	maxLogins = 6
	// maxAnonymousFailures is how many anonymous dialogs the bank's HTTP server may fail before
	// there is taken to be none.
	maxAnonymousFailures = 2
)

// authorize goes one move on towards an open dialog.
func (t *talk) authorize(ctx context.Context) (banks.Step, error) {
	d := &t.dialog
	t.restart(ctx)
	switch {
	case d.About != nil && d.About.Step == login:
		return t.logIn(ctx)
	case d.About != nil: // a TAN is on its way, and only Answer has it
		return t.startAfresh(ctx)
	case d.Ask != nil:
		return t.asked(), nil
	case d.Waiting != nil:
		return t.askTAN()
	}
	if t.beginChoice(); d.Open && d.Choice == nil {
		return banks.Step{Status: banks.Ready}, nil
	}
	if err := t.unattended(); err != nil {
		return banks.Step{}, err
	}
	t.reselect()
	if t.lasting.Bank == nil && !d.Personal {
		if err := t.askAnonymously(ctx); err != nil {
			return banks.Step{}, err
		}
	}
	if len(t.lasting.Allowed) == 0 || d.Choice != nil && !d.Choice.Asked {
		return t.announce(login, forMethods), nil
	}
	if t.lasting.Bank == nil {
		return banks.Step{}, nonsense("log in", "the bank sent no bank parameters")
	}
	m := t.method()
	if m == nil {
		return t.chooseMethod()
	}
	if t.needsMedium(m) {
		if !d.MediaAsked {
			return t.announce(login, forMedia), nil
		}
		return t.chooseMedium()
	}
	if t.lasting.SystemID == "" {
		return t.announce(login, forSystem), nil
	}
	return t.announce(login, forReading), nil
}

// restart gives up the open question by the customer's wish, and with it the order that waits for
// them: the dialog ends. It allows one login more, and another one for the TAN media where the
// customer chooses anew. What was counted before stays counted: the bank counts on, too.
func (t *talk) restart(ctx context.Context) {
	d, wish := &t.dialog, t.conv.Restart
	if wish == "" || wish == d.Restarted || !t.conv.Interactive {
		return
	}
	d.Restarted, t.dirty = wish, true
	if d.Ask == nil {
		return
	}
	t.hangUp(ctx)
	d.Ask, d.Waiting, d.About = nil, nil, nil
	d.MoreLogins++
	if t.wantsChoice() {
		d.MoreLogins++
	}
}

// unattended refuses a login that would send a TAN or a push message to a customer who is not
// there, as far as that is known beforehand: the bank sends it as soon as it is asked.
func (t *talk) unattended() error {
	l := &t.lasting
	switch {
	case t.conv.Interactive:
		return nil
	case !l.Authorized:
		return needsUser(banks.CodeActivationNeeded, "the bank has to be asked for the first time, and the customer is not there")
	case l.Unclear:
		return t.doubtful()
	case l.EachLogin:
		return needsUser(banks.CodeActivationNeeded, "the bank wants the customer at every login, and they are not there")
	case l.Owed:
		return needsUser(banks.CodeActivationNeeded, "the bank wanted the customer the last time, and they are not there")
	case l.outdated(t.today()):
		return needsUser(banks.CodeActivationNeeded, "the last strong customer authentication is too old, and the customer is not there")
	}
	return nil
}

// goodFor is for how many days a bank may go without strong customer authentication (RTS 2018/389,
// Art. 10a).
const goodFor = 180

// outdated reports whether the bank has to want strong customer authentication at the next login.
func (l *lasting) outdated(today civil.Date) bool {
	return !l.Proven.IsZero() && today >= l.Proven.AddDays(goodFor)
}

// announce says what is about to be sent. The caller seals it, and the next call sends it.
func (t *talk) announce(what, purpose step) banks.Step {
	t.dialog.About, t.dirty = &announcement{Step: what, Purpose: purpose}, true
	t.resumed = false
	return banks.Step{Status: banks.Moving}
}

// askAnonymously fetches the bank parameters in a dialog without a customer ("Formals", section
// C.5): no PIN goes along. A bank without anonymous dialogs gives them to its customers only: then
// they come with the first login.
func (t *talk) askAnonymously(ctx context.Context) error {
	const doing = "fetch the bank parameters"
	identify := syntax.New("HKIDN", 2, syntax.Text(country, t.conv.Connection.BankCode), syntax.Text(nobody), syntax.Text(noSystem), syntax.Text("0"))
	r, err := t.exchange(ctx, doing, envelope{dialog: newDialog, number: 1}, identify, t.prepare())
	t.dirty = true
	switch {
	case err == nil:
		t.learnBank(r) // and nothing else: user parameters of this dialog are nobody's
		if id := r.DialogID; id != "" && id != "0" {
			_, _ = t.exchange(ctx, "end the anonymous dialog", envelope{dialog: id, number: 2}, syntax.New("HKEND", 1, syntax.Text(id)))
		}
	case !t.refusesAnonymous(err):
		return err
	}
	t.dialog.Personal = t.lasting.Bank == nil
	return nil
}

// refusesAnonymous reports whether the customer's own dialog is worth a try after an anonymous one
// failed.
func (t *talk) refusesAnonymous(err error) bool {
	if refused, ok := asRefusal(err); ok {
		return refused.fault.Kind != banks.BankDown && refused.fault.Code != banks.CodeInternal
	}
	var answered *httpError
	if !errors.As(err, &answered) || answered.status < 400 || answered.status == http.StatusServiceUnavailable {
		return false
	}
	t.dialog.AnonymousFailures++
	switch kind := answered.err.Kind; kind {
	case banks.Rejected:
		return true
	case banks.Transient: // it may pass
		return t.dialog.AnonymousFailures >= maxAnonymousFailures
	}
	return false
}

// prepare is HKVVB: which parameters are known here, and what product asks ("Formals", section
// C.3.1.3).
func (t *talk) prepare() syntax.Segment {
	bank, user := t.lasting.stated()
	return syntax.New("HKVVB", 3, syntax.Number(bank), syntax.Number(user), syntax.Text("0"),
		syntax.Text(cmp.Or(t.conv.Connection.ProductID, "Kontoflow")), syntax.Text("1.0"))
}

func (t *talk) identify() syntax.Segment {
	_, customer := t.names()
	return syntax.New("HKIDN", 2, syntax.Text(country, t.conv.Connection.BankCode), syntax.Text(customer),
		syntax.Text(cmp.Or(t.lasting.SystemID, noSystem)), syntax.Text("1"))
}

// answer takes the customer's answer.
func (t *talk) answer(ctx context.Context, answer banks.Answer) (banks.Step, error) {
	d := &t.dialog
	if about := d.About; about != nil {
		if about.Step == login {
			return t.logIn(ctx)
		}
		return t.sendTAN(ctx, answer.Value)
	}
	if d.Ask == nil { // the answer was taken already
		return t.authorize(ctx)
	}
	switch d.Ask.Challenge.Type {
	case banks.MethodSelection:
		if !slices.ContainsFunc(d.Ask.Challenge.AuthMethods, func(m banks.AuthMethod) bool { return m.ID == answer.MethodID }) {
			return banks.Step{}, needsUser(banks.CodeTANNotActivated, "the chosen method is not among those that were offered")
		}
		if d.Ask.For == forMedia {
			n, err := strconv.Atoi(answer.MethodID)
			if err != nil || n < 1 || n > len(d.Media) {
				return banks.Step{}, needsUser(banks.CodeTANNotActivated, "the chosen TAN medium is not there")
			}
			t.choose(t.chosen().Method, d.Media[n-1].Name, false)
		} else {
			t.dropMethod()
			t.choose(answer.MethodID, "", false)
		}
		d.Ask, t.dirty = nil, true
		return t.authorize(ctx)
	case banks.Embedded:
		return t.announce(sendTAN, ""), nil
	}
	return t.poll(ctx)
}

// sendTAN submits the TAN for what waits (HKTAN process 2).
func (t *talk) sendTAN(ctx context.Context, tan string) (banks.Step, error) {
	d := &t.dialog
	about, m := d.About, t.method()
	if t.resumed {
		t.resumed, t.dirty = false, true
		if !about.NotSent && about.Again {
			return t.startAfresh(ctx)
		}
		// Under the same number again: it takes effect once at most.
		about.Again, about.NotSent = about.Again || !about.NotSent, false
		return banks.Step{Status: banks.Moving}, nil
	}
	if d.Waiting == nil || m == nil || d.ID == "" {
		return t.startAfresh(ctx)
	}
	segments, err := t.withTAN(m, d.Waiting)
	if err != nil {
		return banks.Step{}, err
	}
	r, err := t.order(ctx, "send the TAN", tan, segments...)
	t.dirty = true
	switch {
	case err == nil:
		return t.authorized(r)
	case isLost(err):
		return banks.Step{}, err
	case r == nil:
		about.NotSent, about.Again = true, true // a server that fails may have taken it before
		return banks.Step{}, err
	}
	d.About = nil
	if refused, _ := asRefusal(err); about.Again && (r.dialogIsGone(err) || refused.has(9991)) { // the first one arrived
		return t.startAfresh(ctx)
	}
	t.hangUp(ctx)
	d.Ask, d.Waiting = nil, nil
	return banks.Step{}, tanRefused(err)
}

// tanRefused reads a refusal in the light of the TAN that was sent: an order that the bank does not
// know any more has expired ("Sicherheitsverfahren PIN/TAN", section B.6.1, code 9210).
func tanRefused(err error) error {
	if refused, ok := asRefusal(err); ok && refused.has(9210) && refused.fault.Kind == banks.Rejected {
		expired := *refused.fault
		expired.Kind, expired.Code = banks.NeedsUser, banks.CodeExpired
		return &expired
	}
	return err
}

// authorized goes on after the customer authorized what waited. The answer to an order is kept for
// the next read.
func (t *talk) authorized(r *reply) (banks.Step, error) {
	d := &t.dialog
	w := d.Waiting
	d.About, d.Ask, d.Waiting, t.dirty = nil, nil, nil, true
	t.learn(r)
	if t.demands(r, w.Order, w.Key) { // one TAN was not enough
		return t.askTAN()
	}
	if w.Order == "HKIDN" {
		t.lasting.Proven, t.lasting.Let, t.lasting.DemandedOn = t.today(), false, 0
	} else {
		if err := t.keep(w.Key, r); err != nil {
			return banks.Step{}, err
		}
	}
	return t.opened()
}

// startAfresh begins again with a login: whether the bank took the TAN shows itself by what it asks
// then.
func (t *talk) startAfresh(ctx context.Context) (banks.Step, error) {
	d := &t.dialog
	if d.Restarts++; d.Restarts > maxRestarts {
		return banks.Step{}, nonsense("authorize", "it never comes to an end")
	}
	t.forgetDialog()
	d.About, d.Ask, t.dirty = nil, nil, true
	return t.authorize(ctx)
}

// poll asks whether the customer confirmed in the app (HKTAN process S), at the pace that the bank
// gave.
func (t *talk) poll(ctx context.Context) (banks.Step, error) {
	d := &t.dialog
	if d.About != nil || d.Ask == nil || d.Ask.Challenge.Type != banks.Decoupled {
		return t.authorize(ctx)
	}
	m := t.method()
	if d.Waiting == nil || m == nil || d.ID == "" {
		return t.startAfresh(ctx)
	}
	now := t.options.Now()
	if wait := d.Ask.NotBefore.Sub(now); wait > 0 {
		return banks.Step{Status: banks.Pending, PollAfter: wait}, nil
	}
	if m.MaxPolls > 0 && d.Waiting.Polls >= m.MaxPolls {
		t.hangUp(ctx)
		d.Ask = nil
		return banks.Step{}, needsUser(banks.CodeExpired, "the customer did not confirm as long as the bank may be asked")
	}
	s := syntax.New("HKTAN", m.Version, syntax.Text("S"), syntax.Empty(), syntax.Empty(), syntax.Empty(), syntax.Text(d.Waiting.Reference), syntax.Flag(false))
	d.Waiting.Polls++
	next := m.wait(d.Waiting, now)
	d.Ask.NotBefore, t.dirty = now.Add(next), true
	r, err := t.order(ctx, "ask whether the customer confirmed", "", s)
	switch {
	case r == nil:
		return banks.Step{}, err
	case err != nil && r.dialogIsGone(err): // our last poll was not stored
		return t.startAfresh(ctx)
	case err != nil:
		t.hangUp(ctx)
		d.Ask, d.Waiting = nil, nil
		return banks.Step{}, declined(err)
	case r.has(codeStillOpen):
		return banks.Step{Status: banks.Pending, PollAfter: next}, nil
	}
	return t.authorized(r)
}

// declined reads a refusal of a decoupled authentication: it was the customer who refused, or
// waited too long.
func declined(err error) error {
	refused, ok := asRefusal(err)
	if !ok || refused.ofPIN() || refused.fault.Kind != banks.WrongCredentials && refused.fault.Kind != banks.Rejected && refused.fault.Kind != banks.Transient {
		return err
	}
	declined := *refused.fault
	declined.Kind, declined.Code = banks.NeedsUser, banks.CodeConfirmAtBank
	return &declined
}
