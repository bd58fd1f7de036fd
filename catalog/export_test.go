package catalog

import (
	"context"
	"net/http"

	"github.com/kontoflow/kontoflow/banks"
)

// FetchWith is Fetch of an address with a client that trusts a test's certificate.
func FetchWith(ctx context.Context, client *http.Client, source string) error {
	_, err := fetch(ctx, client, source)
	return err
}

// CheckOf is Check of connections that stand in no database: that has no clock that a test could turn.
func CheckOf(ctx context.Context, connections []banks.Connection, options CheckOptions) (CheckReport, error) {
	all := collection{hosts: make(map[string][]*address), distinct: make(map[string]*address)}
	for _, c := range connections {
		all.add(c, "a bank")
	}
	return ask(ctx, all.hosts, options)
}
