package catalog_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/testground"
)

const (
	bankData = `{"12030000": ["Deutsche Kreditbank Berlin", "BYLADEM1001"], "50010517": ["ING-DiBa", "INGDDEFFXXX"],
		"50050201": ["Frankfurter Sparkasse", "HELADEF1822"], "60050009": ["ZV Landesbank Baden-Württemberg ISE"]}`
	finTS = "# a comment\n50010517=ING-DiBa|Frankfurt|INGDDEFFXXX|C1||https://fints.ing.de/fints/||300|\n" +
		"50050201=Frankfurter Sparkasse|Frankfurt|HELADEF1822|00|x.example|https://banking-hs3.s-fints-pt-hs.de/fints30|300|300|\n" +
		"60050009=LBBW||||||||\n99999999=Nobody|||||https://nobody.example||300|\n"
)

func TestGermanyIsPutTogetherFromThreeSources(t *testing.T) {
	t.Parallel()
	file, err := catalog.Germany{Banks: []byte(bankData), FinTS: []byte(finTS), ProductID: "0123456789"}.File()
	require.NoError(t, err)
	var got []string
	for _, b := range file.Banks {
		for _, m := range b.AccessMethods {
			got = append(got, fmt.Sprintf("%s %s %s", b.BankCode, m.Type, m.Connection.URL))
		}
		require.Equal(t, len(b.AccessMethods) > 0, *b.Supported, b.Name)
	}
	require.Equal(t, []string{
		"12030000 API https://api.dkb.de/psd2",
		"50010517 FINTS https://fints.ing.de/fints/",
		"50050201 API https://xs2a.f-i-apim.de:8443/fixs2aop-env/xs2a-api/50050201",
		"50050201 FINTS https://banking-hs3.s-fints-pt-hs.de/fints30",
	}, got)
	dkb := file.Banks[0].AccessMethods[0].Connection
	require.Equal(t, &banks.OAuth{Flow: "PASSWORD_TOKEN", TokenURL: "https://api.dkb.de/pre-auth/psd2-auth/v1/auth/token"}, dkb.OAuth)
	encoded, err := json.Marshal(file)
	require.NoError(t, err)
	_, err = catalog.Parse(encoded)
	require.NoError(t, err, "what is put together is a good file")
	again, err := catalog.Germany{Banks: []byte(bankData), FinTS: []byte(finTS), ProductID: "0123456789"}.File()
	require.NoError(t, err)
	require.Equal(t, file, again, "ids are the same in every import: accesses hang on them")
}

func TestGermanySaysWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		germany catalog.Germany
		says    string
	}{
		"banks":     {catalog.Germany{Banks: []byte(`[]`)}, "bank data"},
		"bank code": {catalog.Germany{Banks: []byte(`{"1": ["Bank"]}`)}, "bank code"},
		"no name":   {catalog.Germany{Banks: []byte(`{"12030000": []}`)}, "no name"},
		"fints":     {catalog.Germany{Banks: []byte(bankData), FinTS: []byte("hello")}, "blz.properties"},
		"rules":     {catalog.Germany{Banks: []byte(bankData), XS2A: []byte(`{}`)}, "XS2A rules"},
		"pattern":   {catalog.Germany{Banks: []byte(bankData), XS2A: []byte(`[{"group": "G", "bic": "("}]`)}, `"G": bic`},
	} {
		_, err := c.germany.File()
		require.ErrorContains(t, err, c.says, name)
	}
}

func TestGermanBankIsFoundByWhateverIsKnownOfIt(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	report, err := catalog.Germany{Banks: []byte(bankData), FinTS: []byte(finTS)}.Import(t.Context(), store)
	require.NoError(t, err)
	require.Equal(t, 4, report.NewBanks)
	for _, word := range []string{"Frankf", "frankfurter spakasse", "500502", "HELADEF1", "DE88 5005 0201 0054 5402 02", "sparkasse"} {
		found, err := catalog.Find(t.Context(), store, catalog.Query{Search: word, Count: 10})
		require.NoError(t, err)
		require.NotEmpty(t, found, word)
		require.Equal(t, "Frankfurter Sparkasse", found[0].Name, word)
	}
	found, err := catalog.Find(t.Context(), store, catalog.Query{Exact: "DE88500502010054540202", Count: 10})
	require.NoError(t, err)
	require.Len(t, found, 1)
}

// The real list, where somebody has fetched it (npm pack bankdata-germany).
func TestRealBankData(t *testing.T) {
	t.Parallel()
	path := os.Getenv("BANKDATA_GERMANY")
	if path == "" {
		t.Skip("BANKDATA_GERMANY does not name bankdata-germany's current.json")
	}
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, catalog.IsBankData(raw))
	var properties []byte
	if path := os.Getenv("BLZ_PROPERTIES"); path != "" {
		properties, err = os.ReadFile(path)
		require.NoError(t, err)
	}
	store := testground.Store(t)
	report, err := catalog.Germany{Banks: raw, FinTS: properties}.Import(t.Context(), store)
	require.NoError(t, err)
	t.Log(report)
	require.Greater(t, report.Banks, 3000)
	for word, name := range map[string]string{"berliner spar": "Berliner Sparkasse", "12030000": "Deutsche Kreditbank", "norisb": "norisbank"} {
		found, err := catalog.Find(t.Context(), store, catalog.Query{Search: word, Count: 5})
		require.NoError(t, err)
		require.NotEmpty(t, found, word)
		require.True(t, strings.Contains(found[0].Name, name), "%s: %s", word, found[0].Name)
	}
}
