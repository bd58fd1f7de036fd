package fints_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	//lint:ignore SA1019 the specification wants this hash
	"golang.org/x/crypto/ripemd160"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// In process variant 1 the bank gets the hash of an order as it follows: from its head to the sign
// that ends it. The TAN goes along with the order itself ("Sicherheitsverfahren PIN/TAN", section
// B.4.1.1).
func TestProcessVariant1(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		procedure string
		sum       func([]byte) []byte
		exempt    bool
	}{
		"RIPEMD-160": {"1", func(b []byte) []byte { h := ripemd160.New(); _, _ = h.Write(b); return h.Sum(nil) }, false},
		"SHA-1":      {"2", func(b []byte) []byte { s := sha1.Sum(b); return s[:] }, false},
		"exempt":     {"1", func(b []byte) []byte { h := ripemd160.New(); _, _ = h.Write(b); return h.Sum(nil) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.methods, s.hash, s.needTAN, s.orders = [][]string{variant(smsTAN, map[int]string{1: "1"})}, test.procedure, []string{"HKKAZ"}, usualOrders()
			s.challenge = func(order string) *challenge {
				if test.exempt {
					return nil
				}
				return &challenge{text: "TAN für " + order}
			}
			var announced []byte // hash
			var followed []byte
			var tans []string
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				raw, err := base64.StdEncoding.DecodeString(string(body))
				require.NoError(t, err)
				m, err := syntax.Read(raw)
				require.NoError(t, err)
				if m.Security != nil && m.Security.TAN != "" {
					tans = append(tans, m.Segments[0].Name)
				}
				if h := m.Find("HKTAN"); h != nil && h.Get(1, 0) == "HKKAZ" {
					announced = []byte(h.Get(3, 0))
				}
				if at := bytes.Index(raw, []byte("HKKAZ:")); at >= 0 {
					followed = raw[at : at+bytes.IndexByte(raw[at:], '\'')+1]
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				s.ServeHTTP(w, r)
			}))
			t.Cleanup(front.Close)
			c := s.customer()
			c.conv.Connection.URL = front.URL
			require.NoError(t, c.connect())
			_, err := c.reads()
			if !test.exempt {
				requireError(t, err, banks.NeedsAuthorization, banks.CodeNotAuthorized)
				require.NoError(t, c.connect())
				_, err = c.reads()
			}
			require.NoError(t, err)
			require.NotEmpty(t, followed)
			require.Equal(t, test.sum(followed), announced)
			if test.exempt {
				require.Empty(t, tans)
				return
			}
			require.Len(t, c.asked, 2)
			require.Equal(t, []string{"HKTAN", "HKKAZ"}, tans)
		})
	}
	t.Run("without hashes there is nothing to be done", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		s.methods = [][]string{variant(smsTAN, map[int]string{1: "1"})}
		requireError(t, s.customer().connect(), banks.NeedsUser, banks.CodeTANNotActivated)
	})
}
