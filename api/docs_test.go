package api_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/api"
)

// The documentation shows the whole contract, links to nothing that is missing, and loads nothing from anywhere.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.call("GET", "/docs", "", nil).expect(http.StatusOK)
	text := string(page.raw)
	document, err := openapi3.NewLoader().LoadFromData(api.Specification)
	require.NoError(t, err)
	for path, item := range document.Paths.Map() {
		require.Contains(t, text, path)
		for _, operation := range item.Operations() {
			require.Contains(t, text, `id="`+operation.OperationID+`"`)
		}
	}
	for name := range document.Components.Schemas {
		require.Contains(t, text, `id="schema-`+name+`"`)
	}
	for _, link := range regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if anchor, inside := strings.CutPrefix(link[1], "#"); inside {
			require.Contains(t, text, `id="`+anchor+`"`)
		} else {
			require.Equal(t, "/openapi.yaml", link[1])
		}
	}
	require.NotContains(t, text, "<script")
	require.NotContains(t, text, "//")
	require.NotContains(t, text, "ZgotmplZ")
	require.Contains(t, page.header.Get("Content-Security-Policy"), "default-src 'none'")

	require.Equal(t, api.Specification, w.call("GET", "/openapi.yaml", "", nil).expect(http.StatusOK).raw)
	require.Equal(t, "/docs", w.call("GET", "/", "", nil).expect(http.StatusFound).header.Get("Location"))
	w.call("GET", "/health", "", nil).expect(http.StatusOK)
	w.call("GET", "/ready", "", nil).expect(http.StatusOK)
	w.call("GET", "/nowhere", "", nil).fails(http.StatusNotFound, 1002)
	w.call("POST", "/docs", "", nil).fails(http.StatusMethodNotAllowed, 1000)
	w.store.Close()
	w.call("GET", "/ready", "", nil).fails(http.StatusServiceUnavailable, 30006)
	w.call("GET", "/health", "", nil).expect(http.StatusOK)
}
