package rules_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/rules"
)

// TestCatalogIsWhole reads the sources: a constant with a code that the catalogue does not have is found.
func TestCatalogIsWhole(t *testing.T) {
	t.Parallel()
	var cataloged []int
	for _, e := range rules.Catalog {
		cataloged = append(cataloged, e.Code)
		require.NotEmpty(t, e.EN, "%d", e.Code)
		require.NotEmpty(t, e.DE, "%d", e.Code)
		require.True(t, e.OfSyncs || len(e.HTTP) > 0, "%d comes nowhere", e.Code)
		require.False(t, e.Customer && e.Passes, "%d", e.Code)
		require.Equal(t, e, rules.LookUp(e.Code))
	}
	require.True(t, slices.IsSorted(cataloged))
	require.Len(t, slices.Compact(slices.Clone(cataloged)), len(cataloged), "a code stands there twice")
	for _, file := range []string{"errors.go", "../banks/error.go"} {
		for name, code := range codes(t, file) {
			require.Contains(t, cataloged, code, "%s of %s", name, file)
		}
	}
}

// codes are a file's constants Code… with numbers.
func codes(t *testing.T, file string) map[string]int {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	found := make(map[string]int)
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
			number, err := strconv.Atoi(literal.Value)
			require.NoError(t, err)
			found[spec.Names[0].Name] = number
		}
		return true
	})
	require.NotEmpty(t, found)
	return found
}

func TestRetryAt(t *testing.T) {
	t.Parallel()
	for _, data := range []map[string]any{nil, {"retry_at": 5}, {"retry_at": "soon"}} {
		require.Zero(t, (&rules.SyncError{Data: data}).RetryAt())
	}
	require.Equal(t, now, (&rules.SyncError{Data: map[string]any{"retry_at": "2026-03-04T12:00:00.000Z"}}).RetryAt())
}
