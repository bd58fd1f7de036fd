package sandbox

import (
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A ticket is one customer's visit to the bank's own pages: the redirect approach, or an OAuth2 authorization
// request. Its name in the URL is the only key to it. Guarded by Bank.mu.
type ticket struct {
	face          *face
	consent       *consent       // nil: OAuth2 pre-step
	authorisation *authorisation // nil: OAuth2 pre-step
	request       *oauthRequest  // nil: redirect approach
	loginHint     string
	customer      *customer // nil: not logged in
	issued        time.Time
	wrong         int // wrong TANs
	used          bool
}

// issue needs Bank.mu.
func (b *Bank) issue(t *ticket) string {
	name := secret()
	t.issued = b.now()
	b.tickets[name] = t
	return name
}

//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

func (f *face) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /login/{ticket}", f.showLogin)
	mux.HandleFunc("POST /login/{ticket}", f.takeLogin)
}

// page is what the templates show.
type page struct {
	Bank     string
	Title    string
	Error    string
	Login    string // hint for the login field
	Owner    string
	Accounts []pageAccount
	Choose   bool // the customer picks the accounts
	Rights   []string
	Until    string
	TAN      bool
}

type pageAccount struct{ Key, Name, Number string }

func (p page) write(w http.ResponseWriter, status int, name string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, name, p) // the peer may be gone
}

// visit finds the ticket in the path; the page that says otherwise is written already. Needs Bank.mu.
func (f *face) visit(w http.ResponseWriter, r *http.Request) *ticket {
	b := f.bank
	t := b.tickets[r.PathValue("ticket")]
	gone := t == nil || t.face.dialect != f.dialect || t.used || b.now().Sub(t.issued) > patience ||
		t.authorisation != nil && t.authorisation.status != started
	if gone {
		page{Bank: f.dialect.Name, Title: "Sitzung beendet", Error: "Diese Sitzung gibt es nicht oder nicht mehr."}.write(w, http.StatusGone, "message.html")
		return nil
	}
	return t
}

func (f *face) showLogin(w http.ResponseWriter, r *http.Request) {
	f.bank.mu.Lock()
	defer f.bank.mu.Unlock()
	if t := f.visit(w, r); t != nil {
		f.show(w, t, http.StatusOK, "")
	}
}

// show writes the login form, or after it the question whether access is to be given.
func (f *face) show(w http.ResponseWriter, t *ticket, status int, complaint string) {
	p := page{Bank: f.dialect.Name, Title: "Anmeldung", Error: complaint, Login: t.loginHint}
	if t.customer == nil {
		p.write(w, status, "login.html")
		return
	}
	p.Title, p.Owner = "Kontozugriff erlauben", t.customer.owner
	p.TAN = len(t.customer.persona.methods) > 0
	if k := t.consent; k != nil {
		p.Until = k.validUntil.Time().Format("02.01.2006")
		p.Choose = k.access.offered()
		for _, a := range t.customer.accounts {
			if !p.Choose && !k.allows(seeAccount, a) {
				continue
			}
			number := a.iban
			if a.kind == card {
				number = a.pan
			}
			p.Accounts = append(p.Accounts, pageAccount{a.number + a.currency, a.name + " " + a.currency, number})
		}
		p.Rights = k.access.words()
	} else {
		p.Rights = []string{"Anmeldung bei diesem Dienst"}
	}
	p.write(w, status, "consent.html")
}

// offered reports whether the customer is to pick the accounts: the lists are there, and empty.
func (a access) offered() bool {
	some := false
	for _, list := range []*[]accountReference{a.Accounts, a.Balances, a.Transactions} {
		if list != nil && len(*list) > 0 {
			return false
		}
		some = some || list != nil
	}
	return some
}

func (a access) words() []string {
	if a.AllPSD2 != "" {
		return []string{"Konten", "Kontostände", "Umsätze"}
	}
	words := []string{"Konten"}
	if a.Balances != nil || a.AvailableWithBalance != "" {
		words = append(words, "Kontostände")
	}
	if a.Transactions != nil {
		words = append(words, "Umsätze")
	}
	return words
}

func (f *face) takeLogin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	t := f.visit(w, r)
	if t == nil {
		return
	}
	form := r.PostForm
	c := &call{w: w, r: r, face: f, now: b.now(), today: b.today(), consent: t.consent, customer: t.customer}
	switch step := form.Get("step"); {
	case step == "cancel":
		f.leave(c, t, "access_denied")
	case step == "login" && t.customer == nil:
		f.login(c, t, form)
	case step == "confirm" && t.customer != nil:
		f.confirm(c, t, form)
	default:
		f.show(w, t, http.StatusConflict, "Bitte von vorn.")
	}
}

func (f *face) login(c *call, t *ticket, form url.Values) {
	b := f.bank
	customer := b.customer(form.Get("login"))
	if customer == nil || t.loginHint != "" && customer.login != t.loginHint {
		f.show(c.w, t, http.StatusForbidden, "Anmeldename oder PIN ist falsch.")
		return
	}
	if no := refusalAtDoor(b.authenticate(customer, form.Get("password"))); no != nil {
		f.show(c.w, t, http.StatusForbidden, no.text)
		return
	}
	if t.consent != nil {
		if no := t.consent.checkAccounts(customer); no != nil {
			f.show(c.w, t, http.StatusForbidden, "Dieses Konto gehört nicht zu Ihrem Zugang.")
			return
		}
	}
	t.customer = customer
	http.Redirect(c.w, c.r, f.prefix+c.r.URL.Path, http.StatusSeeOther)
}

func (f *face) confirm(c *call, t *ticket, form url.Values) {
	b := f.bank
	if len(t.customer.persona.methods) > 0 {
		if form.Get("tan") != b.options.TAN {
			b.counters.WrongTANs[t.customer.login]++
			if t.wrong++; t.wrong == 3 {
				f.leave(c, t, "access_denied")
				return
			}
			f.show(c.w, t, http.StatusForbidden, "Die TAN ist falsch.")
			return
		}
		b.counters.TANs[t.customer.login]++
	}
	if f.dialect.failsFirstReturn && !t.customer.visited {
		t.customer.visited = true
		f.leave(c, t, "server_error")
		return
	}
	if t.consent != nil {
		var chosen []*account
		for _, a := range t.customer.accounts {
			for _, key := range form["account"] {
				if key == a.number+a.currency {
					chosen = append(chosen, a)
				}
			}
		}
		if t.consent.access.offered() && len(chosen) == 0 {
			f.show(c.w, t, http.StatusBadRequest, "Bitte wählen Sie mindestens ein Konto.")
			return
		}
		a := t.authorisation
		a.customer = t.customer
		t.consent.login = t.customer.login
		if f.dialect.confirmation {
			a.status, a.code = unconfirmed, secret()
			t.consent.choose(chosen)
		} else {
			a.status = finalised
			t.consent.grant(c, t.customer, chosen)
		}
	}
	f.leave(c, t, "")
}

// leave sends the customer back to where they came from. problem is the error that goes with them; "" none.
func (f *face) leave(c *call, t *ticket, problem string) {
	success := problem == ""
	t.used = true
	if !success && t.authorisation != nil {
		f.fail(c, t.authorisation)
	}
	answer := url.Values{}
	var to string
	switch {
	case t.request != nil:
		to = t.request.redirectURI
		if t.request.state != "" {
			answer.Set("state", t.request.state)
		}
		if success {
			answer.Set("code", f.bank.grantCode(f, t))
		} else {
			answer.Set("error", problem)
		}
	case success:
		to = t.authorisation.redirect
		if t.authorisation.code != "" {
			answer.Set("confirmationCode", t.authorisation.code)
		}
	default:
		to = t.authorisation.redirect
		if t.authorisation.nok != "" {
			to = t.authorisation.nok
		}
	}
	if len(answer) > 0 {
		separator := "?"
		if strings.Contains(to, "?") {
			separator = "&"
		}
		to += separator + answer.Encode()
	}
	http.Redirect(c.w, c.r, to, http.StatusSeeOther)
}
