package xs2a

import (
	"io"
	"net/url"

	"github.com/kontoflow/kontoflow/banks"
)

// ReadReport lets tests read a page of transactions without a bank around it.
func ReadReport(body io.Reader, currency string) (banks.Page, error) {
	r, err := readReport(body, currency)
	if err != nil {
		return banks.Page{}, err
	}
	return banks.Page{Entries: r.entries, Balances: r.balances, Withheld: r.withheld, Unreadable: r.unreadable}, nil
}

// ResolveLink is where a link of a bank leads; SecretLink is the same for one that a secret is sent to.
func ResolveLink(base, href string) (string, error) { return resolved(base, href, (*bank).resolve) }
func SecretLink(base, href string) (string, error)  { return resolved(base, href, (*bank).api) }

func resolved(base, href string, resolve func(*bank, string) (*url.URL, error)) (string, error) {
	at, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u, err := resolve(&bank{base: at}, href)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}
