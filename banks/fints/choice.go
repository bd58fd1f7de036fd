package fints

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
)

// beginChoice begins another choice of method and medium by the customer's wish. The bank is asked
// again which there are, for methods once in a synchronization: every question costs a login.
func (t *talk) beginChoice() {
	if !t.wantsChoice() {
		return
	}
	d := &t.dialog
	d.Choice, d.Media, d.MediaAsked, t.dirty = &choice{Wish: t.conv.ChooseMethod, Asked: d.MethodsAsked}, nil, false, true
}

// wantsChoice reports whether the customer wishes to choose anew, and no choice for that wish has
// begun.
func (t *talk) wantsChoice() bool {
	c, wish := t.dialog.Choice, t.conv.ChooseMethod
	return wish != "" && t.conv.Interactive && wish != t.lasting.Chose && (c == nil || c.Wish != wish)
}

// keepChoice stores a choice that has proved itself by a login.
func (t *talk) keepChoice() {
	d, l := &t.dialog, &t.lasting
	if c := d.Choice; c != nil {
		l.Method, l.Medium, l.NoMedium, l.Chose, d.Choice = c.Method, c.Medium, c.NoMedium, c.Wish, nil
	}
}

// chosen is the method and the medium to log in with: of the choice that is under way, else as
// stored.
func (t *talk) chosen() choice {
	if c := t.dialog.Choice; c != nil {
		return *c
	}
	l := &t.lasting
	return choice{Method: l.Method, Medium: l.Medium, NoMedium: l.NoMedium}
}

// choose sets them.
func (t *talk) choose(method, medium string, none bool) {
	t.dirty = true
	if c := t.dialog.Choice; c != nil {
		c.Method, c.Medium, c.NoMedium = method, medium, none
		return
	}
	l := &t.lasting
	l.Method, l.Medium, l.NoMedium = method, medium, none
}

// dropMethod lets method and medium be chosen again.
func (t *talk) dropMethod() {
	d := &t.dialog
	t.choose("", "", false)
	d.Media, d.MediaAsked, d.FormerMedium = nil, false, ""
}

// method is the chosen one; nil: none is chosen, or the customer does not have it any more.
func (t *talk) method() *method {
	function := t.chosen().Method
	for _, m := range t.methods() {
		if m.Function == function {
			return &m
		}
	}
	return nil
}

// ofMethod reads the refusal of an order. One that is about the TAN method has the method chosen
// anew, once in a synchronization, if the customer is there.
func (t *talk) ofMethod(ctx context.Context, err error) error {
	refused, ok := asRefusal(err)
	if !ok || !refused.ofMethod() || t.method() == nil {
		return err
	}
	d, l := &t.dialog, &t.lasting
	l.Reselect, l.Owed, t.dirty = true, true, true
	if !t.conv.Interactive || d.Rechosen {
		return err
	}
	d.Rechosen = true
	t.hangUp(ctx)
	return needsAuthorization("the bank refuses the TAN method")
}

// reselect has the method chosen anew if the bank refused the stored one for an order.
func (t *talk) reselect() {
	l := &t.lasting
	if !l.Reselect || !t.conv.Interactive {
		return
	}
	l.Reselect, l.Allowed = false, nil
	t.dropMethod()
}

// methods are those that the customer has and we speak, in the bank's order.
func (t *talk) methods() []method {
	if t.lasting.Bank == nil {
		return nil
	}
	var all []method
	for _, function := range t.lasting.Allowed {
		for _, m := range t.lasting.Bank.Methods {
			if m.Function == function {
				all = append(all, m)
			}
		}
	}
	return all
}

// stored describes the customer's methods to those who want to show them.
func (t *talk) stored() (all []banks.AuthMethod) {
	for _, m := range t.methods() {
		one := m.described()
		if m.Function == t.lasting.Method {
			one.Default, one.MediumName = true, t.lasting.Medium
		}
		all = append(all, one)
	}
	return all
}

// described is the method as a customer can choose it.
func (m *method) described() banks.AuthMethod {
	info := map[string]string{"name": m.Name}
	if m.Of != "" {
		info["version"] = m.Of
	}
	return banks.AuthMethod{ID: m.Function, Type: m.kind(), AdditionalInfo: info}
}

// chooseMethod lets the customer choose; where there is only one method there is nothing to choose.
func (t *talk) chooseMethod() (banks.Step, error) {
	all := t.methods()
	switch {
	case len(all) == 0:
		return t.withoutMethod()
	case !t.conv.Interactive: // to a new method the bank wants the customer
		return banks.Step{}, t.methodGone()
	case len(all) == 1:
		t.choose(all[0].Function, "", false)
		return banks.Step{Status: banks.Moving}, nil
	}
	challenge := banks.Challenge{Type: banks.MethodSelection}
	for i := range all {
		challenge.AuthMethods = append(challenge.AuthMethods, all[i].described())
	}
	return t.ask(question{Challenge: challenge, For: forMethods})
}

// methodGone ends what cannot go on because a method has to be chosen, and the customer is not
// there. A new one is not taken without them: the bank would want a TAN for it.
func (t *talk) methodGone() error {
	t.lasting.Owed, t.dirty = true, true
	return needsUser(banks.CodeActivationNeeded, "log in: a method has to be chosen anew, and the customer is not there")
}

// withoutMethod goes on where the customer has no method that we speak: with the one-step
// procedure, if the bank allows it or does not offer anything else.
func (t *talk) withoutMethod() (banks.Step, error) {
	l := &t.lasting
	if l.oneStep() {
		t.choose("", "", false)
		return t.announce(login, forReading), nil
	}
	if !t.dialog.Fresh && t.renew() { // the methods are newer than the parameters
		return banks.Step{Status: banks.Moving}, nil
	}
	l.Allowed, t.dirty = nil, true
	return banks.Step{}, needsUser(banks.CodeTANNotActivated, "the customer has no TAN method that can be used")
}

// oneStep reports whether a login with security function 999 alone is enough. Banks list it as 999,
// or as 900 where that is none of their two-step methods; one without HITANS of a version that we
// speak has nothing else.
func (l *lasting) oneStep() bool {
	return len(l.Bank.Methods) == 0 && l.Bank.version("HKTAN") == 0 || slices.Contains(l.Allowed, oneStep) || slices.Contains(l.Allowed, oneStepListed)
}

// oneStepListed is how some banks list the one-step procedure in 3920.
const oneStepListed = "900"

// needsMedium reports whether the name of a medium is to go along, and not known yet.
func (t *talk) needsMedium(m *method) bool {
	c := t.chosen()
	return m.Medium && c.Medium == "" && !c.NoMedium && t.lasting.Bank.version("HKTAB") > 0
}

// chooseMedium lets the customer choose the device or card. Where the bank names none, the login is
// tried without: some banks want a name and list nobody's.
func (t *talk) chooseMedium() (banks.Step, error) {
	d, m := &t.dialog, t.method()
	former := slices.IndexFunc(d.Media, func(one medium) bool { return one.Name == d.FormerMedium })
	switch {
	case len(d.Media) == 0:
		t.choose(m.Function, "", true)
		return banks.Step{Status: banks.Moving}, nil
	case len(d.Media) == 1:
		former = 0
		fallthrough
	case former >= 0:
		t.choose(m.Function, d.Media[former].Name, false)
		return banks.Step{Status: banks.Moving}, nil
	}
	challenge := banks.Challenge{Type: banks.MethodSelection}
	for i, one := range d.Media {
		info := map[string]string{}
		if one.Phone != "" {
			info["phone"] = one.Phone
		}
		if one.Card != "" {
			info["card"] = one.Card
		}
		challenge.AuthMethods = append(challenge.AuthMethods,
			banks.AuthMethod{ID: strconv.Itoa(i + 1), Type: m.kind(), MediumName: one.Name, AdditionalInfo: info})
	}
	return t.ask(question{Challenge: challenge, For: forMedia})
}

// kind is the method's type as XS2A names it; what XS2A has no name for keeps the bank's.
func (m *method) kind() string {
	what := strings.ToLower(m.Kind + " " + m.ID + " " + m.Name)
	for _, k := range []struct{ word, kind string }{
		{"decoupled", "PUSH_OTP"}, {"push", "PUSH_OTP"}, {"qr", "PHOTO_OTP"}, {"photo", "PHOTO_OTP"}, {"hhd", "CHIP_OTP"}, {"chiptan", "CHIP_OTP"},
		{"mobiletan", "SMS_OTP"}, {"sms", "SMS_OTP"}, {"mtan", "SMS_OTP"},
	} {
		if strings.Contains(what, k.word) {
			return k.kind
		}
	}
	return cmp.Or(m.Kind, m.ID, m.Function)
}

// mediumClass is the class of the media that the method is used with (HITAB); "" any.
func (m *method) mediumClass() string {
	switch m.kind() {
	case "SMS_OTP":
		return "M"
	case "CHIP_OTP":
		return "G"
	}
	return ""
}
