package vault_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"

	"github.com/kontoflow/kontoflow/vault"
)

const canary = "canary-PIN-4711"

var place = vault.Context{Table: "credentials", Column: "value", Row: "0197a6a0-5b5e-7000-8000-000000000001"}

func newKeyset(t testing.TB) string {
	json, err := vault.NewKeyset()
	require.NoError(t, err)
	return json
}

func open(t testing.TB, keysetJSON string) *vault.Vault {
	v, err := vault.Open(keysetJSON)
	require.NoError(t, err)
	return v
}

func seal(t testing.TB, v *vault.Vault, plaintext string) []byte {
	sealed, err := v.Seal([]byte(plaintext), place)
	require.NoError(t, err)
	return sealed
}

func TestSealedOpensInItsPlace(t *testing.T) {
	t.Parallel()
	v := open(t, newKeyset(t))
	for _, plaintext := range []string{"", canary, strings.Repeat("x", 1<<20)} {
		sealed := seal(t, v, plaintext)
		require.Len(t, sealed, len(plaintext)+33)
		require.NotContains(t, string(sealed), canary)
		opened, err := v.Open(sealed, place)
		require.NoError(t, err)
		require.Equal(t, plaintext, string(opened))
	}
	require.NotEqual(t, seal(t, v, canary), seal(t, v, canary), "equal secrets must not be seen to be equal")
}

func TestSealedOpensNowhereElse(t *testing.T) {
	t.Parallel()
	v := open(t, newKeyset(t))
	sealed := seal(t, v, canary)
	elsewhere := map[string]vault.Context{
		"another row":      {place.Table, place.Column, "0197a6a0-5b5e-7000-8000-000000000002"},
		"another column":   {place.Table, "answer", place.Row},
		"another table":    {"accesses", place.Column, place.Row},
		"no place":         {},
		"shifted boundary": {place.Table + "v", "alue", place.Row},
	}
	for name, context := range elsewhere {
		_, err := v.Open(sealed, context)
		require.ErrorIs(t, err, vault.ErrSealed, name)
		require.NotContains(t, err.Error(), canary, name)
	}
	_, err := open(t, newKeyset(t)).Open(sealed, place)
	require.ErrorIs(t, err, vault.ErrSealed, "another keyset")
}

func TestChangedCiphertextDoesNotOpen(t *testing.T) {
	t.Parallel()
	v := open(t, newKeyset(t))
	sealed := seal(t, v, canary)
	for i := range sealed {
		changed := append([]byte(nil), sealed...)
		changed[i] ^= 1
		_, err := v.Open(changed, place)
		require.ErrorIs(t, err, vault.ErrSealed, "byte %d", i)
		_, err = v.Open(sealed[:i], place)
		require.ErrorIs(t, err, vault.ErrSealed, "cut at %d", i)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	before := newKeyset(t)
	after, err := vault.Rotate(before)
	require.NoError(t, err)
	old, rotated := open(t, before), open(t, after)

	sealedBefore := seal(t, old, canary)
	opened, err := rotated.Open(sealedBefore, place)
	require.NoError(t, err, "old ciphertexts open")
	require.Equal(t, canary, string(opened))

	_, err = old.Open(seal(t, rotated, canary), place)
	require.ErrorIs(t, err, vault.ErrSealed, "new ciphertexts use the new key")

	resealed, changed, err := rotated.Reseal(sealedBefore, place)
	require.NoError(t, err)
	require.True(t, changed)
	_, err = old.Open(resealed, place)
	require.ErrorIs(t, err, vault.ErrSealed, "resealed means: by the new key")
	opened, err = rotated.Open(resealed, place)
	require.NoError(t, err)
	require.Equal(t, canary, string(opened))

	again, changed, err := rotated.Reseal(resealed, place)
	require.NoError(t, err)
	require.False(t, changed)
	require.Equal(t, resealed, again)

	_, _, err = rotated.Reseal(sealedBefore, vault.Context{Table: "accesses", Column: "value", Row: place.Row})
	require.ErrorIs(t, err, vault.ErrSealed, "resealing does not launder a moved ciphertext")

	// When the old key has gone, what was moved opens, and what comes next does not go with it.
	staged, err := vault.Stage(after)
	require.NoError(t, err)
	retired, err := vault.Retire(staged)
	require.NoError(t, err)
	_, err = open(t, retired).Open(sealedBefore, place)
	require.ErrorIs(t, err, vault.ErrSealed)
	_, err = open(t, retired).Open(resealed, place)
	require.NoError(t, err)
	next, err := vault.Rotate(retired)
	require.NoError(t, err)
	staging, err := vault.Rotate(staged)
	require.NoError(t, err)
	require.Equal(t, open(t, staging).Prefix(), open(t, next).Prefix(), "the staged key")
}

// While a rotation rolls out, processes with the old and the new configuration open each other's ciphertexts.
func TestStagedRotationNeverLocksAProcessOut(t *testing.T) {
	t.Parallel()
	first := newKeyset(t)
	staged, err := vault.Stage(first)
	require.NoError(t, err)
	rotated, err := vault.Rotate(staged)
	require.NoError(t, err)

	for _, rollout := range [][2]string{{first, staged}, {staged, rotated}} {
		for _, direction := range [][2]string{{rollout[0], rollout[1]}, {rollout[1], rollout[0]}} {
			opened, err := open(t, direction[1]).Open(seal(t, open(t, direction[0]), canary), place)
			require.NoError(t, err)
			require.Equal(t, canary, string(opened))
		}
	}
	_, err = open(t, first).Open(seal(t, open(t, rotated), canary), place)
	require.ErrorIs(t, err, vault.ErrSealed, "the staged key seals after the rotation")
}

func TestBadKeysetsAreRefusedWithoutQuotingThem(t *testing.T) {
	t.Parallel()
	handle, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	require.NoError(t, err)
	var notForSealing strings.Builder
	require.NoError(t, insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&notForSealing)))
	good := newKeyset(t)

	for name, json := range map[string]string{
		"empty":      "",
		"not JSON":   canary,
		"no keys":    `{"primaryKeyId":1,"key":[]}`,
		"bad key":    `{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"` + canary + `","value":"` + canary + `"},"keyId":1}]}`,
		"cut":        good[:len(good)-10],
		"no primary": strings.Replace(good, `"primaryKeyId":`, `"primaryKeyId":1`, 1),
		"MAC key":    notForSealing.String(),
	} {
		_, err := vault.Open(json)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), canary, name)
	}
	for _, change := range []func(string) (string, error){vault.Rotate, vault.Stage, vault.Retire} {
		_, err := change(canary)
		require.Error(t, err)
		require.NotContains(t, err.Error(), canary)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	v := open(t, newKeyset(t))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				sealed, err := v.Seal([]byte(canary), place)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := v.Open(sealed, place); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkSealOpen(b *testing.B) {
	v := open(b, newKeyset(b))
	conversation := []byte(strings.Repeat("x", 2048))
	b.SetBytes(int64(len(conversation)))
	b.ReportAllocs()
	for b.Loop() {
		sealed, err := v.Seal(conversation, place)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Open(sealed, place); err != nil {
			b.Fatal(err)
		}
	}
}
