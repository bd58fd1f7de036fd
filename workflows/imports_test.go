package workflows_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWorkflowsDoNoIO holds that workflow code cannot reach a database, a bank or a Temporal client: it imports only what
// is pure, and the SDK's packages for workflows.
func TestWorkflowsDoNoIO(t *testing.T) {
	t.Parallel()
	allowed := map[string]bool{
		"github.com/google/uuid":                            true,
		"go.temporal.io/api/enums/v1":                       true,
		"go.temporal.io/sdk/temporal":                       true,
		"go.temporal.io/sdk/worker":                         true, // Register
		"go.temporal.io/sdk/workflow":                       true,
		"github.com/kontoflow/kontoflow/banks":              true, // error codes, kinds of challenges
		"github.com/kontoflow/kontoflow/rules":              true,
		"github.com/kontoflow/kontoflow/workflows/contract": true,
		"errors": true, "fmt": true, "slices": true, "strconv": true, "strings": true, "time": true,
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	read := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		read++
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, imported := range parsed.Imports {
			require.True(t, allowed[strings.Trim(imported.Path.Value, `"`)], "%s imports %s", file, imported.Path.Value)
		}
	}
	require.NotZero(t, read)
}
