package fints

import (
	"context"
	"errors"
	"slices"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// logIn sends an announced login, if it may be sent.
func (t *talk) logIn(ctx context.Context) (banks.Step, error) {
	d := &t.dialog
	about := d.About
	if t.resumed {
		return t.announcedBefore()
	}
	t.hangUp(ctx)
	fresh := d.Fresh
	step, err := t.logInFor(ctx, about.Purpose)
	refused, isRefusal := asRefusal(err)
	switch {
	case err == nil:
		d.About = nil
	case isRefusal:
		d.About = nil
		t.hangUp(ctx)
		step, err = t.refusedLogin(refused, about.Purpose, fresh)
	case d.ID != "": // the bank let us in; what came then did not work out
		d.About = nil
	case isLost(err) && !d.LoggedIn:
		d.About = nil
		if cause := banks.AsError(err); cause.Kind != banks.Transient {
			return banks.Step{}, errors.Join(t.unclear(), err)
		}
		return banks.Step{}, t.unclear()
	case isLost(err) && about.Again:
		d.About, t.dirty = nil, true
		return banks.Step{}, t.unclear()
	default:
		about.Again, about.NotSent = about.Again || isLost(err), true
	}
	t.dirty = true
	return step, err
}

// announcedBefore decides about a login that an earlier call announced and may have sent.
func (t *talk) announcedBefore() (banks.Step, error) {
	d := &t.dialog
	about := d.About
	t.resumed, t.dirty = false, true
	switch {
	case about.NotSent:
		about.NotSent = false
	case d.LoggedIn && !about.Again:
		about.Again = true
		d.Logins++ // the count that was stored is from before it was sent
	default:
		d.About = nil
		return banks.Step{}, t.unclear()
	}
	return banks.Step{Status: banks.Moving}, nil
}

// refusedLogin decides what follows a login that the bank refused. fresh says that parameters and
// methods came from this synchronization when it was sent.
func (t *talk) refusedLogin(r *refusal, purpose step, fresh bool) (banks.Step, error) {
	d, l, fault := &t.dialog, &t.lasting, r.fault
	if fault.Kind == banks.NeedsAuthorization { // the login itself was the authorization; the bank wants another procedure
		fault.Kind, fault.Code = banks.NeedsUser, banks.CodeTANNotActivated
	}
	again := banks.Step{Status: banks.Moving}
	switch {
	case r.ofPIN() || fault.Kind == banks.WrongCredentials:
		return banks.Step{}, r
	case r.passing: // the synchronization ends: to try at once would send the PIN in vain
		fault.Kind = banks.BankDown
		return banks.Step{}, r
	case t.forget(r):
		if !t.conv.Interactive {
			return banks.Step{}, needsUser(banks.CodeActivationNeeded,
				"log in: the bank knows the method or the customer system no more, and the customer is not there")
		}
		if d.Restarts++; d.Restarts <= maxRestarts {
			return again, nil
		}
	case !mayBeStale(fault):
	case !fresh && t.renew():
		return again, nil
	case l.Renewing && !d.Rechosen && t.conv.Interactive && len(t.methods()) > 1:
		d.Rechosen = true
		t.dropMethod()
		return again, nil
	}
	if m := t.method(); m != nil && m.Medium && t.chosen().Medium == "" && purpose != forMethods && fault.Code == banks.CodeBankCannot {
		fault.Kind, fault.Code = banks.NeedsUser, banks.CodeTANNotActivated // the bank gave no medium, and wants one
	}
	if fault.Kind == banks.Transient {
		fault.Kind = banks.BankDown
	}
	return banks.Step{}, r
}

// mayBeStale reports whether a login may have been refused because of parameters or a method that
// the bank has replaced. Banks seldom say so.
func mayBeStale(fault *banks.Error) bool {
	switch fault.Code {
	case banks.CodeBankCannot, banks.CodeTANNotActivated:
		return true
	}
	return fault.Kind == banks.Transient
}

// renew drops the bank parameters and what the customer's methods are, so that they are asked for
// again. The chosen method stays if it is still among them. It reports whether there was anything
// to drop. Without the customer it happens once until a login has succeeded.
func (t *talk) renew() bool {
	d, l := &t.dialog, &t.lasting
	if l.Bank == nil || l.Renewing && !t.conv.Interactive {
		return false
	}
	d.FormerMedium = t.chosen().Medium
	t.choose(t.chosen().Method, "", false)
	l.Bank, l.Allowed, l.Renewing = nil, nil, true
	d.Media, d.MediaAsked, d.Personal, t.dirty = nil, false, false, true
	return true
}

// forget drops what the bank refused a login for, where it says so: a method that the customer does
// not have any more ("Sicherheitsverfahren PIN/TAN", section B.6.1, code 3920 with 9800), or a
// customer-system id that is not known any more ("Formals", section C.3.1.2). It reports whether
// there was anything.
func (t *talk) forget(r *refusal) bool {
	const identify = 3 // HKIDN, behind the heads of message and signature
	l := &t.lasting
	switch {
	case t.chosen().Method != "" && (r.ofMethod() || r.has(codeAborted) && t.method() == nil && l.Bank != nil):
		if t.method() != nil { // the bank did not say which ones there are instead
			l.Allowed = nil
		}
		t.dropMethod()
	case l.SystemID != "" && r.about(identify, 9210):
		l.SystemID, l.Allowed, l.Proven = "", nil, 0 // a new one comes along with the methods
	default:
		return false
	}
	l.Owed, t.dirty = true, true // to a new method or system the bank wants the customer
	return true
}

func (t *talk) logInFor(ctx context.Context, purpose step) (banks.Step, error) {
	moving := banks.Step{Status: banks.Moving}
	switch purpose {
	case forMethods:
		if err := t.learnMethods(ctx); err != nil {
			return banks.Step{}, err
		}
		return moving, nil
	case forMedia:
		if err := t.learnMedia(ctx); err != nil {
			return banks.Step{}, err
		}
		return moving, nil
	}
	return t.openDialog(ctx)
}

// learnMethods is the personal dialog with security function 999: it tells the customer's methods
// by code 3920, and gives the customer-system id ("Sicherheitsverfahren PIN/TAN", section B.4.3.3;
// "Formals", chapter C.8).
func (t *talk) learnMethods(ctx context.Context) error {
	const doing = "log in to learn the methods"
	segments := []syntax.Segment{t.identify(), t.prepare()}
	if t.lasting.SystemID == "" {
		segments = append(segments, syntax.New("HKSYN", 3, syntax.Text("0")))
	}
	r, err := t.exchange(ctx, doing, envelope{dialog: newDialog, number: 1, function: oneStep}, segments...)
	if r != nil {
		t.learn(r)
	}
	if refused, ok := asRefusal(err); ok && !refused.ofPIN() && !refused.passing && (refused.has(9955) || r.has(codeMethods)) && len(t.methods()) > 0 {
		t.methodsLearnt()
		return nil // it names the methods, and wants one of them (section B.8.2)
	}
	if err != nil {
		return err
	}
	t.entered(r, oneStep)
	if len(t.lasting.Allowed) == 0 {
		t.lasting.Allowed = []string{oneStep} // a bank without two-step methods does not list any
	}
	if t.lasting.SystemID == "" {
		return nonsense(doing, "the bank gave no customer-system id")
	}
	t.methodsLearnt()
	t.hangUp(ctx)
	return nil
}

func (t *talk) methodsLearnt() {
	d := &t.dialog
	d.MethodsAsked, t.dirty = true, true
	if d.Choice != nil {
		d.Choice.Asked = true
	}
}

// learnMedia asks which TAN media the customer has (HKTAB; "Sicherheitsverfahren PIN/TAN", section
// B.4.3.1.3): a login of its own, which needs no strong customer authentication. A bank that
// refuses the question names none.
func (t *talk) learnMedia(ctx context.Context) error {
	const doing = "ask for the TAN media"
	m := t.method()
	if m == nil {
		return nonsense(doing, "the method is gone")
	}
	r, err := t.exchange(ctx, doing, envelope{dialog: newDialog, number: 1, function: m.Function}, t.identify(), t.prepare(), tanFor(m, "HKTAB", ""))
	if r != nil {
		t.learn(r)
	}
	if refused, ok := asRefusal(err); ok && refused.fault.Code == banks.CodeBankCannot && !refused.passing {
		t.mediaLearnt(nil, m)
		return nil
	}
	if err != nil {
		return err
	}
	t.entered(r, m.Function)
	r, err = t.order(ctx, doing, "", syntax.New("HKTAB", t.lasting.Bank.version("HKTAB"), syntax.Text("0"), syntax.Text("A")))
	switch refused, ok := asRefusal(err); {
	case ok && !refused.ofPIN() && !refused.passing:
		r = nil
	case err != nil:
		return err
	}
	t.mediaLearnt(r, m)
	t.hangUp(ctx)
	return nil
}

// mediaLearnt keeps the media that an answer names; nil: none.
func (t *talk) mediaLearnt(r *reply, m *method) {
	d := &t.dialog
	d.Media, d.MediaAsked, t.dirty = nil, true, true
	if r == nil {
		return
	}
	for _, s := range r.All("HITAB") {
		d.Media = append(d.Media, readMedia(s, m)...)
	}
	d.Media = d.Media[:min(len(d.Media), maxMedia)]
}

// maxMedia bounds the TAN media that a bank can name.
const maxMedia = 99

// readMedia reads the media that are active, and fit the method.
func readMedia(s *syntax.Segment, m *method) (all []medium) {
	shift := 0
	if s.Version >= 5 {
		shift = 1 // element 3 is the security function
	}
	// Class, status, [function,] card, its sequence number, its kind, account (ktv: four elements),
	// valid from, until, number of the list, name, phone ("Sicherheitsverfahren PIN/TAN", data
	// dictionary, "TAN-Medium-Liste").
	for _, e := range s.Elements[min(1, len(s.Elements)):] {
		one := medium{Class: e.Get(0), Name: lenient.PlainText(e.Get(12+shift), 64), Phone: lenient.PlainText(e.Get(13+shift), 64), Card: masked(e.Get(2 + shift))}
		if status := e.Get(1); status != "1" && status != "" || len(all) == maxMedia || one.Name == "" {
			continue
		}
		if shift == 1 && e.Get(2) != "" && e.Get(2) != m.Function {
			continue
		}
		if class := m.mediumClass(); class != "" && one.Class != "A" && one.Class != "B" && one.Class != class {
			continue
		}
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// masked hides a card's number but its end.
func masked(card string) string {
	if len(card) <= 4 {
		return card
	}
	return "…" + lenient.PlainText(card[len(card)-4:], 16)
}

// entered takes the dialog that a login opened.
func (t *talk) entered(r *reply, function string) {
	d := &t.dialog
	d.ID, d.Next, d.Method, d.LoggedIn = r.DialogID, 2, function, true
	t.lasting.Unclear, t.dirty = false, true
}

// openDialog logs in with the chosen method, for reading; where there is no customer-system id yet,
// for that alone ("Formals", chapter C.8: no orders may follow).
func (t *talk) openDialog(ctx context.Context) (banks.Step, error) {
	const doing = "log in"
	segments, function := []syntax.Segment{t.identify(), t.prepare()}, oneStep
	if m := t.method(); m != nil {
		function = m.Function
		segments = append(segments, tanFor(m, "HKIDN", t.chosen().Medium))
	}
	synchronizing := t.lasting.SystemID == ""
	if synchronizing {
		segments = append(segments, syntax.New("HKSYN", 3, syntax.Text("0")))
	}
	r, err := t.exchange(ctx, doing, envelope{dialog: newDialog, number: 1, function: function}, segments...)
	if r != nil {
		t.learn(r)
	}
	if err != nil {
		return banks.Step{}, err
	}
	t.entered(r, function)
	t.dialog.Synchronizing = synchronizing
	if function != oneStep && t.method() == nil { // the bank let us in, and lists the method no more
		t.hangUp(ctx)
		if !t.conv.Interactive {
			return banks.Step{}, t.methodGone()
		}
		t.dropMethod()
		return banks.Step{Status: banks.Moving}, nil
	}
	demanded := t.demands(r, "HKIDN", "")
	t.observe(demanded)
	if demanded {
		return t.askTAN()
	}
	return t.opened()
}

// observe learns whether the bank wants strong customer authentication at every login: it demanded
// it for two logins in a row although the customer had authenticated, and did not let us in without
// since they did. A demand that was not met is followed by another one at every bank, so that the
// second counts on another day only.
func (t *talk) observe(demanded bool) {
	d, l, today := &t.dialog, &t.lasting, t.today()
	switch {
	case d.Synchronizing:
	case !demanded:
		l.Let, l.Demands, l.DemandedOn, l.EachLogin, t.dirty = true, 0, 0, false, true
	case l.Let, l.Proven.IsZero(), l.outdated(today), l.DemandedOn == today, d.Synchronized, d.Choice != nil:
	default:
		l.Demands++
		l.DemandedOn, l.EachLogin, t.dirty = today, l.Demands >= demandsOfEachLogin, true
	}
}

// demandsOfEachLogin is how many demands in a row, each soon after the customer authenticated, are
// a habit of the bank's.
const demandsOfEachLogin = 2

// opened is the end of a login.
func (t *talk) opened() (banks.Step, error) {
	d, l := &t.dialog, &t.lasting
	t.dirty = true
	if d.Synchronizing {
		if l.SystemID == "" {
			return banks.Step{}, nonsense("log in", "the bank gave no customer-system id")
		}
		d.Synchronized = true
		return banks.Step{Status: banks.Moving}, nil // the next login ends this dialog
	}
	d.Open, l.Authorized, l.Owed, l.Renewing = true, true, false, false
	t.keepChoice()
	if l.outdated(t.today()) { // this bank does without
		l.Proven = 0
	}
	return banks.Step{Status: banks.Ready}, nil
}

// tanFor is HKTAN with process 4 ("Sicherheitsverfahren PIN/TAN", section B.5), or with process 1
// where the method has that: it goes along with what may need a TAN.
func tanFor(m *method, order, medium string) syntax.Segment {
	if m.byHash() {
		return m.announceHash(order, []byte(noHash), medium)
	}
	s := syntax.New("HKTAN", m.Version, syntax.Text("4"), syntax.Text(order))
	if m.Medium && medium != "" {
		s.Elements = append(s.Elements, make([]syntax.Element, 8)...)
		s.Elements = append(s.Elements, syntax.Text(medium))
	}
	return s
}

// demands reports whether the bank keeps the order until the customer has authorized it (0030, or
// 3955 with HITAN).
func (t *talk) demands(r *reply, order, key string) bool {
	s := r.Find("HITAN")
	if s == nil || !r.has(codeSCA) && !r.has(codeDecoupled) {
		return false
	}
	reference := s.Get(2, 0)
	m := t.method()
	if reference == "" && (m == nil || !m.byHash()) || reference == "noref" || len(reference) > 256 {
		return false
	}
	w := &waiting{Order: order, Key: key, Reference: reference, Challenge: lenient.Cut(s.Get(3, 0), maxChallenge), HHDUC: []byte(s.Get(4, 0)), Decoupled: r.has(codeDecoupled),
		Since: t.options.Now(), Until: t.validUntil(s)}
	if len(w.HHDUC) > maxHHDUC {
		w.HHDUC = nil
	}
	if m != nil && m.decoupled() {
		w.Decoupled = true
	}
	t.dialog.Waiting, t.dirty = w, true
	if order == "HKIDN" || !t.conv.Interactive { // with the customer more was asked for, perhaps, than without
		t.lasting.Owed = true
	}
	return true
}

// Bounds of a challenge, which is sealed with every save of the dialog: its picture, and its text,
// which may have a picture of that size in base64 (CHLGUC) beside the words.
const (
	maxHHDUC     = 512 << 10
	maxChallenge = maxHHDUC/3*4 + 4*maxMessage
)
