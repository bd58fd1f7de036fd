package sandbox_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/sandbox"
)

// Every bank of the catalog, through the adapter, with the connection that the catalog gives: each dialect's
// deviations against the adapter's row for it. Request signing, encrypted passwords and mutual TLS are among them.
func TestAdapterSpeaksEveryDialect(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{})
	server := httptest.NewUnstartedServer(bank.Handler())
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)

	var catalog struct {
		Banks []struct {
			Name          string
			BankCode      string `json:"bank_code"`
			AccessMethods []struct {
				Connection banks.Connection
			} `json:"access_methods"`
		}
	}
	require.NoError(t, json.Unmarshal(bank.Catalog(server.URL), &catalog))
	require.GreaterOrEqual(t, len(catalog.Banks), 12)
	for _, entry := range catalog.Banks {
		if entry.AccessMethods[0].Connection.Protocol != "XS2A" {
			continue
		}
		t.Run(entry.Name, func(t *testing.T) {
			t.Parallel()
			connection := entry.AccessMethods[0].Connection
			connection.CAPEM = certificatePEM(server.Certificate())
			for _, login := range []string{"demo", "methods", "again", "savings"} {
				d := &conversation{t: t, browser: server.Client(), patience: 1, conv: banks.Conversation{
					Connection:  connection,
					Credentials: map[string]string{banks.CredentialLogin: login + "+" + entry.BankCode, banks.CredentialPIN: "demo"},
					PSU:         banks.PSU{IPAddress: "192.0.2.7"},
					Interactive: true,
					Consent:     banks.Consent{Recurring: true},
				}}
				d.run()
				require.NotEmpty(t, d.asked)
			}
		})
	}
}

func certificatePEM(certificate *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
}
