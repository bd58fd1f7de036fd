package xs2a_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/internal/civil"
)

func TestTransactionsOfTheSpecification(t *testing.T) {
	t.Parallel()
	page, err := xs2a.ReadReport(strings.NewReader(`{
		"account": {"iban": "DE40100100103307118608", "currency": "EUR"},
		"transactions": {
			"booked": [{
				"transactionId": "1234567", "creditorName": "John Miles", "creditorAccount": {"iban": "DE67 1001 0010 1306 1186 08"},
				"creditorAgent": "aaaadebbxxx", "ultimateCreditor": "Miles Ltd", "mandateId": "Mandate-2018-04-20-1234",
				"transactionAmount": {"currency": "EUR", "amount": "-256.67"}, "bookingDate": "2017-10-25", "valueDate": "2017-10-26",
				"remittanceInformationUnstructured": "Example 1", "bankTransactionCode": "PMNT-RDDT-ESDD", "endToEndId": "E2E-1",
				"proprietaryBankTransactionCode": "NDDT+105+9310", "additionalInformation": "FOLGELASTSCHRIFT", "purposeCode": "RINP"
			}],
			"pending": [{
				"debtorName": "Paul Simpson", "debtorAccount": {"bban": "5390 0754 7034"},
				"transactionAmount": {"currency": "EUR", "amount": "343.01"}, "valueDate": "2017-10-26",
				"remittanceInformationUnstructuredArray": ["Example 3 cut in the mi", "ddle"]
			}],
			"_links": {"account": {"href": "/v1/accounts/3dc3d5b3"}}
		},
		"balances": [{"balanceAmount": {"currency": "EUR", "amount": "500.00"}, "balanceType": "closingBooked", "referenceDate": "2017-10-25"}]
	}`), "EUR")
	require.NoError(t, err)
	require.Equal(t, []banks.Entry{
		{
			TransactionID: "1234567", Amount: decimal.RequireFromString("-256.67"), Currency: "EUR",
			BookingDate: civil.Day(2017, 10, 25), ValueDate: civil.Day(2017, 10, 26),
			Counterparty: banks.Party{Name: "John Miles", IBAN: "DE67100100101306118608", BIC: "AAAADEBBXXX"},
			Remittance:   []string{"Example 1"}, BookingKey: "PMNT-RDDT-ESDD", BookingText: "FOLGELASTSCHRIFT", PrimanotaCode: "9310",
			EndToEndID: "E2E-1", MandateID: "Mandate-2018-04-20-1234", PurposeCode: "RINP",
			AdditionalInfo: map[string]string{"ultimate_creditor": "Miles Ltd"},
		},
		{
			Pending: true, Amount: decimal.RequireFromString("343.01"), Currency: "EUR", ValueDate: civil.Day(2017, 10, 26),
			Counterparty: banks.Party{Name: "Paul Simpson", AccountNumber: "5390 0754 7034"},
			Remittance:   []string{"Example 3 cut in the mi", "ddle"},
		},
	}, page.Entries)
	require.Equal(t, []banks.Balance{{Type: "closingBooked", Amount: decimal.RequireFromString("500.00"), Currency: "EUR", Date: civil.Day(2017, 10, 25)}}, page.Balances)
}

// What banks send in place of what the specification says.
func TestTransactionsAsBanksSendThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want func(*testing.T, []banks.Entry)
	}{
		"only the amount": {`{"transactions":{"booked":[{"transactionAmount":{"amount":"7"}}]}}`, func(t *testing.T, e []banks.Entry) {
			require.Equal(t, []banks.Entry{{Amount: decimal.New(7, 0), Currency: "CHF"}}, e)
		}},
		"amounts as numbers, with a comma, with a plus": {`{"transactions":{"booked":[
			{"transactionAmount":{"amount":-1.10,"currency":"EUR"}}, {"transactionAmount":{"amount":"2,20","currency":"EUR"}}, {"transactionAmount":{"amount":"+3.3","currency":"eur"}}]}}`,
			func(t *testing.T, e []banks.Entry) {
				require.Equal(t, "-1.1 2.2 3.3", e[0].Amount.String()+" "+e[1].Amount.String()+" "+e[2].Amount.String())
				require.Equal(t, "EUR", e[2].Currency)
			}},
		"null in a list is nothing": {`{"transactions":{"booked":[null, {"transactionAmount":{"amount":"1"}}]}}`,
			func(t *testing.T, e []banks.Entry) { require.Len(t, e, 1) }},
		"a field of the wrong type costs only the field": {`{"transactions":{"booked":[
			{"transactionId":12345,"creditorName":{"first":"x"},"bookingDate":false,"remittanceInformationUnstructured":["a","b"],"creditorAccount":"DE67100100101306118608","transactionAmount":{"amount":"-1"}}]}}`,
			func(t *testing.T, e []banks.Entry) {
				require.Equal(t, "12345", e[0].TransactionID)
				require.Equal(t, []string{"a", "b"}, e[0].Remittance)
				require.Equal(t, "DE67100100101306118608", e[0].Counterparty.IBAN)
				require.True(t, e[0].BookingDate.IsZero())
			}},
		"the text is cut at 140, the array is whole": {`{"transactions":{"booked":[{"transactionAmount":{"amount":"1"},
			"remittanceInformationUnstructured":"abc","remittanceInformationUnstructuredArray":["abc","def"]}]}}`,
			func(t *testing.T, e []banks.Entry) { require.Equal(t, []string{"abc", "def"}, e[0].Remittance) }},
		"the array holds less than the text": {`{"transactions":{"booked":[{"transactionAmount":{"amount":"1"},
			"remittanceInformationUnstructured":"abcdef","remittanceInformationUnstructuredArray":["abc"]}]}}`,
			func(t *testing.T, e []banks.Entry) { require.Equal(t, []string{"abcdef"}, e[0].Remittance) }},
		"a masked card number as IBAN": {`{"transactions":{"booked":[{"transactionAmount":{"amount":"-1"},"creditorAccount":{"iban":"5232********1234"}}]}}`,
			func(t *testing.T, e []banks.Entry) {
				require.Equal(t, banks.Party{AccountNumber: "5232********1234"}, e[0].Counterparty)
			}},
		"an IBAN with wrong check digits is kept": {`{"transactions":{"booked":[{"transactionAmount":{"amount":"-1"},"creditorAccount":{"iban":"DE00100100101306118608"}}]}}`,
			func(t *testing.T, e []banks.Entry) {
				require.Equal(t, "DE00100100101306118608", e[0].Counterparty.IBAN)
			}},
		"the other side in the wrong field": {`{"transactions":{"booked":[{"transactionAmount":{"amount":"-1"},"debtorName":"Laden"}]}}`,
			func(t *testing.T, e []banks.Entry) { require.Equal(t, "Laden", e[0].Counterparty.Name) }},
		"placeholder dates are none": {`{"transactions":{"booked":[{"transactionAmount":{"amount":"1"},"bookingDate":"9999-12-31","valueDate":"0001-01-01"}]}}`,
			func(t *testing.T, e []banks.Entry) {
				require.True(t, e[0].BookingDate.IsZero() && e[0].ValueDate.IsZero())
			}},
		"a date with a time": {`{"transactions":{"booked":[{"transactionAmount":{"amount":"1"},"bookingDate":"2026-01-31T23:59:59+02:00"}]}}`,
			func(t *testing.T, e []banks.Entry) {
				require.Equal(t, civil.Day(2026, 1, 31), e[0].BookingDate)
			}},
		"cards: debits are quoted positive": {`{"cardTransactions":{"booked":[{"cardTransactionId":"c1","transactionAmount":{"amount":"12.34","currency":"EUR"},
			"originalAmount":{"amount":"15.00","currency":"USD"},"maskedPAN":"5232****","transactionDetails":"Kaffee","transactionDate":"2026-02-01"}]},"debitAccounting":"true"}`,
			func(t *testing.T, e []banks.Entry) {
				require.Equal(t, "-12.34 -15", e[0].Amount.String()+" "+e[0].OriginalAmount.String())
				require.Equal(t, "USD", e[0].OriginalCurrency)
				require.Equal(t, []string{"Kaffee"}, e[0].Remittance)
			}},
		"control characters and broken UTF-8": {"{\"transactions\":{\"booked\":[{\"transactionAmount\":{\"amount\":\"1\"},\"additionalInformation\":\"a\\u0000b\xffc\"}]}}",
			func(t *testing.T, e []banks.Entry) { require.Equal(t, "ab\uFFFDc", e[0].BookingText) }},
		"a list without its envelope": {`{"transactions":[{"transactionAmount":{"amount":"1"}}]}`,
			func(t *testing.T, e []banks.Entry) { require.Len(t, e, 1) }},
		"nothing": {`{}`, func(t *testing.T, e []banks.Entry) { require.Empty(t, e) }},
		"nulls":   {`{"transactions":{"booked":null,"pending":null,"_links":null},"balances":null}`, func(t *testing.T, e []banks.Entry) { require.Empty(t, e) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page, err := xs2a.ReadReport(strings.NewReader(c.body), "CHF")
			require.NoError(t, err)
			c.want(t, page.Entries)
		})
	}
}

func TestWhatIsNoReport(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "null", "[]", `"x"`, `{"transactions":{"booked":[`, `{"transactions":{"booked":[{}}`, `<html>`,
		`{"x":` + strings.Repeat("[", 100_000) + `}`} {
		_, err := xs2a.ReadReport(strings.NewReader(body), "EUR")
		require.Error(t, err, "%.40s", body)
	}
}

func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"transactions":{"booked":[{"transactionId":"1","transactionAmount":{"currency":"EUR","amount":"-256.67"},"bookingDate":"2017-10-25","remittanceInformationUnstructuredArray":["a","b"],"currencyExchange":[{"sourceCurrency":"USD","exchangeRate":"1.1"}]}],"pending":[],"_links":{"next":{"href":"/x"}}},"balances":[{"balanceAmount":{"currency":"EUR","amount":"5"},"balanceType":"expected"}]}`))
	f.Add([]byte(`{"cardTransactions":{"booked":[{"transactionAmount":"1"}]},"debitAccounting":true}`))
	f.Add([]byte(`{"transactions":{"_links":{"download":"/file"}}}`))
	for _, row := range jsonRows {
		f.Add([]byte(row.input))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := xs2a.ReadReport(bytes.NewReader(body), "EUR")
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(page.Balances), 20)
		require.Equal(t, page.Unreadable.Count > 0, page.Unreadable.First != "")
		for _, e := range page.Entries {
			require.Len(t, e.Currency, 3)
			text := fmt.Sprintf("%+v", e)
			require.True(t, utf8.ValidString(text))
			require.NotContains(t, text, "\x00")
			require.LessOrEqual(t, len(e.TransactionID), 512)
			require.LessOrEqual(t, len(e.Amount.String()), 32)
		}
		_, err = json.Marshal(page.Balances)
		require.NoError(t, err)
	})
}

func BenchmarkReport(b *testing.B) {
	var page strings.Builder
	page.WriteString(`{"transactions":{"booked":[`)
	for i := range 2_000 {
		if i > 0 {
			page.WriteByte(',')
		}
		fmt.Fprintf(&page, `{"transactionAmount":{"currency":"EUR","amount":"-%d.%02d"},"transactionId":"2026013100%06d","entryReference":"N2026%d",
			"bookingDate":"2026-01-31","valueDate":"2026-02-01","endToEndId":"E2E-%d","mandateId":"M-4711","creditorId":"DE98ZZZ09999999999",
			"creditorName":"Stadtwerke Grünstadt GmbH","creditorAccount":{"iban":"DE67900900424711951500"},"creditorAgent":"DEMODE01XXX",
			"remittanceInformationUnstructured":"Abschlag Strom 01.26 Vertragskonto 47110815 vielen Dank Ihre Stadtwerke",
			"bankTransactionCode":"PMNT-RDDT-ESDD","proprietaryBankTransactionCode":"NMSC+105+9310","additionalInformation":"FOLGELASTSCHRIFT"}`, i, i%100, i, i, i)
	}
	page.WriteString(`],"_links":{"account":{"href":"/v1/accounts/1"}}}}`)
	body := []byte(page.String())
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		got, err := xs2a.ReadReport(bytes.NewReader(body), "EUR")
		if err != nil || len(got.Entries) != 2_000 {
			b.Fatal(len(got.Entries), err)
		}
	}
}
