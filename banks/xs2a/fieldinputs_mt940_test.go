package xs2a_test

import (
	"slices"
	"strings"
)

// mt940Rows are inputs of one format; see fieldRow.
var mt940Rows = slices.Concat(mt940Days, mt940Order, mt940Breaks, mt940Entries, mt940Texts, mt940Remittances, mt940Files, mt940Balances)

// The same remittances come in camt and JSON.
func init() {
	camtRows = append(camtRows, camtRemittances...)
	jsonRows = append(jsonRows, jsonRemittances...)
}

const (
	mt940Begin = ":20:STARTUMSE\r\n:25:50010517/0648489890\r\n:28C:00007/001\r\n"
	mt940Open  = ":60F:C260227EUR100,00\r\n"
	mt940End   = ":62F:C260305EUR88,00\r\n-\r\n"
	annaParty  = "?30TESTDEFFXXX?31DE89370400440532013000?32Anna Beispiel"
)

// mt940Lines is a statement with the given lines between its balances.
func mt940Lines(lines ...string) string {
	return mt940Begin + mt940Open + strings.Join(lines, "\r\n") + "\r\n" + mt940End
}

// mt940Text is a statement of one entry, with its text: fields 86 and what the bank makes of them.
func mt940Text(lines ...string) string {
	return mt940Lines(append([]string{":61:2603020302DR12,00NMSCNONREF"}, lines...)...)
}

// mt940Purpose is a statement of one entry, with subfields.
func mt940Purpose(subfields string) string { return mt940Text(":86:105?00LASTSCHRIFT" + subfields) }

var mt940Days = []fieldRow{
	{kind: "day", name: "30 February as value date", input: mt940Lines(":61:2602300302D1,00NINTNONREF"), entries: []inputEntry{{valued: "2026-02-28", booked: "2026-03-02"}}, unreadable: 1},
	{kind: "day", name: "29 February in a leap year", input: mt940Lines(":61:2802290229D1,00NINTNONREF"), entries: []inputEntry{{valued: "2028-02-29", booked: "2028-02-29"}}},
	{kind: "day", name: "31 June as booking day", input: mt940Lines(":61:2606300631D1,00NINTNONREF"), entries: []inputEntry{{valued: "2026-06-30", booked: "2026-06-30"}}, unreadable: 1},
	{kind: "day", name: "30 February in both", input: mt940Lines(":61:2602300230D1,00NINTNONREF"), entries: []inputEntry{{valued: "2026-02-28", booked: "2026-02-28"}}, unreadable: 2},
	{kind: "day", name: "31 April in the balances", input: ":20:A\r\n:60F:C260431EUR1,00\r\n:62F:D260931EUR2,00\r\n:64:C260230EUR3,00\r\n-",
		balances: []string{"openingBooked 2026-04-30 1 EUR", "closingBooked 2026-09-30 -2 EUR", "interimAvailable 2026-02-28 3 EUR"}, unreadable: 3},
	{kind: "day", name: "booked in the new year", input: mt940Lines(":61:2512310102D1,00NMSCNONREF"), entries: []inputEntry{{valued: "2025-12-31", booked: "2026-01-02"}}},
	{kind: "day", name: "valued in the new year", input: mt940Lines(":61:2601021230D1,00NMSCNONREF"), entries: []inputEntry{{valued: "2026-01-02", booked: "2025-12-30"}}},
	{kind: "day", name: "29 February beside a year without it", input: mt940Lines(":61:2703010229D1,00NMSCNONREF"), entries: []inputEntry{{valued: "2027-03-01", booked: "2027-02-28"}}, unreadable: 1},
	{kind: "day", name: "only a value date", input: mt940Lines(":61:260302D1,00NMSCNONREF"), entries: []inputEntry{{valued: "2026-03-02", booked: "2026-03-02"}}},
	{kind: "day", name: "with its century", input: mt940Lines(":61:20260302D1,00NMSCNONREF"), entries: []inputEntry{{valued: "2026-03-02", booked: "2026-03-02"}}},
	{kind: "day", name: "blanks between the days", input: mt940Lines(":61:260302 0303 D 1,00NMSCNONREF"), entries: []inputEntry{{amount: "-1 EUR", valued: "2026-03-02", booked: "2026-03-03"}}},
	{kind: "no day", name: "month 13 as value date", input: mt940Lines(":61:261302D1,00NMSCNONREF"), entries: []inputEntry{{amount: "-1 EUR", valued: "-", booked: "2026-03-05"}}, unreadable: 1},
	{kind: "no day", name: "a booking day in month 0", input: mt940Lines(":61:2603020015D1,00NMSCNONREF"), entries: []inputEntry{{valued: "2026-03-02", booked: "2026-03-02"}}, unreadable: 1},
	{kind: "no day", name: "the value date cannot be read, the booking day can", input: mt940Lines(":61:2699990303D1,00NMSCNONREF"), entries: []inputEntry{{valued: "-", booked: "2026-03-03"}}, unreadable: 1},
	{kind: "no day", name: "letters in the day", input: mt940Lines(":61:26O3O2D1,00NMSCNONREF"), entries: []inputEntry{{amount: "-1 EUR", valued: "-", booked: "2026-03-05"}}, unreadable: 1},
	{kind: "no day", name: "zeros as day", input: mt940Lines(":61:0000000000D1,00NMSCNONREF"), entries: []inputEntry{{valued: "-", booked: "2026-03-05"}}},
	{kind: "no day", name: "only an opening balance has one", input: ":20:A\r\n:60F:C260227EUR1,00\r\n:61:260032D1,00NMSC\r\n-", entries: []inputEntry{{booked: "2026-02-27"}}, unreadable: 1},
}

var mt940Order = []fieldRow{
	{kind: "tag in a text", name: "a clock's minutes", input: mt940Text(":86:106?00KARTENZAHLUNG?20SVWZ+Cafe Nord 2026-03-01T09", ":31:05 Karte 2?21 Folge 1"+annaParty),
		entries: []inputEntry{{text: "Cafe Nord 2026-03-01T09:31:05 Karte 2 Folge 1", name: "Anna Beispiel", iban: "DE89370400440532013000"}}},
	{kind: "tag in a text", name: "minutes 20, in francs", input: ":20:A\r\n:25:1234567890\r\n:28C:1\r\n:60F:C260227CHF9,00\r\n:61:260302D1,00NMSCNONREF\r\n:86:106?20SVWZ+Kiosk 18\r\n:20:15 Uhr?32Kiosk\r\n" +
		":61:260302D2,00NMSCNONREF\r\n:62F:C260302CHF6,00\r\n-",
		entries: []inputEntry{{amount: "-1 CHF", text: "Kiosk 18:20:15 Uhr", name: "Kiosk"}, {amount: "-2 CHF"}}},
	{kind: "tag in a text", name: "minutes 20, 25 and 28", input: mt940Text(":86:Kasse 11", ":20:01 bis", ":25:00 und", ":28:59 Uhr"), entries: []inputEntry{{text: "Kasse 11 :20:01 bis :25:00 und :28:59 Uhr"}}},
	{kind: "tag in a text", name: "61 and 64 that are no entry and no balance", input: mt940Text(":86:105?20SVWZ+Az. 4", ":61:12 C Nord?21", ":64:D 7?32Amt Sued"), entries: []inputEntry{{text: "Az. 4:61:12 C Nord :64:D 7", name: "Amt Sued"}}},
	{kind: "tag in a text", name: "60 and 62 without their content", input: mt940Text(":86:Posten", ":60:00", ":62:00 Seiten"), entries: []inputEntry{{text: "Posten :60:00 :62:00 Seiten"}}},
	{kind: "tag in a text", name: "balances that are words", input: mt940Text(":86:106?20SVWZ+Heft 7", ":60F:Fotos?21", ":62F:C3 Regal", ":90D:30 Tage", ":62M:?32Copyshop"),
		entries: []inputEntry{{text: "Heft 7:60F:Fotos :62F:C3 Regal:90D:30 Tage:62M:", name: "Copyshop"}}},
	{kind: "tag in a text", name: "badly written balances are balances", input: mt940Begin + mt940Open + ":61:260302D1,00NMSC\r\n:86:Miete\r\n:62F:X260302EUR1,00\r\n-\r\n" +
		mt940Begin + ":60F:Cnull\r\n:61:260303D2,00NMSC\r\n:86:Gas\r\n:62F:D000000\r\n-",
		entries: []inputEntry{{text: "Miete"}, {text: "Gas"}}, unreadable: 3},
	{kind: "tag in a text", name: "balances without mark and day are balances", input: mt940Begin + mt940Open + ":61:260302D1,00NMSC\r\n:86:Miete\r\n:62F:EUR88,00\r\n-\r\n" +
		mt940Begin + mt940Open + ":61:260303D2,00NMSC\r\n:86:Gas\r\n:62F:260303EUR5,00\r\n-" +
		mt940Begin + mt940Open + ":61:260304D3,00NMSC\r\n:86:Strom\r\n:62F:CHF7,00\r\n-",
		entries: []inputEntry{{text: "Miete"}, {text: "Gas"}, {text: "Strom"}}, unreadable: 3},
	{kind: "tag in a text", name: "behind the line of an entry", input: mt940Lines(":61:2603020302D1,00NMSCNONREF", ":25:17 Zusatz", ":86:Miete"), entries: []inputEntry{{amount: "-1 EUR", text: "Miete"}}},
	{kind: "tag in a text", name: "two lines that look like the head of a statement", input: mt940Text(":86:105?20SVWZ+Zug 10", ":20:15 ab", ":25:00 an?32Bahn"), entries: []inputEntry{{text: "Zug 10:20:15 ab:25:00 an", name: "Bahn"}}},
	{kind: "tag in a text", name: "a new statement behind an entry without a balance", input: ":20:A\r\n:25:1234567890\r\n:28C:1\r\n:34F:USD0,\r\n:61:260302D1,00NMSCNONREF\r\n:86:Eins\r\n" +
		":20:B\r\n:25:1234567890\r\n:28C:2\r\n:34F:USD0,\r\n:61:260303D2,00NMSCNONREF\r\n:86:Zwei",
		entries: []inputEntry{{amount: "-1 USD", text: "Eins"}, {amount: "-2 USD", text: "Zwei"}}},
	{kind: "before a tag", name: "a hyphen at each tag", input: strings.ReplaceAll(mt940Text(":86:051?20SVWZ+Miete?32Anna Beispiel"), "\r\n:", "\r\n-:"),
		entries: []inputEntry{{amount: "-12 EUR", text: "Miete", name: "Anna Beispiel"}}, balances: []string{"openingBooked 2026-02-27 100 EUR", "closingBooked 2026-03-05 88 EUR"}},
	{kind: "before a tag", name: "a byte order mark and blanks", input: "\uFEFF" + strings.ReplaceAll(mt940Text(":86:Miete"), "\r\n:", "\r\n  :"), entries: []inputEntry{{amount: "-12 EUR", text: "Miete"}}},
	{kind: "before a tag", name: "a byte order mark in a file of one byte a character", input: "\xef\xbb\xbf" + mt940Text(":86:B\xe4ckerei"), entries: []inputEntry{{text: "Bäckerei"}},
		balances: []string{"openingBooked 2026-02-27 100 EUR", "closingBooked 2026-03-05 88 EUR"}},
	{kind: "before a tag", name: "control characters", input: "\x01" + strings.ReplaceAll(mt940Text(":86:Miete"), "\r\n:6", "\r\n\x02:6") + "\x03", entries: []inputEntry{{text: "Miete"}}},
	{kind: "before a tag", name: "a blank before what is no tag", input: mt940Text(":86:Start um 8", " :26:37"), entries: []inputEntry{{text: "Start um 8 :26:37"}}},
	{kind: "dash", name: "within a text", input: mt940Text(":86:105?20SVWZ+Beitrag Chor", "-", "Mitglied 9"+annaParty), entries: []inputEntry{{text: "Beitrag Chor - Mitglied 9", name: "Anna Beispiel"}}},
	{kind: "dash", name: "within a text without structure", input: mt940Text(":86:Miete", "-", "Haus 2"), entries: []inputEntry{{text: "Miete - Haus 2"}}},
	{kind: "dash", name: "before a clock's minutes", input: mt940Text(":86:105?20SVWZ+Tor 1", "-", ":20:15 Tor 2?32Anna Beispiel"), entries: []inputEntry{{text: "Tor 1 - :20:15 Tor 2", name: "Anna Beispiel"}}},
	{kind: "dash", name: "before the next entry", input: mt940Text(":86:Eins", "-", ":61:2603030303D2,00NMSCNONREF", ":86:Zwei"), entries: []inputEntry{{text: "Eins"}, {amount: "-2 EUR", text: "Zwei"}},
		balances: []string{"openingBooked 2026-02-27 100 EUR", "closingBooked 2026-03-05 88 EUR"}},
	{kind: "dash", name: "twice at the end", input: mt940Begin + ":61:2603020302D1,00NMSCNONREF\r\n:86:Miete\r\n-\r\n-\r\n\r\n", entries: []inputEntry{{text: "Miete"}}},
	{kind: "dash", name: "before a message", input: ":20:A\r\n:61:2603020302D1,00NMSC\r\n:86:Miete\r\n-\r\n{1:F01TESTDEFF}{4:\r\n:20:B\r\n:61:2603030303D2,00NMSC\r\n-}", entries: []inputEntry{{text: "Miete"}, {text: "-"}}},
}

var mt940Breaks = []fieldRow{
	{kind: "line break", name: "before the mark", input: mt940Lines(":61:2603020302", "CR7,50NMSCNONREF"), entries: []inputEntry{{amount: "7.5 EUR", booked: "2026-03-02", customer: "-"}}},
	{kind: "line break", name: "within the day", input: mt940Lines(":61:2603", "020302CR7,50NMSCNONREF", ":86:Lohn"), entries: []inputEntry{{amount: "7.5 EUR", valued: "2026-03-02", text: "Lohn"}}},
	{kind: "line break", name: "behind the tag", input: mt940Lines(":61:", "2603020302CR7,50NMSCNONREF"), entries: []inputEntry{{amount: "7.5 EUR"}}},
	{kind: "line break", name: "before the amount", input: mt940Lines(":61:2603020302CR", "7,50NMSCNONREF"), entries: []inputEntry{{amount: "7.5 EUR"}}},
	{kind: "line break", name: "within the amount", input: mt940Lines(":61:2603020302CR7", "3,50NMSCNONREF"), entries: []inputEntry{{amount: "73.5 EUR"}}},
	{kind: "line break", name: "behind the decimal sign", input: mt940Lines(":61:2603020302CR73,", "50NMSCNONREF"), entries: []inputEntry{{amount: "73.5 EUR"}}},
	{kind: "line break", name: "within the booking key", input: mt940Lines(":61:2603020302CR7,50N0", "62KU-1//BANK9"), entries: []inputEntry{{amount: "7.5 EUR", customer: "KU-1", id: "BANK9"}}},
	{kind: "line break", name: "before the reference", input: mt940Lines(":61:2603020302CR7,50NMSC", "KU-1//BANK9"), entries: []inputEntry{{customer: "KU-1", id: "BANK9"}}},
	{kind: "line break", name: "within NONREF", input: mt940Lines(":61:2603020302CR7,50NMSCNON", "REF//BANK9"), entries: []inputEntry{{customer: "-", id: "BANK9"}}},
	{kind: "line break", name: "before the bank's reference", input: mt940Lines(":61:2603020302CR7,50NMSCKU-1", "//BANK9", "/OCMT/USD8,10/"), entries: []inputEntry{{customer: "KU-1", id: "BANK9", original: "8.1 USD"}}},
	{kind: "line break", name: "a detail is no part of the amount", input: mt940Lines(":61:2603020302CR7,50", "4711 Rechnung", ":86:Lohn"), entries: []inputEntry{{amount: "7.5 EUR", text: "Lohn"}}},
	{kind: "line break", name: "within a tag", input: mt940Text(":", "86:105?20SVWZ+Miete?32Anna Beispiel"), entries: []inputEntry{{text: "Miete", name: "Anna Beispiel"}}},
	{kind: "line break", name: "within the digits of tags", input: mt940Lines(":6", "1:2603020302D1,00NMSCNONREF", ":86", ":Miete"), entries: []inputEntry{{amount: "-1 EUR", text: "Miete"}}},
	{kind: "line break", name: "blank lines before the text", input: mt940Text("", "", ":86:105?20SVWZ+Miete"), entries: []inputEntry{{text: "Miete"}}},
	{kind: "lost tag", name: "a letter for a digit", input: mt940Lines(":61:2603020302D1,00NMSCNONREF", ":86:Eins", ":6l:2603030303D2,00NMSCNONREF", ":86:Zwei"),
		entries: []inputEntry{{amount: "-1 EUR", text: "Eins"}, {amount: "-2 EUR", text: "Zwei"}}},
	{kind: "lost tag", name: "other digits", input: mt940Text(":86:Eins", ":16:2603030303D2,00NMSCNONREF", ":81:2603040304D3,00NMSCNONREF"), entries: []inputEntry{{text: "Eins"}, {amount: "-2 EUR"}, {amount: "-3 EUR"}}},
	{kind: "lost tag", name: "without its colons", input: mt940Text(":86:Eins", "612603030303DR2,00NMSCNONREF"), entries: []inputEntry{{text: "Eins"}, {amount: "-2 EUR"}}},
	{kind: "lost tag", name: "no tag at all", input: mt940Lines("2603030303DR2,00NMSCNONREF", ":86:Zwei"), entries: []inputEntry{{amount: "-2 EUR", text: "Zwei"}}},
	{kind: "lost tag", name: "the line before did not end", input: mt940Text(":86:105?20SVWZ+Eins?32Anna Beispiel:61:2603030303DR2,00NMSCNONREF:86:Zwei:62F:C260306EUR77,00"),
		entries: []inputEntry{{text: "Eins", name: "Anna Beispiel"}, {amount: "-2 EUR", text: "Zwei"}}, balances: []string{"openingBooked 2026-02-27 100 EUR", "closingBooked 2026-03-06 77 EUR", "closingBooked 2026-03-05 88 EUR"}},
	{kind: "lost tag", name: "a semicolon for the colon", input: mt940Text(":86:Eins", ";61:2603030303DR2,00NMSCNONREF"), entries: []inputEntry{{text: "Eins"}, {amount: "-2 EUR"}}},
}

var mt940Entries = []fieldRow{
	{kind: "mark", name: "expected", input: mt940Lines(":61:2603020302EC5,00NTRFNONREF", ":61:2603020302ED6,00NTRFNONREF"), entries: []inputEntry{{amount: "5 EUR", pending: true}, {amount: "-6 EUR", pending: true}}},
	{kind: "mark", name: "expected, and taken back", input: mt940Lines(":61:260302REC5,00NTRFNONREF", ":61:260302REDR6,00NTRFNONREF"), entries: []inputEntry{{amount: "-5 EUR", pending: true}, {amount: "6 EUR", pending: true}}},
	{kind: "mark", name: "taken back", input: mt940Lines(":61:260302RCR5,00NTRFNONREF", ":61:260302RD6,00NTRFNONREF"), entries: []inputEntry{{amount: "-5 EUR"}, {amount: "6 EUR"}}},
	{kind: "amount", name: "three decimals behind a comma", input: mt940Lines(":61:260302D1,234NTRFNONREF"), entries: []inputEntry{{amount: "-1.234 EUR"}}},
	{kind: "amount", name: "points between thousands", input: mt940Lines(":61:260302D1.234.567,89NTRFNONREF"), entries: []inputEntry{{amount: "-1234567.89 EUR"}}},
	{kind: "amount", name: "nothing behind the comma, nothing before it", input: mt940Lines(":61:260302D800,NTRFNONREF", ":61:260302C,50NTRFNONREF"), entries: []inputEntry{{amount: "-800 EUR"}, {amount: "0.5 EUR"}}},
	{kind: "amount", name: "a point as decimal sign", input: mt940Lines(":61:260302D12.5NTRFNONREF"), entries: []inputEntry{{amount: "-12.5 EUR"}}},
	{kind: "amount", name: "noise of a double", input: mt940Lines(":61:260302D101,960000000017NTRFNONREF"), entries: []inputEntry{{amount: "-101.96 EUR"}}},
	{kind: "amount", name: "blanks between thousands", input: mt940Lines(":61:260302D12 345,60 NTRFNONREF"), entries: []inputEntry{{amount: "-12345.6 EUR", customer: "-"}}},
	{kind: "amount", name: "the currency before it", input: mt940Lines(":61:260302DUSD12,00NTRFNONREF"), entries: []inputEntry{{amount: "-12 USD"}}},
	{kind: "reference", name: "a blank before the key", input: mt940Lines(":61:260302D12,35 NTRFNONREF"), entries: []inputEntry{{amount: "-12.35 EUR", customer: "-"}}},
	{kind: "reference", name: "NONREF in many forms", input: mt940Lines(":61:260302D1,00NSTON", ":61:260302D1,00NSTONONREF  ", ":61:260302D1,00NSTOnonref//B7", ":61:260302D1,00NSTONOREF", ":61:260302D1,00NSTO", ":61:260302D1,00NONREF"),
		entries: []inputEntry{{customer: "-"}, {customer: "-"}, {customer: "-", id: "B7"}, {customer: "-"}, {customer: "-"}, {customer: "-"}}},
	{kind: "reference", name: "it is in the text", input: mt940Lines(":61:260302D1,00NMSCKREF+//B7", ":86:105?20KREF+KU-1?21SVWZ+Miete"), entries: []inputEntry{{customer: "KU-1", id: "B7", text: "Miete"}}},
	{kind: "reference", name: "the key without its N", input: mt940Lines(":61:260302D1,00TRFKU-1//B7", ":61:260302D1,50020KU-2", ":61:260302D2,25nmscKU-3"),
		entries: []inputEntry{{amount: "-1 EUR", customer: "KU-1", id: "B7"}, {amount: "-1.5 EUR", customer: "KU-2"}, {amount: "-2.25 EUR", customer: "KU-3"}}},
	{kind: "reference", name: "the key is that of a SWIFT message", input: mt940Lines(":61:260302D1,00S103KU-1//B7"), entries: []inputEntry{{customer: "KU-1", id: "B7"}}},
	{kind: "unreadable entry", name: "two commas", input: mt940Lines(":61:260302D1,00NTRFNONREF", ":61:260302D1,2,3NTRFNONREF"), fails: "statement 1, entry 2, field 61: amount"},
	{kind: "unreadable entry", name: "a letter in the amount, behind a text", input: mt940Text(":86:Miete", ":61:260302DR1O,00NTRFNONREF"), fails: "statement 1, entry 2, field 61: amount"},
	{kind: "unreadable entry", name: "a letter behind the amount", input: mt940Lines(":61:260302DR1,0ONTRFNONREF"), fails: "statement 1, entry 1, field 61: amount"},
	{kind: "unreadable entry", name: "a mark that is none, behind a text", input: mt940Text(":86:Miete", ":61:2603020302X5,00NTRFNONREF"), fails: "entry 2, field 61: sign"},
	{kind: "unreadable entry", name: "in the second statement", input: mt940Lines(":61:260302D1,00NTRFNONREF") + mt940Lines(":61:2603025,00NTRFNONREF"), fails: "statement 2, entry 1, field 61: sign"},
	{kind: "unreadable entry", name: "no amount, with a letter of the currency", input: mt940Lines(":61:2603020302CRN062NONREF"), fails: "statement 1, entry 1, field 61: amount"},
	{kind: "unreadable entry", name: "no amount before a key of digits", input: mt940Lines(":61:260302DF105KREF+//77"), fails: "statement 1, entry 1, field 61: amount"},
	{kind: "amount", name: "of zloty, without its decimal sign", input: mt940Lines(":61:260302CN100NTRFNONREF"), entries: []inputEntry{{amount: "100 EUR"}}},
	{kind: "unreadable entry", name: "nothing behind the mark", input: mt940Lines(":61:260302D"), fails: "amount"},
	{kind: "unreadable entry", name: "a currency that is none", input: ":20:A\r\n:60F:C260227E1R1,00\r\n:61:260302D1,00NTRF\r\n-", fails: "statement 1, entry 1, field 61: currency"},
	{kind: "unreadable entry", name: "a thousand or a bit more than one", input: mt940Lines(":61:260302D1.234NTRFNONREF"), fails: "amount"},
	{kind: "line break", name: "before the colon of a tag", input: mt940Purpose("?20EREF:ABC-2 MREF?21:M-2 SVWZ?22:Gas"),
		entries: []inputEntry{{text: "Gas", endToEnd: "ABC-2", mandate: "M-2"}}},
	{kind: "line break", name: "before its sign", input: mt940Purpose("?20SVWZ+Rechnung 5 EREF?21+ABC-1 MREF?22+M-1 CRED?23+DE98ZZZ09999999999"),
		entries: []inputEntry{{text: "Rechnung 5", endToEnd: "ABC-1", mandate: "M-1", creditor: "DE98ZZZ09999999999"}}},
	{kind: "original amount", name: "in the second line", input: mt940Lines(":61:260302D1000,00NTRFNONREF//1", "/OCMT/USD1.090,40//CHGS/EUR2,10/"), entries: []inputEntry{{original: "-1090.4 USD"}}},
	{kind: "original amount", name: "in the text, cut by a subfield", input: mt940Purpose("?20SVWZ+Hotel?21/OCMT/GBP4?222,50/"), entries: []inputEntry{{original: "-42.5 GBP"}}},
	{kind: "original amount", name: "that cannot be read", input: mt940Lines(":61:260302D10,00NTRFNONREF", "/OCMT/USDzehn/"), entries: []inputEntry{{amount: "-10 EUR", original: "-"}}, unreadable: 1},
}

var mt940Texts = []fieldRow{
	{kind: "two texts", name: "a code alone, and the text", input: mt940Text(":86:105", ":86:105?00LASTSCHRIFT?20SVWZ+Miete"+annaParty), entries: []inputEntry{{key: "105", text: "Miete", name: "Anna Beispiel", bookingText: "LASTSCHRIFT"}}},
	{kind: "two texts", name: "both without structure", input: mt940Text(":86:Miete Maerz", ":86:Haus 2"), entries: []inputEntry{{text: "Miete Maerz Haus 2"}}},
	{kind: "two texts", name: "structure, and what goes on", input: mt940Text(":86:105?20SVWZ+Miete", ":86:?21Maerz?32Anna Beispiel", ":86:Haus 2"), entries: []inputEntry{{text: "Miete Maerz Haus 2", name: "Anna Beispiel"}}},
	{kind: "two texts", name: "the one behind the balance is the statement's", input: mt940Begin + ":61:260302D1,00NMSC\r\n:86:Miete\r\n:62F:C260302EUR1,00\r\n:86:Zinssatz 1,25\r\n:86:ab Maerz\r\n-", entries: []inputEntry{{text: "Miete"}}},
	{kind: "code", name: "a blank before it", input: mt940Text(":86: 105?00LASTSCHRIFT?20EREF+E-1?21SVWZ+Miete" + annaParty), entries: []inputEntry{{key: "105", endToEnd: "E-1", text: "Miete", name: "Anna Beispiel"}}},
	{kind: "code", name: "its first zero is lost", input: mt940Text(":86:20?00UEBERWEISUNG?20SVWZ+Miete?32Anna Beispiel"), entries: []inputEntry{{key: "020", text: "Miete", name: "Anna Beispiel"}}},
	{kind: "code", name: "one digit, and blanks", input: mt940Text(":86:  5 ?00LASTSCHRIFT?20SVWZ+Miete"), entries: []inputEntry{{key: "005", text: "Miete"}}},
	{kind: "code", name: "none", input: mt940Text(":86:?00LASTSCHRIFT?20SVWZ+Miete?32Anna Beispiel"), entries: []inputEntry{{key: "-", bookingText: "LASTSCHRIFT", text: "Miete", name: "Anna Beispiel"}}},
	{kind: "code", name: "with another sign", input: mt940Text(":86:105>00LASTSCHRIFT>20SVWZ+Was ist los?>21Bitte 50?>32Anna Beispiel"), entries: []inputEntry{{key: "105", text: "Was ist los? Bitte 50?", name: "Anna Beispiel"}}},
	{kind: "plain text", name: "a number with a slash", input: mt940Text(":86:117/21 Rechnung Gartenbau Nord, Kunde 4712"), entries: []inputEntry{{text: "117/21 Rechnung Gartenbau Nord, Kunde 4712", key: "-"}}},
	{kind: "plain text", name: "a day", input: mt940Text(":86:20.30.31 Abrechnung"), entries: []inputEntry{{text: "20.30.31 Abrechnung"}}},
	{kind: "plain text", name: "a question with digits", input: mt940Text(":86:105?99 Luftballons"), entries: []inputEntry{{text: "105?99 Luftballons"}}},
	{kind: "plain text", name: "a phone number", input: mt940Text(":86:030-20304050 Service"), entries: []inputEntry{{text: "030-20304050 Service"}}},
	{kind: "plain text", name: "a question mark before digits in a subfield", input: mt940Purpose("?20SVWZ+Warum?99 Prozent?32Anna Beispiel"), entries: []inputEntry{{text: "Warum?99 Prozent", name: "Anna Beispiel"}}},
	{kind: "repeated 00", name: "the purpose in it", input: mt940Text(":86:177?00ONLINE-UEBERWEISUNG?00SVWZ+Miete Maerz?00Haus 2?32Anna Beispiel"), entries: []inputEntry{{bookingText: "ONLINE-UEBERWEISUNG", text: "Miete Maerz Haus 2", name: "Anna Beispiel"}}},
	{kind: "repeated 00", name: "beside the purpose", input: mt940Text(":86:177?00UEBERWEISUNG?00TERMIN?20SVWZ+Miete"), entries: []inputEntry{{bookingText: "UEBERWEISUNG", text: "TERMIN Miete"}}},
	{kind: "repeated 00", name: "without structure in it", input: mt940Text(":86:105?00LASTSCHRIFT?00Beitrag?0012 Euro"), entries: []inputEntry{{bookingText: "LASTSCHRIFT", text: "Beitrag 12 Euro"}}},
	{kind: "old field", name: "NS instead of 86", input: mt940Text(":NS:01Miete Maerz", "02Haus 2"), entries: []inputEntry{{text: "Miete Maerz Haus 2"}}},
	{kind: "old field", name: "NS beside 86", input: mt940Text(":86:Miete", ":NS:22Kontoauszug 7"), entries: []inputEntry{{text: "Miete", info: map[string]string{"ns": "Kontoauszug 7"}}}},
	{kind: "old field", name: "NS of a statement", input: mt940Begin + ":61:260302D1,00NMSC\r\n:86:Miete\r\n:62F:C260302EUR1,00\r\n:NS:01Werbung\r\n-", entries: []inputEntry{{text: "Miete"}}},
	{kind: "short lines", name: "subfields", input: mt940Purpose("?20SVWZ+Vielen Dank?21fuer Ihren Einkauf?22am 01.03. um 12.30 Uhr beim?231. Besuch"), entries: []inputEntry{{text: "Vielen Dank fuer Ihren Einkauf am 01.03. um 12.30 Uhr beim 1. Besuch"}}},
	{kind: "short lines", name: "full subfields cut a word", input: mt940Purpose("?20SVWZ+Strom und Gas, Abschla?21ege bis Ende Maerz, Kunden-?22nummer 4711"), entries: []inputEntry{{text: "Strom und Gas, Abschlaege bis Ende Maerz, Kunden-nummer 4711"}}},
	{kind: "short lines", name: "26 characters, and a blank that was lost", input: mt940Purpose("?20SVWZ+Strom und Gas im Juni?21und Juli"), entries: []inputEntry{{text: "Strom und Gas im Juni und Juli"}}},
	{kind: "short lines", name: "27 characters, and a blank in the next line", input: mt940Purpose("?20SVWZ+Strom und Gas im Maerz?21 und April"), entries: []inputEntry{{text: "Strom und Gas im Maerz und April"}}},
	{kind: "short lines", name: "a name", input: mt940Purpose("?20SVWZ+Miete?32Gartenbau Nord?33Inhaber Otto Muster"), entries: []inputEntry{{name: "Gartenbau Nord Inhaber Otto Muster"}}},
	{kind: "short lines", name: "a name cut behind 27 characters", input: mt940Purpose("?20SVWZ+Miete?32Verein der Gartenfreunde Mu?33sterhausen"), entries: []inputEntry{{name: "Verein der Gartenfreunde Musterhausen"}}},
	{kind: "short lines", name: "the value of a tag", input: mt940Purpose("?20EREF+RG 77?21KD 12?22ABWA+Otto Muster?23Erben?24SVWZ+Miete"), entries: []inputEntry{{endToEnd: "RG 77 KD 12", text: "Miete", info: map[string]string{"ultimate_party": "Otto Muster Erben"}}}},
	{kind: "short lines", name: "physical lines", input: mt940Text(":86:Dauerauftrag", "Miete Maerz 2026", "Haus 2"), entries: []inputEntry{{text: "Dauerauftrag Miete Maerz 2026 Haus 2"}}},
	{kind: "short lines", name: "65 characters cut a word", input: mt940Text(":86:"+strings.Repeat("Miete ", 10)+"Wohnu", "ng 4"), entries: []inputEntry{{text: strings.Repeat("Miete ", 10) + "Wohnung 4"}}},
	{kind: "short lines", name: "65 characters with the tag", input: mt940Text(":86:"+strings.Repeat("Miete ", 10)+"W", "ohnung 4 "+strings.Repeat("Haus ", 11)+"1", "2"), entries: []inputEntry{{text: strings.Repeat("Miete ", 10) + "Wohnung 4 " + strings.Repeat("Haus ", 11) + "12"}}},
	{kind: "short lines", name: "physical lines of a structured text mean nothing", input: mt940Text(":86:105?00LASTSCHRIFT?20SVWZ+Mie", "te Maerz?3050010517?310648", "489890?32Anna", "Beispiel"),
		entries: []inputEntry{{text: "Miete Maerz", number: "0648489890", name: "Anna Beispiel"}}},
	{kind: "direction", name: "of a name", input: mt940Purpose("?20SVWZ+Miete?32Anna \u202elaiciffo\u202c Beispiel"), entries: []inputEntry{{name: "Anna laiciffo Beispiel"}}},
	{kind: "direction", name: "of a text, and invisible characters", input: mt940Text(":86:\u2066Miete\u2069 Mae\u200brz\u00ad"), entries: []inputEntry{{text: "Miete Maerz"}}},
	{kind: "direction", name: "within a tag", input: mt940Purpose("?20ER\u200dEF+E\u200c-1?21SV\u2060WZ+Miete"), entries: []inputEntry{{endToEnd: "E-1", text: "Miete"}}},
	{kind: "bounds", name: "a text beyond them is cut, and counted", input: mt940Text(":86:"+strings.Repeat("Miete ", 400)+"Ende", ":61:260302D1,00NMSC"), entries: []inputEntry{{text: strings.TrimSpace(strings.Repeat("Miete ", 400)[:2048])}, {}}, unreadable: 1},
	{kind: "bounds", name: "a name", input: mt940Purpose("?20SVWZ+Miete?32" + strings.Repeat("N", 300)), entries: []inputEntry{{name: strings.Repeat("N", 256)}}, unreadable: 1},
	{kind: "bounds", name: "a text of too many lines", input: mt940Text(":86:Miete" + strings.Repeat("\r\nx", 150)), entries: []inputEntry{{text: "Miete" + strings.Repeat(" x", 99)}}, unreadable: 1},
}

var mt940Remittances = []fieldRow{
	{kind: "tags", name: "within lines, and cut by them", input: mt940Purpose("?20EREF+E-9 KREF+KU-1 MREF+M-7?21 CRED+DE98ZZZ0999?229999999 SVW?23Z+Gas Maerz"),
		entries: []inputEntry{{endToEnd: "E-9", customer: "KU-1", mandate: "M-7", creditor: "DE98ZZZ09999999999", text: "Gas Maerz"}}},
	{kind: "tags", name: "behind free text, without blanks", input: mt940Purpose("?20Gas MaerzEREF+E-9MREF+M-7CR?21ED+DE98ZZZ09999999999"), entries: []inputEntry{{endToEnd: "E-9", mandate: "M-7", creditor: "DE98ZZZ09999999999", text: "Gas Maerz"}}},
	{kind: "tags", name: "in a text without structure", input: mt940Text(":86:EREF+E-9 SV", "WZ+Gas Maerz"), entries: []inputEntry{{endToEnd: "E-9", text: "Gas Maerz"}}},
	{kind: "tags", name: "with a colon, and blanks in the values", input: mt940Purpose("?20EREF: Beleg 47 11?21MREF: M 7 / 2?22CRED: DE98ZZZ09999999999?23SVWZ: Gas Maerz"), entries: []inputEntry{{endToEnd: "Beleg 47 11", mandate: "M 7 / 2", creditor: "DE98ZZZ09999999999", text: "Gas Maerz"}}},
	{kind: "tags", name: "the other party's account", input: mt940Purpose("?20SVWZ+Gas?21IBAN+DE89 3704 0044 0532 01?223000 BIC+TESTDEFFXXX"), entries: []inputEntry{{text: "Gas", iban: "DE89370400440532013000"}}},
	{kind: "tags", name: "a purpose code with its words", input: mt940Purpose("?20EREF+E-9?21SVWZ+Kredit 7?22PURP+RINP Dauerauftrag/Rate"), entries: []inputEntry{{purpose: "RINP", endToEnd: "E-9", text: "Kredit 7 Dauerauftrag/Rate"}}},
	{kind: "tags", name: "one that nobody knows", input: mt940Purpose("?20EREF+E-9?21MTLG+815?22SVWZ+Gas"), entries: []inputEntry{{endToEnd: "E-9", text: "Gas", info: map[string]string{"mtlg": "815"}}}},
	{kind: "tags", name: "only a reference", input: mt940Purpose("?20EREF+E-9"), entries: []inputEntry{{endToEnd: "E-9", text: "-"}}},
	{kind: "tags", name: "a reference that is a placeholder", input: mt940Purpose("?20EREF+NOTPROVIDED?21MREF+M-7?22SVWZ+Gas"), entries: []inputEntry{{endToEnd: "-", mandate: "M-7", text: "Gas"}}},
	{kind: "labels", name: "on lines of their own", input: mt940Purpose("?20Gas Maerz?21End-to-End-Ref.:?22E-9?23CORE / Mandatsref.:?24M-7?25Gl\u00e4ubiger-ID:?26DE98ZZZ09999999999"),
		entries: []inputEntry{{endToEnd: "E-9", mandate: "M-7", creditor: "DE98ZZZ09999999999", text: "Gas Maerz"}}},
	{kind: "labels", name: "cut by a subfield", input: mt940Purpose("?20Gas Maerz Zaehler 998 End-?21to-End-Ref.: E-9 Mandatsre?22f: M-7 Glaeubiger-ID: DE98?23ZZZ09999999999"),
		entries: []inputEntry{{endToEnd: "E-9", mandate: "M-7", creditor: "DE98ZZZ09999999999", text: "Gas Maerz Zaehler 998"}}},
	{kind: "labels", name: "without colons", input: mt940Purpose("?20Referenz E-9?21Mandat M-7?22Einreicher-ID?23DE98ZZZ09999999999?24Gas Maerz"),
		entries: []inputEntry{{endToEnd: "E-9", mandate: "M-7", creditor: "DE98ZZZ09999999999", text: "Gas Maerz"}}},
	{kind: "no tags", name: "a sentence with labels", input: mt940Text(":86:Bitte Mandatsreferenz: siehe Brief und Kundenref.: angeben"), entries: []inputEntry{{text: "Bitte Mandatsreferenz: siehe Brief und Kundenref.: angeben", mandate: "-", customer: "-"}}},
	{kind: "no tags", name: "a sentence with tags", input: mt940Purpose("?20SVWZ+Bitte IBAN+BIC nennen,?21 sonst EREF: angeben"), entries: []inputEntry{{text: "Bitte IBAN+BIC nennen, sonst EREF: angeben", endToEnd: "-"}}},
	{kind: "no tags", name: "words that end like them", input: mt940Text(":86:MEINEIBAN+KONTO SUBIC:1 KREDIT+EREFORM+"), entries: []inputEntry{{text: "MEINEIBAN+KONTO SUBIC:1 KREDIT+EREFORM+", iban: "-"}}},
}

var mt940Files = []fieldRow{
	{kind: "envelope", name: "blocks of SWIFT", input: "{1:F01TESTDEFFXXXX0000000000}{2:I940TESTDEFFXXXXN}{4:\r\n" + mt940Begin + mt940Open + ":61:260302D1,00NMSC\r\n:86:Gas\r\n-}{5:{CHK:123456789ABC}}", entries: []inputEntry{{amount: "-1 EUR", text: "Gas"}}},
	{kind: "envelope", name: "several messages", input: strings.Repeat("{1:F01X}{4:\r\n:20:A\r\n:25:1234567890\r\n:61:260302D1,00NMSC\r\n:86:Gas\r\n-}", 2), entries: []inputEntry{{text: "Gas"}, {text: "Gas"}}},
	{kind: "envelope", name: "the first field in its line", input: "\x01{1:F01X}{2:I940X}{4::20:A\r\n:60F:C260227CHF1,00\r\n:61:260302D1,00NMSC\r\n:86:Gas\r\n-}\x03", entries: []inputEntry{{amount: "-1 CHF", text: "Gas"}}},
	{kind: "envelope", name: "a brace in a text is none", input: mt940Text(":86:Gas", "{Nord} Maerz", "}"), entries: []inputEntry{{text: "Gas {Nord} Maerz }"}}},
	{kind: "line ends", name: "@@", input: strings.ReplaceAll(mt940Text(":86:105?20SVWZ+Gas?32Anna Beispiel"), "\r\n", "@@"), entries: []inputEntry{{text: "Gas", name: "Anna Beispiel"}}},
	{kind: "line ends", name: "@@, and one line feed at the end", input: strings.ReplaceAll(mt940Lines(":61:260302D1,00NMSC", ":86:Gas", ":61:260302D2,00NMSC"), "\r\n", "@@") + "\n", entries: []inputEntry{{amount: "-1 EUR"}, {amount: "-2 EUR"}}},
	{kind: "line ends", name: "carriage returns alone", input: strings.ReplaceAll(mt940Lines(":61:260302D1,00NMSC", ":86:Gas", ":61:260302D2,00NMSC"), "\r\n", "\r"), entries: []inputEntry{{amount: "-1 EUR", text: "Gas"}, {amount: "-2 EUR"}}},
	{kind: "line ends", name: "two carriage returns", input: strings.ReplaceAll(mt940Text(":86:105?20SVWZ+Gas", "?21Maerz"), "\r\n", "\r\r\n"), entries: []inputEntry{{text: "Gas Maerz"}}},
	{kind: "empty", name: "no file", input: " \r\n", entries: []inputEntry{}, balances: []string{}},
	{kind: "empty", name: "a statement without entries", input: mt940Begin + mt940Open + mt940End, entries: []inputEntry{}, balances: []string{"openingBooked 2026-02-27 100 EUR", "closingBooked 2026-03-05 88 EUR"}},
	{kind: "empty", name: "an empty MT942", input: ":20:STARTDISPE\r\n:25:50010517/0648489890\r\n:28C:00000/001\r\n:34F:EURD0,\r\n:13D:2603021200+0100\r\n:90D:0EUR0,\r\n:90C:0EUR0,\r\n-", entries: []inputEntry{}, balances: []string{}},
	{kind: "currency", name: "of the statement", input: strings.ReplaceAll(mt940Lines(":61:260302DF1,00NMSC"), "EUR", "CHF"), entries: []inputEntry{{amount: "-1 CHF"}}},
	{kind: "currency", name: "of the account, where the statement names none", input: ":20:A\r\n:60F:Cnull\r\n:61:260302D1,00NMSC\r\n-", preset: "SEK", entries: []inputEntry{{amount: "-1 SEK"}}, unreadable: 1},
	{kind: "currency", name: "of each statement", input: strings.ReplaceAll(mt940Lines(":61:260302D1,00NMSC"), "EUR", "CHF") + ":20:B\r\n:25:1\r\n:61:260302D1,00NMSC\r\n-", entries: []inputEntry{{amount: "-1 CHF"}, {amount: "-1 EUR"}}},
}

// mt940Month is a statement for each day of January, with two balances, from the newest on or from the oldest.
func mt940Month(descending bool) string {
	var days []string
	for day := range 31 {
		d := string([]byte{'0' + byte(day+1)/10, '0' + byte(day+1)%10})
		days = append(days, ":20:A\r\n:25:1234567890\r\n:28C:"+d+"\r\n:60F:C2601"+d+"EUR1"+d+",00\r\n:62F:C2601"+d+"EUR2"+d+",00\r\n-\r\n")
	}
	if descending {
		slices.Reverse(days)
	}
	return strings.Join(days, "")
}

// mt940MonthKept is what a report keeps of them: the newest 50, of 7 to 31 January.
func mt940MonthKept(descending bool) (kept []string) {
	for day := 7; day <= 31; day++ {
		d := string([]byte{'0' + byte(day)/10, '0' + byte(day)%10})
		kept = append(kept, "openingBooked 2026-01-"+d+" 1"+d+" EUR", "closingBooked 2026-01-"+d+" 2"+d+" EUR")
	}
	if descending {
		slices.Reverse(kept)
		for i := 0; i+1 < len(kept); i += 2 {
			kept[i], kept[i+1] = kept[i+1], kept[i]
		}
	}
	return kept
}

var mt940Balances = []fieldRow{
	{kind: "many balances", name: "from the oldest on", input: mt940Month(false), balances: mt940MonthKept(false)},
	{kind: "many balances", name: "from the newest on", input: mt940Month(true), balances: mt940MonthKept(true)},
	{kind: "many balances", name: "the only one of its kind stays, however old", input: ":20:A\r\n:64:C250101CHF7,00\r\n-\r\n" + mt940Month(false),
		balances: append([]string{"interimAvailable 2025-01-01 7 CHF"}, mt940MonthKept(false)[1:]...)},
	{kind: "balance", name: "noise, and a point between thousands", input: ":20:A\r\n:60F:C260227EUR101,960000000017\r\n:62F:D260302EUR1.234,50\r\n-", balances: []string{"openingBooked 2026-02-27 101.96 EUR", "closingBooked 2026-03-02 -1234.5 EUR"}},
	{kind: "balance", name: "without a day", input: ":20:A\r\n:60F:C0EUR1,00\r\n:62F:C000000EUR2,00\r\n-", balances: []string{"openingBooked 1 EUR", "closingBooked 2 EUR"}},
	{kind: "balance", name: "that cannot be read", input: ":20:A\r\n:60F:C260227EUR1,00\r\n:61:260302D1,00NMSC\r\n:62F:Dnullnull\r\n:64:C260302EURviel\r\n-", entries: []inputEntry{{amount: "-1 EUR"}}, balances: []string{"openingBooked 2026-02-27 1 EUR"}, unreadable: 2},
	{kind: "balance", name: "blanks in it, and a broken line", input: ":20:A\r\n:60F:C 260227 EUR 1,00\r\n:62F:C260302\r\nEUR2,00\r\n-", balances: []string{"openingBooked 2026-02-27 1 EUR", "closingBooked 2026-03-02 2 EUR"}},
	{kind: "balance", name: "of a page is none", input: ":20:A\r\n:60M:C260227USD1,00\r\n:61:260302D1,00NMSC\r\n:62M:C260302USD2,00\r\n-", entries: []inputEntry{{amount: "-1 USD"}}, balances: []string{}},
}

// camtLines is a camt message of one entry with the given lines of its remittance.
func camtLines(lines ...string) string {
	return camtMessage("08", camtEntry("1.00", "DBIT", camtTransaction("<RmtInf><Ustrd>"+strings.Join(lines, "</Ustrd><Ustrd>")+"</Ustrd></RmtInf>")))
}

var camtRemittances = []fieldRow{
	{kind: "tags", name: "with a colon, and blanks in the values", input: camtLines("Miete April EREF: Beleg 47 11", " MREF: M 7 / 2 CRED: DE98ZZZ09999999999 IBAN: DE89370400440532013000 BIC: TESTDEFFXXX"),
		entries: []inputEntry{{endToEnd: "Beleg 47 11", mandate: "M 7 / 2", creditor: "DE98ZZZ09999999999", iban: "DE89370400440532013000", text: "Miete April"}}},
	{kind: "tags", name: "with a plus, cut by lines", input: camtLines("EREF+E-9MREF+M-7CRED+DE98ZZZ09999999999SV", "WZ+Miete April"), entries: []inputEntry{{endToEnd: "E-9", mandate: "M-7", creditor: "DE98ZZZ09999999999", text: "Miete April"}}},
	{kind: "tags", name: "the last value has blanks", input: camtLines("Miete April EREF: E 9 MREF: M 7 / 2"), entries: []inputEntry{{endToEnd: "E 9", mandate: "M 7 / 2", text: "Miete April"}}},
	{kind: "tags", name: "the purpose is behind the last one", input: camtLines("EREF: E-9 MREF: M-7 Miete fuer April"), entries: []inputEntry{{endToEnd: "E-9", mandate: "M-7", text: "Miete fuer April"}}},
	{kind: "labels", name: "in lines, with blanks before their colons", input: camtLines("SEPA LASTSCHRIFT", "Verlag Nord Leserservice", "Kundenreferenz: 4712", "Gläubiger-ID : DE98ZZZ09999999999", "Mandat: 7CX", "IBAN: DE89370400440532013000"),
		entries: []inputEntry{{customer: "4712", creditor: "DE98ZZZ09999999999", mandate: "7CX", iban: "DE89370400440532013000", text: "SEPA LASTSCHRIFT Verlag Nord Leserservice"}}},
	{kind: "labels", name: "no reference given", input: camtLines("Spende End-to-End-Ref.: nicht angegeben"), entries: []inputEntry{{endToEnd: "-", text: "Spende"}}},
	{kind: "labels", name: "a creditor of another country, cut by a line", input: camtLines("Abo Mandatsreferenz: M-7, Gläubiger-Identifikationsnummer: LU96ZZZ000000", "0000000000058"), entries: []inputEntry{{mandate: "M-7", creditor: "LU96ZZZ0000000000000000058", text: "Abo"}}},
	{kind: "no tags", name: "a sentence with a mandate", input: camtLines("Ihre Mandatsreferenz: 4711 gilt weiter"), entries: []inputEntry{{text: "Ihre Mandatsreferenz: 4711 gilt weiter", mandate: "-"}}},
	{kind: "no tags", name: "an account in a sentence", input: camtLines("Neue IBAN: DE89370400440532013000 ab Mai"), entries: []inputEntry{{text: "Neue IBAN: DE89370400440532013000 ab Mai", iban: "-"}}},
	{kind: "no tags", name: "labels joined by a word", input: camtLines("Einzug mit Mandatsref.: M-7 und Gläubiger-ID: DE98ZZZ09999999999 vereinbart"), entries: []inputEntry{{text: "Einzug mit Mandatsref.: M-7 und Gläubiger-ID: DE98ZZZ09999999999 vereinbart", mandate: "-", creditor: "-"}}},
	{kind: "short lines", name: "54 wide", input: camtLines("Vertrag 4711 Wasser und Abwasser 2026 Abschlag Nr. 3 F", "ebruar und Maerz"), entries: []inputEntry{{text: "Vertrag 4711 Wasser und Abwasser 2026 Abschlag Nr. 3 Februar und Maerz"}}},
	{kind: "short lines", name: "54 wide, the next word begins with a line", input: camtLines("Vertrag 4711 Wasser und Abwasser 2026 Abschlag Nr. 33", "Februar"), entries: []inputEntry{{text: "Vertrag 4711 Wasser und Abwasser 2026 Abschlag Nr. 33 Februar"}}},
	{kind: "short lines", name: "54 wide, with the blank in the next line", input: camtLines("Vertrag 4711 Wasser und Abwasser 2026 Abschlag Nr. 333", " Februar"), entries: []inputEntry{{text: "Vertrag 4711 Wasser und Abwasser 2026 Abschlag Nr. 333 Februar"}}},
	{kind: "short lines", name: "140 wide", input: camtLines(strings.Repeat("Miete ", 23)+"Ap", "ril"), entries: []inputEntry{{text: strings.Repeat("Miete ", 23) + "April"}}},
	{kind: "direction", name: "of a text", input: camtLines("Miete \u202elirpA\u202c"), entries: []inputEntry{{text: "Miete lirpA"}}},
}

// jsonText is a report of one booked transaction with a remittance.
func jsonText(text string) string {
	return jsonBooked(jsonEntry(`"remittanceInformationUnstructured":"` + text + `"`))
}

var jsonRemittances = []fieldRow{
	{kind: "labels", name: "cut at 140 characters", input: jsonText("Rechnung 4712 vom 01.02.2026 Wasser und Abwasser Kundennummer 1234567890 Zaehler 556677 Zeitraum 01.2026 bis 02.2026 Abschlag Maerz  End-to-E nd-Ref.: E-9 Mandatsref: M-7 Gläubiger-ID: DE98ZZZ09999999999 SEPA-BASISLASTSCHRIFT wiederholend"),
		entries: []inputEntry{{endToEnd: "E-9", mandate: "M-7", creditor: "DE98ZZZ09999999999", text: "Rechnung 4712 vom 01.02.2026 Wasser und Abwasser Kundennummer 1234567890 Zaehler 556677 Zeitraum 01.2026 bis 02.2026 Abschlag Maerz SEPA-BASISLASTSCHRIFT wiederholend"}}},
	{kind: "labels", name: "for machines", input: jsonText("mandatereference:M-7,creditorid:DE98ZZZ09999999999,remittanceinformation:Abo April, Heft 3"), entries: []inputEntry{{mandate: "M-7", creditor: "DE98ZZZ09999999999", text: "Abo April, Heft 3"}}},
	{kind: "labels", name: "for machines, empty", input: jsonText("mandatereference:,creditorid:,remittanceinformation:NR 9 Bonn KAUFUMSATZ 10:15"), entries: []inputEntry{{mandate: "-", creditor: "-", text: "NR 9 Bonn KAUFUMSATZ 10:15"}}},
	{kind: "labels", name: "a customer's reference beside", input: jsonText("Miete End-to-End-Ref.: NOTPROVIDED Kundenref.: KU-1"), entries: []inputEntry{{endToEnd: "-", customer: "KU-1", text: "Miete"}}},
	{kind: "labels", name: "party and text", input: jsonText("Auftraggeber: Anna Beispiel Buchungstext: Miete April"), entries: []inputEntry{{name: "Anna Beispiel", text: "Miete April"}}},
	{kind: "labels", name: "no reference, without a colon", input: jsonText("Referenz NOTPROVIDED Miete April"), entries: []inputEntry{{endToEnd: "-", text: "Miete April"}}},
	{kind: "tags", name: "with a plus", input: jsonText("EREF+E-9 MREF+M 7 SVWZ+Miete: April"), entries: []inputEntry{{endToEnd: "E-9", mandate: "M 7", text: "Miete: April"}}},
	{kind: "tags", name: "with a colon, and only one", input: jsonText("Miete April EREF: E-9"), entries: []inputEntry{{endToEnd: "E-9", text: "Miete April"}}},
	{kind: "tags", name: "in lines of a text", input: jsonText(`SVWZ+Strom, Wasser, Abschlag\nMaerz\nEREF+E-9`), entries: []inputEntry{{endToEnd: "E-9", text: "Strom, Wasser, Abschlag Maerz"}}},
	{kind: "short lines", name: "27 wide, with the blank in the next line", input: jsonBooked(jsonEntry(`"remittanceInformationUnstructuredArray":["Vertrag 4711 Wasser und Gas"," fuer Maerz"]`)), entries: []inputEntry{{text: "Vertrag 4711 Wasser und Gas fuer Maerz"}}},
	{kind: "short lines", name: "35 wide, cut in a word", input: jsonBooked(jsonEntry(`"remittanceInformationUnstructuredArray":["Vertrag 4711 Wasser, Gas Februar un","d Maerz"]`)), entries: []inputEntry{{text: "Vertrag 4711 Wasser, Gas Februar und Maerz"}}},
	{kind: "no tags", name: "a customer's number", input: jsonText("Rechnung Kundenreferenz: 4711 Maerz"), entries: []inputEntry{{text: "Rechnung Kundenreferenz: 4711 Maerz", customer: "-"}}},
	{kind: "no tags", name: "a sentence about references", input: jsonText("Bitte Referenz: angeben, Mandat: liegt vor"), entries: []inputEntry{{text: "Bitte Referenz: angeben, Mandat: liegt vor", mandate: "-", endToEnd: "-"}}},
	{kind: "no tags", name: "a sentence about tags", input: jsonText("Bitte EREF+ und MREF+ angeben"), entries: []inputEntry{{text: "Bitte EREF+ und MREF+ angeben", mandate: "-", endToEnd: "-"}}},
}
