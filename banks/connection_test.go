package banks_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
)

func TestSafeAddress(t *testing.T) {
	t.Parallel()
	for address, safe := range map[string]bool{
		"https://bank.example/fints":          true,
		"http://localhost:8080":               true,
		"http://127.0.0.1:8080":               true,
		"http://[::1]:8080":                   true,
		"http://bank.example":                 false,
		"http://localhost.bank.example":       false,
		"http://127.0.0.1.bank.example":       false,
		"http://10.0.0.1":                     false,
		"http://[::ffff:10.0.0.1]":            false,
		"https://user:password@bank.example":  false,
		"https://:443/fints":                  false,
		"https:bank.example":                  false,
		"//bank.example":                      false,
		"ftp://bank.example":                  false,
		"file:///etc/passwd":                  false,
		"http://localhost@bank.example/fints": false,
	} {
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.Equal(t, safe, banks.SafeAddress(u), address)
	}
}
