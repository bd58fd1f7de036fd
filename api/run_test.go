package api_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/api"
)

// Served over TLS, the API ends when it is told to: event streams and waits end at once, and running requests get
// their answer.
func TestServe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	certificate, key, roots := certificate(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	metrics, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	metricsAddress := metrics.Addr().String()
	require.NoError(t, metrics.Close())

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- api.Serve(ctx, listener, api.Config{TLSCertificate: certificate, TLSKey: key, MetricsListen: metricsAddress, DrainTimeout: time.Minute},
			api.Options{Store: w.store, Temporal: w.temporal, TaskQueue: "none", PublicURL: "https://api.example"})
	}()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	get := func(path string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+listener.Addr().String()+path, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+u.token)
		response, err := client.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { response.Body.Close() })
		require.Equal(t, http.StatusOK, response.StatusCode)
		return response
	}
	require.Equal(t, 2, get("/ready").ProtoMajor)

	events := bufio.NewReader(get(path + "/events").Body)
	_, err = events.ReadString('\n') // it streams
	require.NoError(t, err)
	waited := make(chan int, 1)
	go func() { waited <- get(path + "?wait=30&after=QUEUED").StatusCode }()
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + metricsAddress + "/metrics")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NotContains(t, string(text), u.token)
		return strings.Contains(string(text), "kontoflow_http_requests_in_flight 2\n")
	}, time.Minute, 10*time.Millisecond)

	begin := time.Now()
	stop()
	require.NoError(t, <-ended)
	require.Less(t, time.Since(begin), 20*time.Second)
	require.Equal(t, http.StatusOK, <-waited, "the wait was answered")
	_, err = io.ReadAll(events)
	require.NoError(t, err, "the stream ended in order")
	_, err = net.Dial("tcp", listener.Addr().String())
	require.Error(t, err)
}

func TestServeNeedsItsCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	options := api.Options{Store: w.store, Temporal: w.temporal}
	require.ErrorContains(t, api.Run(t.Context(), api.Config{Listen: "127.0.0.1:0", TLSCertificate: "/nowhere", TLSKey: "/nowhere"}, options), "certificate")
	require.ErrorContains(t, api.Run(t.Context(), api.Config{Listen: "256.0.0.1:0"}, options), "listen")
}

// certificate makes a self-signed one for 127.0.0.1, in files.
func certificate(t *testing.T) (certificate, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	certificate, key = filepath.Join(t.TempDir(), "certificate.pem"), filepath.Join(t.TempDir(), "key.pem")
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(certificate, certificatePEM, 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certificatePEM)
	return certificate, key, roots
}
