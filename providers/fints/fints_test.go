package fints_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
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

	"kontoflow/plain"
	"kontoflow/providers"
	"kontoflow/providers/fints"
	"kontoflow/providers/fints/syntax"
	"kontoflow/providers/hhd"
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
	door      string // code that refuses every login
	polls     int    // that are answered "still open"

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
}

var smsTAN = []string{"942", "2", "mTAN", "mobileTAN", "", "mobileTAN", "6", "1", "TAN", "4", "N", "2", "N", "0", "0", "N", "J", "00", "0", "N", "1"}
var appTAN = []string{"946", "2", "PUSH", "Decoupled", "", "pushTAN", "", "", "Freigabe", "4", "N", "2", "N", "0", "0", "N", "J", "00", "0", "N", "1", "5", "3", "2", "J", "J"}

func newScript(t *testing.T) *script {
	s := &script{t: t, now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), methods: [][]string{smsTAN}, version: 7, allowed: []string{"942"},
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
	answer.Segments = s.reply(m, answer)
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
			if segment.Get(0, 0) != "7" {
				all = append(all, s.bankParameters()...)
			}
			if m.Security != nil {
				all = append(all, feedback("HIRMS", segment.Number, append([]string{"3920", "Zugelassene Verfahren"}, s.allowed...)))
			}
			if m.Security != nil && m.Security.Function != "999" && segment.Get(1, 0) != "3" {
				all = append(all, s.userParameters()...)
			}
		case "HKSYN":
			all = append(all, syntax.New("HISYN", 4, syntax.Text("system-1")))
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
	methods := syntax.Text("J", "N", "0")
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
		syntax.New("HIBPA", 3, syntax.Text("7"), syntax.Text("280", "90090042"), syntax.Text("Demobank"), one, one, syntax.Text("300")),
		// Where a hostile bank would like us to send the PIN.
		syntax.New("HIKOM", 4, syntax.Text("280", "90090042"), one, syntax.Text("3", "https://evil.example/fints")),
		syntax.New("HISALS", 6, one, one, one), syntax.New("HISALS", 7, one, one, one), syntax.New("HISALS", 8, one, one, one),
		syntax.New("HISPAS", 1, one, one, one, syntax.Text("J", "N", "N")),
		syntax.New("HIKAZS", 7, one, one, one, syntax.Text("90", "N", "N")),
		syntax.New("HIPINS", 1, one, one, one, pins),
		syntax.New("HITANS", s.version, one, one, one, methods),
		syntax.New("HITABS", 4, one, one, one),
	}
	if s.camt != nil {
		all = append(all, syntax.New("HICAZS", 1, one, one, one, syntax.Text(append([]string{"400", "N", "N"}, s.camt...)...)))
	}
	return all
}

func (s *script) userParameters() []syntax.Segment {
	return []syntax.Segment{
		syntax.New("HIUPA", 4, syntax.Text("demo"), syntax.Text("3"), syntax.Text("0")),
		syntax.New("HIUPD", 6, syntax.Text("4711951500", "", "280", "90090042"), syntax.Empty(), syntax.Text("demo"), syntax.Text("1"), syntax.Text("EUR"),
			syntax.Text("Ernst"), syntax.Text("Müller"), syntax.Text("Girokonto"), syntax.Empty(), syntax.Text("HKSPA", "1"), syntax.Text("HKSAL", "1"), syntax.Text("HKKAZ", "1"), syntax.Text("HKCAZ", "1")),
	}
}

// A customer is Kontoflow's side: it seals after every move, and another worker goes on whenever the customer is asked.
type customer struct {
	*script
	provider providers.Provider
	conv     providers.Conversation
	asked    []providers.Challenge
}

func (s *script) customer() *customer {
	return &customer{script: s, provider: fints.New(fints.Options{Now: func() time.Time { return s.now }}), conv: providers.Conversation{
		Connection:  providers.Connection{Protocol: "FINTS", URL: s.server.URL, BankCode: "90090042"},
		Credentials: map[string]string{providers.CredentialLogin: "demo", providers.CredentialPIN: pin},
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

func (c *customer) move(move func(context.Context, *providers.Conversation) (providers.Step, error)) (providers.Step, error) {
	for range 20 {
		step, err := move(c.t.Context(), &c.conv)
		if err != nil || step.Status != providers.Moving {
			c.reload()
			return step, err
		}
	}
	c.t.Fatal("the adapter moves without end")
	return providers.Step{}, nil
}

func (c *customer) connect() error {
	step, err := c.move(c.provider.Authorize)
	for err == nil && step.Status != providers.Ready {
		if step.Challenge != nil {
			c.asked = append(c.asked, *step.Challenge)
		}
		switch {
		case step.Status == providers.Pending || step.Challenge.Type == providers.Decoupled:
			c.now = c.now.Add(step.PollAfter)
			step, err = c.move(c.provider.Poll)
		case step.Challenge.Type == providers.MethodSelection:
			methods := step.Challenge.AuthMethods
			step, err = c.answer(providers.Answer{MethodID: methods[len(methods)-1].ID})
		default:
			step, err = c.answer(providers.Answer{Value: tan})
		}
	}
	return err
}

func (c *customer) answer(a providers.Answer) (providers.Step, error) {
	return c.move(func(ctx context.Context, conv *providers.Conversation) (providers.Step, error) {
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
	require.Equal(t, []providers.Challenge{{Type: providers.Embedded, Format: providers.FormatHTML, Data: "<b>TAN</b> an 0170<br>senden?", Label: "mobileTAN",
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
	require.Equal(t, plain.Day(2026, 3, 2), a.Balances[0].Date)
	c.reload()
	page, err := c.provider.Transactions(t.Context(), &c.conv, a, providers.Window{}, "")
	require.NoError(t, err)
	require.NotEmpty(t, page.Next)
	c.reload()
	last, err := c.provider.Transactions(t.Context(), &c.conv, a, providers.Window{}, page.Next)
	require.NoError(t, err)
	require.Empty(t, last.Next)
	require.True(t, last.PendingCovered)
	require.Equal(t, providers.Window{From: plain.Day(2025, 12, 2), To: plain.Day(2026, 3, 2)}, last.Covered)
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
	requireError(t, err, providers.NeedsAuthorization, providers.CodeNotAuthorized)
}

func requireError(t *testing.T, err error, kind providers.Kind, code int) {
	t.Helper()
	require.Error(t, err)
	e := providers.AsError(err)
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
	_, err = c.provider.Transactions(t.Context(), &c.conv, accounts[0], providers.Window{}, "")
	requireError(t, err, providers.NeedsAuthorization, providers.CodeNotAuthorized)
	c.reload()
	require.NoError(t, c.connect())
	require.Len(t, c.asked, 1)
	require.Equal(t, "TAN für die Umsätze", c.asked[0].Data)
	require.Equal(t, providers.FormatText, c.asked[0].Format)
	before := c.conv
	for range 2 { // the second time after a crash, with the state as it was stored
		c.conv = before
		c.reload()
		page, err := c.provider.Transactions(t.Context(), &c.conv, accounts[0], providers.Window{}, "")
		require.NoError(t, err)
		require.Len(t, page.Entries, 2)
	}
	require.Equal(t, 1, reads, "the data came with the TAN")
	require.EqualValues(t, 1, s.tans.Load())
	_, err = c.provider.Transactions(t.Context(), &c.conv, accounts[0], providers.Window{}, "")
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
	require.Equal(t, []providers.AuthMethod{{ID: "942", Type: "SMS_OTP", AdditionalInfo: map[string]string{"name": "mobileTAN"}},
		{ID: "946", Type: "PUSH_OTP", AdditionalInfo: map[string]string{"name": "pushTAN"}}}, step.Challenge.AuthMethods)
	step, err = c.answer(providers.Answer{MethodID: "946"})
	require.NoError(t, err)
	require.Equal(t, &providers.Challenge{Type: providers.Decoupled, Message: "Bitte bestätigen"}, step.Challenge)
	require.Equal(t, 3*time.Second, step.PollAfter)
	messages := len(s.seen)
	step, err = c.move(c.provider.Poll)
	require.NoError(t, err)
	require.Equal(t, providers.Step{Status: providers.Pending, PollAfter: 3 * time.Second}, step)
	require.Len(t, s.seen, messages, "polled too soon")
	for step.Status == providers.Pending {
		s.now = s.now.Add(step.PollAfter)
		step, err = c.move(c.provider.Poll)
		require.NoError(t, err)
	}
	require.Equal(t, providers.Ready, step.Status)
	require.Len(t, s.seen, messages+3)

	s.polls = 100
	c = s.customer()
	err = c.connect()
	requireError(t, err, providers.NeedsUser, providers.CodeExpired)
}

func TestPictures(t *testing.T) {
	t.Parallel()
	var picture bytes.Buffer
	require.NoError(t, png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))))
	matrix := hhd.Matrix{MIME: "image/png", Image: picture.Bytes()}
	encoded := base64.StdEncoding.EncodeToString(matrix.Challenge())
	for name, test := range map[string]struct {
		challenge challenge
		want      providers.Challenge
	}{
		"flicker code": {challenge{text: "Karte einlegen", hhduc: []byte("0248A0120452019980812345678")},
			providers.Challenge{Format: providers.FormatHHD, Data: "0D85012045201998041234567855", Version: "1.4", AdditionalInfo: "Karte einlegen"}},
		"flicker code in the text": {challenge{text: "CHLGUC 00312908881344731012345678900515,00CHLGTEXT0008Karte ein"},
			providers.Challenge{Format: providers.FormatHHD, Data: "1204881344730512345678901531352C30303B", Version: "1.3", AdditionalInfo: "Karte ein"}},
		"picture": {challenge{text: "Bitte scannen", hhduc: matrix.Challenge()},
			providers.Challenge{Format: providers.FormatPhoto, Data: matrix.DataURI(), AdditionalInfo: "Bitte scannen"}},
		"picture in the text": {challenge{text: fmt.Sprintf("CHLGUC%04d%sCHLGTEXT0013Bitte scannen", len(encoded), encoded)},
			providers.Challenge{Format: providers.FormatPhoto, Data: matrix.DataURI(), AdditionalInfo: "Bitte scannen"}},
		"neither": {challenge{text: "Startcode 123", hhduc: []byte("garbage")}, providers.Challenge{Format: providers.FormatText, Data: "Startcode 123"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.challenge = func(string) *challenge { return &test.challenge }
			c := s.customer()
			require.NoError(t, c.connect())
			want := test.want
			want.Type, want.Label, want.InputFormat, want.MaxLength = providers.Embedded, "mobileTAN", "integer", 6
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
	require.Equal(t, []providers.AuthMethod{{ID: "1", Type: "SMS_OTP", MediumName: "Handy", AdditionalInfo: map[string]string{"phone": "*****12"}},
		{ID: "2", Type: "SMS_OTP", MediumName: "Zweithandy", AdditionalInfo: map[string]string{"phone": "*****34"}}}, step.Challenge.AuthMethods)
	_, err = c.answer(providers.Answer{MethodID: "3"})
	requireError(t, err, providers.NeedsUser, providers.CodeTANNotActivated)
	step, err = c.answer(providers.Answer{MethodID: "2"})
	require.NoError(t, err)
	require.Equal(t, providers.Embedded, step.Challenge.Type)
	require.Contains(t, string(c.conv.Lasting), "Zweithandy")
}

// What a return code at the login comes to, and how often the PIN was sent for it.
func TestReturnCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]struct {
		kind providers.Kind
		code int
	}{
		"9942": {providers.WrongCredentials, providers.CodePINInvalid},
		"9340": {providers.WrongCredentials, providers.CodePINInvalid},
		"9910": {providers.WrongCredentials, providers.CodePINInvalid},
		"9931": {providers.NeedsUser, providers.CodeAccessBlocked},
		"9930": {providers.NeedsUser, providers.CodeAccessBlocked},
		"3938": {providers.NeedsUser, providers.CodeAccessBlocked},
		"3931": {providers.NeedsUser, providers.CodeAccessBlocked},
		"3916": {providers.NeedsUser, providers.CodePINChange},
		"9380": {providers.NeedsUser, providers.CodeTANNotActivated},
		"9955": {providers.NeedsUser, providers.CodeTANNotActivated},
		"9075": {providers.NeedsUser, providers.CodeTANNotActivated},
		"9330": {providers.NeedsUser, providers.CodeTANBlocked},
		"9951": {providers.NeedsUser, providers.CodeExpired},
		"9010": {providers.Rejected, providers.CodeBankCannot},
		"9210": {providers.Rejected, providers.CodeBankCannot},
		"9999": {providers.Rejected, providers.CodeBankCannot},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.door = code
			err := s.customer().connect()
			requireError(t, err, want.kind, want.code)
			require.EqualValues(t, 1, s.logins.Load())
			require.Equal(t, "Abgelehnt.", providers.AsError(err).Message)
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
	_, err = c.answer(providers.Answer{Value: "000000"})
	requireError(t, err, providers.WrongCredentials, providers.CodeTANInvalid)
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
		requireError(t, s.customer().connect(), providers.WrongCredentials, providers.CodePINInvalid)
		require.EqualValues(t, 1, s.logins.Load())
	})
	t.Run("found announced by another worker", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		c := s.customer()
		step, err := c.provider.Authorize(t.Context(), &c.conv)
		require.NoError(t, err)
		require.Equal(t, providers.Moving, step.Status)
		require.Zero(t, s.logins.Load(), "announced, not sent")
		c.reload()
		_, err = c.provider.Authorize(t.Context(), &c.conv)
		requireError(t, err, providers.WrongCredentials, providers.CodePINInvalid)
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
		requireError(t, c.connect(), providers.BankDown, providers.CodeTemporary)
		require.Equal(t, logins+1, s.logins.Load())
	})
	t.Run("after one that succeeded", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		loseOnce(s, "HKIDN HKVVB HKTAN4")
		c := s.customer()
		requireError(t, c.connect(), providers.Transient, providers.CodeTemporary)
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
		requireError(t, c.connect(), providers.Transient, providers.CodeTemporary)
		require.NoError(t, c.connect())
	})
}

// A TAN whose answer is lost goes out again under its number; the bank does not take it twice.
func TestLostTAN(t *testing.T) {
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
		connection, _, err := http.NewResponseController(w).Hijack()
		require.NoError(t, err)
		connection.Close()
		return true
	}
	c := s.customer()
	_, err := c.move(c.provider.Authorize)
	require.NoError(t, err)
	_, err = c.answer(providers.Answer{Value: tan})
	requireError(t, err, providers.Transient, providers.CodeTemporary)
	step, err := c.answer(providers.Answer{Value: tan})
	require.NoError(t, err)
	require.Equal(t, providers.Ready, step.Status, "the bank has the TAN, and lets the next login in")
	require.EqualValues(t, 1, s.tans.Load())
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
	requireError(t, err, providers.NeedsAuthorization, providers.CodeNotAuthorized)
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
			require.Equal(t, providers.Rejected, providers.AsError(err).Kind)
			require.NotContains(t, err.Error(), "canary")
		})
	}
	for name, url := range map[string]string{"http elsewhere": "http://bank.example/fints", "user": "https://a:b@bank.example", "file": "file:///etc/passwd"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newScript(t).customer()
			c.conv.Connection.URL = url
			requireError(t, c.connect(), providers.Rejected, providers.CodeInternal)
		})
	}
}
