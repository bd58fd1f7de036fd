package xs2a_test

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
)

// Customers who confirmed while the question was given up are not asked again.
func TestConfirmedMeanwhile(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "demo", "app")
	require.Equal(t, banks.Decoupled, ask(t, g.provider, conv).Type)
	require.NoError(t, g.bank.Decide("app", true))
	conv.Restart, conv.Resumed = "wish", true
	asked, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Empty(t, asked)
	require.Equal(t, 1, g.bank.Counters().Challenges["app"])
}

// A bank that does not take the stored method any more lists the methods, and the customer chooses.
func TestStoredMethodRefused(t *testing.T) {
	t.Parallel()
	var refuses atomic.Bool
	g := newGround(t, xs2a.Options{}, func(bank http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			r.Body = io.NopCloser(bytes.NewReader(body))
			if refuses.Load() && bytes.Contains(body, []byte(`"authenticationMethodId":"sms"`)) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"tppMessages":[{"category":"ERROR","code":"SCA_METHOD_UNKNOWN"}]}`)
				return
			}
			bank.ServeHTTP(w, r)
		})
	})
	conv := g.conversation(t, "demo", "methods")
	asked, err := authorize(t, g.provider, conv) // chooses the first one
	require.NoError(t, err)
	require.Equal(t, banks.MethodSelection, asked[0].Type)
	require.Equal(t, "sms", defaultOf(conv))

	require.Positive(t, g.bank.RevokeConsents("methods")) // the method outlives the consent
	conv.Dialog, conv.Resumed = nil, true
	_, err = g.provider.Accounts(t.Context(), conv)
	requireKind(t, err, banks.NeedsAuthorization)
	asked, err = authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Len(t, asked, 1, "the TAN alone")

	refuses.Store(true)
	require.Positive(t, g.bank.RevokeConsents("methods"))
	conv.Dialog, conv.Resumed = nil, true
	_, err = g.provider.Accounts(t.Context(), conv)
	requireKind(t, err, banks.NeedsAuthorization)
	question := ask(t, g.provider, conv)
	require.Equal(t, banks.MethodSelection, question.Type)
	require.Empty(t, defaultOf(conv))
	require.Len(t, conv.Methods, len(question.AuthMethods))
}

// What is stored with the access for the customer's convenience does not go along with a consent that is left.
func TestLeftConsentHoldsNoMethods(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.renewing(t, "demo", "methods")
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Len(t, conv.Left, 1)
	require.NotContains(t, string(conv.Left[0]), "mTAN")
	require.Contains(t, string(conv.Lasting), "mTAN")
	require.Nil(t, banks.NextConsent(conv.Lasting))
}

func defaultOf(conv *banks.Conversation) string {
	for _, m := range conv.Methods {
		if m.Default {
			return m.ID
		}
	}
	return ""
}
