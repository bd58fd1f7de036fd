package xs2a

import (
	"context"
	"fmt"
	"net/http"

	"github.com/kontoflow/kontoflow/banks"
)

// announce says what comes next and cannot be taken back, so that the caller seals that first.
func (t *talk) announce(what step) banks.Step {
	t.dialog.About = &announcement{Step: what, RequestID: newID()}
	t.dirty = true
	return moving()
}

func moving() banks.Step { return banks.Step{Status: banks.Moving} }

// carryOut sends what was announced, unless the bank has it already. It returns true where the
// state has to be sealed once more before anything is sent.
func (t *talk) carryOut(ctx context.Context, answer banks.Answer) (sealFirst bool, err error) {
	about := t.dialog.About
	if about.Step == createConsent && t.former == nil && t.lasting.consented(t.today(), t.conv.Consent) {
		// A synchronization that was cancelled has come to one meanwhile.
		t.dialog.About, t.dirty = nil, true
		return false, nil
	}
	repeated := about.Sent || t.resumed
	t.dirty = true
	if repeated {
		t.resumed = false
		arrived, err := t.findOut(ctx, about)
		switch {
		case err != nil:
			return false, err
		case arrived:
			t.dialog.About, t.dialog.Ask = nil, nil
			return false, nil
		case about.onceOnly():
			return true, t.again(about)
		}
	}
	about.Sent, about.Failed = true, false
	err = t.execute(ctx, about, answer, repeated)
	t.conclude(about, err)
	return false, err
}

// again announces once more what can be sent once only, and was not judged.
func (t *talk) again(about *announcement) error {
	next := announcement{Step: about.Step, RequestID: newID(), Repeated: true, Failures: about.Failures}
	switch {
	case about.Failed && about.Failures < maxFailures: // we saw that it was not even judged
		next.Repeated, next.Failures = about.Repeated, about.Failures+1
	case about.Repeated || about.Failed:
		return t.unclear(about.Step)
	}
	*about = next
	return nil
}

// execute sends what was announced. repeated says that it may have been sent before.
func (t *talk) execute(ctx context.Context, about *announcement, answer banks.Answer, repeated bool) error {
	switch about.Step {
	case createConsent:
		return t.postConsent(ctx, about.RequestID)
	case passwordToken:
		return t.fetchPasswordToken(ctx, about.RequestID)
	case sendPassword:
		return t.sendPassword(ctx, about.RequestID)
	case sendTAN:
		return t.sendTAN(ctx, about.RequestID, answer.Value)
	case confirm:
		return t.sendConfirmation(ctx, about.RequestID, answer.Query)
	case exchangeCode:
		return t.exchangeCode(ctx, answer.Query["code"], repeated)
	}
	return nil
}

// conclude notes how it was answered.
func (t *talk) conclude(about *announcement, err error) {
	no, _ := asRefusal(err)
	switch {
	case no != nil && no.token: // what was sent was not looked at: it is sent again with a new token
		t.dialog.About = nil
	case err == nil, no != nil && no.status < 500: // the bank has answered
		t.dialog.About, t.dialog.Ask = nil, nil
	default:
		about.Failed = no != nil && no.status != http.StatusGatewayTimeout
	}
}

// onceOnly reports whether sending it a second time may harm: a wrong PIN or TAN counts towards the
// lock.
func (a *announcement) onceOnly() bool {
	_, secret := bySecret[a.Step]
	return secret
}

// unclear ends a step whose secret may have been refused without our seeing it. It is not sent
// again.
func (t *talk) unclear(what step) error {
	return secretRefused(what, "the bank does not say what became of it")
}

// secretRefused is the end of a step whose secret was, or may have been, refused.
func secretRefused(what step, why string) error {
	return &banks.Error{Kind: banks.WrongCredentials, Code: bySecret[what], Err: fmt.Errorf("%s: sent, and %s", what, why)}
}

// orUnclear is err where asking again may help, else the end.
func (t *talk) orUnclear(err error, what step) error {
	if r, refused := asRefusal(err); refused && r.status < 500 && r.status != http.StatusTooManyRequests {
		return t.unclear(what)
	}
	return err
}

// findOut asks the bank whether something that was announced arrived before we lost track of it.
func (t *talk) findOut(ctx context.Context, about *announcement) (arrived bool, err error) {
	if !about.onceOnly() {
		// A consent is created again under the same X-Request-ID; at worst one is left over that
		// nobody authorises. A code or refresh token that is spent is refused, and the
		// authorization starts anew.
		return false, nil
	}
	if about.Step == passwordToken { // nobody can be asked about it
		if about.Failed {
			return false, nil
		}
		return false, t.unclear(about.Step)
	}
	if t.startsWith(about.Step) {
		// It went along with the start of the authorisation: whether that is there says whether it
		// arrived.
		id, err := t.lastAuthorisation(ctx, about.Step)
		if err != nil || id == "" {
			return false, err
		}
		t.dialog.Position.Authorisation = t.authorisationPath(id)
	}
	status, _, err := t.status(ctx)
	if err != nil {
		return false, t.orUnclear(err, about.Step)
	}
	switch status {
	case scaFinalised, scaExempted, scaUnconfirmed:
		return true, nil
	case scaFailed:
		return false, secretRefused(about.Step, "the bank calls the authorisation failed")
	case scaPSUAuthenticated, scaMethodSelected, scaStarted:
		if about.Step == sendPassword {
			return true, t.restart() // it arrived and was right, but the methods or the challenge are lost with the answer
		}
	}
	if status == "" || t.asksConsent() { // a consent's status does not tell whether a password arrived
		return false, t.unclear(about.Step)
	}
	return false, nil
}

// startsWith reports whether the step is a POST that starts the authorisation.
func (t *talk) startsWith(what step) bool {
	p := &t.dialog.Position
	if _, ok := p.Links.first(append([]string{"authoriseTransaction", "confirmation"}, passwordUpdates...)...); ok {
		return false
	}
	_, password := p.Links.first(passwordStarts...)
	_, code := p.Links.first("startAuthorisationWithTransactionAuthorisation")
	return what == sendPassword && password || what == sendTAN && code
}

// asksConsent reports whether the consent's status stands in for the authorisation's.
func (t *talk) asksConsent() bool {
	p := &t.dialog.Position
	return p.Authorisation == "" || p.StatusBroken || t.dialect.pollConsent
}
