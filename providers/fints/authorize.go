package fints

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"kontoflow/plain"
	"kontoflow/providers"
	"kontoflow/providers/fints/syntax"
	"kontoflow/providers/lenient"
)

// maxRestarts bounds how often a synchronization begins the authorization afresh, after answers were lost.
const maxRestarts = 3

// authorize goes one move on towards an open dialog.
func (t *talk) authorize(ctx context.Context) (providers.Step, error) {
	d := &t.dialog
	switch {
	case d.About != nil && d.About.Step == login:
		return t.logIn(ctx)
	case d.About != nil: // a TAN is on its way, and only Answer has it
		return t.startAfresh(ctx)
	case d.Ask != nil:
		return t.asked(), nil
	case d.Waiting != nil:
		return t.askTAN()
	case d.Open:
		return providers.Step{Status: providers.Ready}, nil
	}
	if err := t.unattended(); err != nil {
		return providers.Step{}, err
	}
	if t.lasting.Bank == nil {
		if err := t.askAnonymously(ctx); err != nil {
			return providers.Step{}, err
		}
	}
	if len(t.lasting.Allowed) == 0 {
		return t.announce(login, forMethods), nil
	}
	m := t.method()
	if m == nil {
		return t.chooseMethod()
	}
	if m.Medium && t.lasting.Medium == "" && t.lasting.Bank.version("HKTAB") > 0 {
		if d.Media == nil {
			return t.announce(login, forMedia), nil
		}
		return t.chooseMedium()
	}
	if t.lasting.SystemID == "" {
		return t.announce(login, forSystem), nil
	}
	return t.announce(login, forReading), nil
}

// unattended refuses a login that would send a TAN or a push message to a customer who is not there, as far as that is
// known beforehand: the bank sends it as soon as it is asked.
func (t *talk) unattended() error {
	l := &t.lasting
	switch {
	case t.conv.Interactive:
		return nil
	case !l.Authorized:
		return needsUser(providers.CodeActivationNeeded, "the bank has to be asked for the first time, and the customer is not there")
	case l.Unclear:
		return t.doubtful()
	case l.Owed:
		return needsUser(providers.CodeActivationNeeded, "the bank wanted the customer the last time, and he is not there")
	case l.outdated(t.today()):
		return needsUser(providers.CodeActivationNeeded, "the last strong customer authentication is too old, and the customer is not there")
	}
	return nil
}

// goodFor is for how many days a bank may go without strong customer authentication (RTS 2018/389, Art. 10a).
const goodFor = 180

// outdated reports whether the bank has to want strong customer authentication at the next login.
func (l *lasting) outdated(today plain.Date) bool {
	return !l.Proven.IsZero() && today >= l.Proven.AddDays(goodFor)
}

// announce says what is about to be sent. The caller seals it, and the next call sends it.
func (t *talk) announce(what, purpose step) providers.Step {
	t.dialog.About, t.dirty = &announcement{Step: what, Purpose: purpose}, true
	t.resumed = false
	return providers.Step{Status: providers.Moving}
}

// askAnonymously fetches the bank parameters in a dialog without a customer ("Formals", section C.5): no PIN goes along.
func (t *talk) askAnonymously(ctx context.Context) error {
	const doing = "fetch the bank parameters"
	identify := syntax.New("HKIDN", 2, syntax.Text(country, t.conv.Connection.BankCode), syntax.Text(nobody), syntax.Text(noSystem), syntax.Text("0"))
	r, err := t.exchange(ctx, doing, envelope{dialog: newDialog, number: 1}, identify, t.prepare())
	if err != nil {
		return err
	}
	t.learn(r)
	if t.lasting.Bank == nil {
		return nonsense(doing, "the bank sent none")
	}
	if id := r.DialogID; id != "" && id != "0" {
		_, _ = t.exchange(ctx, "end the anonymous dialog", envelope{dialog: id, number: 2}, syntax.New("HKEND", 1, syntax.Text(id)))
	}
	return nil
}

// prepare is HKVVB: which parameters are known here, and what product asks ("Formals", section C.3.1.3).
func (t *talk) prepare() syntax.Segment {
	bank, user := t.lasting.stated()
	return syntax.New("HKVVB", 3, syntax.Number(bank), syntax.Number(user), syntax.Text("0"),
		syntax.Text(cmp.Or(t.conv.Connection.ProductID, "Kontoflow")), syntax.Text("1.0"))
}

func (t *talk) identify() syntax.Segment {
	customer := cmp.Or(t.conv.Credentials[providers.CredentialCorporateID], t.conv.Credentials[providers.CredentialLogin])
	return syntax.New("HKIDN", 2, syntax.Text(country, t.conv.Connection.BankCode), syntax.Text(customer),
		syntax.Text(cmp.Or(t.lasting.SystemID, noSystem)), syntax.Text("1"))
}

// logIn sends an announced login, if it may be sent.
func (t *talk) logIn(ctx context.Context) (providers.Step, error) {
	d := &t.dialog
	about := d.About
	if t.resumed {
		t.resumed, t.dirty = false, true
		switch {
		case about.NotSent:
			about.NotSent = false
		case d.LoggedIn && !about.Again:
			about.Again = true
		default:
			d.About = nil
			return providers.Step{}, t.unclear()
		}
		return providers.Step{Status: providers.Moving}, nil
	}
	t.hangUp(ctx)
	step, err := t.logInFor(ctx, about.Purpose)
	refused, isRefusal := asRefusal(err)
	switch {
	case err == nil:
		d.About = nil
	case isRefusal:
		d.About = nil
		t.hangUp(ctx)
		if refused.fault.Kind == providers.NeedsAuthorization { // the login itself was the authorization; the bank wants another procedure
			refused.fault.Kind, refused.fault.Code = providers.NeedsUser, providers.CodeTANNotActivated
		}
		if t.forget(refused) {
			if !t.conv.Interactive {
				return providers.Step{}, needsUser(providers.CodeActivationNeeded,
					"log in: the bank knows the method or the customer system no more, and the customer is not there")
			}
			if d.Restarts++; d.Restarts <= maxRestarts {
				step, err = providers.Step{Status: providers.Moving}, nil
			}
		}
	case d.ID != "": // the bank let us in; what came then did not work out
		d.About = nil
	case isLost(err) && !d.LoggedIn:
		d.About = nil
		if cause := providers.AsError(err); cause.Kind != providers.Transient {
			return providers.Step{}, errors.Join(t.unclear(), err)
		}
		return providers.Step{}, t.unclear()
	case isLost(err) && about.Again:
		d.About, t.dirty = nil, true
		return providers.Step{}, t.unclear()
	default:
		about.Again, about.NotSent = about.Again || isLost(err), true
	}
	t.dirty = true
	return step, err
}

// forget drops what the bank refused a login for, where that was not the PIN: a method that the customer does not have any
// more ("Sicherheitsverfahren PIN/TAN", section B.6.1, code 3920 with 9800), or a customer-system id that is not known
// any more ("Formals", section C.3.1.2). It reports whether there was anything.
func (t *talk) forget(r *refusal) bool {
	const identify = 3 // HKIDN, behind the heads of message and signature
	l := &t.lasting
	switch {
	case r.fault.Kind == providers.WrongCredentials:
		return false
	case l.Method != "" && (r.has(9380) || r.has(9955) || r.has(codeAborted) && t.method() == nil):
		if t.method() != nil { // the bank did not say which ones there are instead
			l.Allowed = nil
		}
		l.Method, l.Medium = "", ""
	case l.SystemID != "" && r.about(identify, 9210):
		l.SystemID, l.Allowed = "", nil // a new one comes along with the methods
	default:
		return false
	}
	l.Owed, t.dirty = true, true // to a new method or system the bank wants the customer
	return true
}

func (t *talk) logInFor(ctx context.Context, purpose step) (providers.Step, error) {
	moving := providers.Step{Status: providers.Moving}
	switch purpose {
	case forMethods:
		if err := t.learnMethods(ctx); err != nil {
			return providers.Step{}, err
		}
		return moving, nil
	case forMedia:
		if err := t.learnMedia(ctx); err != nil {
			return providers.Step{}, err
		}
		return moving, nil
	}
	return t.openDialog(ctx)
}

// learnMethods is the personal dialog with security function 999: it tells the customer's methods by code 3920, and
// gives the customer-system id ("Sicherheitsverfahren PIN/TAN", section B.4.3.3; "Formals", chapter C.8).
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
	if refused, ok := asRefusal(err); ok && refused.has(9955) && refused.fault.Kind != providers.WrongCredentials && len(t.methods()) > 0 {
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
	t.hangUp(ctx)
	return nil
}

// learnMedia asks which TAN media the customer has (HKTAB; "Sicherheitsverfahren PIN/TAN", section B.4.3.1.3): a login of
// its own, which needs no strong customer authentication.
func (t *talk) learnMedia(ctx context.Context) error {
	const doing = "ask for the TAN media"
	m := t.method()
	if m == nil {
		return nonsense(doing, "the method is gone")
	}
	r, err := t.exchange(ctx, doing, envelope{dialog: newDialog, number: 1, function: m.Function},
		t.identify(), t.prepare(), tanFor(m, "HKTAB", "noref"))
	if r != nil {
		t.learn(r)
	}
	if err != nil {
		return err
	}
	t.entered(r, m.Function)
	r, err = t.order(ctx, doing, "", syntax.New("HKTAB", t.lasting.Bank.version("HKTAB"), syntax.Text("0"), syntax.Text("A")))
	if err != nil {
		return err
	}
	t.dialog.Media = []medium{}
	for _, s := range r.All("HITAB") {
		t.dialog.Media = append(t.dialog.Media, readMedia(s, m)...)
	}
	t.hangUp(ctx)
	return nil
}

// readMedia reads the media that are active, and fit the method.
func readMedia(s *syntax.Segment, m *method) (all []medium) {
	shift := 0
	if s.Version >= 5 {
		shift = 1 // element 3 is the security function
	}
	// Class, status, [function,] card, its sequence number, its kind, account (ktv: four elements), valid from, until, number
	// of the list, name, phone ("Sicherheitsverfahren PIN/TAN", data dictionary, "TAN-Medium-Liste").
	for _, e := range s.Elements[min(1, len(s.Elements)):] {
		one := medium{Class: e.Get(0), Name: lenient.PlainText(e.Get(12+shift), 64), Phone: lenient.PlainText(e.Get(13+shift), 64), Card: masked(e.Get(2 + shift))}
		if status := e.Get(1); status != "1" && status != "" || len(all) == 99 || one.Name == "" {
			continue
		}
		if shift == 1 && e.Get(2) != "" && e.Get(2) != m.Function {
			continue
		}
		if class := m.mediumClass(); class != "" && one.Class != "A" && one.Class != "B" && one.Class != class {
			continue
		}
		all = append(all, one)
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

// tanFor is HKTAN with process 4 ("Sicherheitsverfahren PIN/TAN", section B.5): it goes along with what may need a TAN.
func tanFor(m *method, order, medium string) syntax.Segment {
	s := syntax.New("HKTAN", m.Version, syntax.Text("4"), syntax.Text(order))
	if m.Medium && medium != "" {
		s.Elements = append(s.Elements, make([]syntax.Element, 8)...)
		s.Elements = append(s.Elements, syntax.Text(medium))
	}
	return s
}

// openDialog logs in with the chosen method, for reading; where there is no customer-system id yet, for that alone
// ("Formals", chapter C.8: no orders may follow).
func (t *talk) openDialog(ctx context.Context) (providers.Step, error) {
	const doing = "log in"
	segments, function := []syntax.Segment{t.identify(), t.prepare()}, oneStep
	if m := t.method(); m != nil {
		function = m.Function
		segments = append(segments, tanFor(m, "HKIDN", t.lasting.Medium))
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
		return providers.Step{}, err
	}
	t.entered(r, function)
	t.dialog.Synchronizing = synchronizing
	if t.demands(r, "HKIDN", "") {
		return t.askTAN()
	}
	return t.opened()
}

// opened is the end of a login.
func (t *talk) opened() (providers.Step, error) {
	d, l := &t.dialog, &t.lasting
	t.dirty = true
	if d.Synchronizing {
		if l.SystemID == "" {
			return providers.Step{}, nonsense("log in", "the bank gave no customer-system id")
		}
		return providers.Step{Status: providers.Moving}, nil // the next login ends this dialog
	}
	d.Open, l.Authorized, l.Owed = true, true, false
	if l.outdated(t.today()) { // this bank does without
		l.Proven = 0
	}
	return providers.Step{Status: providers.Ready}, nil
}

// demands reports whether the bank keeps the order until the customer has authorized it (0030, or 3955 with HITAN).
func (t *talk) demands(r *reply, order, key string) bool {
	s := r.Find("HITAN")
	if s == nil || !r.has(codeSCA) && !r.has(codeDecoupled) {
		return false
	}
	reference := s.Get(2, 0)
	if reference == "" || reference == "noref" || len(reference) > 256 {
		return false
	}
	w := &waiting{Order: order, Key: key, Reference: reference, Challenge: s.Get(3, 0), HHDUC: []byte(s.Get(4, 0)), Decoupled: r.has(codeDecoupled)}
	if len(w.HHDUC) > maxHHDUC {
		w.HHDUC = nil
	}
	if m := t.method(); m != nil && m.decoupled() {
		w.Decoupled = true
	}
	t.dialog.Waiting, t.dirty = w, true
	if order == "HKIDN" || !t.conv.Interactive { // with the customer more was asked for, perhaps, than without
		t.lasting.Owed = true
	}
	return true
}

// maxHHDUC bounds a challenge's picture.
const maxHHDUC = 512 << 10

// answer takes the customer's answer.
func (t *talk) answer(ctx context.Context, answer providers.Answer) (providers.Step, error) {
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
	case providers.MethodSelection:
		if !slices.ContainsFunc(d.Ask.Challenge.AuthMethods, func(m providers.AuthMethod) bool { return m.ID == answer.MethodID }) {
			return providers.Step{}, needsUser(providers.CodeTANNotActivated, "the chosen method is not among those that were offered")
		}
		if d.Ask.For == forMedia {
			n, err := strconv.Atoi(answer.MethodID)
			if err != nil || n < 1 || n > len(d.Media) {
				return providers.Step{}, needsUser(providers.CodeTANNotActivated, "the chosen TAN medium is not there")
			}
			t.lasting.Medium = d.Media[n-1].Name
		} else {
			t.lasting.Method, t.lasting.Medium, d.Media = answer.MethodID, "", nil
		}
		d.Ask, t.dirty = nil, true
		return t.authorize(ctx)
	case providers.Embedded:
		return t.announce(sendTAN, ""), nil
	}
	return t.poll(ctx)
}

// sendTAN submits the TAN for what waits (HKTAN process 2).
func (t *talk) sendTAN(ctx context.Context, tan string) (providers.Step, error) {
	d := &t.dialog
	about, m := d.About, t.method()
	if t.resumed {
		t.resumed, t.dirty = false, true
		if !about.NotSent && about.Again {
			return t.startAfresh(ctx)
		}
		// Under the same number again: it takes effect once at most.
		about.Again, about.NotSent = about.Again || !about.NotSent, false
		return providers.Step{Status: providers.Moving}, nil
	}
	if d.Waiting == nil || m == nil || d.ID == "" {
		return t.startAfresh(ctx)
	}
	s := syntax.New("HKTAN", m.Version, syntax.Text("2"), syntax.Empty(), syntax.Empty(), syntax.Empty(), syntax.Text(d.Waiting.Reference), syntax.Flag(false))
	r, err := t.order(ctx, "send the TAN", tan, s)
	t.dirty = true
	switch {
	case err == nil:
		return t.authorized(r)
	case isLost(err):
		return providers.Step{}, err
	case r == nil:
		about.NotSent, about.Again = true, true // a server that fails may have taken it before
		return providers.Step{}, err
	}
	d.About = nil
	if refused, _ := asRefusal(err); about.Again && (r.dialogIsGone(err) || refused.has(9991)) { // the first one arrived
		return t.startAfresh(ctx)
	}
	t.hangUp(ctx)
	d.Ask, d.Waiting = nil, nil
	return providers.Step{}, tanRefused(err)
}

// tanRefused reads a refusal in the light of the TAN that was sent: an order that the bank does not know any more has
// expired ("Sicherheitsverfahren PIN/TAN", section B.6.1, code 9210).
func tanRefused(err error) error {
	if refused, ok := asRefusal(err); ok && refused.has(9210) && refused.fault.Kind == providers.Rejected {
		expired := *refused.fault
		expired.Kind, expired.Code = providers.NeedsUser, providers.CodeExpired
		return &expired
	}
	return err
}

// authorized goes on after the customer authorized what waited. The answer to an order is kept for the next read.
func (t *talk) authorized(r *reply) (providers.Step, error) {
	d := &t.dialog
	w := d.Waiting
	d.About, d.Ask, d.Waiting, t.dirty = nil, nil, nil, true
	t.learn(r)
	if t.demands(r, w.Order, w.Key) { // one TAN was not enough
		return t.askTAN()
	}
	if w.Order == "HKIDN" {
		t.lasting.Proven = t.today()
	} else {
		if err := t.keep(w.Key, r); err != nil {
			return providers.Step{}, err
		}
	}
	return t.opened()
}

// startAfresh begins again with a login: whether the bank took the TAN shows itself by what it asks then.
func (t *talk) startAfresh(ctx context.Context) (providers.Step, error) {
	d := &t.dialog
	if d.Restarts++; d.Restarts > maxRestarts {
		return providers.Step{}, nonsense("authorize", "it never comes to an end")
	}
	t.forgetDialog()
	d.About, d.Ask, t.dirty = nil, nil, true
	return t.authorize(ctx)
}

// poll asks whether the customer confirmed in the app (HKTAN process S), at the pace that the bank gave.
func (t *talk) poll(ctx context.Context) (providers.Step, error) {
	d := &t.dialog
	if d.About != nil || d.Ask == nil || d.Ask.Challenge.Type != providers.Decoupled {
		return t.authorize(ctx)
	}
	m := t.method()
	if d.Waiting == nil || m == nil || d.ID == "" {
		return t.startAfresh(ctx)
	}
	now := t.options.Now()
	if wait := d.Ask.NotBefore.Sub(now); wait > 0 {
		return providers.Step{Status: providers.Pending, PollAfter: wait}, nil
	}
	if m.MaxPolls > 0 && d.Waiting.Polls >= m.MaxPolls {
		t.hangUp(ctx)
		d.Ask = nil
		return providers.Step{}, needsUser(providers.CodeExpired, "the customer did not confirm as long as the bank may be asked")
	}
	s := syntax.New("HKTAN", m.Version, syntax.Text("S"), syntax.Empty(), syntax.Empty(), syntax.Empty(), syntax.Text(d.Waiting.Reference), syntax.Flag(false))
	d.Waiting.Polls++
	d.Ask.NotBefore, t.dirty = now.Add(m.pace(m.NextPoll)), true
	r, err := t.order(ctx, "ask whether the customer confirmed", "", s)
	switch {
	case r == nil:
		return providers.Step{}, err
	case err != nil && r.dialogIsGone(err): // our last poll was not stored
		return t.startAfresh(ctx)
	case err != nil:
		t.hangUp(ctx)
		d.Ask, d.Waiting = nil, nil
		return providers.Step{}, declined(err)
	case r.has(codeStillOpen):
		return providers.Step{Status: providers.Pending, PollAfter: m.pace(m.NextPoll)}, nil
	}
	return t.authorized(r)
}

// declined reads a refusal of a decoupled authentication: it was the customer who refused, or waited too long.
func declined(err error) error {
	refused, ok := asRefusal(err)
	if !ok || refused.ofPIN() || refused.fault.Kind != providers.WrongCredentials && refused.fault.Kind != providers.Rejected && refused.fault.Kind != providers.Transient {
		return err
	}
	declined := *refused.fault
	declined.Kind, declined.Code = providers.NeedsUser, providers.CodeConfirmAtBank
	return &declined
}
