package temporalclient_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"

	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/internal/testground"
)

const ui, token = "https://temporal.example", "t0ken"

// The SDK's own client of codec servers gets what the codec does itself, with the token alone.
func TestCodecServer(t *testing.T) {
	t.Parallel()
	codec := testground.Codec(t, testground.Keyset(t))
	server := httptest.NewServer(temporalclient.CodecServer(codec, ui, token))
	t.Cleanup(server.Close)
	remote := func(token string) converter.PayloadCodec {
		return converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: server.URL,
			ModifyRequest: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer "+token); return nil }})
	}
	opened, err := remote(token).Decode(encode(t, codec))
	require.NoError(t, err)
	requireOpens(t, codec, opened)
	sealed, err := remote(token).Encode(plainPayloads(t))
	require.NoError(t, err)
	require.NotContains(t, string(sealed[0].Data), canary)
	requireOpens(t, codec, sealed)

	_, err = remote(token).Decode(encode(t, testground.Codec(t, testground.Keyset(t))))
	require.ErrorContains(t, err, temporalclient.ErrSealed.Error())
	for _, wrong := range []string{"", "T0ken", token + "2"} {
		_, err = remote(wrong).Decode(encode(t, codec))
		require.ErrorContains(t, err, "Unauthorized")
		_, err = remote(wrong).Encode(plainPayloads(t))
		require.ErrorContains(t, err, "Unauthorized")
	}
}

// Browsers are let in from the UI alone.
func TestCodecServerInBrowsers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(temporalclient.CodecServer(testground.Codec(t, testground.Keyset(t)), ui, token))
	t.Cleanup(server.Close)
	ask := func(method, origin, body string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/decode", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Origin", origin)
		if method != http.MethodOptions {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer
	}
	before := ask(http.MethodOptions, ui, "")
	require.Equal(t, http.StatusNoContent, before.StatusCode)
	require.Equal(t, ui, before.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, before.Header.Get("Access-Control-Allow-Headers"), "X-Namespace")
	answer := ask(http.MethodPost, ui, `{"payloads": []}`)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, ui, answer.Header.Get("Access-Control-Allow-Origin"))
	for _, method := range []string{http.MethodOptions, http.MethodPost} {
		refused := ask(method, "https://elsewhere.example", `{"payloads": []}`)
		require.Equal(t, http.StatusForbidden, refused.StatusCode)
		require.Empty(t, refused.Header.Get("Access-Control-Allow-Origin"))
	}
	require.Equal(t, http.StatusBadRequest, ask(http.MethodPost, ui, strings.Repeat(" ", 17<<20)).StatusCode)
}
