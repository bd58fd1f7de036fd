package api_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/api"
)

// fill gives a user an account with many transactions.
func (u *user) fill(access string, transactions int) {
	u.t.Helper()
	for _, statement := range []string{
		`INSERT INTO accounts (id, user_id, access_id, bank_id, identity, resource_id, type, currency)
			SELECT gen_random_uuid(), $1, $2, $3, 'x', 'x', 'Giro account', 'EUR'`,
	} {
		_, err := u.store.Pool.Exec(u.t.Context(), statement, u.id, access, bankID)
		require.NoError(u.t, err)
	}
	_, err := u.store.Pool.Exec(u.t.Context(), `INSERT INTO transactions (id, account_id, day, booked, booked_at, amount, currency, name, purpose,
			booking_text, type, created_at, modified_at, created_by, modified_by, facts)
		SELECT gen_random_uuid(), k.id, date '2026-01-01' - (n % 3000), true, date '2026-01-01', n, 'EUR', repeat(md5(n::text), 2), repeat(md5(n::text), 8),
			md5(n::text), 'Credit', now(), now(), gen_random_uuid(), gen_random_uuid(), ''
		FROM accounts k, generate_series(1, $2) n WHERE k.user_id = $1`, u.id, transactions)
	require.NoError(u.t, err)
}

const heavyList = "/rest/transactions?count=1&filter=zzzzzz&include_statistics=true&include_pending=true&sort=asc&offset=100000"

// TestOneTokenStopsNobody: one token keeps forty expensive requests and hundreds of event streams under way. Another
// tenant's requests all succeed, and the server stays ready. What these take is logged: this process plays the attacker,
// too, so the times say little.
func TestOneTokenStopsNobody(t *testing.T) {
	w := newWorldWith(t, api.LimitSettings{})
	attacker, other := w.tenant().user(), w.tenant().user()
	attacker.fill(attacker.access(), 60_000)
	look := func() (took []time.Duration) {
		for range 60 {
			began := time.Now()
			other.do("GET", "/rest/user", nil).expect(http.StatusOK)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took
	}
	look()
	quiet := look()

	ctx, stop := context.WithCancel(t.Context())
	var attack sync.WaitGroup
	defer attack.Wait()
	defer stop()
	send := func(path string) (status int) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+attacker.token)
		a, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return 0
		}
		defer a.Body.Close()
		if a.StatusCode == http.StatusOK && a.Header.Get("Content-Type") == "text/event-stream" {
			<-ctx.Done()
		}
		return a.StatusCode
	}
	var mu sync.Mutex
	statuses := map[int]int{}
	succeeded := func() int {
		mu.Lock()
		defer mu.Unlock()
		return statuses[http.StatusOK]
	}
	begun := make(chan struct{}, 1000)
	path := attacker.sync(attacker.access())
	for i := range 640 {
		attack.Go(func() {
			for ctx.Err() == nil {
				if i >= 40 {
					send(path + "/events")
					return
				}
				status := send(heavyList)
				mu.Lock()
				statuses[status]++
				mu.Unlock()
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	for n := 0; n < 200 || succeeded() < 3; n++ {
		<-begun
	}
	busy := look()
	w.call("GET", "/ready", "", nil).expect(http.StatusOK)
	stop()
	attack.Wait()

	t.Logf("another tenant's p50 and p99: quiet %s and %s, under attack %s and %s; the attacker's statuses: %v",
		quiet[30], quiet[59], busy[30], busy[59], statuses)
	require.Positive(t, statuses[http.StatusTooManyRequests])
	require.Positive(t, statuses[http.StatusOK], "what is within the limits succeeds")
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, api.LimitSettings{})
	u := w.tenant().user()
	path := u.sync(u.access())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	open := 0
	for range 30 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path+"/events", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+u.token)
		a, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		defer a.Body.Close()
		if a.StatusCode == http.StatusOK {
			open++
			continue
		}
		require.Equal(t, http.StatusTooManyRequests, a.StatusCode)
		require.Equal(t, "1", a.Header.Get("Retry-After"))
	}
	require.Equal(t, 20, open, "streams of one user")
	u.do("GET", path+"?wait=30", nil).fails(http.StatusTooManyRequests, 1022)
	u.do("GET", path, nil).expect(http.StatusOK)
	families, err := w.metrics.Gather()
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "kontoflow_http_requests_refused_total" }))
}

// Failed authorizations are counted by address, so that guessing costs no database query after a while.
func TestFailedAuthorizationsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, api.LimitSettings{})
	refused := 0
	for range 400 {
		switch r := w.call("GET", "/rest/user", "Bearer guess", nil); r.status {
		case http.StatusTooManyRequests:
			refused++
		default:
			r.fails(http.StatusUnauthorized, 1003)
		}
	}
	require.Positive(t, refused)
}

// Of many logins of one client, few are under way; another client's goes through.
func TestPasswordsAreHashedByTurns(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, api.LimitSettings{})
	attacker, other := w.tenant(), w.tenant().user()
	login := func(c *tenant, name, password string) int {
		return c.call("POST", "/auth/token", c.authorization(), map[string]any{"grant_type": "password", "username": name, "password": password}).status
	}
	var logins sync.WaitGroup
	statuses := make(chan int, 150)
	for range 150 {
		logins.Go(func() { statuses <- login(attacker, "nobody@example.com", "a wrong password") })
	}
	require.Equal(t, http.StatusOK, login(other.tenant, other.email, password))
	logins.Wait()
	close(statuses)
	counts := map[int]int{}
	for status := range statuses {
		counts[status]++
	}
	require.Positive(t, counts[http.StatusTooManyRequests])
	require.Positive(t, counts[http.StatusUnauthorized])
	require.Len(t, counts, 2)
}
