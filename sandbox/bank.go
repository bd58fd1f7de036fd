// Package sandbox is a bank to run against: its customers, their accounts and years of bookings, and in front
// of them a real XS2A server (Berlin Group NextGenPSD2 1.3.11) in several dialects, with the customer's own
// login pages and an OAuth2 authorization server.
//
// Everything about a customer follows from their login: the part before a "+" names the persona (persona.go),
// so that "demo" and "demo+17" behave alike but share nothing. Bookings are computed from a seed, the account
// and the day (booking.go), never stored: any window of any history costs what the window costs.
//
// The bank's core (customers, accounts, bookings, clock, faults, counters) knows no protocol; the files named
// xs2a_*.go are its XS2A face, those named fints*.go its FinTS one (FinTS 3.0 PIN/TAN).
package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// Options of a bank; the zero value is a good bank for tests and demos.
type Options struct {
	Seed      uint64           // of all generated data; 0: 1
	Password  string           // of every customer; "": demo
	TAN       string           // right answer to every challenge; "": 111111
	Now       func() time.Time // nil: time.Now. The bank's day is the UTC day
	PublicURL string           // base of absolute links; "": scheme and host of the request
	Slow      time.Duration    // how long the persona "slow" lets one wait; 0: 3 s
	Logger    *slog.Logger     // nil: discards
}

// A Bank holds the state of all banks of one server: customers, consents, tokens, faults and counters. It is
// safe for concurrent use, and forgets everything when the process ends.
type Bank struct {
	options Options
	faces   []*face

	mu        sync.Mutex
	offset    time.Duration // what the clock was advanced by
	customers map[string]*customer
	consents  map[string]*consent
	tickets   map[string]*ticket // visits to the bank's own pages, by their secret
	grants    map[string]*oauthGrant
	tokens    map[string]*oauthToken
	fints     fintsDesk
	faults    []*Fault
	strikes   map[strikeKey]int
	counters  Counters

	keys keyring
}

// New opens a bank.
func New(options Options) *Bank {
	if options.Seed == 0 {
		options.Seed = 1
	}
	if options.Password == "" {
		options.Password = "demo"
	}
	if options.TAN == "" {
		options.TAN = "111111"
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Slow == 0 {
		options.Slow = 3 * time.Second
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Bank{
		options:   options,
		customers: map[string]*customer{},
		consents:  map[string]*consent{},
		tickets:   map[string]*ticket{},
		grants:    map[string]*oauthGrant{},
		tokens:    map[string]*oauthToken{},
		fints:     fintsDesk{dialogs: map[string]*fintsDialog{}, trust: map[string]map[string]*fintsTrust{}},
		strikes:   map[strikeKey]int{},
		counters:  newCounters(),
	}
	for i := range dialects {
		b.faces = append(b.faces, &face{bank: b, dialect: &dialects[i], prefix: "/" + dialects[i].Path + dialects[i].at})
	}
	return b
}

// Handler serves every bank below its path (/demo/v1/…), FinTS at /fints and below it, the control API below /control/, and a page
// that lists the banks at /.
func (b *Bank) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, f := range b.faces {
		mux.Handle(f.prefix+"/", http.StripPrefix(f.prefix, f.handler()))
		mux.HandleFunc("GET /.well-known/oauth-authorization-server"+f.prefix, f.metadata)
		if f.dialect.passwordToken {
			mux.HandleFunc("POST "+f.dialect.loginPath(), f.loginForToken)
		}
	}
	for i := range fintsShapes {
		shape := &fintsShapes[i]
		mux.HandleFunc("POST /"+shape.Path, func(w http.ResponseWriter, r *http.Request) { b.serveFinTS(w, r, shape) })
	}
	mux.Handle("/control/", b.controlHandler())
	mux.HandleFunc("GET /pb/aspsp-certificates/tpp-pb-password_cert.pem", b.serveCertificate)
	mux.HandleFunc("GET /catalog.json", b.serveCatalog)
	mux.HandleFunc("GET /icon.png", b.icon)
	mux.HandleFunc("GET /{$}", b.frontPage)
	return mux
}

// HandlerOf serves one bank alone at the root, for a validating proxy that knows only the paths of the
// specification. It panics where there is no bank of that path.
func (b *Bank) HandlerOf(path string) http.Handler {
	for _, f := range b.faces {
		if f.dialect.Path == path {
			alone := *f
			alone.prefix = ""
			return alone.handler()
		}
	}
	panic("sandbox: no bank " + path)
}

// Now is the bank's time.
func (b *Bank) Now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now()
}

// Advance moves the bank's clock forward: days are booked, consents and tokens expire.
func (b *Bank) Advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offset += d
}

// now needs b.mu.
func (b *Bank) now() time.Time { return b.options.Now().Add(b.offset).UTC() }

// today needs b.mu.
func (b *Bank) today() civil.Date { return civil.On(b.now()) }

// secret returns an unguessable word of 128 bits.
func secret() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails, crypto/rand
	return hex.EncodeToString(raw[:])
}
