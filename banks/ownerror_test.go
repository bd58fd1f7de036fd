package banks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
)

// What a decoder quotes stays out of the logs; what we say ourselves does not.
func TestOwnWords(t *testing.T) {
	t.Parallel()
	const own = banks.OwnError("neither JSON nor XML")
	var mistyped struct{ IBAN int }
	decoding := json.Unmarshal([]byte(`{"IBAN":"DE67900900424711951500"}`), &mistyped)
	require.Error(t, decoding)
	for name, test := range map[string]struct {
		err  error
		says string
	}{
		"ours":                 {own, "neither JSON nor XML"},
		"ours, wrapped":        {fmt.Errorf("page 2: %w", own), "neither JSON nor XML"},
		"ours, among others":   {errors.Join(decoding, own), "neither JSON nor XML"},
		"an entry's place":     {fmt.Errorf("read: %w", &banks.EntryError{Place: "entry 12: amount"}), "cannot be read: entry 12: amount"},
		"a decoder's":          {decoding, "*json.UnmarshalTypeError"},
		"a decoder's, wrapped": {fmt.Errorf("Erika Mustermann: %w", decoding), "*json.UnmarshalTypeError"},
		"somebody's text":      {errors.New("Erika Mustermann"), "*errors.errorString"},
	} {
		require.Equal(t, test.says, banks.OwnWords(test.err).Error(), name)
	}
	require.ErrorIs(t, banks.OwnWords(fmt.Errorf("page 2: %w", own)), own)
}
