package sandbox

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"
)

// A Fault makes calls go wrong. The fields that are set say which calls; the first fault that matches counts.
type Fault struct {
	Bank     string `json:"bank,omitempty"`  // path of the bank; "": every bank
	Login    string `json:"login,omitempty"` // "": every customer
	Endpoint string `json:"endpoint"`        // as counted: accounts, transactions, consents.create, … or *
	Times    int    `json:"times,omitempty"` // so many calls, then never again; 0: for ever
	Every    int    `json:"every,omitempty"` // of every so many calls of an endpoint only the first; 0: each

	Action     Action `json:"action"`
	Status     int    `json:"status,omitempty"`      // ActStatus: HTTP status
	Code       string `json:"code,omitempty"`        // ActStatus: code of the tppMessage; at the token endpoint, error of RFC 6749
	Text       string `json:"text,omitempty"`        // ActStatus: text of the tppMessage
	RetryAfter int    `json:"retry_after,omitempty"` // ActStatus: seconds; 0: no header
	Delay      int    `json:"delay,omitempty"`       // ActSlow: milliseconds; 0: Options.Slow
}

// Action is what goes wrong.
type Action string

const (
	ActStatus    Action = "status"    // answer with Status, Code and Text, do nothing
	ActSlow      Action = "slow"      // wait, then go on as usual
	ActDrop      Action = "drop"      // close the connection, do nothing
	ActLose      Action = "lose"      // do everything, then close the connection instead of answering
	ActHTML      Action = "html"      // an HTML page with status 200
	ActTruncate  Action = "truncate"  // half of the answer, then close the connection
	ActEnormous  Action = "enormous"  // 256 MiB of JSON
	ActElsewhere Action = "elsewhere" // a redirect to another host
	ActEndless   Action = "endless"   // blanks until the client hangs up
	ActLoop      Action = "loop"      // a page of transactions whose next page is itself
	ActBare429   Action = "bare429"   // 429 whose body is a bare array, without Retry-After
)

type strikeKey struct{ bank, login, endpoint string }

// Inject adds a fault.
func (b *Bank) Inject(f Fault) error {
	switch f.Action {
	case ActStatus:
		if f.Status < 400 || f.Status > 599 {
			return fmt.Errorf("fault: status %d is no error", f.Status)
		}
	case ActSlow, ActDrop, ActLose, ActHTML, ActTruncate, ActEnormous, ActElsewhere, ActEndless, ActLoop, ActBare429:
	default:
		return fmt.Errorf("fault: unknown action %q", f.Action)
	}
	if f.Endpoint == "" {
		return fmt.Errorf("fault: endpoint is missing")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, &f)
	return nil
}

// ClearFaults removes all faults that were injected; those of personas stay.
func (b *Bank) ClearFaults() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}

// strike finds the fault that hits this call, and counts the call. Needs b.mu.
func (b *Bank) strike(bank, login, endpoint string) (Fault, bool) {
	for _, f := range b.faults {
		if f.Times < 0 || f.Bank != "" && f.Bank != bank || f.Login != "" && f.Login != login || f.Endpoint != "*" && f.Endpoint != endpoint {
			continue
		}
		if !b.falls(*f, strikeKey{bank, login, endpoint}) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				f.Times = -1 // used up
			}
		}
		return *f, true
	}
	if c := b.customers[login]; c != nil {
		for _, f := range c.persona.faults {
			if (f.Endpoint == "*" || f.Endpoint == endpoint) && b.falls(f, strikeKey{bank, login, endpoint}) {
				return f, true
			}
		}
	}
	return Fault{}, false
}

// falls reports whether it is this call's turn. Needs b.mu.
func (b *Bank) falls(f Fault, key strikeKey) bool {
	if f.Every == 0 {
		return true
	}
	b.strikes[key]++
	return (b.strikes[key]-1)%f.Every == 0
}

// play lets the fault happen to a call; usual is what would happen without it.
func (f Fault) play(w http.ResponseWriter, r *http.Request, slow time.Duration, usual func(http.ResponseWriter)) {
	switch f.Action {
	case ActStatus:
		code := f.Code
		if code == "" {
			code = strings.ToUpper(strings.ReplaceAll(http.StatusText(f.Status), " ", "_"))
		}
		no := refuse(f.Status, code, f.Text)
		no.retryAfter = f.RetryAfter
		no.write(w)
	case ActSlow:
		if f.Delay > 0 {
			slow = time.Duration(f.Delay) * time.Millisecond
		}
		select {
		case <-time.After(slow):
			usual(w)
		case <-r.Context().Done():
		}
	case ActDrop:
		panic(http.ErrAbortHandler)
	case ActLose:
		usual(httptest.NewRecorder())
		panic(http.ErrAbortHandler)
	case ActHTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>Wartung</title><h1>Wir sind gleich wieder da</h1><script>alert(1)</script>"))
	case ActTruncate:
		whole := httptest.NewRecorder()
		usual(whole)
		for name, values := range whole.Header() {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		panic(http.ErrAbortHandler)
	case ActEnormous:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"accounts":[{"name":"`))
		block := []byte(strings.Repeat("ä", 1<<15))
		for range 256 << 20 / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
		_, _ = w.Write([]byte(`"}]}`))
	case ActElsewhere:
		w.Header().Set("Location", "http://elsewhere.invalid/v1/accounts")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case ActEndless:
		w.Header().Set("Content-Type", "application/json")
		flush := http.NewResponseController(w)
		for range 86_400 {
			if _, err := w.Write([]byte(" ")); err != nil || flush.Flush() != nil {
				return
			}
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return
			}
		}
	case ActLoop:
		w.Header().Set("Content-Type", "application/json")
		self := strconv.Quote(r.RequestURI) // as it came: with the prefix of the bank
		_, _ = w.Write([]byte(`{"transactions":{"booked":[],"_links":{"account":{"href":` + strconv.Quote(r.URL.Path) + `},"next":{"href":` + self + `}}}}`))
	case ActBare429:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`[{"category":"ERROR","code":"ACCESS_EXCEEDED","text":"Zugriffsgrenze erreicht"}]`))
	}
}
