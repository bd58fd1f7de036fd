package sandbox_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"
)

// specificationPath is where the Berlin Group's OpenAPI file is; it is not ours to pass on. "" where it is absent.
func specificationPath() string {
	path := os.Getenv("XS2A_SPECIFICATION")
	if path == "" {
		path = filepath.Join("..", "..", "shared", "bg", "psd2-api_v1.3.11.anyof.yaml")
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// specification is the file with its oneOfs turned into anyOfs: the alternatives of the answer to a PUT on an
// authorisation, and of a camt answer, contain each other, so that no body at all could match exactly one.
var specification = sync.OnceValues(func() ([]byte, error) {
	raw, err := os.ReadFile(specificationPath())
	return bytes.ReplaceAll(raw, []byte("oneOf:"), []byte("anyOf:")), err
})

var router = sync.OnceValues(func() (routers.Router, error) {
	raw, err := specification()
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	doc.Servers = nil
	return legacy.NewRouter(doc, openapi3.DisableExamplesValidation())
})

// validator lets a dialog through and fails the test where a request or an answer is not what the specification says.
type validator struct {
	t      *testing.T
	prefix string // path of the bank
}

func (v *validator) RoundTrip(r *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(r.URL.Path, v.prefix)
	if !strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1/downloads/") {
		return http.DefaultTransport.RoundTrip(r)
	}
	find, err := router()
	require.NoError(v.t, err)
	plain := r.Clone(r.Context())
	plain.URL.Path, plain.URL.Host, plain.URL.Scheme = path, "", ""
	var body []byte
	if r.Body != nil {
		body, err = io.ReadAll(r.Body)
		require.NoError(v.t, err)
		r.Body, plain.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
	}
	route, parameters, err := find.FindRoute(plain)
	require.NoError(v.t, err, "%s %s", r.Method, path)
	input := &openapi3filter.RequestValidationInput{Request: plain, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}}
	require.NoError(v.t, openapi3filter.ValidateRequest(r.Context(), input))

	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	require.NoError(v.t, err)
	_ = response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(answer))
	require.NotEmpty(v.t, response.Header.Get("X-Request-ID"))
	require.Equal(v.t, r.Header.Get("X-Request-ID"), response.Header.Get("X-Request-ID"))
	if response.Header.Get("Content-Type") == "application/xml" {
		return response, nil // described as a string; kin-openapi reads no XML
	}
	require.NoError(v.t, openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: response.StatusCode, Header: response.Header,
		Body: io.NopCloser(bytes.NewReader(answer)), Options: input.Options,
	}), "%s %s: %s", r.Method, path, answer)
	return response, nil
}
