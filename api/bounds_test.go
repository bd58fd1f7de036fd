package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/api"
)

// Everything that a caller may send has a bound in the contract: lists by maxItems, texts by maxLength, a pattern, a
// format or an enumeration, objects by their fields or maxProperties.
func TestEveryInputHasABound(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(api.Specification)
	require.NoError(t, err)
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			at := method + " " + path
			for _, p := range append(item.Parameters, operation.Parameters...) {
				requireBounds(t, at+" "+p.Value.Name, p.Value.Schema, p.Value.In == openapi3.ParameterInPath)
			}
			if operation.RequestBody == nil {
				continue
			}
			for media, content := range operation.RequestBody.Value.Content {
				requireBounds(t, at+" "+media, content.Schema, false)
			}
		}
	}
}

// requireBounds walks a schema. The texts of a URL's path are as short as the request line.
func requireBounds(t *testing.T, at string, reference *openapi3.SchemaRef, inPath bool) {
	t.Helper()
	s := reference.Value
	switch {
	case s.Type == nil: // known and ignored: bounded by the body
	case s.Type.Is("array"):
		assert.NotNil(t, s.MaxItems, "%s has no maxItems", at)
		requireBounds(t, at+"[]", s.Items, false)
	case s.Type.Is("object"):
		closed := s.AdditionalProperties.Has != nil && !*s.AdditionalProperties.Has
		assert.True(t, closed || s.MaxProps != nil, "%s has neither closed fields nor maxProperties", at)
		if s.AdditionalProperties.Schema != nil {
			requireBounds(t, at+".*", s.AdditionalProperties.Schema, false)
		}
	case s.Type.Is("string"):
		bounded := s.MaxLength != nil || s.Pattern != "" || s.Format == "uuid" || s.Format == "date" || s.Format == "date-time" || len(s.Enum) > 0
		assert.True(t, bounded || inPath, "%s has no maxLength", at)
	case s.Type.Is("integer"), s.Type.Is("number"):
		assert.NotNil(t, s.Max, "%s has no maximum", at)
	}
	for name, property := range s.Properties {
		requireBounds(t, at+"."+name, property, false)
	}
}

// A body that is wrong everywhere costs no more to refuse than to read, and the refusal is short.
func TestWrongBodiesAreCheap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":1`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	for name, row := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"many unknown fields":  {fields(1500), 400, "is not known"},
		"too many fields":      {fields(5000), 400, "must have at most 2000 values"},
		"too large":            {fields(95_000), 413, "must have at most 64 KiB"},
		"too deep":             {strings.Repeat("[", 1000) + strings.Repeat("]", 1000), 400, "must be nested at most 16 deep"},
		"too deep, and broken": {strings.Repeat(`{"a":`, 9000), 400, "must be nested at most 16 deep"},
		"many wrong items":     {`{"provider_id":"x","consent":{"scopes":[` + strings.Repeat("1,", 1800) + `1]}}`, 400, "is not known"},
		"two values":           {"{} {}", 400, "is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/auth/token", "/auth/user"} {
				r := w.call(http.MethodPost, path, c.authorization(), row.body).expect(row.status)
				require.Less(t, len(r.raw), 8<<10)
				require.Contains(t, string(r.raw), row.says)
			}
		})
	}
}
