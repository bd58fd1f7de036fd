package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/banks"
)

// Bounds of fetching a file.
const (
	fetchTimeout = 5 * time.Minute
	fetchHops    = 5 // redirects that are followed
)

// Fetch reads a catalog file, or a source of one, from a path or an address. Addresses are https, or http on loopback; a
// redirect leads to such an address only, and never from https to http. Nothing larger than MaxFile is read. sum is the
// SHA-256 that the content has to have, in hexadecimal; "": any.
func Fetch(ctx context.Context, source, sum string) ([]byte, error) {
	want, err := hex.DecodeString(sum)
	if err != nil || sum != "" && len(want) != sha256.Size {
		return nil, errors.New("the SHA-256 has to be 64 hexadecimal digits")
	}
	var raw []byte
	if strings.Contains(source, "://") {
		raw, err = fetch(ctx, &http.Client{}, source)
	} else {
		raw, err = readFile(source)
	}
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(raw); sum != "" && string(got[:]) != string(want) {
		return nil, fmt.Errorf("the SHA-256 of the file is %x", got)
	}
	return raw, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxFile {
		return nil, errTooLarge
	}
	return Read(file)
}

var errTooLarge = fmt.Errorf("the file is larger than %d MiB", MaxFile>>20)

func fetch(ctx context.Context, client *http.Client, source string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	u, err := url.Parse(source)
	if err != nil || !banks.SafeAddress(u) {
		return nil, errors.New("the address of the file must be https, or http on loopback, and carry no credentials")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("the address of the file cannot be read")
	}
	client.CheckRedirect = followSafely
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch the catalog: %w", err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("fetch the catalog: %s", response.Status)
	case response.ContentLength > MaxFile:
		return nil, errTooLarge
	}
	return Read(response.Body)
}

// followSafely follows a redirect to a safe address that is no less protected than the ones before.
func followSafely(next *http.Request, before []*http.Request) error {
	switch {
	case len(before) > fetchHops:
		return errors.New("too many redirects")
	case !banks.SafeAddress(next.URL):
		return errors.New("redirected to an address that is neither https, nor http on loopback")
	case next.URL.Scheme != "https" && before[len(before)-1].URL.Scheme == "https":
		return errors.New("redirected from https to http")
	}
	return nil
}
