package xs2a_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kontoflow/providers"
	"kontoflow/providers/xs2a"
	"kontoflow/sandbox"
)

// Every refusal of a bank ends in one of the kinds of providers.Error: what can be done about it.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const create, start, accounts, transactions = "consents.create", "authorisations.start", "accounts", "transactions"
	g := newGround(t, xs2a.Options{}, nil)
	for i, c := range []struct {
		endpoint string
		status   int
		code     string
		text     string
		kind     providers.Kind
		error    int
	}{
		{create, 400, "FORMAT_ERROR", "", providers.Rejected, providers.CodeBankCannot},
		{create, 400, "PERIOD_INVALID", "", providers.Rejected, providers.CodeBankCannot},
		{create, 400, "RESOURCE_UNKNOWN", "", providers.Rejected, providers.CodeBankCannot},
		{create, 401, "PSU_CREDENTIALS_INVALID", "", providers.WrongCredentials, providers.CodeLoginInvalid},
		{create, 401, "CORPORATE_ID_INVALID", "", providers.WrongCredentials, providers.CodeLoginInvalid},
		{create, 401, "CERTIFICATE_EXPIRED", "", providers.Rejected, providers.CodeInternal},
		{create, 401, "SIGNATURE_MISSING", "", providers.Rejected, providers.CodeInternal},
		{create, 401, "UNHEARD_OF", "", providers.NeedsUser, providers.CodeLoginNotPossible},
		{create, 403, "SERVICE_BLOCKED", "", providers.NeedsUser, providers.CodeAccessBlocked},
		{create, 403, "SERVICE_BLOCKED", "Bitte ändern Sie Ihre PIN: PIN-Änderung erforderlich", providers.NeedsUser, providers.CodePINChange},
		{create, 403, "UNHEARD_OF", "", providers.NeedsUser, providers.CodeLoginNotPossible},
		{create, 404, "UNHEARD_OF", "", providers.Rejected, providers.CodeBankCannot},
		{create, 405, "SERVICE_INVALID", "", providers.Rejected, providers.CodeBankCannot},
		{create, 406, "REQUESTED_FORMATS_INVALID", "", providers.Rejected, providers.CodeBankCannot},
		{create, 409, "STATUS_INVALID", "", providers.Rejected, providers.CodeBankCannot},
		{create, 415, "", "", providers.Rejected, providers.CodeBankCannot},
		{create, 429, "ACCESS_EXCEEDED", "", providers.LimitExceeded, providers.CodeTemporary},
		{create, 429, "", "", providers.LimitExceeded, providers.CodeTemporary},
		{create, 418, "", "", providers.Rejected, providers.CodeBankCannot},
		{create, 500, "", "", providers.Transient, providers.CodeTemporary},
		{create, 502, "", "", providers.Transient, providers.CodeTemporary},
		{create, 503, "", "", providers.Transient, providers.CodeTemporary},
		{create, 503, "SERVICE_UNAVAILABLE", "", providers.Transient, providers.CodeTemporary},
		{create, 503, "UNHEARD_OF", "Wartungsarbeiten bis 6 Uhr", providers.BankDown, providers.CodeMaintenance},
		{create, 503, "UNHEARD_OF", "Wegen der technischen Umstellung nicht erreichbar", providers.BankDown, providers.CodeMigration},
		{create, 504, "", "", providers.Transient, providers.CodeTemporary},
		{create, 599, "", "", providers.Transient, providers.CodeTemporary},

		{start, 400, "SCA_METHOD_UNKNOWN", "", providers.NeedsUser, providers.CodeTANNotActivated},
		{start, 404, "RESOURCE_UNKNOWN", "", providers.Rejected, providers.CodeInternal},
		{start, 404, "", "", providers.Rejected, providers.CodeInternal},
		{start, 403, "RESOURCE_EXPIRED", "", providers.Rejected, providers.CodeBankCannot},
		{start, 401, "PSU_CREDENTIALS_INVALID", "Ihr TAN-Verfahren ist gesperrt.", providers.NeedsUser, providers.CodeTANBlocked},
		{start, 401, "PSU_CREDENTIALS_INVALID", "", providers.WrongCredentials, providers.CodeLoginInvalid},

		{accounts, 400, "CONSENT_UNKNOWN", "", providers.NeedsAuthorization, providers.CodeNotAuthorized},
		{accounts, 401, "CONSENT_INVALID", "", providers.NeedsAuthorization, providers.CodeNotAuthorized},
		{accounts, 401, "CONSENT_EXPIRED", "", providers.NeedsAuthorization, providers.CodeNotAuthorized},
		{accounts, 401, "TOKEN_EXPIRED", "", providers.NeedsAuthorization, providers.CodeNotAuthorized},
		{accounts, 401, "", "", providers.NeedsAuthorization, providers.CodeNotAuthorized},
		{accounts, 404, "", "", providers.Rejected, providers.CodeBankCannot},
		{accounts, 403, "SERVICE_BLOCKED", "", providers.NeedsUser, providers.CodeAccessBlocked},

		{transactions, 404, "RESOURCE_UNKNOWN", "", providers.Gone, providers.CodeAccountGone},
		{transactions, 403, "RESOURCE_EXPIRED", "", providers.Gone, providers.CodeAccountGone},
		{transactions, 400, "RESOURCE_BLOCKED", "", providers.Gone, providers.CodeAccountBlocked},
		{transactions, 404, "", "", providers.Gone, providers.CodeAccountGone},
		{transactions, 408, "", "", providers.Transient, providers.CodeTemporary},
		{transactions, 429, "ACCESS_EXCEEDED", "", providers.LimitExceeded, providers.CodeTemporary},
	} {
		t.Run(fmt.Sprint(c.endpoint, " ", c.status, " ", c.code, " ", c.text), func(t *testing.T) {
			t.Parallel()
			login := fmt.Sprint("exempt+", i)
			conv := g.conversation(t, "demo", login)
			fault := sandbox.Fault{Login: login, Endpoint: c.endpoint, Action: sandbox.ActStatus, Status: c.status, Code: c.code, Text: c.text, RetryAfter: 90}
			require.NoError(t, g.bank.Inject(fault))
			step, err := g.provider.Authorize(t.Context(), conv)
			for err == nil && step.Status == providers.Moving {
				step, err = g.provider.Authorize(t.Context(), conv)
			}
			var found []providers.Account
			if err == nil {
				found, err = g.provider.Accounts(t.Context(), conv)
			}
			if err == nil {
				_, err = g.provider.Transactions(t.Context(), conv, found[0], providers.Window{}, "")
			}
			require.Error(t, err)
			e := providers.AsError(err)
			require.Equal(t, c.kind, e.Kind, "%v", err)
			require.Equal(t, c.error, e.Code, "%v", err)
			require.Equal(t, c.text, e.Message)
			if c.code != "UNHEARD_OF" || c.status != 401 {
				require.Equal(t, 90*time.Second, e.RetryAfter)
			}
		})
	}
}
