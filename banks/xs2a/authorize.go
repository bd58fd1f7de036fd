package xs2a

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
)

// Bounds against a bank that leads in circles.
const (
	maxHops     = 8 // repeatable requests in one move
	maxRestarts = 3 // authorisations begun afresh
	maxFailures = 2 // sendings that the bank answered with an error of its own
)

// lag is how long we give a bank whose consent does not know yet what its authorisation says.
const lag = 2 * time.Second

func (t *talk) authorize(ctx context.Context) (banks.Step, error) {
	if step, err := t.renew(ctx); err != nil || step.Status != "" {
		return step, err
	}
	if restarts, err := t.restartWished(ctx); err != nil {
		return banks.Step{}, err
	} else if restarts {
		return moving(), nil
	}
	if t.former == nil && t.lasting.Next != nil && t.dialog.idle() {
		if err := t.settleNext(ctx); err != nil {
			return banks.Step{}, err
		}
	}
	if t.dialog.Ask != nil {
		return t.asked(), nil // nobody has answered yet: the same question
	}
	return t.advance(ctx, banks.Answer{})
}

func (t *talk) answer(ctx context.Context, answer banks.Answer) (banks.Step, error) {
	if step, err := t.renew(ctx); err != nil || step.Status != "" {
		return step, err
	}
	ask := t.dialog.Ask
	if ask == nil {
		return t.advance(ctx, answer) // taken before; the way on needed one more move
	}
	switch ask.Challenge.Type {
	case banks.MethodSelection:
		if t.dialog.Position.Methods.find(answer.MethodID) == nil {
			return t.asked(), nil
		}
		t.dialog.Replay = nil // what was chosen before does not go with it
		if err := t.choose(ctx, answer.MethodID); err != nil {
			return banks.Step{}, err
		}
		return t.advance(ctx, answer)
	case banks.Embedded:
		if answer.Value == "" {
			return t.asked(), nil
		}
		if t.dialog.About == nil {
			return t.announce(sendTAN), nil
		}
	case banks.RedirectTo:
		if t.dialog.About == nil {
			return t.returned(ctx, answer.Query)
		}
	case banks.Decoupled:
		return t.poll(ctx)
	}
	return t.advance(ctx, answer)
}

func (t *talk) poll(ctx context.Context) (banks.Step, error) {
	if step, err := t.renew(ctx); err != nil || step.Status != "" {
		return step, err
	}
	ask := t.dialog.Ask
	if ask == nil {
		return t.advance(ctx, banks.Answer{})
	}
	if ask.Challenge.Type != banks.Decoupled {
		return t.asked(), nil
	}
	now := t.options.Now()
	if early := ask.NotBefore.Sub(now); early > 0 {
		return banks.Step{Status: banks.Pending, PollAfter: early}, nil
	}
	status, header, err := t.standing(ctx)
	if err != nil {
		return banks.Step{}, err
	}
	t.dirty = true
	if status.over() || status == scaUnconfirmed {
		t.dialog.Ask = nil
		return t.advance(ctx, banks.Answer{})
	}
	ask.PollAfter = max(pollEvery, transport.RetryAfter(header, now))
	ask.NotBefore = now.Add(ask.PollAfter)
	return banks.Step{Status: banks.Pending, PollAfter: ask.PollAfter}, nil
}

// advance carries out what was announced, then goes on until somebody is asked, something has to be
// announced, or the conversation is ready.
func (t *talk) advance(ctx context.Context, answer banks.Answer) (banks.Step, error) {
	if t.dialog.About != nil {
		sealFirst, err := t.carryOut(ctx, answer)
		if err != nil {
			return banks.Step{}, err
		}
		if sealFirst {
			return moving(), nil
		}
	}
	for range maxHops {
		step, err := t.next(ctx)
		if err != nil || step.Status != "" {
			return step, err
		}
	}
	return banks.Step{}, nonsense("authorise", "the bank leads in circles")
}

// next takes one step; a step without a status means that the position changed and there is more to
// do.
func (t *talk) next(ctx context.Context) (banks.Step, error) {
	l, d := &t.lasting, &t.dialog
	withoutToken := l.Token == nil && t.tokenOfAccess()
	if !d.ForReading && !withoutToken && l.consented(t.today(), t.conv.Consent) {
		if !t.renews() {
			if !d.idle() {
				t.remember()
				t.dialog, t.dirty = dialog{}, true
			}
			return banks.Step{Status: banks.Ready}, t.succeed()
		}
		if l.Next != nil && l.Next.ConsentStatus == consentPartly {
			return banks.Step{}, needsSecondPerson()
		}
		if err := t.setAside(); err != nil {
			return banks.Step{}, err
		}
	}
	if d.fresh() && l.ConsentID != "" && !withoutToken {
		return t.review(ctx)
	}
	if !t.conv.Interactive {
		return banks.Step{}, needsUser(banks.CodeActivationNeeded, "the bank wants strong customer authentication, and nobody can be asked")
	}
	if withoutToken {
		return t.getToken(ctx)
	}
	if d.fresh() {
		return t.announce(createConsent), nil
	}
	return t.follow(ctx)
}

// review checks whether a stored consent that is not known to be valid can still be used, and
// leaves it if not. If the bank cannot show it at the moment, it is kept. recover handles a consent
// that the bank refuses.
func (t *talk) review(ctx context.Context) (banks.Step, error) {
	switch t.lasting.ConsentStatus {
	case consentReceived, consentPartly:
		err := t.readConsent(ctx)
		r, refused := asRefusal(err)
		switch {
		case refused && (r.unexplained(http.StatusForbidden) || r.fault.Kind == banks.Rejected && r.fault.Code == banks.CodeBankCannot):
			// Some banks know no other way to say that there is none, or cannot show it; and that
			// will not pass.
		case err != nil:
			return banks.Step{}, err
		case t.lasting.consented(t.today(), t.conv.Consent):
			t.fulfil()
			return banks.Step{}, nil
		}
	}
	return banks.Step{}, t.leaveConsent() // nobody will finish it, or it does not cover what is wanted
}

// recover goes on where the bank, in the middle of an authorisation, no longer takes the token or
// the consent: the token is refreshed, the consent created anew. The old one is left, unless the
// bank says that it is over.
func (t *talk) recover(err error) (banks.Step, error) {
	r, refused := asRefusal(err)
	if !refused || r.fault.Kind != banks.NeedsAuthorization {
		return banks.Step{}, err
	}
	t.dirty = true
	if t.dialog.Restarts++; t.dialog.Restarts <= maxRestarts {
		switch {
		case r.token && t.lasting.Token != nil:
			t.dialog.RefreshToken = true
			return moving(), nil
		case t.lasting.ConsentID != "":
			return moving(), t.consentAnew(r.consentOver())
		}
	}
	return banks.Step{}, &banks.Error{Kind: banks.NeedsUser, Code: banks.CodeLoginNotPossible, Message: r.fault.Message, Err: r.fault.Err}
}

// consentAnew begins the dialog again, with a consent yet to be created. over says that the bank
// has ended the old one.
func (t *talk) consentAnew(over bool) error {
	t.dialog, t.dirty = t.dialog.anew(), true
	if over {
		t.lasting.ConsentStatus = consentExpired
	}
	return t.leaveConsent()
}

// finish ends an authorisation that succeeded. A new consent is read once more: the bank may have
// shortened it.
func (t *talk) finish(ctx context.Context) (banks.Step, error) {
	if !t.dialog.ForReading {
		if err := t.readConsent(ctx); err != nil {
			return banks.Step{}, err
		}
		switch t.lasting.ConsentStatus {
		case consentValid:
		case consentReceived, "":
			return banks.Step{}, &banks.Error{Kind: banks.Transient, Code: banks.CodeTemporary, RetryAfter: lag,
				Err: errors.New("authorised, but the consent is not valid yet")}
		case consentPartly:
			return banks.Step{}, needsSecondPerson()
		case consentUnknown:
			return banks.Step{}, nonsense("read the consent", "its status is none of the specification's")
		default:
			return banks.Step{}, needsUser(banks.CodeLoginNotPossible, "the consent was not granted")
		}
	}
	t.remember()
	t.dialog, t.dirty = dialog{}, true
	return banks.Step{Status: banks.Ready}, t.succeed()
}

func needsSecondPerson() error {
	return needsUser(banks.CodeConfirmAtBank, "the consent needs a second person's authorisation")
}

// restart begins a fresh authorisation of the same consent, after something went wrong.
func (t *talk) restart() error {
	if t.dialog.Restarts++; t.dialog.Restarts > maxRestarts {
		return &banks.Error{Kind: banks.Rejected, Code: banks.CodeBankCannot, Err: errors.New("authorise: began afresh too often")}
	}
	t.beginAfresh()
	return nil
}

// beginAfresh begins a fresh authorisation of the same consent.
func (t *talk) beginAfresh() {
	start := t.dialog.Start
	if len(start) == 0 {
		start = links{"startAuthorisation": t.authorisationsPath().RequestURI()}
	}
	t.dialog.Position = position{Links: start}
	t.dialog.Replay = append(t.dialog.Picked, t.dialog.Replay...)
	t.dialog.Picked, t.dialog.Ask, t.dialog.State, t.dirty = nil, nil, "", true
}
