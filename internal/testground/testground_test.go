package testground_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/testground"
)

func TestDatabasesAreMigratedAndApart(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for range 3 {
		conn, err := pgx.Connect(t.Context(), testground.Database(t))
		require.NoError(t, err)
		defer conn.Close(t.Context())
		var name string
		var migrated bool
		require.NoError(t, conn.QueryRow(t.Context(),
			`SELECT current_database(), EXISTS (SELECT FROM goose_db_version WHERE version_id > 0)`).Scan(&name, &migrated))
		require.True(t, migrated)
		names[name] = true
	}
	require.Len(t, names, 3)
}
