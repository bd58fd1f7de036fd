package syntax_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// initialization is the customer's first message of the specification's example ("Sicherheitsverfahren PIN/TAN",
// section F.2.2), its line breaks taken out and its sizes put right.
const initialization = "HNHBK:1:3+000000000393+300+0+1'" +
	"HNVSK:998:3+PIN:1+998+1+1::2+1:20020610:102044+2:2:13:@8@\x00\x00\x00\x00\x00\x00\x00\x00:5:1+280:10020030:12345:V:0:0+0'" +
	"HNVSD:999:1+@227@" +
	"HNSHK:2:4+PIN:1+999+654321+1+1+1::2+1+1:20020610:102044+1:999:1+6:10:16+280:10020030:12345:S:0:0'" +
	"HKIDN:3:2+280:10020030+12345+2+1'" +
	"HKVVB:4:2+2+3+1+Onlinebanking Plus+3.0'" +
	"HNSHA:5:2+654321++83427'" +
	"'HNHBS:6:1+1'"

func TestRead(t *testing.T) {
	t.Parallel()
	wire := sized(initialization)
	m, err := syntax.Read(wire)
	require.NoError(t, err)
	require.Equal(t, "0", m.DialogID)
	require.Equal(t, 1, m.Number)
	require.Nil(t, m.Answers)
	require.Equal(t, len(wire), m.Size)
	require.Equal(t, &syntax.Security{Function: "999", SystemID: "2", Country: "280", BankCode: "10020030", UserID: "12345",
		At: time.Date(2002, 6, 10, 10, 20, 44, 0, time.UTC), Reference: "654321", Signed: true, PIN: "83427"}, m.Security)
	require.Len(t, m.Segments, 2)
	require.Equal(t, "HKIDN", m.Segments[0].Name)
	require.Equal(t, 3, m.Segments[0].Number)
	require.Equal(t, "10020030", m.Segments[0].Get(0, 1))
	require.Equal(t, "Onlinebanking Plus", m.Find("HKVVB").Get(3, 0))

	again, err := m.Wire()
	require.NoError(t, err)
	require.Equal(t, string(wire), string(again), "what was read is written as it was")
}

// sized writes the right sizes into a message written by hand.
func sized(message string) []byte {
	start := strings.Index(message, "@227@") + len("@227@")
	end := strings.LastIndex(message, "'HNHBS")
	if start >= len("@227@") && end > start {
		message = strings.Replace(message, "@227@", "@"+itoa(end-start)+"@", 1)
	}
	return []byte(strings.Replace(message, "+000000000393+", "+"+strings.Repeat("0", 12-len(itoa(len(message))))+itoa(len(message))+"+", 1))
}

func itoa(n int) string { return syntax.Number(n).Get(0) }

func TestEscapes(t *testing.T) {
	t.Parallel()
	for text, wire := range map[string]string{
		"":                     "HKXXX:1:1+:a'",
		"a+b":                  "HKXXX:1:1+a?+b:a'",
		"it's":                 "HKXXX:1:1+it?'s:a'",
		"https://bank:1/?a@b":  "HKXXX:1:1+https?://bank?:1/??a?@b:a'",
		"Müller & Söhne, groß": "HKXXX:1:1+M\xfcller & S\xf6hne, gro\xdf:a'",
		"\u00a0¿":              "HKXXX:1:1+\xa0\xbf:a'",
	} {
		segment := syntax.New("HKXXX", 1, syntax.Text(text, "a"))
		segment.Number = 1
		raw, err := syntax.Append(nil, segment)
		require.NoError(t, err)
		require.Equal(t, wire, string(raw))
		read, err := syntax.Parse(raw)
		require.NoError(t, err)
		require.Equal(t, text, read[0].Get(0, 0))
	}
	_, err := syntax.Append(nil, syntax.New("HNSHA", 2, syntax.Text("łódź")))
	require.Error(t, err, "a PIN that cannot be written is not written as another")
	require.NotContains(t, err.Error(), "łódź")
}

func TestGroupsAndBinary(t *testing.T) {
	t.Parallel()
	read, err := syntax.Parse([]byte("HIXXX:7:3:4++a::c+@5@'+:?@+'"))
	require.NoError(t, err)
	s := read[0]
	require.Equal(t, 7, s.Number)
	require.Equal(t, 3, s.Version)
	require.Equal(t, 4, s.Reference)
	require.Len(t, s.Elements, 4)
	require.Empty(t, s.At(0))
	require.Equal(t, syntax.Text("a", "", "c"), s.At(1))
	require.Equal(t, syntax.Binary([]byte("'+:?@")), s.At(2))
	require.Empty(t, s.Get(9, 9))
	_, ok := s.Int(1, 0)
	require.False(t, ok)
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for name, wire := range map[string]string{
		"empty segment":    "'",
		"no end":           "HKIDN:1:2+a",
		"binary too short": "HKIDN:1:2+@10@abc'",
		"binary without n": "HKIDN:1:2+@@'",
		"binary negative":  "HKIDN:1:2+@-1@'",
		"binary enormous":  "HKIDN:1:2+@999999999@'",
		"binary overflow":  "HKIDN:1:2+@99999999999999999999@'",
		"binary glued":     "HKIDN:1:2+@1@ab'",
		"escape at end":    "HKIDN:1:2+a?",
		"no version":       "HKIDN:1'",
		"name":             "hkidn:1:2'",
		"too many":         "HKIDN:1:2" + strings.Repeat("+", 300_000) + "'",
	} {
		_, err := syntax.Parse([]byte(wire))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "HKIDN")
	}
	for name, wire := range map[string]string{
		"no head":        "HNHBS:1:1+1'",
		"no end":         "HNHBK:1:3+000000000010+300+0+1'HKIDN:2:2+a'",
		"other version":  "HNHBK:1:3+000000000010+220+0+1'HNHBS:2:1+1'",
		"envelope twice": "HNHBK:1:3+000000000010+300+0+1'HNHBK:1:3+000000000010+300+0+1'HNHBS:2:1+1'",
	} {
		_, err := syntax.Read([]byte(wire))
		require.Error(t, err, name)
	}
}

// What can be read can be written, and reads the same again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(initialization))
	f.Add(sized(initialization))
	f.Add([]byte("HIXXX:7:3:4++a::c+@5@'+:?@+'"))
	f.Add([]byte("HIXXX:7:3+??+?'+\xe4'"))
	f.Add([]byte("0:0:0+?\xe4'"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		_, _ = syntax.Read(wire)
		segments, err := syntax.Parse(wire)
		if err != nil {
			return
		}
		written, err := syntax.Append(nil, segments...)
		require.NoError(t, err)
		again, err := syntax.Parse(written)
		require.NoError(t, err)
		once, err := syntax.Append(nil, again...)
		require.NoError(t, err)
		require.Equal(t, string(written), string(once))
	})
}

func BenchmarkRead(b *testing.B) {
	m := syntax.Message{DialogID: "4711", Number: 2, Answers: &syntax.Reference{DialogID: "4711", Number: 2},
		Security: &syntax.Security{Function: "942", SystemID: "2", Country: "280", BankCode: "10020030", UserID: "12345"}}
	for range 200 {
		m.Segments = append(m.Segments, syntax.New("HIUPD", 6, syntax.Text("1234567", "", "280", "10020030"), syntax.Text("DE67900900424711951500"),
			syntax.Text("12345"), syntax.Text("1"), syntax.Text("EUR"), syntax.Text("Ernst Müller"), syntax.Empty(), syntax.Text("Giro"),
			syntax.Empty(), syntax.Text("HKSAL", "1"), syntax.Text("HKCAZ", "1"), syntax.Text("HKKAZ", "1")))
	}
	wire, err := m.Wire()
	require.NoError(b, err)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := syntax.Read(wire); err != nil {
			b.Fatal(err)
		}
	}
}
