package catalog

import (
	"context"
	"net/http"
)

// FetchWith is Fetch of an address with a client that trusts a test's certificate.
func FetchWith(ctx context.Context, client *http.Client, source string) error {
	_, err := fetch(ctx, client, source)
	return err
}
