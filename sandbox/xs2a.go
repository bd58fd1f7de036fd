package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// A face is one bank as the world sees it: a path on the server, and a dialect of XS2A.
type face struct {
	bank    *Bank
	dialect *dialect
	prefix  string // path before /v1, "" at the root
}

// A call is one XS2A request on its way through the bank.
type call struct {
	w        http.ResponseWriter
	r        *http.Request
	face     *face
	endpoint string
	now      time.Time
	today    civil.Date
	body     []byte
	consent  *consent  // of the path or the Consent-ID header
	customer *customer // of the consent, the token or PSU-ID; nil: not known yet
}

// endpoint answers a call itself, or with a refusal. It runs without the bank's lock.
type endpoint func(*call) error

type route struct {
	name  string
	serve endpoint
}

// routes are all calls of account information (Implementation Guidelines 1.3.11, section 4.3) by the names that
// faults and counters use.
func (f *face) routes() map[string]route {
	routes := map[string]route{
		"POST /v1/consents":                            {"consents.create", f.createConsent},
		"GET /v1/consents/{consent}":                   {"consents.get", f.getConsent},
		"GET /v1/consents/{consent}/status":            {"consents.status", f.getConsentStatus},
		"DELETE /v1/consents/{consent}":                {"consents.delete", f.deleteConsent},
		"GET /v1/accounts":                             {"accounts", f.listAccounts},
		"GET /v1/accounts/{account}":                   {"account", f.getAccount},
		"GET /v1/accounts/{account}/balances":          {"balances", f.getBalances},
		"GET /v1/accounts/{account}/transactions":      {"transactions", f.getTransactions},
		"GET /v1/accounts/{account}/transactions/{id}": {"transaction", f.getTransaction},
		"GET /v1/card-accounts":                        {"card-accounts", f.listCardAccounts},
		"GET /v1/card-accounts/{account}":              {"card-account", f.getCardAccount},
		"GET /v1/card-accounts/{account}/balances":     {"card-balances", f.getCardBalances},
		"GET /v1/card-accounts/{account}/transactions": {"card-transactions", f.getCardTransactions},
		"GET /v1/downloads/{account}":                  {"download", f.download},
		"GET /v1/files/{account}":                      {"file", f.file},
	}
	if f.dialect.noAuthorisations {
		routes["PUT /v1/consents/{consent}"] = route{"authorisations.update", f.updateAuthorisation}
		return routes
	}
	routes["POST /v1/consents/{consent}/authorisations"] = route{"authorisations.start", f.startAuthorisation}
	routes["GET /v1/consents/{consent}/authorisations"] = route{"authorisations.list", f.listAuthorisations}
	routes["GET /v1/consents/{consent}/authorisations/{id}"] = route{"authorisations.get", f.getAuthorisation}
	routes["PUT /v1/consents/{consent}/authorisations/{id}"] = route{"authorisations.update", f.updateAuthorisation}
	return routes
}

// handler serves the bank below its own root.
func (f *face) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, route := range f.routes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, route.name, route.serve) })
	}
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		f.serve(w, r, "unknown", func(*call) error {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
				other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
				if _, pattern := mux.Handler(other); pattern != "/v1/" {
					return refuse(405, "SERVICE_INVALID", r.Method+" is not possible here")
				}
			}
			return refuse(404, "RESOURCE_UNKNOWN", "no such resource")
		})
	})
	f.pages(mux)
	f.oauthRoutes(mux)
	return mux
}

// maxBody is more than any request of the specification needs.
const maxBody = 64 << 10

func (f *face) serve(w http.ResponseWriter, r *http.Request, name string, serve endpoint) {
	requestID := r.Header.Get("X-Request-ID")
	if _, err := uuid.Parse(requestID); err == nil && len(requestID) == 36 {
		w.Header().Set("X-Request-ID", requestID)
	} else {
		w.Header().Set("X-Request-ID", uuid.NewString()) // the answer has to carry one
	}
	c := &call{w: w, r: r, face: f, endpoint: name}
	var no *refusal
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		no = refuse(413, "FORMAT_ERROR", "the body is too large")
	}
	c.body = body

	b := f.bank
	b.mu.Lock()
	c.now, c.today = b.now(), b.today()
	c.identify()
	login := ""
	if c.customer != nil {
		login = c.customer.login
	}
	b.count(f.dialect.Path, login, name)
	fault, struck := b.strike(f.dialect.Path, login, name)
	b.mu.Unlock()

	usual := func(w http.ResponseWriter) {
		c.w = w
		if no == nil {
			no = c.check()
		}
		if no == nil {
			if err := serve(c); err != nil && !errors.As(err, &no) {
				b.options.Logger.Error("sandbox", "endpoint", name, "error", err)
				no = refuse(500, "INTERNAL_SERVER_ERROR", "")
			}
		}
		if no != nil && no.code == "PSU_CREDENTIALS_INVALID" && f.dialect.standardWords {
			no.text = standardSentence
		}
		if no != nil {
			no.write(c.w)
		}
	}
	if struck {
		fault.play(w, r, b.options.Slow, usual)
		return
	}
	usual(w)
}

// identify finds whom and what the call is about, as far as it tells. Needs the bank's lock.
func (c *call) identify() {
	b := c.face.bank
	id := c.r.PathValue("consent")
	if id == "" {
		id = c.r.Header.Get("Consent-ID")
	}
	if consent := b.consents[id]; consent != nil && consent.bank == c.face.dialect.Path {
		c.consent = consent
		consent.age(c.now)
		c.customer = b.customers[consent.login]
	}
	if token := c.bearer(); c.customer == nil && token != "" {
		if t := b.tokens[token]; t != nil {
			c.customer = b.customer(t.login)
		}
	}
	if c.customer == nil {
		c.customer = b.customer(c.r.Header.Get("PSU-ID"))
	}
}

// check refuses what no endpoint would accept.
func (c *call) check() *refusal {
	h, d := c.r.Header, c.face.dialect
	if id := h.Get("X-Request-ID"); id == "" {
		return formatError("X-Request-ID", "is missing")
	} else if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return formatError("X-Request-ID", "is no UUID")
	}
	if ip := h.Get("PSU-IP-Address"); ip != "" && net.ParseIP(ip) == nil {
		return formatError("PSU-IP-Address", "is no IP address")
	}
	for _, name := range []string{"TPP-Redirect-Preferred", "TPP-Decoupled-Preferred", "TPP-Explicit-Authorisation-Preferred"} {
		if v := h.Get(name); v != "" && v != "true" && v != "false" {
			return formatError(name, "is neither true nor false")
		}
	}
	for _, name := range []string{"TPP-Redirect-URI", "TPP-Nok-Redirect-URI"} {
		if v := h.Get(name); v != "" {
			if u, err := url.Parse(v); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
				return formatError(name, "is no absolute URI")
			}
		}
	}
	if v := h.Get("PSU-Http-Method"); v != "" && !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, v) {
		return formatError("PSU-Http-Method", "is no method")
	}
	if v := h.Get("PSU-Device-ID"); v != "" {
		if _, err := uuid.Parse(v); err != nil {
			return formatError("PSU-Device-ID", "is no UUID")
		}
	}
	if len(c.body) > 0 || c.r.Method == http.MethodPut {
		if media, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || media != "application/json" {
			return refuse(415, "FORMAT_ERROR", "Content-Type has to be application/json")
		}
	}
	if d.clientCertificate && (c.r.TLS == nil || len(c.r.TLS.PeerCertificates) == 0) {
		return refuse(401, "CERTIFICATE_MISSING", "this bank wants a client certificate")
	}
	if d.apiKey != "" && h.Get("X-API-Key") != d.apiKey {
		return refuse(401, "CERTIFICATE_INVALID", "X-API-Key is missing or wrong")
	}
	if d.onlyJSON && h.Get("Accept") != "application/json" {
		return refuse(406, "REQUESTED_FORMATS_INVALID", "Accept has to be application/json")
	}
	if d.signed {
		if no := c.checkSignature(); no != nil {
			return no
		}
	}
	return c.checkToken()
}

// psu finds the customer that PSU-ID names, where it does; what the consent knows already has to agree.
func (c *call) psu() *refusal {
	id := c.r.Header.Get("PSU-ID")
	if id == "" {
		return nil
	}
	if want := c.face.dialect.psuIDType; want != "" && c.r.Header.Get("PSU-ID-Type") != want {
		return formatError("PSU-ID-Type", "has to be "+want)
	}
	if c.customer == nil {
		return refuse(401, "PSU_CREDENTIALS_INVALID", "Anmeldename oder PIN ist falsch.")
	}
	if c.customer.login != id {
		return formatError("PSU-ID", "is not the customer of this consent")
	}
	return nil
}

// attended reports whether the customer is there (RTS 2018/389, Article 36(5)).
func (c *call) attended() bool { return c.r.Header.Get("PSU-IP-Address") != "" }

// link writes the address of a resource of this bank as the dialect has it: a path, from the host or from the API's own
// path, or absolute.
func (c *call) link(path ...string) href {
	switch {
	case c.face.dialect.absoluteLinks:
		return href{c.face.base(c.r) + strings.Join(path, "")}
	case c.face.dialect.linksFromAPI:
		return href{strings.Join(path, "")}
	}
	return href{c.face.prefix + strings.Join(path, "")}
}

// base is the absolute address of the bank.
func (f *face) base(r *http.Request) string {
	if f.bank.options.PublicURL != "" {
		return strings.TrimSuffix(f.bank.options.PublicURL, "/") + f.prefix
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + f.prefix
}

// answer writes a JSON body.
func (c *call) answer(status int, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(raw) // the peer may be gone; nothing to do about it
	return nil
}

// read decodes the JSON body strictly; an empty one leaves into as it is.
func (c *call) read(into any) *refusal {
	if len(c.body) == 0 {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(c.body)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mistyped):
		return formatError(mistyped.Field, "has the wrong type")
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field "):
		field, _ := strconv.Unquote(strings.TrimPrefix(err.Error(), "json: unknown field "))
		return formatError(field, "is unknown")
	case err != nil || decoder.More():
		return refuse(400, "FORMAT_ERROR", "the body is no JSON object")
	}
	return nil
}

// links are the _links of an answer.
type links map[string]href

type href struct {
	Href string `json:"href"`
}

// MarshalJSON writes an empty link as null, which one of the dialects does.
func (h href) MarshalJSON() ([]byte, error) {
	if h.Href == "" {
		return []byte("null"), nil
	}
	type plainly href
	return json.Marshal(plainly(h))
}

// A refusal is an error answer of the specification: a status and one tppMessage.
type refusal struct {
	status     int
	code       string
	path       string
	text       string
	links      links
	retryAfter int // seconds; 0: no header
}

func refuse(status int, code, text string) *refusal {
	return &refusal{status: status, code: code, text: text}
}

// formatError refuses one field or header of a request.
func formatError(field, why string) *refusal {
	return &refusal{status: 400, code: "FORMAT_ERROR", path: field, text: field + " " + why}
}

func (no *refusal) Error() string { return strconv.Itoa(no.status) + " " + no.code }

type tppMessage struct {
	Category string `json:"category"`
	Code     string `json:"code"`
	Path     string `json:"path,omitempty"`
	Text     string `json:"text,omitempty"`
}

// standardSentence is what the specification says about PSU_CREDENTIALS_INVALID (Implementation Guidelines 1.3.11, "Message
// codes"). Some banks send nothing else.
const standardSentence = "The PSU-ID cannot be matched by the addressed ASPSP or is blocked, or a password resp. OTP was not correct. " +
	"Additional information might be added."

func (no *refusal) write(w http.ResponseWriter) {
	body, _ := json.Marshal(struct { // strings only: cannot fail
		Messages []tppMessage `json:"tppMessages"`
		Links    links        `json:"_links,omitempty"`
	}{[]tppMessage{{"ERROR", no.code, no.path, no.text}}, no.links})
	if no.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(no.retryAfter))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(no.status)
	_, _ = w.Write(body)
}
