package fints_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/hhd"
	"github.com/kontoflow/kontoflow/internal/civil"
)

const (
	pin = "canary-p?n'7+3:a@"
	tan = "904417"
)

// A script is a bank that answers as the test says, and keeps to the protocol's numbers. What a whole bank does is in the
// conformance suite; here is what a bank may do besides.
type script struct {
	t       *testing.T
	mu      sync.Mutex
	server  *httptest.Server
	now     time.Time
	methods [][]string // of HITANS 7, or 6 where version is 6
	version int
	allowed []string
	needTAN []string // orders
	camt    []string
	// challenge answers HKTAN process 4 for the named order: nil: exempt.
	challenge func(order string) *challenge
	orders    map[string]func(s *syntax.Segment) []syntax.Segment
	door      string                           // code that refuses every login
	system    string                           // the only customer-system id that is known
	refuse    func(function string) [][]string // return codes that refuse a login with the function
	orderable []string                         // by the user parameters; nil: everything
	usage     string                           // UPD-Verwendung; "": 0
	more      []syntax.Segment                 // bank parameters beside the usual ones; of one order and version the last counts
	listed    []syntax.Segment                 // HIUPD; nil: one giro account
	only      map[string][]int                 // versions of an order's parameters (HISALS); others are left out
	every     bool                             // the user parameters come with every login, known or not
	bpd       int                              // version of the bank parameters; 0: 7
	polls     int                              // that are answered "still open"

	reject     func(*syntax.Message) [][]string       // return codes that refuse a login
	overhear   func(*syntax.Message)                  // hears what comes in
	besides    func(*syntax.Message) []syntax.Segment // goes along with an answer
	tansNeeded int                                    // for one order; 0: one
	hash       string                                 // procedure for hashes of orders; "": none

	dialogs map[string]int // id → last number
	logins  atomic.Int32   // read while the server may still be at work: an answer was lost
	tans    atomic.Int32
	seen    []string // names of the orders of each message
	waiting *syntax.Segment
	fail    func(w http.ResponseWriter, names string) bool
}

type challenge struct {
	text      string
	hhduc     []byte
	decoupled bool
	valid     time.Duration // 0: the bank does not say
}

var smsTAN = []string{"942", "2", "mTAN", "mobileTAN", "", "mobileTAN", "6", "1", "TAN", "4", "N", "2", "N", "0", "0", "N", "J", "00", "0", "N", "1"}
var appTAN = []string{"946", "2", "PUSH", "Decoupled", "", "pushTAN", "", "", "Freigabe", "4", "N", "2", "N", "0", "0", "N", "J", "00", "0", "N", "1", "5", "3", "2", "J", "J"}

func newScript(t *testing.T) *script {
	s := &script{t: t, system: "system-1", now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), methods: [][]string{smsTAN}, version: 7, allowed: []string{"942"},
		dialogs: map[string]int{}, orders: map[string]func(*syntax.Segment) []syntax.Segment{}, challenge: func(string) *challenge { return nil }}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func feedback(name string, reference int, codes ...[]string) syntax.Segment {
	segment := syntax.New(name, 2)
	segment.Reference = reference
	for _, c := range codes {
		segment.Elements = append(segment.Elements, syntax.Text(append([]string{c[0], "", c[1]}, c[2:]...)...))
	}
	return segment
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, r.Body))
	require.NoError(s.t, err)
	m, err := syntax.Read(raw)
	require.NoError(s.t, err)
	require.Equal(s.t, len(raw), m.Size)
	var names []string
	for _, segment := range m.Segments {
		name := segment.Name
		if name == "HKTAN" {
			name += segment.Get(0, 0)
		}
		names = append(names, name)
	}
	s.seen = append(s.seen, strings.Join(names, " "))
	answer := &syntax.Message{DialogID: m.DialogID, Number: m.Number, Answers: &syntax.Reference{DialogID: m.DialogID, Number: m.Number}, Security: m.Security}
	if m.Security != nil {
		require.Equal(s.t, pin, m.Security.PIN)
		secured := *m.Security
		secured.Signed, secured.PIN, secured.TAN = false, "", ""
		answer.Security = &secured
	}
	if s.overhear != nil {
		s.overhear(m)
	}
	answer.Segments = s.reply(m, answer)
	if s.besides != nil {
		answer.Segments = append(answer.Segments, s.besides(m)...)
	}
	if s.fail != nil && s.fail(w, strings.Join(names, " ")) {
		return
	}
	wire, err := answer.Wire()
	require.NoError(s.t, err)
	_, _ = io.WriteString(w, base64.StdEncoding.EncodeToString(wire))
}

func (s *script) reply(m, answer *syntax.Message) []syntax.Segment {
	ok := feedback("HIRMG", 0, []string{"0010", "Nachricht entgegengenommen."})
	if m.DialogID == "0" {
		answer.DialogID = fmt.Sprintf("dialog-%d", len(s.dialogs)+1)
		answer.Answers.DialogID = answer.DialogID
		if m.Security != nil {
			s.logins.Add(1)
			if s.door != "" {
				return []syntax.Segment{feedback("HIRMG", 0, []string{"9050", "Die Nachricht enthält Fehler."}, []string{"9800", "Dialog abgebrochen."}),
					feedback("HIRMS", m.Segments[0].Number, []string{s.door, "Abgelehnt."})}
			}
			if id := m.Segments[0].Get(2, 0); id != "0" && id != s.system {
				return []syntax.Segment{feedback("HIRMG", 0, []string{"9050", "Die Nachricht enthält Fehler."}, []string{"9800", "Dialog abgebrochen."}),
					feedback("HIRMS", m.Segments[0].Number, []string{"9210", "Ungültige Kundensystem-ID"})}
			}
			if s.refuse != nil {
				if codes := s.refuse(m.Security.Function); codes != nil {
					return []syntax.Segment{feedback("HIRMG", 0, []string{"9050", "Die Nachricht enthält Fehler."}, []string{"9800", "Dialog abgebrochen."}),
						feedback("HIRMS", m.Segments[0].Number, codes...)}
				}
			}
			if s.reject != nil {
				if codes := s.reject(m); codes != nil {
					return []syntax.Segment{feedback("HIRMG", 0, []string{"9800", "Dialog abgebrochen."}), feedback("HIRMS", 5, codes...)}
				}
			}
		}
		s.dialogs[answer.DialogID] = 1
	} else {
		if last, open := s.dialogs[m.DialogID]; !open || m.Number != last+1 {
			delete(s.dialogs, m.DialogID)
			return []syntax.Segment{feedback("HIRMG", 0, []string{"9010", "Nachrichtennummer falsch."}, []string{"9800", "Dialog abgebrochen."})}
		}
		s.dialogs[m.DialogID] = m.Number
	}
	all := []syntax.Segment{ok}
	for i := range m.Segments {
		segment := &m.Segments[i]
		switch segment.Name {
		case "HKEND":
			delete(s.dialogs, m.DialogID)
		case "HKVVB":
			if segment.Get(0, 0) != fmt.Sprint(max(7, s.bpd)) {
				all = append(all, s.bankParameters()...)
			}
			if m.Security != nil {
				all = append(all, feedback("HIRMS", segment.Number, append([]string{"3920", "Zugelassene Verfahren"}, s.allowed...)))
			}
			if m.Security != nil && m.Security.Function != "999" && (segment.Get(1, 0) != "3" || s.every) {
				all = append(all, s.userParameters()...)
			}
		case "HKSYN":
			all = append(all, syntax.New("HISYN", 4, syntax.Text(s.system)))
		case "HKTAN":
			all = append(all, s.tan(m, segment)...)
		default:
			if answer := s.orders[segment.Name]; answer != nil {
				if next := i + 1; next < len(m.Segments) && m.Segments[next].Name == "HKTAN" && s.challenge(segment.Name) != nil {
					s.waiting = segment // the answer comes with the TAN
					continue
				}
				all = append(all, answer(segment)...)
			}
		}
	}
	return all
}

func (s *script) tan(m *syntax.Message, segment *syntax.Segment) []syntax.Segment {
	hitan := func(process, reference, text string, hhduc []byte) syntax.Segment {
		answer := syntax.New("HITAN", segment.Version, syntax.Text(process), syntax.Empty(), syntax.Text(reference), syntax.Text(text))
		if hhduc != nil {
			answer.Elements = append(answer.Elements, syntax.Binary(hhduc))
		}
		answer.Reference = segment.Number
		if c := s.challenge(segment.Get(1, 0)); c != nil && c.valid > 0 {
			until := s.now.Add(c.valid).In(time.FixedZone("CET", 3600))
			answer.Elements = append(append(answer.Elements, make([]syntax.Element, 5-len(answer.Elements))...), syntax.Text(until.Format("20060102"), until.Format("150405")))
		}
		return answer
	}
	done := func() []syntax.Segment {
		all := []syntax.Segment{feedback("HIRMS", segment.Number, []string{"0020", "Auftrag ausgeführt."}), hitan(segment.Get(0, 0), "noref", "nochallenge", nil)}
		if s.waiting != nil {
			all = append(all, s.orders[s.waiting.Name](s.waiting)...)
			s.waiting = nil
		}
		return all
	}
	switch segment.Get(0, 0) {
	case "1":
		if c := s.challenge(segment.Get(1, 0)); c != nil && m.Security.TAN == "" {
			answer := syntax.New("HITAN", segment.Version, syntax.Text("1"), segment.At(3), syntax.Empty(), syntax.Text(c.text))
			return []syntax.Segment{feedback("HIRMS", segment.Number, []string{"0030", "Sicherheitsfreigabe erforderlich"}), answer}
		}
		return []syntax.Segment{feedback("HIRMS", segment.Number, []string{"3076", "Keine starke Authentifizierung erforderlich."}), hitan("1", "noref", "nochallenge", nil)}
	case "4":
		c := s.challenge(segment.Get(1, 0))
		if c == nil {
			return []syntax.Segment{feedback("HIRMS", segment.Number, []string{"3076", "Keine starke Authentifizierung erforderlich."}), hitan("4", "noref", "nochallenge", nil)}
		}
		said := [][]string{{"0030", "Auftrag empfangen - Sicherheitsfreigabe erforderlich"}}
		if c.decoupled {
			said = append(said, []string{"3955", "Sicherheitsfreigabe erfolgt über anderen Kanal"})
		}
		return []syntax.Segment{feedback("HIRMS", segment.Number, said...), hitan("4", "order-1", c.text, c.hhduc)}
	case "2":
		s.tans.Add(1)
		require.Equal(s.t, "order-1", segment.Get(4, 0))
		if m.Security.TAN != tan {
			return []syntax.Segment{feedback("HIRMS", segment.Number, []string{"9941", "TAN ungültig"})}
		}
		if int(s.tans.Load()) < s.tansNeeded {
			return []syntax.Segment{feedback("HIRMS", segment.Number, []string{"0030", "Weitere Sicherheitsfreigabe erforderlich"}), hitan("2", "order-1", "Noch eine TAN", nil)}
		}
		return done()
	case "S":
		if s.polls > 0 {
			s.polls--
			return []syntax.Segment{feedback("HIRMS", segment.Number, []string{"3956", "Starke Kundenauthentifizierung noch ausstehend"}), hitan("S", "order-1", "nochallenge", nil)}
		}
		return done()
	}
	return nil
}

func (s *script) bankParameters() []syntax.Segment {
	methods := syntax.Text("J", "N", cmp.Or(s.hash, "0"))
	for _, m := range s.methods {
		methods = append(methods, syntax.Text(m...)...)
	}
	pins := syntax.Text("5", "20", "6", "Benutzer", "")
	for _, order := range []string{"HKSAL", "HKKAZ", "HKCAZ", "HKSPA"} {
		need := "N"
		if slices.Contains(s.needTAN, order) {
			need = "J"
		}
		pins = append(pins, syntax.Text(order, need)...)
	}
	one := syntax.Text("1")
	all := []syntax.Segment{
		syntax.New("HIBPA", 3, syntax.Number(max(7, s.bpd)), syntax.Text("280", "90090042"), syntax.Text("Demobank"), one, one, syntax.Text("300")),
		// Where a hostile bank would like us to send the PIN.
		syntax.New("HIKOM", 4, syntax.Text("280", "90090042"), one, syntax.Text("3", "https://evil.example/fints")),
		syntax.New("HISALS", 6, one, one, one), syntax.New("HISALS", 7, one, one, one), syntax.New("HISALS", 8, one, one, one),
		syntax.New("HISPAS", 1, one, one, one, syntax.Text("J", "J", "N")),
		syntax.New("HIKAZS", 7, one, one, one, syntax.Text("90", "N", "N")),
		syntax.New("HIPINS", 1, one, one, one, pins),
		syntax.New("HITANS", s.version, one, one, one, methods),
		syntax.New("HITABS", 4, one, one, one),
	}
	if s.camt != nil {
		all = append(all, syntax.New("HICAZS", 1, one, one, one, syntax.Text(append([]string{"400", "N", "N"}, s.camt...)...)))
	}
	all = append(all, s.more...)
	for name, versions := range s.only {
		kept := slices.DeleteFunc(all, func(segment syntax.Segment) bool { return segment.Name == name })
		for _, version := range versions {
			kept = append(kept, syntax.New(name, version, one, one, one, syntax.Text("90", "N", "N")))
		}
		all = kept
	}
	return all
}

func (s *script) userParameters() []syntax.Segment {
	account := syntax.New("HIUPD", 6, syntax.Text("4711951500", "", "280", "90090042"), syntax.Empty(), syntax.Text("demo"), syntax.Text("1"), syntax.Text("EUR"),
		syntax.Text("Ernst"), syntax.Text("Müller"), syntax.Text("Girokonto"), syntax.Empty())
	orders := s.orderable
	if orders == nil {
		orders = []string{"HKSPA", "HKSAL", "HKKAZ", "HKCAZ"}
	}
	for _, order := range orders {
		account.Elements = append(account.Elements, syntax.Text(order, "1"))
	}
	usage := s.usage
	if usage == "" {
		usage = "0"
	}
	head := syntax.New("HIUPA", 4, syntax.Text("demo"), syntax.Text("3"), syntax.Text(usage))
	if s.listed != nil {
		return append([]syntax.Segment{head}, s.listed...)
	}
	return []syntax.Segment{head, account}
}

// A customer is Kontoflow's side: it seals after every move, and another worker goes on whenever the customer is asked.
type customer struct {
	*script
	provider banks.Adapter
	conv     banks.Conversation
	asked    []banks.Challenge
}

func (s *script) customer() *customer {
	return &customer{script: s, provider: fints.New(fints.Options{Now: func() time.Time { return s.now }, Logger: slog.New(slog.DiscardHandler)}), conv: banks.Conversation{
		Connection:  banks.Connection{Protocol: "FINTS", URL: s.server.URL, BankCode: "90090042"},
		Credentials: map[string]string{banks.CredentialLogin: "demo", banks.CredentialPIN: pin},
		Interactive: true, Resumed: true}}
}

// reload is another worker.
func (c *customer) reload() {
	raw, err := json.Marshal([]json.RawMessage{orNull(c.conv.Lasting), orNull(c.conv.Dialog)})
	require.NoError(c.t, err)
	require.NotContains(c.t, string(raw), "canary", "the PIN is in the state")
	require.NotContains(c.t, string(raw), tan, "the TAN is in the state")
	c.conv.Resumed = true
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

func (c *customer) move(move func(context.Context, *banks.Conversation) (banks.Step, error)) (banks.Step, error) {
	for range 20 {
		step, err := move(c.t.Context(), &c.conv)
		if err != nil || step.Status != banks.Moving {
			c.reload()
			return step, err
		}
	}
	c.t.Fatal("the adapter moves without end")
	return banks.Step{}, nil
}

func (c *customer) connect() error {
	step, err := c.move(c.provider.Authorize)
	for err == nil && step.Status != banks.Ready {
		if step.Challenge != nil {
			c.asked = append(c.asked, *step.Challenge)
		}
		switch {
		case step.Status == banks.Pending || step.Challenge.Type == banks.Decoupled:
			c.now = c.now.Add(step.PollAfter)
			step, err = c.move(c.provider.Poll)
		case step.Challenge.Type == banks.MethodSelection:
			methods := step.Challenge.AuthMethods
			step, err = c.answer(banks.Answer{MethodID: methods[len(methods)-1].ID})
		default:
			step, err = c.answer(banks.Answer{Value: tan})
		}
	}
	return err
}

func (c *customer) answer(a banks.Answer) (banks.Step, error) {
	return c.move(func(ctx context.Context, conv *banks.Conversation) (banks.Step, error) {
		return c.provider.Answer(ctx, conv, a)
	})
}

func balance(s *syntax.Segment) []syntax.Segment {
	return []syntax.Segment{syntax.New("HISAL", s.Version, s.At(0), syntax.Text("Girokonto"), syntax.Text("EUR"), syntax.Text("D", "1234,5", "EUR", "20260302", "120000"),
		syntax.Empty(), syntax.Text("500,", "EUR"), syntax.Text("100,", "EUR"))}
}

func ibans(*syntax.Segment) []syntax.Segment {
	return []syntax.Segment{syntax.New("HISPA", 1, syntax.Text("J", "DE67900900424711951500", "DEMODE01", "4711951500", "", "280", "90090042"))}
}

// statement is a page of HIKAZ; another one follows where next is not empty.
func statement(next string, entries ...string) []syntax.Segment {
	file := ":20:X\r\n:25:1\r\n:28C:0\r\n:60F:C260101EUR0,00\r\n" + strings.Join(entries, "\r\n") + "\r\n:62F:C260301EUR1,00\r\n-"
	all := []syntax.Segment{syntax.New("HIKAZ", 7, syntax.Binary([]byte(file)), syntax.Binary([]byte(":20:Y\r\n:34F:EUR0,\r\n:61:260302D3,NMSCNONREF\r\n-")))}
	if next != "" {
		all = append(all, feedback("HIRMS", 3, []string{"3040", "Es liegen weitere Informationen vor.", next}))
	}
	return all
}

func TestFirstAuthorization(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.challenge = func(order string) *challenge {
		if order == "HKIDN" && s.logins.Load() < 3 {
			return &challenge{text: "<b>TAN</b> an <script>alert(1)</script>0170<br>senden?"}
		}
		return nil
	}
	s.orders = map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": balance, "HKSPA": ibans, "HKKAZ": func(order *syntax.Segment) []syntax.Segment {
		require.Equal(t, syntax.Text("DE67900900424711951500", "DEMODE01", "4711951500", "", "280", "90090042"), order.At(0))
		require.Equal(t, "20251202", order.Get(2, 0), "90 days are kept")
		require.Empty(t, order.Get(3, 0))
		if order.Get(5, 0) == "" {
			return statement("page?2", ":61:260228D12,34NMSCNONREF//A1", ":86:005?00LASTSCHRIFT?20SVWZ+Strom?32STADTWERKE")
		}
		require.Equal(t, "page?2", order.Get(5, 0))
		return statement("", ":61:260227C0,70NMSCNONREF//A2")
	}}
	c := s.customer()
	require.NoError(t, c.connect())
	require.Equal(t, []banks.Challenge{{Type: banks.Embedded, Format: banks.FormatHTML, Data: "<b>TAN</b> an 0170<br>senden?", Label: "mobileTAN",
		InputFormat: "integer", MaxLength: 6}}, c.asked)
	require.NotNil(t, c.conv.Granted)
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	require.Len(t, accounts, 1)
	a := accounts[0]
	require.Equal(t, "DE67900900424711951500 DEMODE01 EUR Girokonto Ernst Müller Giro account",
		strings.Join([]string{a.IBAN, a.BIC, a.Currency, a.Name, a.Owner, string(a.Type)}, " "))
	require.Equal(t, "closingBooked", a.Balances[0].Type)
	require.True(t, decimal.RequireFromString("-1234.5").Equal(a.Balances[0].Amount))
	require.Equal(t, civil.Day(2026, 3, 2), a.Balances[0].Date)
	c.reload()
	page, err := c.provider.Transactions(t.Context(), &c.conv, a, banks.Window{}, "")
	require.NoError(t, err)
	require.NotEmpty(t, page.Next)
	c.reload()
	last, err := c.provider.Transactions(t.Context(), &c.conv, a, banks.Window{}, page.Next)
	require.NoError(t, err)
	require.Empty(t, last.Next)
	require.True(t, last.PendingCovered)
	require.Equal(t, banks.Window{From: civil.Day(2025, 12, 2), To: civil.Day(2026, 3, 2)}, last.Covered)
	require.Equal(t, "STADTWERKE", page.Entries[0].Counterparty.Name)
	require.True(t, page.Entries[1].Pending)
	require.False(t, page.Entries[0].Pending)
	require.Equal(t, []string{
		"HKIDN HKVVB", "HKEND", // anonymous
		"HKIDN HKVVB HKSYN", "HKEND", // methods, system id
		"HKIDN HKVVB HKTAN4", "HKTAN2", "HKSPA", "HKSAL", "HKKAZ", "HKKAZ",
	}, s.seen)

	c.conv.Dialog = nil
	c.reload()
	require.NoError(t, c.connect())
	require.Len(t, c.asked, 1, "asked again")
	require.Equal(t, "HKIDN HKVVB HKTAN4", s.seen[len(s.seen)-1], "one login is enough, the parameters are known")
	require.NoError(t, c.provider.Revoke(t.Context(), &c.conv))
	require.Equal(t, "HKEND", s.seen[len(s.seen)-1])
	require.Nil(t, c.conv.Granted)
	_, err = c.provider.Accounts(t.Context(), &c.conv)
	requireError(t, err, banks.NeedsAuthorization, banks.CodeNotAuthorized)
}

func requireError(t *testing.T, err error, kind banks.Kind, code int) {
	t.Helper()
	require.Error(t, err)
	e := banks.AsError(err)
	require.Equal(t, kind, e.Kind, "%v", err)
	require.Equal(t, code, e.Code, "%v", err)
	require.NotContains(t, err.Error(), "canary")
	require.NotContains(t, err.Error(), "127.0.0.1")
}

func TestOrderThatNeedsTAN(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.version, s.needTAN = 6, []string{"HKKAZ"}
	s.challenge = func(order string) *challenge {
		if order == "HKKAZ" && s.tans.Load() == 0 {
			return &challenge{text: "TAN für die Umsätze"}
		}
		return nil
	}
	reads := 0
	s.orders = map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": balance, "HKSPA": ibans, "HKKAZ": func(*syntax.Segment) []syntax.Segment {
		reads++
		return statement("", ":61:260228D12,34NMSCNONREF//A1")
	}}
	c := s.customer()
	require.NoError(t, c.connect())
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	_, err = c.provider.Transactions(t.Context(), &c.conv, accounts[0], banks.Window{}, "")
	requireError(t, err, banks.NeedsAuthorization, banks.CodeNotAuthorized)
	c.reload()
	require.NoError(t, c.connect())
	require.Len(t, c.asked, 1)
	require.Equal(t, "TAN für die Umsätze", c.asked[0].Data)
	require.Equal(t, banks.FormatText, c.asked[0].Format)
	before := c.conv
	for range 2 { // the second time after a crash, with the state as it was stored
		c.conv = before
		c.reload()
		page, err := c.provider.Transactions(t.Context(), &c.conv, accounts[0], banks.Window{}, "")
		require.NoError(t, err)
		require.Len(t, page.Entries, 2)
	}
	require.Equal(t, 1, reads, "the data came with the TAN")
	require.EqualValues(t, 1, s.tans.Load())
	_, err = c.provider.Transactions(t.Context(), &c.conv, accounts[0], banks.Window{}, "")
	require.NoError(t, err)
	require.Equal(t, 2, reads)
}

func TestDecoupled(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.methods, s.allowed, s.polls = [][]string{smsTAN, appTAN, smsTAN}, []string{"942", "946"}, 2
	s.challenge = func(string) *challenge { return &challenge{text: "Bitte bestätigen", decoupled: true} }
	c := s.customer()
	step, err := c.move(c.provider.Authorize)
	require.NoError(t, err)
	require.Equal(t, []banks.AuthMethod{{ID: "942", Type: "SMS_OTP", AdditionalInfo: map[string]string{"name": "mobileTAN"}},
		{ID: "946", Type: "PUSH_OTP", AdditionalInfo: map[string]string{"name": "pushTAN"}}}, step.Challenge.AuthMethods)
	step, err = c.answer(banks.Answer{MethodID: "946"})
	require.NoError(t, err)
	require.Equal(t, &banks.Challenge{Type: banks.Decoupled, Message: "Bitte bestätigen"}, step.Challenge)
	require.Equal(t, 3*time.Second, step.PollAfter)
	messages := len(s.seen)
	step, err = c.move(c.provider.Poll)
	require.NoError(t, err)
	require.Equal(t, banks.Step{Status: banks.Pending, PollAfter: 3 * time.Second}, step)
	require.Len(t, s.seen, messages, "polled too soon")
	for step.Status == banks.Pending {
		s.now = s.now.Add(step.PollAfter)
		step, err = c.move(c.provider.Poll)
		require.NoError(t, err)
	}
	require.Equal(t, banks.Ready, step.Status)
	require.Len(t, s.seen, messages+3)

	s.polls = 100
	c = s.customer()
	err = c.connect()
	requireError(t, err, banks.NeedsUser, banks.CodeExpired)
}

func TestPictures(t *testing.T) {
	t.Parallel()
	var picture bytes.Buffer
	require.NoError(t, png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))))
	matrix := hhd.Matrix{MIME: "image/png", Image: picture.Bytes()}
	encoded := base64.StdEncoding.EncodeToString(matrix.Challenge())
	for name, test := range map[string]struct {
		challenge challenge
		want      banks.Challenge
	}{
		"flicker code": {challenge{text: "Karte einlegen", hhduc: []byte("0248A0120452019980812345678")},
			banks.Challenge{Format: banks.FormatHHD, Data: "0D85012045201998041234567855", Version: "1.4", AdditionalInfo: "Karte einlegen"}},
		"flicker code in the text": {challenge{text: "CHLGUC 00312908881344731012345678900515,00CHLGTEXT0008Karte ein"},
			banks.Challenge{Format: banks.FormatHHD, Data: "1204881344730512345678901531352C30303B", Version: "1.3", AdditionalInfo: "Karte ein"}},
		"picture": {challenge{text: "Bitte scannen", hhduc: matrix.Challenge()},
			banks.Challenge{Format: banks.FormatPhoto, Data: matrix.DataURI(), AdditionalInfo: "Bitte scannen"}},
		"picture in the text": {challenge{text: fmt.Sprintf("CHLGUC%04d%sCHLGTEXT0013Bitte scannen", len(encoded), encoded)},
			banks.Challenge{Format: banks.FormatPhoto, Data: matrix.DataURI(), AdditionalInfo: "Bitte scannen"}},
		"neither": {challenge{text: "Startcode 123", hhduc: []byte("garbage")}, banks.Challenge{Format: banks.FormatText, Data: "Startcode 123"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.challenge = func(string) *challenge { return &test.challenge }
			c := s.customer()
			require.NoError(t, c.connect())
			want := test.want
			want.Type, want.Label, want.InputFormat, want.MaxLength = banks.Embedded, "mobileTAN", "integer", 6
			require.Equal(t, want, c.asked[0])
		})
	}
}

func TestMedia(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	needs := slices.Clone(smsTAN)
	needs[18] = "2"
	s.methods = [][]string{needs}
	s.challenge = func(order string) *challenge {
		if order == "HKIDN" {
			return &challenge{text: "TAN"}
		}
		return nil
	}
	s.orders["HKTAB"] = func(order *syntax.Segment) []syntax.Segment {
		medium := func(class, status, name, phone string) syntax.Element {
			return syntax.Text(class, status, "", "", "", "", "", "", "", "", "", "", name, phone)
		}
		return []syntax.Segment{syntax.New("HITAB", 4, syntax.Text("0"), medium("M", "1", "Handy", "*****12"), medium("M", "2", "Alt", ""),
			medium("G", "1", "Karte", ""), medium("M", "1", "Zweithandy", "*****34"))}
	}
	c := s.customer()
	step, err := c.move(c.provider.Authorize)
	require.NoError(t, err)
	require.Equal(t, []banks.AuthMethod{{ID: "1", Type: "SMS_OTP", MediumName: "Handy", AdditionalInfo: map[string]string{"phone": "*****12"}},
		{ID: "2", Type: "SMS_OTP", MediumName: "Zweithandy", AdditionalInfo: map[string]string{"phone": "*****34"}}}, step.Challenge.AuthMethods)
	_, err = c.answer(banks.Answer{MethodID: "3"})
	requireError(t, err, banks.NeedsUser, banks.CodeTANNotActivated)
	step, err = c.answer(banks.Answer{MethodID: "2"})
	require.NoError(t, err)
	require.Equal(t, banks.Embedded, step.Challenge.Type)
	require.Contains(t, string(c.conv.Lasting), "Zweithandy")
}

// What a return code at the login comes to, and how often the PIN was sent for it.
func TestReturnCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]struct {
		kind banks.Kind
		code int
	}{
		"9942": {banks.WrongCredentials, banks.CodePINInvalid},
		"9340": {banks.WrongCredentials, banks.CodePINInvalid},
		"9910": {banks.WrongCredentials, banks.CodePINInvalid},
		"9931": {banks.NeedsUser, banks.CodeAccessBlocked},
		"9930": {banks.NeedsUser, banks.CodeAccessBlocked},
		"3938": {banks.NeedsUser, banks.CodeAccessBlocked},
		"3931": {banks.NeedsUser, banks.CodeAccessBlocked},
		"3916": {banks.NeedsUser, banks.CodePINChange},
		"9380": {banks.NeedsUser, banks.CodeTANNotActivated},
		"9955": {banks.NeedsUser, banks.CodeTANNotActivated},
		"9075": {banks.NeedsUser, banks.CodeTANNotActivated},
		"9330": {banks.NeedsUser, banks.CodeTANBlocked},
		"9951": {banks.NeedsUser, banks.CodeExpired},
		"9010": {banks.Rejected, banks.CodeBankCannot},
		"9210": {banks.Rejected, banks.CodeBankCannot},
		"9999": {banks.Rejected, banks.CodeBankCannot},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.door = code
			err := s.customer().connect()
			requireError(t, err, want.kind, want.code)
			require.EqualValues(t, 1, s.logins.Load())
			require.Equal(t, "Abgelehnt.", banks.AsError(err).Message)
		})
	}
}

func TestWrongTAN(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.challenge = func(string) *challenge { return &challenge{text: "TAN"} }
	c := s.customer()
	_, err := c.move(c.provider.Authorize)
	require.NoError(t, err)
	_, err = c.answer(banks.Answer{Value: "000000"})
	requireError(t, err, banks.WrongCredentials, banks.CodeTANInvalid)
	require.EqualValues(t, 1, s.tans.Load())
	require.Empty(t, s.dialogs, "the dialog is left open")
}

// A PIN whose fate is unknown is not sent twice, unless the bank accepted it before in this conversation.
func TestLostLogin(t *testing.T) {
	t.Parallel()
	loseOnce := func(s *script, at string) {
		lost := false
		s.fail = func(w http.ResponseWriter, names string) bool {
			if lost || names != at {
				return false
			}
			lost = true
			connection, _, err := http.NewResponseController(w).Hijack()
			require.NoError(t, err)
			connection.Close()
			return true
		}
	}
	t.Run("the first", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		loseOnce(s, "HKIDN HKVVB HKSYN")
		requireError(t, s.customer().connect(), banks.WrongCredentials, banks.CodePINInvalid)
		require.EqualValues(t, 1, s.logins.Load())
	})
	t.Run("found announced by another worker", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		c := s.customer()
		step, err := c.provider.Authorize(t.Context(), &c.conv)
		require.NoError(t, err)
		require.Equal(t, banks.Moving, step.Status)
		require.Zero(t, s.logins.Load(), "announced, not sent")
		c.reload()
		_, err = c.provider.Authorize(t.Context(), &c.conv)
		requireError(t, err, banks.WrongCredentials, banks.CodePINInvalid)
		require.Zero(t, s.logins.Load())
	})
	t.Run("of an access that works", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		c := s.customer()
		require.NoError(t, c.connect())
		c.conv.Dialog = nil
		c.reload()
		loseOnce(s, "HKIDN HKVVB HKTAN4")
		logins := s.logins.Load()
		requireError(t, c.connect(), banks.BankDown, banks.CodeTemporary)
		require.Equal(t, logins+1, s.logins.Load())
	})
	t.Run("after one that succeeded", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		loseOnce(s, "HKIDN HKVVB HKTAN4")
		c := s.customer()
		requireError(t, c.connect(), banks.Transient, banks.CodeTemporary)
		require.NoError(t, c.connect())
		require.EqualValues(t, 3, s.logins.Load())
	})
	t.Run("refused before the bank saw it", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		refused := false
		s.fail = func(w http.ResponseWriter, names string) bool {
			if refused || names != "HKIDN HKVVB HKSYN" {
				return false
			}
			refused = true
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		c := s.customer()
		requireError(t, c.connect(), banks.Transient, banks.CodeTemporary)
		require.NoError(t, c.connect())
	})
}

// A TAN whose answer is lost goes out again under its number; the bank does not take it twice.
func TestLostTAN(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, w http.ResponseWriter){
		"the connection breaks": func(t *testing.T, w http.ResponseWriter) {
			connection, _, err := http.NewResponseController(w).Hijack()
			require.NoError(t, err)
			connection.Close()
		},
		"the server fails": func(_ *testing.T, w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			accepted := false
			s.challenge = func(string) *challenge {
				if accepted {
					return nil
				}
				return &challenge{text: "TAN"}
			}
			s.fail = func(w http.ResponseWriter, names string) bool {
				if names != "HKTAN2" || accepted {
					return false
				}
				accepted = true
				lose(t, w)
				return true
			}
			c := s.customer()
			_, err := c.move(c.provider.Authorize)
			require.NoError(t, err)
			_, err = c.answer(banks.Answer{Value: tan})
			requireError(t, err, banks.Transient, banks.CodeTemporary)
			step, err := c.answer(banks.Answer{Value: tan})
			require.NoError(t, err)
			require.Equal(t, banks.Ready, step.Status, "the bank has the TAN, and lets the next login in")
			require.EqualValues(t, 1, s.tans.Load())
		})
	}
}

// A dialog that the bank ended while accounts are read is opened again.
func TestDialogEnds(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.orders = map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": balance, "HKSPA": ibans}
	c := s.customer()
	require.NoError(t, c.connect())
	clear(s.dialogs)
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	require.Len(t, accounts[0].Balances, 2)

	clear(s.dialogs)
	s.challenge = func(string) *challenge { return &challenge{text: "schon wieder"} }
	_, err = c.provider.Accounts(t.Context(), &c.conv)
	requireError(t, err, banks.NeedsAuthorization, banks.CodeNotAuthorized)
	c.reload()
	require.NoError(t, c.connect())
	require.Len(t, c.asked, 1)
	_, err = c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
}

func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(evil.Close)
	for name, answer := range map[string]func(w http.ResponseWriter){
		"redirect": func(w http.ResponseWriter) {
			w.Header().Set("Location", evil.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"HTML": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>canary</html>") },
		"no message": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, base64.StdEncoding.EncodeToString([]byte("canary")))
		},
		"cut": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "HNHBK:1:3+000000000125+300+0+1'HIRMG:2:2+0010::canary")
		},
		"empty": func(http.ResponseWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.fail = func(w http.ResponseWriter, _ string) bool { answer(w); return true }
			err := s.customer().connect()
			require.Equal(t, banks.Rejected, banks.AsError(err).Kind)
			require.NotContains(t, err.Error(), "canary")
		})
	}
	for name, url := range map[string]string{"http elsewhere": "http://bank.example/fints", "user": "https://a:b@bank.example", "file": "file:///etc/passwd"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newScript(t).customer()
			c.conv.Connection.URL = url
			requireError(t, c.connect(), banks.Rejected, banks.CodeInternal)
		})
	}
}

// A touchdown point is worth nothing in another dialog ("Formals", section B.6.3): what was read is read again, and none of
// it comes twice.
func TestTouchdownInAnotherDialog(t *testing.T) {
	t.Parallel()
	pages := [][]string{
		{":61:260225D1,NMSCNONREF", ":61:260226D2,NMSCNONREF"},
		{":61:260226D3,NMSCNONREF", ":61:260227D4,NMSCNONREF"},
		{":61:260227D5,NMSCNONREF", ":61:260228D6,NMSCNONREF"},
	}
	for name, before := range map[string]func(c *customer, sealed banks.Conversation){
		"the bank ended it":                 func(c *customer, _ banks.Conversation) { clear(c.dialogs) },
		"the worker died, the state is old": func(c *customer, sealed banks.Conversation) { c.conv = sealed },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.orders = map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": balance, "HKSPA": ibans, "HKKAZ": func(order *syntax.Segment) []syntax.Segment {
				n, point := 0, order.Get(5, 0)
				if point != "" {
					_, err := fmt.Sscanf(point, fmt.Sprintf("login %d page %%d", s.logins.Load()), &n)
					if err != nil {
						return []syntax.Segment{feedback("HIRMS", order.Number, []string{"9210", "Aufsetzpunkt unbekannt"})}
					}
				}
				if n == len(pages)-1 {
					return statement("", pages[n]...)
				}
				return statement(fmt.Sprintf("login %d page %d", s.logins.Load(), n+1), pages[n]...)
			}}
			for disturbed := 1; disturbed < len(pages); disturbed++ {
				c := s.customer()
				require.NoError(t, c.connect())
				accounts, err := c.provider.Accounts(t.Context(), &c.conv)
				require.NoError(t, err)
				sealed := c.conv
				var booked []string
				cursor := ""
				for n := range pages {
					if n == disturbed {
						before(c, sealed)
					}
					c.reload()
					page, err := c.provider.Transactions(t.Context(), &c.conv, accounts[0], banks.Window{}, cursor)
					require.NoError(t, err)
					for _, e := range page.Entries {
						if !e.Pending {
							booked = append(booked, e.Amount.Abs().String())
						}
					}
					cursor = page.Next
				}
				require.Empty(t, cursor)
				require.Equal(t, []string{"1", "2", "3", "4", "5", "6"}, booked)
			}
		})
	}
}

// A bank may cut what it sends in pages wherever it likes ("Formals", section B.6.3).
func TestStatementCutAnywhere(t *testing.T) {
	t.Parallel()
	file := ":20:X\r\n:25:1\r\n:28C:0\r\n:60F:C260101EUR0,00\r\n:61:260226D12,34NMSCNONREF//A1\r\n:86:005?00LASTSCHRIFT?20SVWZ+Strom?32STADT\r\nWERKE\r\n" +
		":61:260227C100,NMSCNONREF//A2\r\n:62F:C260227EUR87,66\r\n-\r\n" +
		":20:Y\r\n:25:1\r\n:28C:0\r\n:60F:C260227EUR87,66\r\n:61:260228D0,66NMSCNONREF//A3\r\n:62F:C260228EUR87,00\r\n-"
	s := newScript(t)
	cut := len(file)
	s.orders = map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": balance, "HKSPA": ibans, "HKKAZ": func(order *syntax.Segment) []syntax.Segment {
		first, second := syntax.New("HIKAZ", 7, syntax.Binary([]byte(file[:cut]))), syntax.New("HIKAZ", 7, syntax.Binary([]byte(file[cut:])))
		if order.Get(5, 0) == "" && cut < len(file) {
			return []syntax.Segment{first, feedback("HIRMS", 3, []string{"3040", "Es liegen weitere Informationen vor.", "2"})}
		}
		if cut < len(file) {
			return []syntax.Segment{second}
		}
		return []syntax.Segment{first}
	}}
	c := s.customer()
	require.NoError(t, c.connect())
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	read := func() (all banks.Page) {
		cursor := ""
		for range 2 {
			page, err := c.provider.Transactions(t.Context(), &c.conv, accounts[0], banks.Window{}, cursor)
			require.NoError(t, err, "cut at %d", cut)
			c.reload()
			all.Entries, all.Balances = append(all.Entries, page.Entries...), append(all.Balances, page.Balances...)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		return all
	}
	whole := read()
	require.Len(t, whole.Entries, 3)
	require.Len(t, whole.Balances, 4)
	for cut = range len(file) {
		if cut > 0 {
			require.Equal(t, whole, read(), "cut at %d", cut)
		}
	}
}

// A TAN that is asked for and never given counts as a wrong one ("Sicherheitsverfahren PIN/TAN", section B.4.4.2): the
// customer is asked for it, and the bank not asked again for what it wants a TAN for each time.
func TestBalanceThatNeedsTAN(t *testing.T) {
	t.Parallel()
	for name, always := range map[string]bool{"once": false, "every time": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.needTAN = []string{"HKSAL"}
			s.challenge = func(order string) *challenge {
				if order == "HKSAL" && (always || s.tans.Load() == 0) {
					return &challenge{text: "TAN"}
				}
				return nil
			}
			balances := 0
			s.orders = map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": func(order *syntax.Segment) []syntax.Segment {
				balances++
				return balance(order)
			}, "HKSPA": func(order *syntax.Segment) []syntax.Segment {
				second := syntax.Text("J", "DE40900900424711951501", "DEMODE01", "4711951501", "", "280", "90090042")
				answer := ibans(order)
				answer[0].Elements = append(answer[0].Elements, second)
				return answer
			}}
			synchronize := func(c *customer) (accounts []banks.Account, err error) {
				for range 4 {
					if err = c.connect(); err != nil {
						return nil, err
					}
					accounts, err = c.provider.Accounts(t.Context(), &c.conv)
					if err == nil || banks.AsError(err).Kind != banks.NeedsAuthorization {
						break
					}
					c.reload()
				}
				return accounts, err
			}
			c := s.customer()
			accounts, err := synchronize(c)
			require.NoError(t, err)
			require.Len(t, accounts, 2)
			asked := int(s.tans.Load())
			require.Len(t, c.asked, asked, "a question without its TAN")
			c.conv.Dialog, c.conv.Interactive = nil, false
			c.reload()
			accounts, err = synchronize(c)
			require.NoError(t, err)
			require.EqualValues(t, asked, s.tans.Load())
			if always {
				require.Equal(t, 2, asked)
				require.Empty(t, accounts[0].Balances)
				return
			}
			require.Equal(t, 1, asked)
			require.NotEmpty(t, accounts[0].Balances)
			require.NotEmpty(t, accounts[1].Balances)
		})
	}
}

// A method that the customer does not have any more is chosen anew ("Sicherheitsverfahren PIN/TAN", section B.6.1, 3920).
func TestMethodIsGone(t *testing.T) {
	t.Parallel()
	for name, codes := range map[string][][]string{
		"the bank lists the others": {{"3920", "Zugelassene Verfahren", "943"}, {"9800", "Dialog abgebrochen"}},
		"it does not":               {{"9380", "Gewähltes Verfahren nicht zulässig"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			other := slices.Clone(smsTAN)
			other[0] = "943"
			s.methods = [][]string{smsTAN, other}
			c := s.customer()
			require.NoError(t, c.connect())
			s.allowed = []string{"943"}
			s.refuse = func(function string) [][]string {
				if function == "942" {
					return codes
				}
				return nil
			}
			c.conv.Dialog = nil
			c.reload()
			require.NoError(t, c.connect())
			require.Contains(t, string(c.conv.Lasting), `"method":"943"`)
		})
	}
}

// A bank may refuse the one-step procedure and name the methods all the same ("Sicherheitsverfahren PIN/TAN", section
// B.8.2); then the customer-system id comes from a login with one of them, which is good for nothing else.
func TestOneStepRefused(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.refuse = func(function string) [][]string {
		if function == "999" {
			return [][]string{{"9955", "Ein-Schritt-TAN-Verfahren nicht zugelassen"}, {"3920", "Zugelassene Verfahren", "942"}}
		}
		return nil
	}
	s.challenge = func(order string) *challenge {
		if order == "HKIDN" && s.tans.Load() == 0 {
			return &challenge{text: "TAN"}
		}
		return nil
	}
	c := s.customer()
	require.NoError(t, c.connect())
	require.Len(t, c.asked, 1)
	require.Contains(t, string(c.conv.Lasting), `"system_id":"system-1"`)
	require.Equal(t, []string{"HKIDN HKVVB", "HKEND", "HKIDN HKVVB HKSYN", "HKIDN HKVVB HKTAN4 HKSYN", "HKTAN2", "HKEND", "HKIDN HKVVB HKTAN4"}, s.seen)
}

// What an account allows is what the user parameters list; unless they say that they do not tell ("Formals", data
// dictionary, "UPD-Verwendung").
func TestUserParameters(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		usage string
		list  []string
		reads bool
	}{
		"nothing of ours":         {"0", []string{"HKCCS"}, false},
		"nothing is said of it":   {"1", []string{"HKCCS"}, true},
		"no list at all":          {"0", []string{}, true},
		"listed":                  {"0", []string{"HKKAZ"}, true},
		"other orders are listed": {"0", []string{"HKSAL"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.usage, s.orderable = test.usage, test.list
			s.orders = map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": balance, "HKSPA": ibans,
				"HKKAZ": func(*syntax.Segment) []syntax.Segment { return statement("", ":61:260228D12,34NMSCNONREF") }}
			c := s.customer()
			require.NoError(t, c.connect())
			accounts, err := c.provider.Accounts(t.Context(), &c.conv)
			require.NoError(t, err)
			_, err = c.provider.Transactions(t.Context(), &c.conv, accounts[0], banks.Window{}, "")
			if test.reads {
				require.NoError(t, err)
			} else {
				requireError(t, err, banks.Rejected, banks.CodeAccountNotOnline)
			}
		})
	}
}

// A refusal that is about one account leaves the others alone, and is not for ever.
func TestRefusedForOneAccount(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	refused := true
	refusal := func(order *syntax.Segment) []syntax.Segment {
		return []syntax.Segment{feedback("HIRMG", 0, []string{"9050", "Die Nachricht enthält Fehler."}), feedback("HIRMS", order.Number, []string{"9210", "Das Konto ist gesperrt"})}
	}
	unless := func(answer func(*syntax.Segment) []syntax.Segment) func(*syntax.Segment) []syntax.Segment {
		return func(order *syntax.Segment) []syntax.Segment {
			if refused {
				return refusal(order)
			}
			return answer(order)
		}
	}
	s.orders = map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": unless(balance), "HKSPA": unless(ibans), "HKKAZ": refusal}
	c := s.customer()
	require.NoError(t, c.connect())
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	require.Empty(t, accounts[0].IBAN+accounts[0].BIC)
	require.Empty(t, accounts[0].Balances)
	_, err = c.provider.Transactions(t.Context(), &c.conv, accounts[0], banks.Window{}, "")
	requireError(t, err, banks.Gone, banks.CodeAccountBlocked)

	refused = false
	c.conv.Dialog = nil
	c.reload()
	require.NoError(t, c.connect())
	accounts, err = c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	require.Equal(t, "DE67900900424711951500", accounts[0].IBAN)
	require.NotEmpty(t, accounts[0].Balances)
}

// What the bank would count as one more wrong PIN is not sent: nothing is signed with a PIN that it refused to an order,
// whether its dialog goes on or not, and nothing without a PIN. Neither is the end of the dialog.
func TestNothingIsSignedInVain(t *testing.T) {
	t.Parallel()
	changed := feedback("HIRMS", 3, []string{"9942", "PIN ungültig"})
	for name, test := range map[string]struct {
		refusal []syntax.Segment // of the second account's order; nil: the PIN is forgotten before it
		kind    banks.Kind
		code    int
	}{
		"refused":                 {[]syntax.Segment{changed}, banks.WrongCredentials, banks.CodePINInvalid},
		"refused with the dialog": {[]syntax.Segment{feedback("HIRMG", 0, []string{"9800", "Dialog abgebrochen."}), changed}, banks.WrongCredentials, banks.CodePINInvalid},
		"locked":                  {[]syntax.Segment{feedback("HIRMS", 3, []string{"9942", "Ihr Zugang ist gesperrt"})}, banks.WrongCredentials, banks.CodeAccessBlocked},
		"forgotten":               {nil, banks.NeedsUser, banks.CodeActivationNeeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.orders = map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": balance, "HKSPA": ibans,
				"HKKAZ": func(*syntax.Segment) []syntax.Segment { return test.refusal }}
			c := s.customer()
			require.NoError(t, c.connect())
			accounts, err := c.provider.Accounts(t.Context(), &c.conv)
			require.NoError(t, err)
			read := func() error {
				c.reload()
				_, err := c.provider.Transactions(t.Context(), &c.conv, accounts[0], banks.Window{}, "")
				return err
			}
			if test.refusal == nil {
				delete(c.conv.Credentials, banks.CredentialPIN)
			} else {
				require.Equal(t, test.code, banks.AsError(read()).Code)
				require.Nil(t, c.conv.Granted, "none without the customer before they were there")
			}
			seen := len(s.seen)
			requireError(t, read(), test.kind, test.code)
			if err := c.connect(); err != nil { // where the dialog goes on, nothing is to be done for it
				requireError(t, err, test.kind, test.code)
			}
			require.NoError(t, c.provider.(banks.HangUpper).HangUp(t.Context(), &c.conv))
			require.Equal(t, seen, len(s.seen), "%v", s.seen)

			c.conv.Dialog, c.conv.Credentials[banks.CredentialPIN] = nil, pin
			c.reload()
			require.NoError(t, c.connect(), "another synchronization of the customer's")
		})
	}
}

// A bank cannot make us wait for years: the pace has three digits.
func TestPace(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	slow := slices.Clone(appTAN)
	slow[22], slow[23] = "999999999", "999999999"
	s.methods, s.allowed = [][]string{slow}, []string{"946"}
	s.challenge = func(string) *challenge { return &challenge{text: "Bitte bestätigen", decoupled: true} }
	c := s.customer()
	step, err := c.move(c.provider.Authorize)
	require.NoError(t, err)
	require.Equal(t, 999*time.Second, step.PollAfter)
}

// What ISO 8859-1 does not have cannot be sent: as a TAN it is a wrong TAN.
func TestTANWithForeignLetters(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.challenge = func(string) *challenge { return &challenge{text: "TAN"} }
	c := s.customer()
	_, err := c.move(c.provider.Authorize)
	require.NoError(t, err)
	_, err = c.answer(banks.Answer{Value: "１２３４５６"})
	requireError(t, err, banks.WrongCredentials, banks.CodeTANInvalid)
	require.Zero(t, s.tans.Load())
}

// A customer-system id that the bank does not know any more is replaced ("Formals", section C.3.1.2, code 9210); the bank
// then takes us for a new system, so that it is the customer's turn.
func TestSystemIsGone(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	c := s.customer()
	require.NoError(t, c.connect())
	s.system = "system-2"
	logins := s.logins.Load()
	for range 2 {
		c.conv.Dialog, c.conv.Interactive = nil, false
		c.reload()
		requireError(t, c.connect(), banks.NeedsUser, banks.CodeActivationNeeded)
		require.Equal(t, logins+1, s.logins.Load())
	}
	c.conv.Dialog, c.conv.Interactive = nil, true
	c.reload()
	require.NoError(t, c.connect())
	require.Contains(t, string(c.conv.Lasting), `"system_id":"system-2"`)
}
