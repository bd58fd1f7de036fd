package xs2a

import (
	"io"

	"kontoflow/providers"
)

// ReadReport lets tests read a page of transactions without a bank around it.
func ReadReport(body io.Reader, currency string) ([]providers.Entry, []providers.Balance, error) {
	r, err := readReport(body, currency)
	if err != nil {
		return nil, nil, err
	}
	return r.entries, r.balances, nil
}
