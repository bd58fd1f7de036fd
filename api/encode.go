package api

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// transactionTexts are the contract's names of the text columns, in the order of transactionColumns.
var transactionTexts = [...]string{"name", "account_number", "bank_code", "bank_name", "iban", "bic",
	"purpose", "type", "booking_text", "booking_key", "transaction_code", "end_to_end_reference", "mandate_reference",
	"creditor_id", "customer_reference", "sepa_purpose_code"}

// appendTransactions writes the rows of the batch's next query as JSON objects with commas between them.
func appendTransactions(b []byte, results pgx.BatchResults, cents bool) ([]byte, error) {
	rows, err := results.Query()
	if err != nil {
		return b, err
	}
	return appendRows(b, rows, cents)
}

// appendRows writes rows of transactionColumns. Texts stay in the driver's memory until the next row: they are read,
// escaped and written once.
func appendRows(b []byte, rows pgx.Rows, cents bool) ([]byte, error) {
	defer rows.Close()
	var id, account uuid.UUID
	var texts [len(transactionTexts)]pgtype.DriverBytes
	var amount, currency string
	var additional pgtype.DriverBytes
	var booked bool
	var bookedAt, settledAt pgtype.Date
	var created, modified time.Time
	into := []any{&id, &account}
	for i := range 6 {
		into = append(into, &texts[i])
	}
	into = append(into, &amount, &currency, &booked, &bookedAt, &settledAt)
	for i := 6; i < len(texts); i++ {
		into = append(into, &texts[i])
	}
	into = append(into, &additional, &created, &modified)

	first := true
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return b, err
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, `{"transaction_id":`...)
		b = appendUUID(b, id)
		b = append(b, `,"account_id":`...)
		b = appendUUID(b, account)
		for i, text := range texts {
			if len(text) > 0 {
				b = append(b, `,"`...)
				b = append(b, transactionTexts[i]...)
				b = append(b, `":`...)
				b = appendText(b, text)
			}
		}
		b = append(b, `,"amount":`...)
		b = appendAmount(b, amount, currency, cents)
		b = append(b, `,"currency":`...)
		b = appendText(b, []byte(currency))
		b = append(b, `,"booked":`...)
		if booked {
			b = append(b, "true"...)
		} else {
			b = append(b, "false"...)
		}
		if bookedAt.Valid {
			b = append(b, `,"booked_at":`...)
			b = appendDay(b, bookedAt.Time)
		}
		if settledAt.Valid {
			b = append(b, `,"settled_at":`...)
			b = appendDay(b, settledAt.Time)
		}
		if len(additional) > 2 { // more than {}
			b = append(b, `,"additional_info":`...)
			b = append(b, additional...)
		}
		b = append(b, `,"created_at":`...)
		b = appendTimestamp(b, created)
		b = append(b, `,"modified_at":`...)
		b = appendTimestamp(b, modified)
		b = append(b, '}')
	}
	return b, rows.Err()
}

// joinLists puts a comma between two lists of JSON values, b[first:second] and b[second:], where both have any, and
// swaps them if asked to.
func joinLists(b []byte, first, second int, swap bool) []byte {
	if second == first || second == len(b) {
		return b
	}
	front, back := b[first:second], b[second:]
	if swap {
		front, back = back, front
	}
	joined := slices.Concat(front, []byte{','}, back)
	return append(b[:first], joined...)
}

func appendJSON(b []byte, value any) ([]byte, error) {
	encoded, err := json.Marshal(value)
	return append(b, encoded...), err
}

func appendUUID(b []byte, id uuid.UUID) []byte {
	b = append(b, '"')
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return append(b, '"')
}

// appendDay writes a day as the family does: the day itself, whatever zone t is in.
func appendDay(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, dayLayout)
	return append(b, '"')
}

// appendText writes a JSON string. The database's text is UTF-8 already; quotes, backslashes and control characters
// are escaped, and U+2028 and U+2029 for those who read JSON as JavaScript.
func appendText(b, text []byte) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		ch := text[i]
		if ch >= ' ' && ch != '"' && ch != '\\' && ch != 0xe2 {
			continue
		}
		if ch == 0xe2 {
			if !bytes.HasPrefix(text[i:], []byte("\u2028")) && !bytes.HasPrefix(text[i:], []byte("\u2029")) {
				continue
			}
			b = append(b, text[start:i]...)
			b = append(b, `\u202`...)
			b = append(b, '8'+text[i+2]-0xa8)
			i += 2
			start = i + 1
			continue
		}
		b = append(b, text[start:i]...)
		start = i + 1
		switch ch {
		case '"', '\\':
			b = append(b, '\\', ch)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, `\u00`...)
			b = hex.AppendEncode(b, []byte{ch})
		}
	}
	b = append(b, text[start:]...)
	return append(b, '"')
}
