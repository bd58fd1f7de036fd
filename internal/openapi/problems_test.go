package openapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/openapi"
)

// schema is an object with a text and a list of objects, and nothing else.
func schema() *openapi3.Schema {
	no := false
	item := openapi3.NewObjectSchema().WithProperty("b", openapi3.NewStringSchema())
	item.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
	s := openapi3.NewObjectSchema().WithProperty("a", openapi3.NewStringSchema()).WithProperty("list", openapi3.NewArraySchema().WithItems(item))
	s.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
	return s
}

func decode(t testing.TB, text string) (value any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &value))
	return value
}

func fields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return "{" + b.String()[1:] + "}"
}

func TestProblemsNameTheField(t *testing.T) {
	t.Parallel()
	require.Nil(t, openapi.Check(schema(), decode(t, `{"a":"x","list":[{"b":"y"}]}`)))
	require.Equal(t, openapi.Problems{"a": {"must be string"}, "c": {"is not known"}, "d": {"is not known"}, "list[1].c": {"is not known"}},
		openapi.Check(schema(), decode(t, `{"a":1,"c":1,"d":2,"list":[{"b":"y"},{"c":1}]}`)))
}

func TestProblemsAreFew(t *testing.T) {
	t.Parallel()
	for _, text := range []string{fields(5000), `{"list":[` + strings.Repeat("1,", 5000) + `1]}`, `{"list":[` + strings.Repeat(`{"x":1},`, 5000) + `{}]}`} {
		problems := openapi.Check(schema(), decode(t, text))
		require.Len(t, problems, 50)
	}
	problems := make(openapi.Problems)
	for i := range 100 {
		problems.Add("a", fmt.Sprint(i))
	}
	require.Len(t, problems["a"], 10)
}

// Four times the fields cost about four times as much. A quadratic report would cost sixteen times as much.
func TestCheckIsLinear(t *testing.T) {
	for name, build := range map[string]func(n int) string{
		"unknown fields": fields,
		"wrong items":    func(n int) string { return `{"list":[` + strings.Repeat("1,", n) + `1]}` },
		"unknown fields of items": func(n int) string {
			return `{"list":[` + strings.Repeat(`{"x":1,"y":2},`, n/2) + `{}]}`
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := schema()
			cost := func(n int) float64 {
				value := decode(t, build(n))
				return testing.AllocsPerRun(3, func() { openapi.Check(s, value) })
			}
			require.Less(t, cost(8000), 8*cost(2000))
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	l := openapi.Limits{Values: 10, Depth: 3}
	for text, want := range map[string]error{
		`{}`: nil, `[[[]]]`: nil, `{"a":{"b":[1,2,3]}}`: nil, `"x"`: nil, ` {"a":1} `: nil, `[1,2,3,4,5,6,7,8,9]`: nil,
		`[1,2,3,4,5,6,7,8,9,10]`: openapi.ErrTooManyValues, fields(11): openapi.ErrTooManyValues, `[[[[]]]]`: openapi.ErrTooDeep,
		strings.Repeat("[", 100_000): openapi.ErrTooDeep, `{"a":`: openapi.ErrNoJSON, ``: openapi.ErrNoJSON, `{} {}`: openapi.ErrNoJSON, `{"a":1,}`: openapi.ErrNoJSON,
	} {
		err := l.Check([]byte(text))
		require.True(t, errors.Is(err, want) && (want != nil || err == nil), "%.40s: %v", text, err)
	}
}
