package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTablesAreGenerated fails where the catalogue has changed and `make generate` was not run.
func TestTablesAreGenerated(t *testing.T) {
	t.Parallel()
	const root = "../../"
	stored, err := os.ReadFile(root + page)
	require.NoError(t, err)
	require.Equal(t, errorsPage(), string(stored), "run make generate")
	stored, err = os.ReadFile(root + description)
	require.NoError(t, err)
	described, err := describe(string(stored))
	require.NoError(t, err)
	require.Equal(t, described, string(stored), "run make generate")
}
