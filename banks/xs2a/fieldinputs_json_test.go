package xs2a_test

import "github.com/kontoflow/kontoflow/banks"

// jsonEntry is a transaction with the given members; the amount is 1.00 EUR where they hold none.
func jsonEntry(members string) string {
	amount := `"transactionAmount":{"currency":"EUR","amount":"-1.00"}`
	for i := 0; i+len("mount\"") <= len(members); i++ {
		if members[i:i+len("mount\"")] == "mount\"" { // transactionAmount or amount
			amount = `"x":0`
		}
	}
	return `{` + amount + `,"bookingDate":"2026-03-02",` + members + `}`
}

// jsonBooked is a report of booked transactions.
func jsonBooked(entries string) string {
	return `{"account":{"iban":"DE02120300000000202051"},"transactions":{"booked":[` + entries + `],"_links":{"account":{"href":"/v1/accounts/1"}}}}`
}

// jsonAmount is a report of one booked transaction with the given amount, as it stands in the JSON.
func jsonAmount(amount string) string {
	return jsonBooked(`{"bookingDate":"2026-03-02","transactionAmount":{"currency":"EUR","amount":` + amount + `}}`)
}

// jsonDays is a report of one booked transaction with the given members for its days.
func jsonDays(members string) string {
	return jsonBooked(`{"transactionAmount":{"currency":"EUR","amount":"-1.00"},` + members + `}`)
}

// jsonBalances is a report without transactions, with the given balances.
func jsonBalances(balances string) string {
	return `{"transactions":{"booked":[]},"balances":[` + balances + `]}`
}

// jsonRows are inputs of one format; see fieldRow.
var jsonRows = []fieldRow{
	{kind: "amount", name: "as Java writes doubles", input: jsonAmount(`1.2345678E7`), entries: []inputEntry{{amount: "12345678 EUR", booked: "2026-03-02"}}},
	{kind: "amount", name: "as Java writes doubles, in a text", input: jsonAmount(`"-2.5E-1"`), entries: []inputEntry{{amount: "-0.25 EUR"}}},
	{kind: "amount", name: "separated thousands", input: jsonAmount(`"1,234.56"`), entries: []inputEntry{{amount: "1234.56 EUR"}}},
	{kind: "amount", name: "separated thousands and a decimal comma", input: jsonAmount(`"-1.234.567,89"`), entries: []inputEntry{{amount: "-1234567.89 EUR"}}},
	{kind: "amount", name: "a minus sign that is not the keyboard's", input: jsonAmount(`"\u22125.00"`), entries: []inputEntry{{amount: "-5 EUR"}}},
	{kind: "amount", name: "a blank behind the sign", input: jsonAmount(`"- 6.00"`), entries: []inputEntry{{amount: "-6 EUR"}}},
	{kind: "amount", name: "the sign behind the number", input: jsonAmount(`"7,50-"`), entries: []inputEntry{{amount: "-7.5 EUR"}}},
	{kind: "amount", name: "noise of a double", input: jsonAmount(`-7.000000000001`), entries: []inputEntry{{amount: "-7 EUR"}}},
	{kind: "amount", name: "without its object", input: jsonBooked(jsonEntry(`"amount":-3.2,"currency":"CHF"`)), entries: []inputEntry{{amount: "-3.2 CHF"}}},
	{kind: "amount", name: "without a currency", input: jsonBooked(jsonEntry(`"transactionAmount":{"amount":"4"}`)), preset: "SEK", entries: []inputEntry{{amount: "4 SEK"}}},

	{kind: "unreadable entry", name: "two decimal signs", input: jsonBooked(jsonEntry(`"valueDate":"2026-03-02"`) + "," + jsonEntry(`"transactionAmount":{"currency":"EUR","amount":"12..34"}`)), fails: "booked entry 2: amount"},
	{kind: "unreadable entry", name: "a thousand or a bit more than one", input: jsonAmount(`"1,234"`), fails: "booked entry 1: amount"},
	{kind: "unreadable entry", name: "no amount", input: jsonBooked(`{"transactionId":"1"}`), fails: "booked entry 1: amount"},
	{kind: "unreadable entry", name: "null as amount", input: jsonAmount(`null`), fails: "amount"},
	{kind: "unreadable entry", name: "a list as amount", input: jsonAmount(`["1.00"]`), fails: "amount"},
	{kind: "unreadable entry", name: "more digits than any amount", input: jsonAmount(`"00000000000000000000000000000000000000000000000000000000000000000000000015"`), fails: "amount"},
	{kind: "unreadable entry", name: "a currency that is none", input: jsonBooked(jsonEntry(`"transactionAmount":{"currency":"EURO","amount":"1.00"}`)), fails: "currency"},
	{kind: "unreadable entry", name: "a number where an entry belongs", input: jsonBooked(`7`), fails: "booked entry 1"},
	{kind: "unreadable entry", name: "a pending one", input: `{"transactions":{"booked":[],"pending":[{"transactionAmount":{"currency":"EUR","amount":"?"}}]}}`, fails: "pending entry 1: amount"},
	{kind: "unreadable entry", name: "a sign that contradicts the amount", input: jsonBooked(jsonEntry(`"transactionAmount":{"currency":"EUR","amount":"-1.00"},"creditDebitIndicator":"CRDT"`)), fails: "sign"},

	{kind: "sign", name: "in a member of its own", input: jsonBooked(jsonEntry(`"transactionAmount":{"currency":"EUR","amount":"8.00"},"creditDebitIndicator":"DBIT","creditorName":"Laden Nord"`)),
		entries: []inputEntry{{amount: "-8 EUR", name: "Laden Nord"}}},
	{kind: "sign", name: "in a member of its own, besides", input: jsonBooked(jsonEntry(`"transactionAmount":{"currency":"EUR","amount":"-8.00"},"creditDebitIndicator":"DBIT"`)), entries: []inputEntry{{amount: "-8 EUR"}}},
	{kind: "sign", name: "money in, in a member of its own", input: jsonBooked(jsonEntry(`"transactionAmount":{"currency":"EUR","amount":"8.00"},"creditDebitIndicator":"CREDIT","debtorName":"Kundin Ost","creditorName":"Konto"`)),
		entries: []inputEntry{{amount: "8 EUR", name: "Kundin Ost"}}},
	{kind: "sign", name: "a card's debits are positive", input: `{"cardTransactions":{"booked":[{"transactionDate":"2026-03-01","transactionAmount":{"currency":"EUR","amount":"9.99"},
		"originalAmount":{"currency":"USD","amount":"11"}},{"transactionDate":"2026-03-01","transactionAmount":{"currency":"EUR","amount":"-5.00"}}]},"debitAccounting":true}`,
		entries: []inputEntry{{amount: "-9.99 EUR", original: "-11 USD", booked: "2026-03-01"}, {amount: "5 EUR"}}},

	{kind: "day", name: "with a zone", input: jsonDays(`"bookingDate":"2026-03-02+01:00","valueDate":"2026-03-03Z"`), entries: []inputEntry{{booked: "2026-03-02", valued: "2026-03-03"}}},
	{kind: "day", name: "as date-times only", input: jsonDays(`"bookingDateTime":"2026-03-02T12:00:00Z","valueDateTime":"2026-03-03T23:59:00.000+01:00"`), entries: []inputEntry{{booked: "2026-03-02", valued: "2026-03-03"}}},
	{kind: "day", name: "without hyphens", input: jsonDays(`"bookingDate":20260302,"valueDate":"20260303"`), entries: []inputEntry{{booked: "2026-03-02", valued: "2026-03-03"}}},
	{kind: "day", name: "only a value date", input: jsonDays(`"valueDate":"2026-03-03"`), entries: []inputEntry{{booked: "2026-03-03", valued: "2026-03-03"}}},
	{kind: "day", name: "only the day of the payment", input: jsonDays(`"transactionDate":"2026-03-01"`), entries: []inputEntry{{booked: "2026-03-01", valued: "2026-03-01"}}},
	{kind: "day", name: "placeholders", input: jsonDays(`"bookingDate":"0001-01-01","valueDate":"9999-12-31","transactionDate":"2026-03-01"`), entries: []inputEntry{{booked: "2026-03-01"}}},

	{kind: "unreadable value", name: "a day that the calendar does not have", input: jsonDays(`"bookingDate":"2026-02-30","valueDate":"2026-02-31"`), entries: []inputEntry{{booked: "2026-02-28", valued: "2026-02-28"}}, unreadable: 2},
	{kind: "unreadable value", name: "a day in words, and a date-time that helps", input: jsonDays(`"bookingDate":"Monday","bookingDateTime":"2026-03-02T08:00:00"`), entries: []inputEntry{{booked: "2026-03-02"}}, unreadable: 1},
	{kind: "unreadable value", name: "milliseconds as a day", input: jsonDays(`"bookingDate":1772409600000,"valueDate":"2026-03-02"`), entries: []inputEntry{{booked: "2026-03-02"}}, unreadable: 1},
	{kind: "unreadable value", name: "an object as a name", input: jsonBooked(jsonEntry(`"creditorName":{"first":"Eva"},"remittanceInformationUnstructured":"Miete"`)), entries: []inputEntry{{name: "-", text: "Miete"}}, unreadable: 1},
	{kind: "unreadable value", name: "an original amount in words", input: jsonBooked(jsonEntry(`"originalAmount":{"currency":"USD","amount":"ten"},"transactionAmount":{"currency":"EUR","amount":"-9"}`)), entries: []inputEntry{{amount: "-9 EUR", original: "-"}}, unreadable: 1},
	{kind: "unreadable value", name: "null in a list", input: jsonBooked("null," + jsonEntry(`"transactionId":"2"`)), entries: []inputEntry{{id: "2"}}, unreadable: 1},

	{kind: "no list", name: "an empty object", input: `{}`, entries: []inputEntry{}, withheld: banks.NoList},
	{kind: "no list", name: "null for the transactions", input: `{"transactions":null}`, entries: []inputEntry{}, withheld: banks.NoList},
	{kind: "no list", name: "null for the booked ones", input: `{"transactions":{"booked":null,"pending":[]}}`, entries: []inputEntry{}, withheld: banks.NoList},
	{kind: "no list", name: "only pending ones", input: `{"transactions":{"pending":[` + jsonEntry(`"transactionId":"p"`) + `]}}`, entries: []inputEntry{{id: "p", pending: true}}, withheld: banks.NoList},
	{kind: "no list", name: "an object where a list belongs", input: `{"transactions":{"booked":{"count":0}}}`, entries: []inputEntry{}, withheld: banks.NoList},
	{kind: "no list", name: "a list where an object belongs", input: `{"transactions":[]}`, entries: []inputEntry{}, withheld: banks.NoList},
	{kind: "no list", name: "an error with status 200", input: `{"tppMessages":[{"category":"ERROR","code":"INTERNAL_SERVER_ERROR","text":"Bitte spaeter"}]}`, entries: []inputEntry{}, withheld: banks.NoList},
	{kind: "no list", name: "an error beside an empty list", input: `{"transactions":{"booked":[]},"tppMessages":[{"category":"ERROR","code":"FORMAT_ERROR"}]}`, entries: []inputEntry{}, withheld: banks.NoList},
	{kind: "no list", name: "an error beside some entries", input: `{"transactions":{"booked":[` + jsonEntry(`"transactionId":"1"`) + `]},"tppMessages":[{"category":"ERROR","code":"SERVICE_UNAVAILABLE"}]}`, entries: []inputEntry{{id: "1"}}, withheld: banks.Partial},

	{kind: "empty", name: "an empty list", input: jsonBooked(""), entries: []inputEntry{}},
	{kind: "empty", name: "empty lists without an envelope", input: `{"booked":[],"pending":[]}`, entries: []inputEntry{}},
	{kind: "empty", name: "a warning beside an empty list", input: `{"transactions":{"booked":[]},"tppMessages":[{"category":"WARNING","code":"WARNING","text":"nothing there"}]}`, entries: []inputEntry{}},
	{kind: "empty", name: "an empty list of card payments", input: `{"cardTransactions":{"booked":[],"pending":[]}}`, entries: []inputEntry{}},

	{kind: "envelope", name: "a byte order mark and blank lines", input: "\uFEFF\r\n\r\n" + jsonBooked(jsonEntry(`"transactionId":"1"`)), entries: []inputEntry{{id: "1"}}},
	{kind: "envelope", name: "a list without its lists", input: `{"transactions":[` + jsonEntry(`"transactionId":"1"`) + `,` + jsonEntry(`"transactionId":"2","bookingStatus":"pending"`) + `]}`, entries: []inputEntry{{id: "1"}, {id: "2", pending: true}}},
	{kind: "envelope", name: "one entry without its brackets", input: `{"transactions":{"booked":` + jsonEntry(`"transactionId":"1"`) + `}}`, entries: []inputEntry{{id: "1"}}},
	{kind: "envelope", name: "a list at the top", input: `{"booked":[` + jsonEntry(`"transactionId":"1"`) + `]}`, entries: []inputEntry{{id: "1"}}},

	{kind: "wrong side", name: "the holder as creditor of what goes out", input: jsonBooked(jsonEntry(`"creditorName":"Kontoinhaber","creditorAccount":{"iban":"DE02 1203 0000 0000 2020 51"},"debtorName":"Stromwerk","debtorAccount":{"iban":"DE67900900424711951500"}`)),
		entries: []inputEntry{{name: "Stromwerk", iban: "DE67900900424711951500"}}},
	{kind: "wrong side", name: "the holder as debtor of an amount without its sign", input: jsonBooked(jsonEntry(`"transactionAmount":{"currency":"EUR","amount":"20.00"},"debtorName":"Kontoinhaber","debtorAccount":{"iban":"DE02120300000000202051"},"creditorName":"Verein Sued","creditorAccount":{"iban":"DE67900900424711951500"}`)),
		entries: []inputEntry{{amount: "20 EUR", name: "Verein Sued", iban: "DE67900900424711951500"}}},
	{kind: "wrong side", name: "only the holder, where the other side belongs", input: jsonBooked(jsonEntry(`"debtorName":"Kontoinhaber","debtorAccount":{"iban":"DE02120300000000202051"},"ultimateCreditor":"Kiosk"`)),
		entries: []inputEntry{{name: "Kiosk", iban: "-"}}},
	{kind: "wrong side", name: "a name only, in the other field", input: jsonBooked(jsonEntry(`"debtorName":"Baeckerei West"`)), entries: []inputEntry{{name: "Baeckerei West"}}},

	{kind: "structured", name: "a whole text in the structured field", input: jsonBooked(jsonEntry(`"remittanceInformationStructured":"Rechnung 4711 vom ersten Maerz, vielen Dank fuer Ihren Einkauf bei uns"`)),
		entries: []inputEntry{{text: "Rechnung 4711 vom ersten Maerz, vielen Dank fuer Ihren Einkauf bei uns", customer: "-"}}},
	{kind: "structured", name: "a reference", input: jsonBooked(jsonEntry(`"remittanceInformationStructured":{"reference":"RF18539007547034","referenceType":"SCOR"},"remittanceInformationUnstructured":"Rechnung"`)),
		entries: []inputEntry{{text: "Rechnung", customer: "RF18539007547034"}}},
	{kind: "structured", name: "a reference in groups", input: jsonBooked(jsonEntry(`"remittanceInformationStructuredArray":[{"reference":"21 00000 00003 13947 14300 09017"}]`)),
		entries: []inputEntry{{customer: "21 00000 00003 13947 14300 09017"}}},
	{kind: "structured", name: "text in both fields", input: jsonBooked(jsonEntry(`"remittanceInformationUnstructured":"Abschlag Maerz","remittanceInformationStructuredArray":[{"reference":"Vertragskonto im Norden"},{"reference":"Abschlag Maerz"}]`)),
		entries: []inputEntry{{text: "Abschlag Maerz Vertragskonto im Norden", customer: "-"}}},
	{kind: "structured", name: "one word", input: jsonBooked(jsonEntry(`"remittanceInformationStructured":"Taschengeld"`)), entries: []inputEntry{{text: "Taschengeld", customer: "-"}}},

	{kind: "labels", name: "mandate, creditor and text in one", input: jsonBooked(jsonEntry(`"remittanceInformationUnstructured":"mandatereference:M-7,creditorid:DE98ZZZ09999999999,remittanceinformation:Abo Maerz, 2026"`)),
		entries: []inputEntry{{mandate: "M-7", creditor: "DE98ZZZ09999999999", text: "Abo Maerz, 2026"}}},
	{kind: "labels", name: "empty labels before the text", input: jsonBooked(jsonEntry(`"remittanceInformationUnstructured":"mandatereference:,creditorid:,remittanceinformation:NR 123 Koeln KAUFUMSATZ"`)),
		entries: []inputEntry{{mandate: "-", creditor: "-", text: "NR 123 Koeln KAUFUMSATZ"}}},
	{kind: "labels", name: "labels beside the fields of their own", input: jsonBooked(jsonEntry(`"mandateId":"M-8","remittanceInformationUnstructuredArray":["MandateReference:M-8,CreditorId:DE98ZZZ09999999999,RemittanceInformation:"]`)),
		entries: []inputEntry{{mandate: "M-8", creditor: "DE98ZZZ09999999999", text: "-"}}},

	{kind: "balance", name: "noise, and a day with a zone", input: jsonBalances(`{"balanceType":"closingBooked","balanceAmount":{"currency":"EUR","amount":"101.960000000017"},"referenceDate":"2026-03-02+01:00"}`),
		balances: []string{"closingBooked 2026-03-02 101.96 EUR"}},
	{kind: "balance", name: "the time of the last change in place of a day", input: jsonBalances(`{"balanceType":"interimBooked","balanceAmount":{"currency":"EUR","amount":5.1},"lastChangeDateTime":"2026-03-02T10:00:00Z"}`),
		balances: []string{"interimBooked 2026-03-02 5.1 EUR"}},
	{kind: "balance", name: "an amount that cannot be read", input: jsonBalances(`{"balanceType":"expected","balanceAmount":{"currency":"EUR","amount":"n/a"}},{"balanceAmount":{"currency":"EUR","amount":"1"}}`),
		balances: []string{"expected 1 EUR"}, unreadable: 1},
	{kind: "balance", name: "a day that the calendar does not have", input: jsonBalances(`{"balanceType":"closingBooked","balanceAmount":{"currency":"EUR","amount":"3"},"referenceDate":"2026-02-30"}`),
		balances: []string{"closingBooked 2026-02-28 3 EUR"}, unreadable: 1},
}
