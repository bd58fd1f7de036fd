package xs2a_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/sandbox"
)

// Every refusal of a bank ends in one of the kinds of banks.Error: what can be done about it.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const create, start, accounts, transactions = "consents.create", "authorisations.start", "accounts", "transactions"
	g := newGround(t, xs2a.Options{}, nil)
	for i, c := range []struct {
		endpoint string
		status   int
		code     string
		text     string
		kind     banks.Kind
		error    int
	}{
		{create, 400, "FORMAT_ERROR", "", banks.Rejected, banks.CodeBankCannot},
		{create, 400, "PERIOD_INVALID", "", banks.Rejected, banks.CodeBankCannot},
		{create, 400, "RESOURCE_UNKNOWN", "", banks.Rejected, banks.CodeBankCannot},
		{create, 401, "PSU_CREDENTIALS_INVALID", "", banks.WrongCredentials, banks.CodeLoginInvalid},
		{create, 401, "CORPORATE_ID_INVALID", "", banks.WrongCredentials, banks.CodeLoginInvalid},
		{create, 401, "CERTIFICATE_EXPIRED", "", banks.Rejected, banks.CodeInternal},
		{create, 401, "SIGNATURE_MISSING", "", banks.Rejected, banks.CodeInternal},
		{create, 401, "UNHEARD_OF", "", banks.NeedsUser, banks.CodeLoginNotPossible},
		{create, 403, "SERVICE_BLOCKED", "", banks.NeedsUser, banks.CodeAccessBlocked},
		{create, 403, "SERVICE_BLOCKED", "Bitte ändern Sie Ihre PIN: PIN-Änderung erforderlich", banks.NeedsUser, banks.CodePINChange},
		{create, 403, "UNHEARD_OF", "", banks.NeedsUser, banks.CodeLoginNotPossible},
		{create, 404, "UNHEARD_OF", "", banks.Rejected, banks.CodeBankCannot},
		{create, 405, "SERVICE_INVALID", "", banks.Rejected, banks.CodeBankCannot},
		{create, 406, "REQUESTED_FORMATS_INVALID", "", banks.Rejected, banks.CodeBankCannot},
		{create, 409, "STATUS_INVALID", "", banks.Rejected, banks.CodeBankCannot},
		{create, 415, "", "", banks.Rejected, banks.CodeBankCannot},
		{create, 429, "ACCESS_EXCEEDED", "", banks.LimitExceeded, banks.CodeTemporary},
		{create, 429, "", "", banks.LimitExceeded, banks.CodeTemporary},
		{create, 418, "", "", banks.Rejected, banks.CodeBankCannot},
		{create, 500, "", "", banks.Transient, banks.CodeTemporary},
		{create, 502, "", "", banks.Transient, banks.CodeTemporary},
		{create, 503, "", "", banks.Transient, banks.CodeTemporary},
		{create, 503, "SERVICE_UNAVAILABLE", "", banks.Transient, banks.CodeTemporary},
		{create, 503, "UNHEARD_OF", "Wartungsarbeiten bis 6 Uhr", banks.BankDown, banks.CodeMaintenance},
		{create, 503, "UNHEARD_OF", "Wegen der technischen Umstellung nicht erreichbar", banks.BankDown, banks.CodeMigration},
		{create, 504, "", "", banks.Transient, banks.CodeTemporary},
		{create, 599, "", "", banks.Transient, banks.CodeTemporary},

		{start, 400, "SCA_METHOD_UNKNOWN", "", banks.NeedsUser, banks.CodeTANNotActivated},
		{start, 404, "RESOURCE_UNKNOWN", "", banks.Rejected, banks.CodeInternal},
		{start, 404, "", "", banks.Rejected, banks.CodeInternal},
		{start, 403, "RESOURCE_EXPIRED", "", banks.Rejected, banks.CodeBankCannot},
		{start, 401, "PSU_CREDENTIALS_INVALID", "Ihr TAN-Verfahren ist gesperrt.", banks.NeedsUser, banks.CodeTANBlocked},
		{start, 401, "PSU_CREDENTIALS_INVALID", "", banks.WrongCredentials, banks.CodeLoginInvalid},

		{accounts, 400, "CONSENT_UNKNOWN", "", banks.NeedsAuthorization, banks.CodeNotAuthorized},
		{accounts, 401, "CONSENT_INVALID", "", banks.NeedsAuthorization, banks.CodeNotAuthorized},
		{accounts, 401, "CONSENT_EXPIRED", "", banks.NeedsAuthorization, banks.CodeNotAuthorized},
		{accounts, 401, "TOKEN_EXPIRED", "", banks.NeedsAuthorization, banks.CodeNotAuthorized},
		{accounts, 401, "", "", banks.NeedsAuthorization, banks.CodeNotAuthorized},
		{accounts, 404, "", "", banks.Rejected, banks.CodeBankCannot},
		{accounts, 403, "SERVICE_BLOCKED", "", banks.NeedsUser, banks.CodeAccessBlocked},

		{transactions, 404, "RESOURCE_UNKNOWN", "", banks.Gone, banks.CodeAccountGone},
		{transactions, 403, "RESOURCE_EXPIRED", "", banks.Gone, banks.CodeAccountGone},
		{transactions, 400, "RESOURCE_BLOCKED", "", banks.Gone, banks.CodeAccountBlocked},
		{transactions, 404, "", "", banks.Gone, banks.CodeAccountGone},
		{transactions, 408, "", "", banks.Transient, banks.CodeTemporary},
		{transactions, 429, "ACCESS_EXCEEDED", "", banks.LimitExceeded, banks.CodeTemporary},
	} {
		t.Run(fmt.Sprint(c.endpoint, " ", c.status, " ", c.code, " ", c.text), func(t *testing.T) {
			t.Parallel()
			login := fmt.Sprint("exempt+", i)
			conv := g.conversation(t, "demo", login)
			fault := sandbox.Fault{Login: login, Endpoint: c.endpoint, Action: sandbox.ActStatus, Status: c.status, Code: c.code, Text: c.text, RetryAfter: 90}
			require.NoError(t, g.bank.Inject(fault))
			step, err := g.provider.Authorize(t.Context(), conv)
			for err == nil && step.Status == banks.Moving {
				step, err = g.provider.Authorize(t.Context(), conv)
			}
			var found []banks.Account
			if err == nil {
				found, err = g.provider.Accounts(t.Context(), conv)
			}
			if err == nil {
				_, err = g.provider.Transactions(t.Context(), conv, found[0], banks.Window{}, "")
			}
			require.Error(t, err)
			e := banks.AsError(err)
			require.Equal(t, c.kind, e.Kind, "%v", err)
			require.Equal(t, c.error, e.Code, "%v", err)
			require.Equal(t, c.text, e.Message)
			if c.code != "UNHEARD_OF" || c.status != 401 {
				require.Equal(t, 90*time.Second, e.RetryAfter)
			}
		})
	}
}
