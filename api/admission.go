package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kontoflow/kontoflow/internal/admission"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// LimitSettings bound what one user, one client and one address may ask of this process. Its tags make it flags and
// environment of `kontoflow api`. The zero value stands for the defaults.
type LimitSettings struct {
	UserPerSecond float64 `env:"LIMIT_USER_PER_SECOND" default:"100" placeholder:"NUMBER" help:"Requests of one user in a second (${default})."`
	UserBurst     int     `env:"LIMIT_USER_BURST" default:"500" placeholder:"NUMBER" help:"Requests of one user at once after a pause (${default})."`
	UserAtOnce    int     `env:"LIMIT_USER_AT_ONCE" default:"20" placeholder:"NUMBER" help:"Requests of one user under way (${default})."`
	UserHeavy     int     `env:"LIMIT_USER_HEAVY" default:"2" placeholder:"NUMBER" help:"Of these, requests that read many rows (${default})."`
	UserWaiting   int     `env:"LIMIT_USER_WAITING" default:"20" placeholder:"NUMBER" help:"Long polls and event streams of one user (${default})."`

	ClientPerSecond float64 `env:"LIMIT_CLIENT_PER_SECOND" default:"1000" placeholder:"NUMBER" help:"Requests of one client and all its users in a second (${default})."`
	ClientBurst     int     `env:"LIMIT_CLIENT_BURST" default:"4000" placeholder:"NUMBER" help:"Requests of one client at once after a pause (${default})."`
	ClientAtOnce    int     `env:"LIMIT_CLIENT_AT_ONCE" default:"400" placeholder:"NUMBER" help:"Requests of one client under way (${default})."`
	ClientHeavy     int     `env:"LIMIT_CLIENT_HEAVY" default:"4" placeholder:"NUMBER" help:"Of these, requests that read many rows (${default})."`
	ClientWaiting   int     `env:"LIMIT_CLIENT_WAITING" default:"2000" placeholder:"NUMBER" help:"Long polls and event streams of one client (${default})."`

	AddressFailuresPerSecond float64 `env:"LIMIT_ADDRESS_FAILURES_PER_SECOND" default:"5" placeholder:"NUMBER" help:"Failed authorizations from one address in a second (${default}); beyond, its requests are refused unseen."`
	AddressFailuresBurst     int     `env:"LIMIT_ADDRESS_FAILURES_BURST" default:"200" placeholder:"NUMBER" help:"Failed authorizations from one address at once after a pause (${default})."`

	TrustedProxies []string `env:"TRUSTED_PROXIES" placeholder:"NETWORK" help:"Networks of proxies whose X-Forwarded-For says where a request comes from, such as 10.0.0.0/8; none by default."`
}

func (l LimitSettings) orDefaults() LimitSettings {
	if l.UserPerSecond == 0 {
		proxies := l.TrustedProxies
		l = LimitSettings{UserPerSecond: 100, UserBurst: 500, UserAtOnce: 20, UserHeavy: 2, UserWaiting: 20,
			ClientPerSecond: 1000, ClientBurst: 4000, ClientAtOnce: 400, ClientHeavy: 4, ClientWaiting: 2000,
			AddressFailuresPerSecond: 5, AddressFailuresBurst: 200, TrustedProxies: proxies}
	}
	return l
}

// check refuses settings with which nobody would get in.
func (l LimitSettings) check() error {
	for name, value := range map[string]float64{
		"LIMIT_USER_PER_SECOND": l.UserPerSecond, "LIMIT_USER_BURST": float64(l.UserBurst), "LIMIT_USER_AT_ONCE": float64(l.UserAtOnce),
		"LIMIT_USER_HEAVY": float64(l.UserHeavy), "LIMIT_USER_WAITING": float64(l.UserWaiting), "LIMIT_CLIENT_PER_SECOND": l.ClientPerSecond,
		"LIMIT_CLIENT_BURST": float64(l.ClientBurst), "LIMIT_CLIENT_AT_ONCE": float64(l.ClientAtOnce), "LIMIT_CLIENT_HEAVY": float64(l.ClientHeavy),
		"LIMIT_CLIENT_WAITING": float64(l.ClientWaiting), "LIMIT_ADDRESS_FAILURES_PER_SECOND": l.AddressFailuresPerSecond,
		"LIMIT_ADDRESS_FAILURES_BURST": float64(l.AddressFailuresBurst),
	} {
		if !(value > 0) {
			return fmt.Errorf("%s must be more than 0", name)
		}
	}
	_, err := l.addressOf()
	return err
}

// addressOf finds where a request comes from: the connection's other end, or what trusted proxies say.
func (l LimitSettings) addressOf() (echo.IPExtractor, error) {
	if len(l.TrustedProxies) == 0 {
		return echo.ExtractIPDirect(), nil
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, text := range l.TrustedProxies {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			return nil, errors.New("TRUSTED_PROXIES must be networks such as 10.0.0.0/8")
		}
		options = append(options, echo.TrustIPRange(network))
	}
	return echo.ExtractIPFromXFFHeader(options...), nil
}

// gates admit requests before any work is done for them.
type gates struct {
	users, clients *admission.Gate
	failures       *admission.Gate // of authorization, by address
	refused        *prometheus.CounterVec

	mu      sync.Mutex
	holders map[string]string // user by hash of a token that was refused for its rate; see checkToken
}

// How many callers a process remembers. One takes some 200 bytes.
const (
	rememberedUsers     = 100_000
	rememberedClients   = 10_000
	rememberedAddresses = 100_000
)

// maxHolders bounds gates.holders, which begins anew when it is full.
const maxHolders = 10_000

func newGates(l LimitSettings, r prometheus.Registerer) *gates {
	g := &gates{
		holders: make(map[string]string),
		users: admission.NewGate(admission.Limits{PerSecond: l.UserPerSecond, Burst: l.UserBurst, Light: l.UserAtOnce,
			Heavy: l.UserHeavy, Waiting: l.UserWaiting}, rememberedUsers),
		clients: admission.NewGate(admission.Limits{PerSecond: l.ClientPerSecond, Burst: l.ClientBurst, Light: l.ClientAtOnce,
			Heavy: l.ClientHeavy, Waiting: l.ClientWaiting}, rememberedClients),
		failures: admission.NewGate(admission.Limits{PerSecond: l.AddressFailuresPerSecond, Burst: l.AddressFailuresBurst}, rememberedAddresses),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kontoflow_http_requests_refused_total",
			Help: "Requests refused with 429, by client and by whose limit it was: user, client or address."}, []string{"client_id", "limit"}),
	}
	if r != nil {
		r.MustRegister(g.refused)
	}
	return g
}

// A pass is a request under way, as its user's and its client's limits count it.
type pass struct {
	gates        *gates
	who          *caller
	user, client *admission.Pass
}

const passKey = "pass"

// enter counts a request of an authorized caller, or refuses it with 429.
func (g *gates) enter(c echo.Context, who *caller) (*pass, error) {
	p := &pass{gates: g, who: who}
	var retry time.Duration
	if who.user != "" {
		if p.user, retry = g.users.Enter(who.user, admission.Light); p.user == nil {
			g.remember(c, who.user)
			return nil, g.refuse(who, "user", retry)
		}
	}
	if p.client, retry = g.clients.Enter(who.client.String(), admission.Light); p.client == nil {
		p.user.Leave()
		return nil, g.refuse(who, "client", retry)
	}
	c.Set(passKey, p)
	return p, nil
}

func (p *pass) leave() {
	p.user.Leave()
	p.client.Leave()
}

// become makes the request one of another kind of work, or refuses it with 429.
func become(c echo.Context, work admission.Work) error {
	p, _ := c.Get(passKey).(*pass)
	if p == nil {
		return nil
	}
	if retry := p.user.Become(work); retry > 0 {
		return p.gates.refuse(p.who, "user", retry)
	}
	if retry := p.client.Become(work); retry > 0 {
		return p.gates.refuse(p.who, "client", retry)
	}
	return nil
}

func (g *gates) refuse(who *caller, limit string, retry time.Duration) error {
	g.refused.WithLabelValues(who.client.String(), limit).Inc()
	return tooFast(retry)
}

// remember keeps whose token a request has that was refused.
func (g *gates) remember(c echo.Context, user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.holders) >= maxHolders {
		clear(g.holders)
	}
	g.holders[tokenKey(c)] = user
}

// checkToken refuses a request whose token was refused before and whose user's rate is still used up. That costs no
// query: it says nothing about whether the token is good.
func (g *gates) checkToken(c echo.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.holders) == 0 { // nearly always
		return nil
	}
	user, known := g.holders[tokenKey(c)]
	if !known {
		return nil
	}
	if retry := g.users.Check(user); retry > 0 {
		return tooFast(retry)
	}
	return nil
}

func tokenKey(c echo.Context) string {
	return string(models.HashSecret(c.Request().Header.Get(echo.HeaderAuthorization)))
}

// checkAddress refuses a request from an address with too many failed authorizations.
func (g *gates) checkAddress(address string) error {
	if retry := g.failures.Check(address); retry > 0 {
		g.refused.WithLabelValues("", "address").Inc()
		return tooFast(retry)
	}
	return nil
}

// failed counts a failed authorization.
func (g *gates) failed(address string, err error) {
	if errors.Is(err, errUnauthorized) || errors.Is(err, errClient) {
		g.failures.Spend(address)
	}
}

// networkOf is what an address is counted by: of IPv6 the network of a household.
func networkOf(ip string) string {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	if address = address.Unmap(); address.Is6() {
		if network, err := address.WithZone("").Prefix(64); err == nil {
			return network.String()
		}
	}
	return address.String()
}

func tooFast(retry time.Duration) *problem {
	return &problem{status: http.StatusTooManyRequests, code: rules.CodeRate, retry: max(retry, time.Second)}
}
