package main

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
)

// An operator changes what they name of a client, and nothing else.
func TestClientSettings(t *testing.T) {
	t.Parallel()
	database := testground.Database(t)
	store, err := models.Open(t.Context(), database, nil)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, run(t, "client", "create", "marked", "--family", "--database-url", database))
	require.NoError(t, run(t, "client", "create", "plain", "--database-url", database))
	require.ErrorIs(t, run(t, "client", "create", "plain", "--database-url", database), models.ErrExists)
	clients, err := store.Clients(t.Context())
	require.NoError(t, err)
	require.Len(t, clients, 2)
	require.True(t, clients[0].Family)
	require.False(t, clients[1].Family)

	change := func(arguments ...string) models.Client {
		require.NoError(t, run(t, append([]string{"client", "change", clients[1].ID.String(), "--database-url", database}, arguments...)...))
		c, err := store.Client(t.Context(), clients[1].ID)
		require.NoError(t, err)
		return c
	}
	want := clients[1]
	require.Equal(t, want, change())
	want.Family = true
	require.Equal(t, want, change("--family"))
	require.Equal(t, want, change())
	want.Family = false
	require.Equal(t, want, change("--no-family"))
	require.ErrorIs(t, run(t, "client", "change", uuid.NewString(), "--family", "--database-url", database), models.ErrNotFound)
}
