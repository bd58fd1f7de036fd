package iban_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/iban"
)

// The examples of the SWIFT IBAN registry.
var examples = []string{
	"AD1200012030200359100100", "AE070331234567890123456", "AL47212110090000000235698741", "AT611904300234573201",
	"BE68539007547034", "BG80BNBG96611020345678", "CH9300762011623852957", "CY17002001280000001200527600",
	"CZ6508000000192000145399", "DE89370400440532013000", "DK5000400440116243", "EE382200221020145685",
	"ES9121000418450200051332", "FI2112345600000785", "FR1420041010050500013M02606", "GB29NWBK60161331926819",
	"GI75NWBK000000007099453", "GR1601101250000000012300695", "HR1210010051863000160", "HU42117730161111101800000000",
	"IE29AIBK93115212345678", "IS140159260076545510730339", "IT60X0542811101000000123456", "LI21088100002324013AA",
	"LT121000011101001000", "LU280019400644750000", "LV80BANK0000435195001", "MC5811222000010123456789030",
	"MT84MALT011000012345MTLCAST001S", "NL91ABNA0417164300", "NO9386011117947", "PL61109010140000071219812874",
	"PT50000201231234567890154", "RO49AAAA1B31007593840000", "SE4550000000058398257466", "SI56263300012039086",
	"SK3112000000198742637541", "SM86U0322509800000000270100", "TR330006100519786457841326", "UA213223130000026007233566001",
}

func TestRegistryExamples(t *testing.T) {
	t.Parallel()
	for _, example := range examples {
		i, err := iban.Parse(example)
		require.NoError(t, err, example)
		require.Equal(t, example, string(i))
		require.Equal(t, example[:2], i.Country())

		again, err := iban.Parse("IBAN: " + strings.ToLower(i.Format()))
		require.NoError(t, err, example)
		require.Equal(t, i, again)
	}
}

func TestEveryWrongDigitIsNoticed(t *testing.T) {
	t.Parallel()
	const right = "DE67900900424711951500"
	for at := 2; at < len(right); at++ {
		for digit := byte('0'); digit <= '9'; digit++ {
			wrong := right[:at] + string(digit) + right[at+1:]
			_, err := iban.Parse(wrong)
			if wrong == right {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, iban.ErrChecksum, wrong)
			lenient, err := iban.ParseLenient(wrong)
			require.NoError(t, err, "banks send such")
			require.False(t, lenient.ChecksumOK())
		}
	}
	_, err := iban.Parse("DE00900900424711951500")
	require.ErrorIs(t, err, iban.ErrChecksum)
}

func TestNoIBANs(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]error{
		"":                              iban.ErrForm,
		"DE":                            iban.ErrForm,
		"5355XXXXXXXX1234":              iban.ErrForm,
		"DE6790090042471195150Ü":        iban.ErrForm,
		"DE67900900424711951X00":        iban.ErrForm,
		"D167900900424711951500":        iban.ErrForm,
		"DEX7900900424711951500":        iban.ErrForm,
		strings.Repeat("DE", 20):        iban.ErrForm,
		"XX67900900424711951500":        iban.ErrCountry,
		"DE6790090042471195150":         iban.ErrLength,
		"AT67900900424711951500":        iban.ErrLength,
		"\x00\x00\x00\x00\x00\x00":      iban.ErrForm,
		"IBAN":                          iban.ErrForm,
		"ZZ99 9999 9999 9999 9999 99":   iban.ErrCountry,
		"DE67/9009/0042/4711/9515/00":   iban.ErrForm,
		"DE679009004247119515001 (alt)": iban.ErrForm,
	} {
		_, err := iban.ParseLenient(s)
		require.ErrorIs(t, err, want, "%q", s)
		require.False(t, len(s) > 4 && strings.Contains(err.Error(), s), "errors do not quote account numbers")
	}
}

func TestGerman(t *testing.T) {
	t.Parallel()
	i, err := iban.Parse("DE67 9009 0042 4711 9515 00")
	require.NoError(t, err)
	bankCode, account, ok := i.German()
	require.True(t, ok)
	require.Equal(t, "90090042", bankCode)
	require.Equal(t, "4711951500", account)

	for _, account := range []string{"4711951500", "532013000", "7"} {
		made, err := iban.FromGerman("37040044", account)
		require.NoError(t, err)
		require.True(t, made.ChecksumOK(), made)
		_, padded, _ := made.German()
		require.Equal(t, fmt.Sprintf("%010s", account), padded)
	}
	for _, bad := range [][2]string{{"3704004", "1"}, {"37040044", ""}, {"37040044", "12345678901"}, {"3704004X", "1"}, {"37040044", "-1"}} {
		_, err := iban.FromGerman(bad[0], bad[1])
		require.Error(t, err, bad)
	}

	austrian, err := iban.Parse("AT611904300234573201")
	require.NoError(t, err)
	_, _, ok = austrian.German()
	require.False(t, ok)
}

func TestMask(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"DE67 9009 0042 4711 9515 00": "DE…1500",
		"DE00900900424711951500":      "DE…1500",
		"4711951500":                  "…00",
		"5355XXXXXXXX1234":            "…34",
		"12345":                       "…",
		"":                            "…",
		"Grüßeüü":                     "…ü",
	} {
		require.Equal(t, want, iban.Mask(s), "%q", s)
	}
}

func FuzzParse(f *testing.F) {
	for _, example := range examples {
		f.Add(example)
	}
	f.Add("iban: de67 9009-0042 4711\u00a09515 00")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, s string) {
		iban.Mask(s)
		i, err := iban.ParseLenient(s)
		if err != nil {
			require.Empty(t, i)
			return
		}
		again, err := iban.ParseLenient(i.Format())
		require.NoError(t, err)
		require.Equal(t, i, again)
		_, err = iban.Parse(s)
		require.Equal(t, i.ChecksumOK(), err == nil)
		if bankCode, account, ok := i.German(); ok && i.ChecksumOK() {
			made, err := iban.FromGerman(bankCode, account)
			require.NoError(t, err)
			require.Equal(t, i, made)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := iban.Parse("DE67900900424711951500"); err != nil {
			b.Fatal(err)
		}
	}
}
