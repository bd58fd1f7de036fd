package fints

import (
	"testing"

	"github.com/stretchr/testify/require"

	"kontoflow/providers"
	"kontoflow/providers/fints/syntax"
)

// Whatever a bank sends as a challenge, what the customer is shown has a form, and no markup that the specification
// does not know.
func FuzzChallenge(f *testing.F) {
	f.Add("<b>TAN</b> an 0170<br>senden?", []byte(nil), true)
	f.Add("CHLGUC 00312908881344731012345678900515,00CHLGTEXT0008Karte ein", []byte(nil), false)
	f.Add("Bitte scannen", []byte("\x00\x09image/png\x00\x04\x89PNG"), false)
	f.Add("<img src=x onerror=alert(1)><scr<b>ipt>", []byte("0248A0120452019980812345678"), true)
	f.Fuzz(func(t *testing.T, text string, hhduc []byte, structured bool) {
		m := method{Structured: structured}
		format, data, rest, err := m.present(text, hhduc)
		if err != nil {
			return
		}
		require.NotEmpty(t, format)
		require.NotEmpty(t, data)
		require.LessOrEqual(t, len(rest), len(text))
		if format == providers.FormatHTML {
			require.Equal(t, data, structure.Sanitize(data))
		}
	})
}

// Whatever a bank sends as its parameters, reading them ends, and keeps within bounds.
func FuzzParameters(f *testing.F) {
	f.Add([]byte("HIBPA:3:3:4+7+280:90090042+Demo+1+1+300'HITANS:4:7:4+1+1+0+J:N:0:942:2:mTAN:mobileTAN::SMS:6:1:TAN:4:N:2:N:0:0:N:J:00:0:N:1'HIPINS:5:1:4+1+1+0+5:20:6:A::HKSAL:N:HKKAZ:J'"))
	f.Add([]byte("HICAZS:4:1:4+1+1+0+400:N:N:urn?:iso?:camt.052.001.08'HIKAZS:4:5:4+1+1+90:N:N'HIUPD:5:6+1::280:9++d+1+EUR+M++G++HKSAL:1'"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		segments, err := syntax.Parse(wire)
		if err != nil || len(segments) == 0 {
			return
		}
		b := readBank(&segments[0], segments)
		require.LessOrEqual(t, len(b.Methods), maxMethods)
		require.LessOrEqual(t, len(b.Camt), maxFormats)
		for _, m := range b.Methods {
			require.Len(t, m.Function, 3)
		}
		for i := range segments {
			_, _ = readAccount(&segments[i])
			_ = readFeedback(&segments[i])
			for _, m := range readMedia(&segments[i], &method{}) {
				require.NotEmpty(t, m.Name)
			}
		}
	})
}
