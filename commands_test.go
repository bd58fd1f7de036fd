package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/sandbox"
	"github.com/kontoflow/kontoflow/vault"
)

// An operator imports a catalog, and marks an access method of it as superseded; then another day counts, and an import
// that says nothing about it changes nothing.
func TestCatalogSupersede(t *testing.T) {
	t.Parallel()
	database := testground.Database(t)
	keys, err := vault.NewKeyset()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "catalog.json")
	require.NoError(t, os.WriteFile(file, sandbox.New(sandbox.Options{}).Catalog("http://127.0.0.1:1"), 0o600))
	store, err := models.Open(t.Context(), database, nil)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	old, by := sandbox.AccessMethodID("fints"), sandbox.AccessMethodID("demo")
	mark := func() (m struct {
		SupersededBy   *uuid.UUID
		SupersededFrom civil.Date
		CarriesRest    bool
	}) {
		t.Helper()
		require.NoError(t, store.DB.Raw(`SELECT superseded_by, superseded_from, carries_rest FROM access_methods WHERE id = ?`, old).Scan(&m).Error)
		return m
	}
	importing := []string{"catalog", "import", file, "--database-url", database, "--vault-keys", keys}
	superseding := []string{"catalog", "supersede", old.String(), by.String(), "--database-url", database}

	require.NoError(t, run(t, importing...))
	require.Nil(t, mark().SupersededBy)
	require.NoError(t, run(t, append(superseding, "--from", "2026-12-01")...))
	require.Equal(t, &by, mark().SupersededBy)
	require.Equal(t, civil.Day(2026, 12, 1), mark().SupersededFrom)
	require.True(t, mark().CarriesRest)
	require.NoError(t, run(t, append(superseding, "--from", "2027-01-01", "--old-ends")...))
	require.NoError(t, run(t, importing...))
	require.Equal(t, &by, mark().SupersededBy)
	require.Equal(t, civil.Day(2027, 1, 1), mark().SupersededFrom)
	require.False(t, mark().CarriesRest)

	require.ErrorContains(t, run(t, superseding...), "--from")
	require.EqualError(t, run(t, "catalog", "supersede", old.String(), uuid.NewString(), "--from", "2026-12-01", "--database-url", database),
		"the catalog has no such access method")
	require.ErrorIs(t, run(t, "catalog", "supersede", by.String(), old.String(), "--from", "2026-12-01", "--database-url", database), models.ErrSupersession)
}

// An operator rotates the vault's keys, and takes the old one away when nothing needs it.
func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	database, directory := testground.Database(t), t.TempDir()
	keys, banks := filepath.Join(directory, "vault.json"), filepath.Join(directory, "catalog.json")
	require.NoError(t, os.WriteFile(banks, sandbox.New(sandbox.Options{}).Catalog("http://127.0.0.1:1"), 0o600))
	settings := []string{"--database-url", database, "--vault-keys-file", keys}
	connections := func() error {
		store, err := openStore(t.Context(), databaseSettings{DatabaseURL: database}, vaultSettings{VaultKeysFile: keys})
		require.NoError(t, err)
		defer store.Close()
		m, err := store.AccessMethod(t.Context(), sandbox.AccessMethodID("demo"))
		require.NoError(t, err)
		_, err = store.OpenConnection(&m)
		return err
	}
	require.NoError(t, run(t, "keys", "create", keys))
	require.NoError(t, run(t, append([]string{"catalog", "import", banks}, settings...)...))
	for _, step := range [][]string{{"stage", keys}, {"rotate", keys}, append([]string{"reseal"}, settings...), {"retire", keys}, append([]string{"reseal"}, settings...)} {
		require.NoError(t, run(t, append([]string{"keys"}, step...)...), step)
		require.NoError(t, connections(), step)
	}
	require.NoError(t, run(t, "keys", "rotate", keys))
	require.NoError(t, run(t, "keys", "retire", keys)) // too early
	require.ErrorIs(t, connections(), vault.ErrSealed)
	require.ErrorIs(t, run(t, append([]string{"keys", "reseal"}, settings...)...), vault.ErrSealed)
}

// run is the command line.
func run(t *testing.T, arguments ...string) error {
	t.Helper()
	return runUntil(t.Context(), arguments...)
}

func runUntil(ctx context.Context, arguments ...string) error {
	parser, err := kong.New(&commands{}, kong.Name("kontoflow"))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(arguments)
	if err != nil {
		return err
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run()
}
