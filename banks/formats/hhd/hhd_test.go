package hhd_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks/formats/hhd"
)

// Codes and what readers are shown for them, as clients of German banks have published them.
var flickers = []struct {
	challenge, code string
	version         hhd.Version
}{
	{"039870110490631098765432100812345678041,00", "1784011049063F059876543210041234567844312C303019", hhd.V14},
	{"0248A0120452019980812345678", "0D85012045201998041234567855", hhd.V14},
	{"2908881344731012345678900515,00", "1204881344730512345678901531352C30303B", hhd.V13},
	{"02908881344731012345678900515,00", "1204881344730512345678901531352C30303B", hhd.V13},
	{"CHLGUC 00312908881344731012345678900515,00CHLGTEXT0292Sie haben eine Überweisung erfasst", "1204881344730512345678901531352C30303B", hhd.V13},
}

func TestFlicker(t *testing.T) {
	t.Parallel()
	for _, test := range flickers {
		f, err := hhd.ParseFlicker(test.challenge)
		require.NoError(t, err, test.challenge)
		require.Equal(t, test.version, f.Version)
		require.Equal(t, test.code, f.Code())
		raw, err := hex.DecodeString(f.Code())
		require.NoError(t, err)
		require.Equal(t, len(raw)-1, int(raw[0]), "the first byte counts the others")
		if !strings.HasPrefix(test.challenge, "CHLGUC") && !strings.HasPrefix(test.challenge, "029") {
			require.Equal(t, test.challenge, f.Challenge())
		}
	}
}

func TestNoFlicker(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "0", "000", "039", "03987", "0039870110490631098765432100812345678041,00", "999" + strings.Repeat("9", 999),
		"nochallenge", "CHLGUC", "CHLGUC0026CHLGTEXT", "0248A012045201998081234567\x00"} {
		_, err := hhd.ParseFlicker(s)
		require.ErrorIs(t, err, hhd.ErrFlicker, s)
	}
}

func TestMatrix(t *testing.T) {
	t.Parallel()
	want := hhd.Matrix{MIME: "image/png", Image: []byte("\x89PNG picture")}
	encoded := base64.StdEncoding.EncodeToString(want.Challenge())
	for name, data := range map[string]string{
		"element": string(want.Challenge()),
		"text":    fmt.Sprintf("CHLGUC%04d%sCHLGTEXT0008Bitte scannen", len(encoded), encoded),
		"blanks":  "CHLGUC  " + fmt.Sprintf("%04d", len(encoded)) + encoded,
		"bare":    "CHLGUC" + encoded,
	} {
		m, err := hhd.ParseMatrix([]byte(data))
		require.NoError(t, err, name)
		require.Equal(t, want, m, name)
	}
	large := hhd.Matrix{MIME: "image/gif", Image: make([]byte, 70_000)}
	m, err := hhd.ParseMatrix(large.Challenge())
	require.NoError(t, err)
	require.Len(t, m.Image, 70_000)
	for _, data := range []string{"", "\x00", "\x00\x09image/png", "\x00\x09text/html\x00\x01x", "\xff\xffimage/png", "\x00\x09image/png\x00\x00",
		string(hhd.Matrix{MIME: "image/png", Image: make([]byte, 300<<10)}.Challenge()), "CHLGUC", "CHLGUC0004????"} {
		_, err := hhd.ParseMatrix([]byte(data))
		require.ErrorIs(t, err, hhd.ErrMatrix)
	}
	require.Equal(t, "data:image/png;base64,iVBORyBwaWN0dXJl", want.DataURI())
}

func FuzzFlicker(f *testing.F) {
	for _, test := range flickers {
		f.Add(test.challenge)
	}
	f.Fuzz(func(t *testing.T, s string) {
		flicker, err := hhd.ParseFlicker(s)
		if err != nil {
			return
		}
		_, err = hex.DecodeString(flicker.Code())
		require.NoError(t, err, "the code has a broken byte")
	})
}

func FuzzMatrix(f *testing.F) {
	f.Add(hhd.Matrix{MIME: "image/png", Image: []byte("\x89PNG picture")}.Challenge())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := hhd.ParseMatrix(data)
		if err == nil {
			require.NotEmpty(t, m.Image)
			require.Contains(t, m.DataURI(), "data:image/")
		}
	})
}

func BenchmarkFlicker(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		f, err := hhd.ParseFlicker(flickers[0].challenge)
		if err != nil {
			b.Fatal(err)
		}
		_ = f.Code()
	}
}
