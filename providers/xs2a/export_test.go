package xs2a

import (
	"io"

	"kontoflow/providers"
)

// ReadReport lets tests read a page of transactions without a bank around it.
func ReadReport(body io.Reader, currency string) (providers.Page, error) {
	r, err := readReport(body, currency)
	if err != nil {
		return providers.Page{}, err
	}
	return providers.Page{Entries: r.entries, Balances: r.balances, Withheld: r.withheld, Unreadable: r.unreadable}, nil
}
