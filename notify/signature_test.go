package notify_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/notify"
)

// verifier is what a receiver in another language does: the library of Standard Webhooks for JavaScript, which also
// refuses timestamps that are five minutes off.
const verifier = `
const { Webhook } = require("standardwebhooks");
const deliveries = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(deliveries.map(({ secret, body, headers }) => {
	try { new Webhook(secret).verify(body, headers); return ""; } catch (e) { return e.message; }
})));`

// The example that the libraries of Standard Webhooks test themselves with; its signature is not ours.
func TestSignatureOfTheStandard(t *testing.T) {
	t.Parallel()
	signature, err := notify.Sign([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek",
		time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", signature)
}

// Signatures hold against the public library, and for 24 hours after each rotation against the secrets before, too.
func TestSignatures(t *testing.T) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "continuous integration has npm")
		t.Skip("npm is not installed: the signatures are not held against the npm package standardwebhooks")
	}
	t.Parallel()
	dir := t.TempDir()
	install := exec.CommandContext(t.Context(), npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "standardwebhooks@1.0.0")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm cannot install standardwebhooks: %v\n%s", err, output)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "verify.js"), []byte(verifier), 0o600))

	s := newSender(t, notify.Options{Loopback: true})
	r := newReceiver(t, s.time, always(http.StatusOK))
	n, target := s.observe(r.URL)
	before := target.Secret
	send := func() arrival {
		s.announce(s.access(), 1)
		s.deliver()
		all := r.got()
		return all[len(all)-1]
	}
	rotate := func(ago time.Duration) string {
		_, target, err := s.store.UpdateNotification(t.Context(), s.user, n.ID, func(_ *models.Notification, to *models.Target) error {
			return to.Rotate(s.time().Add(-ago))
		})
		require.NoError(t, err)
		return target.Secret
	}
	plain := send()
	between := rotate(23 * time.Hour)
	present := rotate(22 * time.Hour)
	all := send()
	_, _, err = s.store.UpdateNotification(t.Context(), s.user, n.ID, func(_ *models.Notification, to *models.Target) error {
		to.Replaced[1].Until = s.time() // as if its day were over
		return nil
	})
	require.NoError(t, err)
	later := send()
	require.Len(t, strings.Fields(all.header.Get("webhook-signature")), 3)
	require.Len(t, strings.Fields(later.header.Get("webhook-signature")), 2)

	type check struct {
		Secret  string            `json:"secret"`
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers"`
	}
	var checks []check
	var want []bool
	add := func(secret string, a arrival, body string, good bool) {
		headers := map[string]string{}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			headers[name] = a.header.Get(name)
		}
		checks, want = append(checks, check{secret, body, headers}), append(want, good)
	}
	add(before, plain, string(plain.body), true)
	add(present, plain, string(plain.body), false)
	add(before, plain, strings.Replace(string(plain.body), "ACTIVE", "REVOKED", 1), false)
	for _, secret := range []string{before, between, present} {
		add(secret, all, string(all.body), true)
	}
	add(before, later, string(later.body), false)
	add(between, later, string(later.body), true)
	add(present, later, string(later.body), true)
	stolen := later
	stolen.header = plain.header
	add(before, stolen, string(later.body), false)

	input, err := json.Marshal(checks)
	require.NoError(t, err)
	verify := exec.CommandContext(t.Context(), "node", "verify.js")
	verify.Dir, verify.Stdin, verify.Stderr = dir, strings.NewReader(string(input)), os.Stderr
	output, err := verify.Output()
	require.NoError(t, err)
	var said []string
	require.NoError(t, json.Unmarshal(output, &said))
	require.Len(t, said, len(want))
	for i, good := range want {
		require.Equal(t, good, said[i] == "", "check %d: %s", i, said[i])
	}
}
