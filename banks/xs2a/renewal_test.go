package xs2a_test

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/sandbox"
)

// renewable are banks, each with a customer of its way to grant a consent.
var renewable = map[string]string{"demo": "demo", "recurring": "demo", "statements": "demo", "oauth": "demo", "prestep": "demo", "token": "demo",
	"encrypted": "demo", "confirmation": "demo", "legacy": "demo", "signed": "methods"}

// renewing is a conversation whose consent is valid, and is to be renewed.
func (g *ground) renewing(t *testing.T, path, login string) *banks.Conversation {
	t.Helper()
	conv := g.conversation(t, path, login)
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	conv.Dialog, conv.Resumed, conv.Renew = nil, true, "first"
	return conv
}

// unattended is the next synchronization, without the customer: it asks nobody.
func (g *ground) unattended(t *testing.T, conv *banks.Conversation) *banks.Conversation {
	t.Helper()
	next := *conv
	next.Dialog, next.Left, next.Renew, next.PSU, next.Interactive, next.Resumed = nil, nil, "", banks.PSU{}, false, true
	_, err := authorize(t, g.provider, &next)
	require.NoError(t, err)
	require.NotNil(t, next.Granted)
	accounts, err := g.provider.Accounts(t.Context(), &next)
	require.NoError(t, err)
	require.NotEmpty(t, accounts)
	return &next
}

// revoked ends what the conversation still has in force at the bank, and requires that nothing else is.
func (g *ground) revoked(t *testing.T, conv *banks.Conversation) {
	t.Helper()
	for _, left := range append(slices.Clone(conv.Left), conv.Lasting) {
		require.NoError(t, g.provider.Revoke(t.Context(), &banks.Conversation{Connection: conv.Connection, Lasting: left, Resumed: true}))
	}
	require.Zero(t, g.bank.RevokeConsents(conv.Credentials[banks.CredentialLogin]))
}

// requireRenewed holds that a new consent is in force, which is read under without the customer, and that the former one was left.
func (g *ground) requireRenewed(t *testing.T, conv *banks.Conversation) {
	t.Helper()
	require.Len(t, conv.Left, 1)
	g.unattended(t, conv)
	g.revoked(t, conv)
}

// A new consent is asked for once, beside the one in force. When it is valid the former one is left.
func TestAConsentIsRenewed(t *testing.T) {
	t.Parallel()
	for path, login := range renewable {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, xs2a.Options{}, nil)
			conv := g.renewing(t, path, login)
			former := conv.Granted
			g.bank.Advance(20 * 24 * time.Hour)

			asked, err := authorize(t, g.provider, conv)
			require.NoError(t, err)
			require.NotEmpty(t, asked)
			require.True(t, conv.Granted.ValidUntil.After(former.ValidUntil))
			require.Equal(t, 2, g.bank.Counters().Consents[login])

			_, err = g.provider.Accounts(t.Context(), conv)
			require.NoError(t, err)
			conv.Dialog, conv.Resumed = nil, true
			asked, err = authorize(t, g.provider, conv)
			require.NoError(t, err)
			require.Empty(t, asked, "once")
			g.requireRenewed(t, conv)
		})
	}
}

// As long as the customer has not granted the new consent the former one is in force: while they are asked, and when they have not
// answered in time.
func TestTheFormerConsentStays(t *testing.T) {
	t.Parallel()
	for path, login := range renewable {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, xs2a.Options{}, nil)
			conv := g.renewing(t, path, login)
			former, id := conv.Granted, banks.ConsentID(conv.Lasting)
			ask(t, g.provider, conv)
			require.Empty(t, conv.Left)
			require.Equal(t, former, conv.Granted)
			midway := *conv

			next := g.unattended(t, conv)
			require.Equal(t, former, next.Granted)
			require.Equal(t, id, banks.ConsentID(next.Lasting))
			require.Equal(t, 1, g.bank.Counters().Consents[login])
			g.revoked(t, next)

			g.revoked(t, &midway) // in the middle of the dialog, too, and though both are over
		})
	}
}

// They decline on the bank's pages.
func TestADeclinedRenewal(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"oauth", "confirmation"} {
		g := newGround(t, xs2a.Options{}, nil)
		conv := g.renewing(t, path, "demo")
		location := ask(t, g.provider, conv).Location
		address, err := sandbox.Visitor{Login: "demo", Password: pin, TAN: tan}.Decline(t.Context(), location)
		require.NoError(t, err)
		for err == nil {
			_, err = g.provider.Answer(t.Context(), conv, banks.Answer{Query: queryOf(t, address)})
		}
		requireKind(t, err, banks.NeedsUser)
		g.revoked(t, g.unattended(t, conv))
	}
}

// They grant it when nobody waits for it any more: the next synchronization finds it, with them or without. Where its token went to
// nobody nothing can be read under it.
func TestARenewalGrantedLate(t *testing.T) {
	t.Parallel()
	for path, login := range map[string]string{"demo": "redirect", "recurring": "redirect", "oauth": "demo"} {
		g := newGround(t, xs2a.Options{}, nil)
		conv := g.renewing(t, path, login)
		id := banks.ConsentID(conv.Lasting)
		visit(t, conv, ask(t, g.provider, conv).Location)
		require.Equal(t, 2, g.bank.Counters().Consents[login])
		next := g.unattended(t, conv)
		require.Len(t, next.Left, 1)
		if path != "oauth" {
			require.NotEqual(t, id, banks.ConsentID(next.Lasting))
			require.Equal(t, id, banks.ConsentID(next.Left[0]))
		} else {
			require.Equal(t, id, banks.ConsentID(next.Lasting))
		}
		g.unattended(t, next)
		g.revoked(t, next)
	}
}

// … also the one that wishes for a new consent again: it has come true.
func TestAWishComesTrueLate(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.renewing(t, "demo", "redirect")
	visit(t, conv, ask(t, g.provider, conv).Location)
	conv.Dialog, conv.Resumed, conv.Renew = nil, true, "second"
	asked, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Empty(t, asked)
	require.Equal(t, 2, g.bank.Counters().Consents["redirect"])
	g.requireRenewed(t, conv)
}

// The second wish finds the question of the first unanswered, and asks anew.
func TestASecondWish(t *testing.T) {
	t.Parallel()
	for path, login := range renewable {
		g := newGround(t, xs2a.Options{}, nil)
		conv := g.renewing(t, path, login)
		ask(t, g.provider, conv)
		conv.Dialog, conv.Resumed, conv.Renew = nil, true, "second"
		asked, err := authorize(t, g.provider, conv)
		require.NoError(t, err)
		require.NotEmpty(t, asked, path)
		require.Equal(t, 2, g.bank.Counters().Consents[login])
		g.unattended(t, conv)
		g.revoked(t, conv)
	}
}

// One that needs a second person waits for them, whoever else comes.
func TestASecondPersonIsWaitedFor(t *testing.T) {
	t.Parallel()
	var waits atomic.Bool
	g := newGround(t, xs2a.Options{}, func(bank http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			bank.ServeHTTP(answer, r)
			body := answer.Body.Bytes()
			if waits.Load() {
				body = bytes.ReplaceAll(body, []byte(`"consentStatus":"valid"`), []byte(`"consentStatus":"partiallyAuthorised"`))
				answer.Header().Del("Content-Length")
			}
			maps.Copy(w.Header(), answer.Header())
			w.WriteHeader(answer.Code)
			_, _ = w.Write(body)
		})
	})
	conv := g.renewing(t, "demo", "demo")
	id := banks.ConsentID(conv.Lasting)
	waits.Store(true)
	_, err := authorize(t, g.provider, conv)
	require.Equal(t, banks.CodeConfirmAtBank, banks.AsError(err).Code)
	next := g.unattended(t, conv)
	require.Equal(t, id, banks.ConsentID(next.Lasting))
	require.Empty(t, next.Left)
	next.Renew, next.Interactive, next.Dialog, next.Resumed = "second", true, nil, true
	_, err = authorize(t, g.provider, next)
	require.Equal(t, banks.CodeConfirmAtBank, banks.AsError(err).Code, "nobody is asked again")
	require.Equal(t, 2, g.bank.Counters().Consents["demo"])

	waits.Store(false) // they have done it
	next = g.unattended(t, next)
	require.NotEqual(t, id, banks.ConsentID(next.Lasting))
	require.Len(t, next.Left, 1)
	g.revoked(t, next)
}

// A bank that cannot tell what became of it hinders nothing.
func TestANextConsentHindersNothing(t *testing.T) {
	t.Parallel()
	for _, fault := range []sandbox.Fault{
		{Status: http.StatusServiceUnavailable}, {Status: http.StatusTooManyRequests}, {Status: http.StatusForbidden},
		{Status: http.StatusForbidden, Code: "SERVICE_BLOCKED"}, {Status: http.StatusUnauthorized},
	} {
		g := newGround(t, xs2a.Options{}, nil)
		conv := g.renewing(t, "demo", "redirect")
		visit(t, conv, ask(t, g.provider, conv).Location)
		fault.Endpoint, fault.Action = "consents.get", sandbox.ActStatus
		require.NoError(t, g.bank.Inject(fault))
		next := g.unattended(t, conv)
		require.Empty(t, next.Left)
		require.Equal(t, banks.ConsentID(conv.Lasting), banks.ConsentID(next.Lasting))
		g.bank.ClearFaults()
		next = g.unattended(t, next)
		require.Len(t, next.Left, 1, "and asked again it tells")
		require.NotEqual(t, banks.ConsentID(conv.Lasting), banks.ConsentID(next.Lasting))
		g.revoked(t, next)
	}
}

// Of two consents one cannot be revoked. The other is, and is not asked for again.
func TestBothAreRevoked(t *testing.T) {
	t.Parallel()
	for after := range 2 { // the one or the other
		rec := &recorder{}
		g := newGround(t, xs2a.Options{}, rec.wrap)
		conv := g.renewing(t, "demo", "redirect")
		visit(t, conv, ask(t, g.provider, conv).Location)
		conv.Dialog, conv.Resumed = nil, true
		ended := func() (n int) {
			for _, r := range rec.take() {
				if r.method == http.MethodDelete {
					n++
				}
			}
			return n
		}
		if after > 0 {
			require.NoError(t, g.bank.Inject(sandbox.Fault{Endpoint: "consents.delete", Times: 1, Action: sandbox.ActSlow, Delay: 1}))
		}
		g.refuse(t, "consents.delete", http.StatusServiceUnavailable, "")
		require.Error(t, g.provider.Revoke(t.Context(), conv))
		require.Equal(t, 2, ended())
		require.NoError(t, g.provider.Revoke(t.Context(), conv))
		require.Equal(t, 1, ended())
		require.Zero(t, g.bank.RevokeConsents("redirect"))
	}
}

// The bank does not let another consent be created. That says nothing about the one in force.
func TestARefusedRenewal(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests} {
		g := newGround(t, xs2a.Options{}, nil)
		conv := g.renewing(t, "demo", "demo")
		require.NoError(t, g.bank.Inject(sandbox.Fault{Endpoint: "consents.create", Action: sandbox.ActStatus, Status: status}))
		_, err := authorize(t, g.provider, conv)
		require.Error(t, err, status)
		require.Empty(t, conv.Left)
		require.NotNil(t, conv.Granted)
		g.bank.ClearFaults()
		g.revoked(t, g.unattended(t, conv))
	}
}

// The answer to a new consent's creation is lost: it is asked for again, and the former one is in force.
func TestALostRenewal(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.renewing(t, "demo", "demo")
	require.NoError(t, g.bank.Inject(sandbox.Fault{Endpoint: "consents.create", Times: 1, Action: sandbox.ActLose}))
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	g.requireRenewed(t, conv)
}

// Some banks end the former consent themselves; to others it has to be said.
func TestWhoEndsTheFormerConsent(t *testing.T) {
	t.Parallel()
	for path, ends := range map[string]bool{"recurring": true, "demo": false} {
		g := newGround(t, xs2a.Options{}, nil)
		conv := g.renewing(t, path, "demo")
		former := *conv
		_, err := authorize(t, g.provider, conv)
		require.NoError(t, err)
		_, err = g.provider.Accounts(t.Context(), &former)
		if ends {
			requireKind(t, err, banks.NeedsAuthorization)
		} else {
			require.NoError(t, err)
		}
		g.requireRenewed(t, conv)
	}
}

// While a consent was announced, another synchronization, which was cancelled, came late to one. If that is in force nobody is
// asked; if not it is given up for the new one.
func TestAnAnnouncedConsentIsOvertaken(t *testing.T) {
	t.Parallel()
	for _, granted := range []bool{true, false} {
		g := newGround(t, xs2a.Options{}, nil)
		conv := g.conversation(t, "demo", "demo")
		step, err := g.provider.Authorize(t.Context(), conv)
		require.NoError(t, err)
		require.Equal(t, banks.Moving, step.Status, "announced")
		other := g.conversation(t, "demo", "demo")
		ask(t, g.provider, other)
		if granted {
			_, err = authorize(t, g.provider, other)
			require.NoError(t, err)
		}
		conv.Lasting, conv.Resumed = other.Lasting, true
		asked, err := authorize(t, g.provider, conv)
		require.NoError(t, err)
		require.Equal(t, granted, len(asked) == 0)
		require.Equal(t, 1, g.bank.Counters().Consents["demo"])
		require.Equal(t, granted, len(conv.Left) == 0)
		g.unattended(t, conv)
		g.revoked(t, conv)
	}
}

// A synchronization without the customer renews nothing.
func TestNobodyIsAskedToRenew(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.renewing(t, "demo", "demo")
	conv.Interactive = false
	asked, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Empty(t, asked)
	require.Equal(t, 1, g.bank.Counters().Consents["demo"])
}
