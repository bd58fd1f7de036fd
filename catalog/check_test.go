package catalog_test

import (
	"cmp"
	"context"
	"encoding/pem"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/sandbox"
)

// TestCatalogCheck: what is wrong with addresses is found without any customer.
func TestCatalogCheck(t *testing.T) {
	t.Parallel()
	bankHandler := sandbox.New(sandbox.Options{}).Handler()
	var requests atomic.Int32
	secure := func(h http.HandlerFunc) (url, ca string) {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			require.Empty(t, r.Header.Get("X-API-Key"), "nothing secret goes along")
			h(w, r)
		}))
		t.Cleanup(server.Close)
		return server.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	}
	good, goodCA := secure(bankHandler.ServeHTTP)
	moved, movedCA := secure(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "fints.moved.example"
		bankHandler.ServeHTTP(w, r)
	})
	pages, pagesCA := secure(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>We have moved</html>")) })
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()

	at := func(n int, kind, url, ca string, change func(b, m, c object)) object {
		return bank(n, func(b, m, c object) {
			m["type"], c["protocol"], c["url"] = kind, map[string]string{"API": "XS2A", "FINTS": "FINTS"}[kind], url
			if ca != "" {
				c["ca_pem"] = ca
			}
			if kind == "FINTS" {
				c["bank_code"] = "90090042"
				delete(c, "oauth")
			}
			if change != nil {
				change(b, m, c)
			}
		})
	}
	store := testground.Store(t)
	_, err := catalog.Import(t.Context(), store, strings.NewReader(file(
		at(0, "FINTS", good+"/fints", goodCA, nil),
		at(1, "FINTS", good+"/fints", goodCA, nil), // the same address
		at(2, "API", good+"/demo", goodCA, nil),
		at(3, "API", good+"/recurring", goodCA, nil), // the same host
		at(4, "FINTS", moved+"/fints", movedCA, nil),
		at(5, "FINTS", pages+"/fints", pagesCA, nil),
		at(6, "API", pages+"/psd2", pagesCA, nil), // any HTTP will do
		at(7, "FINTS", gone.URL+"/fints", "", nil),
		at(8, "API", good+"/demo", "", nil), // whoever trusts the system's roots does not trust this one
		at(9, "FINTS", gone.URL+"/other", "", func(b, _, _ object) { b["supported"] = false }),
	)))
	require.NoError(t, err)
	report, err := catalog.Check(t.Context(), store, catalog.CheckOptions{Pace: time.Millisecond, Adapters: map[string]banks.Adapter{
		"XS2A": xs2a.New(xs2a.Options{}), "FINTS": fints.New(fints.Options{})}})
	require.NoError(t, err)
	found := make(map[string]string)
	for _, f := range report.Findings {
		found[f.Problem+" "+f.Address] = f.Detail
		require.Positive(t, f.Banks)
		require.NotEmpty(t, f.Example)
	}
	require.Equal(t, 7, report.Asked)
	require.Equal(t, map[string]string{
		"ELSEWHERE " + moved + "/fints": "fints.moved.example",
		"CERTIFICATE " + good + "/demo": "the bank's certificate is not trusted",
		"DEAD " + pages + "/fints":      found["DEAD "+pages+"/fints"],
		"DEAD " + gone.URL + "/fints":   found["DEAD "+gone.URL+"/fints"],
	}, found)
	require.EqualValues(t, 7, requests.Load(), "two FinTS dialogs with an end each, two of XS2A, one page of no bank")
}

// Hosts are asked side by side, one of them never twice at once.
func TestCheckAsksEachHostInTurn(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	var listed []object
	for n := range 12 {
		listed = append(listed, bank(n, func(_, m, c object) {
			m["type"], c["protocol"], c["bank_code"] = "FINTS", "FINTS", "90090042"
			c["url"] = []string{"https://one.example/", "https://two.example/", "https://three.example/"}[n%3] + string(rune('a'+n))
			delete(c, "oauth")
		}))
	}
	_, err := catalog.Import(t.Context(), store, strings.NewReader(file(listed...)))
	require.NoError(t, err)
	p := &counting{busy: make(map[string]bool), asked: make(map[string]int)}
	report, err := catalog.Check(t.Context(), store, catalog.CheckOptions{Pace: time.Millisecond, Adapters: map[string]banks.Adapter{"FINTS": p}})
	require.NoError(t, err)
	require.Equal(t, 12, report.Asked)
	require.Empty(t, report.Findings)
	require.False(t, p.twice)
	require.Equal(t, map[string]int{"one": 4, "two": 4, "three": 4}, p.asked)
}

// counting is a Prober that sees whether a host is asked twice at once.
type counting struct {
	banks.Adapter
	mu    sync.Mutex
	busy  map[string]bool
	asked map[string]int
	twice bool
}

func (p *counting) Probe(_ context.Context, c *banks.Connection) ([]string, error) {
	host, _, _ := strings.Cut(strings.TrimPrefix(c.URL, "https://"), ".")
	p.mu.Lock()
	p.twice, p.busy[host] = p.twice || p.busy[host], true
	p.asked[host]++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.busy[host] = false
		p.mu.Unlock()
	}()
	return nil, nil
}

// Without another pace a host is asked at most once a second, however its name and port are written, and its own dialog of
// two requests keeps to that as well. An address that is written in two ways is one.
func TestCheckPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &timing{asked: make(map[string][]time.Time)}
		var connections []banks.Connection
		for _, url := range []string{
			"https://one.example/a", "https://ONE.example/a", "https://one.example:443/a", "HTTPS://one.example./a?bank=1", // one
			"https://one.example/b", "https://one.example:8443/a", "https://One.Example:443/c", "http://one.example:80/a", "http://one.example/a",
			"https://two.example", "https://two.example/", "https://two.example:443", "https://two.example/x",
		} {
			connections = append(connections, banks.Connection{Protocol: "FINTS", URL: url, BankCode: "90090042"})
		}
		connections = append(connections, banks.Connection{Protocol: "XS2A", URL: "https://two.example/psd2"}, banks.Connection{Protocol: "XS2A", URL: "https://TWO.example:443/open"})
		report, err := catalog.CheckOf(t.Context(), connections, catalog.CheckOptions{Adapters: map[string]banks.Adapter{"FINTS": p, "XS2A": p}})
		require.NoError(t, err)
		require.Equal(t, 8, report.Asked)
		require.Len(t, p.asked["one.example"], 5)
		require.Len(t, p.asked["two.example"], 3)
		for host, times := range p.asked {
			for i := 1; i < len(times); i++ {
				require.GreaterOrEqual(t, times[i].Sub(times[i-1]), time.Second, "%s, request %d", host, i)
			}
		}
		require.Equal(t, 1, p.most, "requests a second within a dialog")
	})
}

// timing is a Prober that notes when it is asked.
type timing struct {
	banks.Adapter
	mu    sync.Mutex
	asked map[string][]time.Time
	most  int
}

func (p *timing) Probe(_ context.Context, c *banks.Connection) ([]string, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	p.asked[name] = append(p.asked[name], time.Now())
	p.most = max(p.most, cmp.Or(c.RequestsPerSecond, math.MaxInt))
	return nil, nil
}
