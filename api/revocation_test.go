package api_test

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRevocationWins: a thief refreshes tokens as fast as the server lets them, while the tokens are revoked. Once the
// revocation has returned, nothing that the thief has, or gets from a refresh that was under way, is good any more.
func TestRevocationWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, row := range map[string]struct {
		others bool // each round has a user of its own
		revoke func(u *user, first string)
	}{
		"the client revokes the refresh token": {false, func(u *user, first string) {
			u.call("POST", "/auth/revoke", u.authorization(), map[string]any{"token": first}).expect(http.StatusOK)
		}},
		"the first refresh token comes a second time": {false, func(u *user, first string) {
			u.refresh(first).expect(http.StatusUnauthorized)
		}},
		"the user changes their password": {true, func(u *user, _ string) {
			u.do("PUT", "/rest/user", map[string]any{"new_password": "another " + password, "password": password}).expect(http.StatusOK)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mine := *w
			mine.t = t
			c := mine.tenant()
			u := c.user()
			for range 150 {
				if row.others {
					u = c.user()
				}
				requireRevoked(t, u, row.revoke)
			}
		})
	}
}

func (u *user) refresh(token string) *reply {
	return u.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "refresh_token", "refresh_token": token})
}

func requireRevoked(t *testing.T, u *user, revoke func(u *user, first string)) {
	first := u.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "client_credentials", "user_id": u.id}).
		expect(http.StatusOK).body["refresh_token"].(string)
	current := u.refresh(first).expect(http.StatusOK).body["refresh_token"].(string)

	var revoked atomic.Bool
	turns := make(chan struct{}, 100)
	var access string
	var survived bool
	var thief sync.WaitGroup
	thief.Go(func() {
		defer close(turns)
		for {
			before := revoked.Load()
			r := u.refresh(current)
			if r.status != http.StatusOK {
				return
			}
			if before {
				survived = true
				return
			}
			current, access = r.body["refresh_token"].(string), r.body["access_token"].(string)
			select {
			case turns <- struct{}{}:
			default:
			}
		}
	})
	for range rand.IntN(4) {
		<-turns
	}
	revoke(u, first)
	revoked.Store(true)
	thief.Wait()
	require.False(t, survived, "a refresh that began after the revocation gave tokens")
	require.Equal(t, http.StatusUnauthorized, u.refresh(current).status)
	if access != "" {
		require.Equal(t, http.StatusUnauthorized, u.call("GET", "/rest/user", "Bearer "+access, nil).status)
	}
}

// A login whose password was checked before the change of the password, and whose tokens are stored after it, fails.
func TestPasswordChangeBesideLogins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	for range 5 {
		u := c.user()
		var logins sync.WaitGroup
		tokens := make(chan string, 4)
		for range 4 {
			logins.Go(func() {
				r := u.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "password", "username": u.email, "password": password})
				if r.status == http.StatusOK {
					tokens <- r.body["access_token"].(string)
				}
			})
		}
		u.do("PUT", "/rest/user", map[string]any{"new_password": "another " + password, "password": password}).expect(http.StatusOK)
		logins.Wait()
		close(tokens)
		for token := range tokens {
			require.Equal(t, http.StatusUnauthorized, u.call("GET", "/rest/user", "Bearer "+token, nil).status)
		}
		u.do("GET", "/rest/user", nil).expect(http.StatusOK)
	}
}
