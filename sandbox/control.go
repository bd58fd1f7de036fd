package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Errors of the control calls.
var (
	ErrNoCustomer = errors.New("there is no such customer")
	ErrNothing    = errors.New("nothing is waiting")
)

// Decide answers the decoupled request that waits for a customer, as they would in the bank's app. It returns
// ErrNothing where none waits.
func (b *Bank) Decide(login string, approve bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	decided := b.fints.decide(login, map[bool]decision{true: approved, false: declined}[approve])
	for _, k := range b.consents {
		if k.login != login {
			continue
		}
		for _, a := range k.authorisations {
			if a.status != started || a.method == nil || a.method.form != push {
				continue
			}
			decided = true
			f := b.face(k.bank)
			c := &call{face: f, now: b.now(), today: b.today(), consent: k, customer: a.customer}
			if approve {
				f.finish(c, a, finalised)
			} else {
				f.fail(c, a)
			}
		}
	}
	if !decided {
		return ErrNothing
	}
	return nil
}

func (b *Bank) face(path string) *face {
	for _, f := range b.faces {
		if f.dialect.Path == path {
			return f
		}
	}
	return nil
}

// AddAccount opens another giro account for a customer and returns its IBAN. Consents for all accounts show it.
func (b *Bank) AddAccount(login string) (iban string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.customer(login)
	if c == nil {
		return "", ErrNoCustomer
	}
	return b.addAccount(c, accountPlan{history: 90}).iban, nil
}

// RevokeConsents ends all valid consents of a customer, as they would in their online banking, and says how many. Over
// FinTS their next login needs strong authentication.
func (b *Bank) RevokeConsents(login string) (revoked int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.fints.trust, login)
	for _, k := range b.consents {
		k.age(b.now())
		if k.login == login && k.status == valid {
			k.status = revokedByPSU
			revoked++
		}
	}
	return revoked
}

// ChangePassword lets a customer have another password, as they would in their online banking. It unlocks them.
func (b *Bank) ChangePassword(login, password string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.customer(login)
	if c == nil {
		return ErrNoCustomer
	}
	c.password, c.wrong, c.locked = password, 0, false
	return nil
}

// Reformat rewrites a customer's whole history: other ids and other texts for the same bookings. Doing it again
// turns it back.
func (b *Bank) Reformat(login string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.customer(login)
	if c == nil {
		return ErrNoCustomer
	}
	c.reform++
	return nil
}

// EaseLogins lets a bank that wants strong authentication of a customer at every login want it every 180 days only, as the
// plain one does.
func (b *Bank) EaseLogins(login string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.customer(login)
	if c == nil {
		return ErrNoCustomer
	}
	c.eased = true
	return nil
}

// controlHandler serves the control API, to this machine only.
func (b *Bank) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /control/clock", func(w http.ResponseWriter, _ *http.Request) {
		control(w, map[string]any{"now": b.Now()}, nil)
	})
	mux.HandleFunc("POST /control/clock", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Days    int    `json:"days"`
			Advance string `json:"advance"` // "36h"
		}
		err := instruction(r, &in)
		by := time.Duration(in.Days) * 24 * time.Hour
		if err == nil && in.Advance != "" {
			var more time.Duration
			more, err = time.ParseDuration(in.Advance)
			by += more
		}
		if err == nil && by < 0 {
			err = errors.New("the clock does not go back")
		}
		if err == nil {
			b.Advance(by)
		}
		control(w, map[string]any{"now": b.Now()}, err)
	})
	mux.HandleFunc("GET /control/counters", func(w http.ResponseWriter, _ *http.Request) { control(w, b.Counters(), nil) })
	mux.HandleFunc("POST /control/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		err := instruction(r, &f)
		if err == nil {
			err = b.Inject(f)
		}
		control(w, f, err)
	})
	mux.HandleFunc("DELETE /control/faults", func(w http.ResponseWriter, _ *http.Request) {
		b.ClearFaults()
		control(w, map[string]any{}, nil)
	})
	mux.HandleFunc("POST /control/decoupled", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Login   string `json:"login"`
			Approve bool   `json:"approve"`
		}
		err := instruction(r, &in)
		if err == nil {
			err = b.Decide(in.Login, in.Approve)
		}
		control(w, map[string]any{}, err)
	})
	mux.HandleFunc("POST /control/accounts", func(w http.ResponseWriter, r *http.Request) {
		login, err := customerInstruction(r)
		iban := ""
		if err == nil {
			iban, err = b.AddAccount(login)
		}
		control(w, map[string]any{"iban": iban}, err)
	})
	mux.HandleFunc("POST /control/revoke", func(w http.ResponseWriter, r *http.Request) {
		login, err := customerInstruction(r)
		revoked := 0
		if err == nil {
			revoked = b.RevokeConsents(login)
		}
		control(w, map[string]any{"revoked": revoked}, err)
	})
	mux.HandleFunc("POST /control/password", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Login    string `json:"login"`
			Password string `json:"password"`
		}
		err := instruction(r, &in)
		if err == nil {
			err = b.ChangePassword(in.Login, in.Password)
		}
		control(w, map[string]any{}, err)
	})
	mux.HandleFunc("POST /control/reformat", func(w http.ResponseWriter, r *http.Request) {
		login, err := customerInstruction(r)
		if err == nil {
			err = b.Reformat(login)
		}
		control(w, map[string]any{}, err)
	})
	mux.HandleFunc("POST /control/ease", func(w http.ResponseWriter, r *http.Request) {
		login, err := customerInstruction(r)
		if err == nil {
			err = b.EaseLogins(login)
		}
		control(w, map[string]any{}, err)
	})
	mux.HandleFunc("GET /control/catalog.json", b.serveCatalog)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			http.Error(w, "the control API answers this machine only", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// instruction reads the JSON body of a control call strictly.
func instruction(r *http.Request, into any) error {
	decoder := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("read instruction: %w", err)
	}
	return nil
}

func customerInstruction(r *http.Request) (login string, err error) {
	var in struct {
		Login string `json:"login"`
	}
	err = instruction(r, &in)
	return in.Login, err
}

func control(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		body = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(body)
}
