package xs2a_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/sandbox"
)

// The customer did not finish. What they could still finish at the bank is owed to be ended, unless the bank says that it is
// over; a bank that is just down does not say so.
func TestAnUnfinishedConsentIsNotForgotten(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int // of the bank's answer when it is asked for the consent; 0: as usual
		code   string
		kind   banks.Kind // in which asking ends; "": the conversation goes on
		left   int
	}{
		"it is still there":            {left: 1},
		"the bank is down":             {status: 503, kind: banks.Transient, left: 1},
		"the bank had enough":          {status: 429, code: "ACCESS_EXCEEDED", kind: banks.LimitExceeded, left: 1},
		"our certificate expired":      {status: 401, code: "CERTIFICATE_EXPIRED", kind: banks.Rejected, left: 1},
		"the bank does not say why":    {status: 403, left: 1},
		"nor here":                     {status: 401, left: 1},
		"the bank calls it wrong":      {status: 400, code: "FORMAT_ERROR", left: 1},
		"the bank cannot show it":      {status: 405, code: "SERVICE_INVALID", left: 1},
		"the bank does not know it":    {status: 403, code: "CONSENT_UNKNOWN"},
		"the bank calls it expired":    {status: 401, code: "CONSENT_EXPIRED"},
		"the bank has nothing there":   {status: 404},
		"the bank has nothing anymore": {status: 410},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, xs2a.Options{}, nil)
			conv := g.conversation(t, "demo", "demo")
			ask(t, g.provider, conv)
			conv.Dialog, conv.Resumed = nil, true
			if test.status > 0 {
				g.refuse(t, "consents.get", test.status, test.code)
			}
			if test.kind != "" {
				_, err := g.provider.Authorize(t.Context(), conv)
				requireKind(t, err, test.kind)
				require.Empty(t, conv.Left)
			}
			_, err := authorize(t, g.provider, conv)
			require.NoError(t, err)
			g.requireLeft(t, conv, test.left)
		})
	}
}

// With a pre-step the token is the access's: it outlives a consent that is given up, and what ends that consent later, when
// its copy of the access token has expired, leaves the access its tokens, which the bank renews once each.
func TestAConsentIsLeftWithoutTheAccessesToken(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"prestep", "token"} {
		g := newGround(t, xs2a.Options{}, nil)
		conv := g.conversation(t, path, "demo")
		unfinished(t, g.provider, conv)
		asked, err := authorize(t, g.provider, conv)
		require.NoError(t, err)
		for _, challenge := range asked {
			require.NotEqual(t, banks.RedirectTo, challenge.Type, "the token is good")
		}
		require.Len(t, conv.Left, 1)

		g.bank.Advance(2 * time.Hour)
		revoked := g.provider.Revoke(t.Context(), &banks.Conversation{Connection: conv.Connection, Lasting: conv.Left[0], Resumed: true})
		conv.Dialog, conv.Interactive, conv.Resumed = nil, false, true
		_, err = authorize(t, g.provider, conv)
		require.NoError(t, err)
		_, err = g.provider.Accounts(t.Context(), conv)
		require.NoError(t, err)
		requireKind(t, revoked, banks.NeedsAuthorization) // this bank ends none without a token
	}
}

// Integrated, the token is the consent's, and goes with it: to end it, and so that the next consent gets its own.
func TestAConsentIsLeftWithItsToken(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "oauth", "demo")
	conv.Consent.Scopes = []string{"ACCOUNTS"}
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	conv.Dialog, conv.Consent.Scopes = nil, nil
	asked, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Equal(t, banks.RedirectTo, asked[0].Type)
	_, err = g.provider.Accounts(t.Context(), conv)
	require.NoError(t, err)

	g.bank.Advance(2 * time.Hour)
	renewals := g.bank.Counters().Calls["oauth/token"]
	g.requireLeft(t, conv, 1)
	require.Equal(t, renewals+1, g.bank.Counters().Calls["oauth/token"], "renewed, to end it")
	require.Equal(t, 1, g.bank.RevokeConsents("demo"), "the new one is valid, the old one is not")
}

// The customer finished after all, what was asked for then; now more is wanted.
func TestAConsentThatCoversTooLittleIsEnded(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "demo", "redirect")
	conv.Consent.Scopes = []string{"ACCOUNTS"}
	visit(t, conv, ask(t, g.provider, conv).Location)
	conv.Dialog, conv.Consent.Scopes = nil, nil
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	g.requireLeft(t, conv, 1)
	require.Equal(t, 1, g.bank.RevokeConsents("redirect"), "the new one is valid, the old one is not")
}

// A refusal that does not say that the consent is over may mean anything: another consent is needed, and the bank may hold
// the old one valid.
func TestARefusedConsentIsEnded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		persona, endpoint string
		status            int
		code              string
		down              string // another endpoint, which is down meanwhile
		left              int
	}{
		"accounts":                   {"exempt", "accounts", 401, "", "", 1},
		"accounts, expired":          {"exempt", "accounts", 401, "CONSENT_EXPIRED", "", 0},
		"transactions":               {"exempt", "transactions", 401, "", "consents.status", 1},
		"transactions, expired":      {"exempt", "transactions", 401, "CONSENT_EXPIRED", "", 0},
		"the authorisation":          {"demo", "authorisations.start", 401, "", "", 1},
		"the authorisation, no more": {"demo", "authorisations.start", 403, "CONSENT_UNKNOWN", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, xs2a.Options{}, nil)
			conv := g.conversation(t, "demo", test.persona)
			g.refuse(t, test.endpoint, test.status, test.code)
			if test.down != "" {
				g.refuse(t, test.down, http.StatusServiceUnavailable, "")
			}
			_, err := authorize(t, g.provider, conv)
			require.NoError(t, err)
			if test.endpoint != "authorisations.start" {
				require.Empty(t, conv.Left)
				accounts, err := g.provider.Accounts(t.Context(), conv)
				if err == nil {
					_, err = g.provider.Transactions(t.Context(), conv, accounts[0], banks.Window{}, "")
				}
				requireKind(t, err, banks.NeedsAuthorization)
				_, err = authorize(t, g.provider, conv)
				require.NoError(t, err)
			}
			_, err = g.provider.Accounts(t.Context(), conv)
			require.NoError(t, err)
			g.requireLeft(t, conv, test.left)
		})
	}
}

// Revoked is what the bank has ended, or says that it is over. Nothing else is: the bank is to be asked again.
func TestRevokedIsWhatTheBankEnded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status  int
		code    string
		revoked bool
	}{
		"unknown":              {403, "CONSENT_UNKNOWN", true},
		"expired":              {401, "CONSENT_EXPIRED", true},
		"not valid":            {401, "CONSENT_INVALID", true},
		"no such resource":     {404, "RESOURCE_UNKNOWN", true},
		"expired resource":     {403, "RESOURCE_EXPIRED", true},
		"nothing there":        {404, "", true},
		"nothing there now":    {410, "", true},
		"forbidden":            {403, "", false},
		"not authorized":       {401, "", false},
		"blocked":              {403, "SERVICE_BLOCKED", false},
		"our certificate":      {401, "CERTIFICATE_EXPIRED", false},
		"our role":             {401, "ROLE_INVALID", false},
		"too often":            {429, "ACCESS_EXCEEDED", false},
		"of no use":            {405, "SERVICE_INVALID", false},
		"down":                 {503, "", false},
		"a token, without one": {401, "TOKEN_UNKNOWN", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, xs2a.Options{}, nil)
			conv := g.conversation(t, "demo", "exempt")
			_, err := authorize(t, g.provider, conv)
			require.NoError(t, err)
			g.refuse(t, "consents.delete", test.status, test.code)
			err = g.provider.Revoke(t.Context(), conv)
			require.Equal(t, test.revoked, err == nil, "%v", err)
			if !test.revoked {
				require.NoError(t, g.provider.Revoke(t.Context(), conv))
				require.Zero(t, g.bank.RevokeConsents("exempt"))
			}
		})
	}
}

// A bank that ends a consent only for a token, when there is none any more: nothing is revoked, however often it is asked.
func TestRevokedNeedsItsToken(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "prestep", "demo")
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	g.bank.Advance(3 * time.Hour)
	g.refuse(t, "token", http.StatusBadRequest, "invalid_grant")
	for range 2 {
		requireKind(t, g.provider.Revoke(t.Context(), conv), banks.NeedsAuthorization)
	}
	require.Equal(t, 1, g.bank.RevokeConsents("demo"), "it is valid")
}

// ask brings the conversation to its first question.
func ask(t *testing.T, p banks.Adapter, conv *banks.Conversation) *banks.Challenge {
	t.Helper()
	for range 10 {
		step, err := p.Authorize(t.Context(), conv)
		require.NoError(t, err)
		if step.Status == banks.Challenged {
			return step.Challenge
		}
	}
	t.Fatal("nobody is asked")
	return nil
}

// unfinished brings the conversation to the question for the TAN, and forgets the dialog there.
func unfinished(t *testing.T, p banks.Adapter, conv *banks.Conversation) {
	t.Helper()
	var step banks.Step
	var err error
	move := p.Authorize
	for step.Challenge == nil || step.Challenge.Type != banks.Embedded {
		step, err = move(t.Context(), conv)
		require.NoError(t, err)
		if step.Challenge != nil && step.Challenge.Type == banks.RedirectTo {
			answer := banks.Answer{Query: visit(t, conv, step.Challenge.Location)}
			move = func(ctx context.Context, c *banks.Conversation) (banks.Step, error) {
				return p.Answer(ctx, c, answer)
			}
		}
	}
	conv.Dialog, conv.Resumed = nil, true
}

// refuse makes the bank refuse the next call of an endpoint. Without a code it says nothing but the status.
func (g *ground) refuse(t *testing.T, endpoint string, status int, code string) {
	t.Helper()
	require.NoError(t, g.bank.Inject(sandbox.Fault{Endpoint: endpoint, Times: 1, Action: sandbox.ActStatus, Status: status, Code: code}))
}

// requireLeft holds what the conversation gave up against what it should have, and ends it at the bank.
func (g *ground) requireLeft(t *testing.T, conv *banks.Conversation, n int) {
	t.Helper()
	require.Len(t, conv.Left, n)
	for _, left := range conv.Left {
		require.NoError(t, g.provider.Revoke(t.Context(), &banks.Conversation{Connection: conv.Connection, Lasting: left, Resumed: true}))
	}
	require.Equal(t, n, g.bank.Counters().ByLogin[conv.Credentials[banks.CredentialLogin]]["consents.delete"])
}
