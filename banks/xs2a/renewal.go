package xs2a

import (
	"context"

	"github.com/kontoflow/kontoflow/banks"
)

// A consent is renewed beside the one in force. At rest the new one is the other's lasting.Next; in a dialog about it the talk
// has it as its consent, as if there had never been one, and the one in force waits as talk.former. Nothing that becomes of the
// new one touches the former, until it is valid: then it takes its place. Only a token that is the access's is one for both.

// renews reports whether a new consent is to be asked for although there is a valid one.
func (t *talk) renews() bool {
	return t.former == nil && t.conv.Interactive && t.conv.Renew != "" && t.lasting.Renewal != t.conv.Renew
}

// fulfil notes that the wish for a new consent has come true, where there is one.
func (t *talk) fulfil() {
	if t.conv.Renew != "" {
		t.lasting.Renewal = t.conv.Renew
	}
}

// setAside begins a dialog about the next consent. One that was to be it before is given up.
func (t *talk) setAside() error {
	if next := t.lasting.Next; next != nil {
		if err := t.leave(*next); err != nil {
			return err
		}
		t.lasting.Next = nil
	}
	t.dialog, t.dirty = dialog{}, true
	t.turnTo(t.lasting)
	return nil
}

// turnTo makes the next consent the talk's, and lets the one in force wait. The token is the access's, unless tokens come with
// consents.
func (t *talk) turnTo(former lasting) {
	var next lasting
	if former.Next != nil {
		next, former.Next = *former.Next, nil
	}
	if !t.tokenPerConsent() {
		next.Token = former.Token
	}
	next.SCA = former.SCA
	t.former, t.lasting = &former, next
}

// atRest is the state as it is stored: the consent in force, with the next one.
func (t *talk) atRest() lasting {
	if t.former == nil {
		return t.lasting
	}
	former, next := *t.former, t.lasting
	former.SCA, next.SCA = next.SCA, memory{}
	if !t.tokenPerConsent() {
		former.Token, next.Token = next.Token, next.Token.withoutRefresh()
	}
	if next.ConsentID != "" || t.tokenPerConsent() && next.Token != nil {
		former.Next = &next
	}
	return former
}

// turnBack makes the consent in force the talk's again.
func (t *talk) turnBack() { t.lasting, t.former = t.atRest(), nil }

// succeed leaves the former consent: the next one is valid. Most banks end the former by themselves then (OpenAPI file 1.3.11,
// POST /consents, side effects).
func (t *talk) succeed() error {
	former := t.former
	if former == nil {
		return nil
	}
	t.former, t.dirty = nil, true
	t.fulfil()
	return t.leave(*former)
}

// settleNext looks what became of a next consent that was not granted while its dialog went on. The customer may have granted
// it afterwards, on the bank's pages; a second one may still have to. Otherwise it is given up. A bank that cannot tell is asked
// the next time: that hinders nothing that is done under the consent in force, as long as that is.
func (t *talk) settleNext(ctx context.Context) error {
	t.turnTo(t.lasting)
	t.dirty = true
	useless, err := t.askAboutNext(ctx)
	if !useless && err == nil && t.lasting.consented(t.today(), t.conv.Consent) {
		return t.succeed()
	}
	t.turnBack()
	next := t.lasting.Next
	if next == nil {
		return nil
	}
	if err != nil && passing(err) && (t.renews() || !t.lasting.consented(t.today(), t.conv.Consent)) {
		return err
	}
	r, refused := asRefusal(err)
	switch {
	case refused && r.consentOver():
		t.lasting.Next = nil
	case useless, err == nil && next.ConsentStatus != consentPartly && next.ConsentStatus != "",
		refused && r.token && t.tokenPerConsent():
		t.lasting.Next = nil
		return t.leave(*next)
	}
	return nil
}

// askAboutNext reads the consent that is to follow, with a fresh token. One is useless whose token
// went to nobody: nothing could be read under it.
func (t *talk) askAboutNext(ctx context.Context) (useless bool, err error) {
	if own := t.lasting.Token; t.tokenPerConsent() && own != nil && own.Refresh != "" && own.expired(t.options.Now()) {
		forFormer := t.dialog.RefreshToken
		err = t.refreshToken(ctx)
		t.dialog.RefreshToken = forFormer
	}
	useless = t.lasting.ConsentID == "" || t.tokenPerConsent() && t.lasting.Token == nil && t.former.Token != nil
	if !useless && err == nil {
		err = t.readConsent(ctx)
	}
	return useless, err
}

// passing reports whether the bank may answer the next time.
func passing(err error) bool {
	switch banks.AsError(classified(err)).Kind {
	case banks.Transient, banks.BankDown, banks.LimitExceeded:
		return true
	}
	return false
}
