package fints_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// maxLoginsOfASynchronization is how often a synchronization may send the PIN to open a dialog, where
// the customer restarts nothing.
const maxLoginsOfASynchronization = 6

// An erratic bank answers every message as the next of its whims says, and keeps to nothing but the
// form of messages.
type erratic struct {
	mu     sync.Mutex
	whims  *rand.Rand
	temper int // the lower, the more goes wrong
	said   []string
	logins int  // messages with a PIN that open a dialog, in this synchronization
	denied bool // the bank refused the PIN, or said that the access is locked, in this synchronization
	broken string
}

// pick chooses by a whim.
func pick[T any](b *erratic, of ...T) T { return of[b.whims.IntN(len(of))] }

// oneIn happens by a whim, once in so many times.
func (b *erratic) oneIn(of int) bool { return b.whims.IntN(of) == 0 }

var refusals = [][]string{
	{"9010", "Nicht möglich"}, {"9210", "Auftrag abgelehnt"}, {"9110", "Unbekannter Aufbau"}, {"9050", "Fehler"}, {"9999", "Unbekannt"}, {"9380", "Verfahren nicht zulässig"},
	{"9955", "Ein-Schritt-Verfahren nicht zugelassen"}, {"9930", "Verfahren nicht vereinbart"}, {"9075", "Starke Authentifizierung erforderlich"}, {"9370", "Signatur fehlt"},
	{"9311", "Nicht verfügbar"}, {"9040", "Bitte später"}, {"9951", "Zeitüberschreitung"}, {"9078", "Produkt"}, {"9800", "Abbruch"}, {"9330", "Leser gesperrt"}, {"3951", "Umstellung"},
}

var denials = [][]string{{"9942", "PIN ungültig"}, {"9340", "Signatur falsch"}, {"9910", "Abgelehnt"}, {"9931", "Gesperrt"}, {"9930", "Gesperrt"}, {"3938", "Gesperrt"}, {"3931", "Gesperrt"}}

func (b *erratic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	raw, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, r.Body))
	if err != nil {
		b.broken = err.Error()
		return
	}
	m, err := syntax.Read(raw)
	if err != nil {
		b.broken = err.Error()
		return
	}
	var names []string
	for _, s := range m.Segments {
		name := s.Name
		if name == "HKTAN" {
			name += s.Get(0, 0)
		}
		names = append(names, name)
	}
	b.said = append(b.said, strings.Join(names, " "))
	if m.Security != nil {
		if b.denied {
			b.broken = "a PIN after the bank refused it"
		}
		if m.DialogID == "0" {
			b.logins++
		}
	}
	switch {
	case b.oneIn(b.temper):
		if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
			connection.Close()
		}
		return
	case b.oneIn(2 * b.temper):
		w.WriteHeader(pick(b, 500, 404, 503, 429, 502, 302))
		return
	case b.oneIn(5 * b.temper):
		_, _ = io.WriteString(w, "<html>Wartung</html>")
		return
	}
	answer := &syntax.Message{DialogID: m.DialogID, Number: m.Number}
	if m.DialogID == "0" {
		answer.DialogID = fmt.Sprintf("d%d", len(b.said))
	}
	answer.Answers = &syntax.Reference{DialogID: answer.DialogID, Number: m.Number}
	answer.Segments = b.answer(m)
	wire, err := answer.Wire()
	if err != nil {
		b.broken = err.Error()
		return
	}
	_, _ = io.WriteString(w, base64.StdEncoding.EncodeToString(wire))
}

func (b *erratic) answer(m *syntax.Message) []syntax.Segment {
	general, about := syntax.New("HIRMG", 2), syntax.New("HIRMS", 2)
	about.Reference = pick(b, 3, 4, 5)
	say := func(into *syntax.Segment, code, text string, parameters ...string) {
		into.Elements = append(into.Elements, syntax.Text(append([]string{code, "", text}, parameters...)...))
	}
	say(&general, "0010", "Entgegengenommen")
	var out []syntax.Segment
	if m.Security != nil && b.oneIn(3*b.temper) {
		denial := pick(b, denials...)
		b.denied = true
		say(&about, denial[0], denial[1])
		say(&general, "9800", "Abbruch")
		return []syntax.Segment{general, about}
	}
	if b.oneIn(b.temper / 2) {
		refusal := pick(b, refusals...)
		say(&about, refusal[0], refusal[1])
		if b.oneIn(2) {
			say(&general, "9800", "Abbruch")
		}
	}
	if b.oneIn(9) {
		say(&about, "3050", pick(b, "BPD", "UPD", "")+" nicht aktuell")
	}
	for i := range m.Segments {
		s := &m.Segments[i]
		switch s.Name {
		case "HKVVB":
			if !b.oneIn(9) {
				out = append(out, b.parameters()...)
			}
			if m.Security != nil {
				for range pick(b, 1, 0, 2) {
					say(&about, "3920", "Verfahren", pick(b, []string{"942"}, []string{"942", "946"}, []string{"900"}, []string{"999"}, []string{"943"}, nil, []string{"910"}, []string{"942", "943", "946", "910", "999"})...)
				}
				if !b.oneIn(5) {
					out = append(out, syntax.New("HIUPA", 4, syntax.Text("demo"), syntax.Text("3"), syntax.Text("0")),
						syntax.New("HIUPD", 6, syntax.Text("4711951500", "", "280", "90090042"), syntax.Text("DE67900900424711951500"), syntax.Text("demo"), syntax.Text("1"), syntax.Text("EUR"), syntax.Text("Ernst")))
				}
			}
		case "HKSYN":
			if !b.oneIn(12) {
				out = append(out, syntax.New("HISYN", 4, syntax.Text("system")))
			}
		case "HKTAB":
			out = append(out, b.media(s, &about, say)...)
		case "HKTAN":
			switch pick(b, "exempt", "exempt", "TAN", "TAN", "decoupled", "open", "nothing", "without a reference") {
			case "exempt":
				say(&about, "3076", "Keine starke Authentifizierung")
				out = append(out, syntax.New("HITAN", s.Version, syntax.Text("4"), syntax.Empty(), syntax.Text("noref"), syntax.Text("nochallenge")))
			case "TAN":
				say(&about, "0030", "Freigabe erforderlich")
				out = append(out, syntax.New("HITAN", s.Version, syntax.Text("4"), syntax.Empty(), syntax.Text("order-1"), syntax.Text("TAN")))
			case "decoupled":
				say(&about, "3955", "Anderer Kanal")
				out = append(out, syntax.New("HITAN", s.Version, syntax.Text("4"), syntax.Empty(), syntax.Text("order-1"), syntax.Text("App")))
			case "open":
				say(&about, "3956", "Noch ausstehend")
			case "without a reference":
				say(&about, "0030", "Freigabe erforderlich")
				out = append(out, syntax.New("HITAN", s.Version, syntax.Text("4")))
			}
		case "HKSAL", "HKKAZ", "HKSPA":
			if b.oneIn(6) {
				say(&general, "9800", "Dialog abgebrochen")
			}
			out = append(out, map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": balance, "HKSPA": ibans,
				"HKKAZ": func(*syntax.Segment) []syntax.Segment { return statement("", ":61:260228D12,34NMSCNONREF//A1") }}[s.Name](s)...)
		}
	}
	if len(about.Elements) > 0 {
		out = append([]syntax.Segment{about}, out...)
	}
	return append([]syntax.Segment{general}, out...)
}

// parameters are bank parameters with HITANS of any versions.
func (b *erratic) parameters() []syntax.Segment {
	one := syntax.Text("1")
	all := []syntax.Segment{
		syntax.New("HIBPA", 3, syntax.Text(pick(b, "7", "8")), syntax.Text("280", "90090042"), syntax.Text("Bank"), one, one, syntax.Text("300")),
		syntax.New("HISALS", 7, one, one, one), syntax.New("HISPAS", 1, one, one, one, syntax.Text("J", "N", "N")),
		syntax.New("HIKAZS", 7, one, one, one, syntax.Text("90", "N", "N")),
		syntax.New("HIPINS", 1, one, one, one, syntax.Text("5", "20", "6", "Benutzer", "", "HKKAZ", pick(b, "N", "J"), "HKSAL", pick(b, "N", "N", "J"))),
	}
	medium := pick(b, "0", "2")
	for _, version := range pick(b, []int{7}, []int{6}, []int{6, 7}, []int{1}, []int{1, 2, 3, 4, 5}, nil, []int{1, 6}) {
		var group syntax.Element
		if version < 6 {
			group = syntax.Text("J", "N", "0", "0", "942", "2", "smsTAN", "smsTAN", "6", "1", "TAN", "3", "1", "N", "N")
		} else {
			group = syntax.Text("J", "N", pick(b, "0", "1"))
			for _, m := range pick(b, [][]string{smsTAN}, [][]string{smsTAN, variant(smsTAN, map[int]string{0: "943"})}, nil, [][]string{variant(smsTAN, map[int]string{0: "910", 1: "1"})}) {
				group = append(group, syntax.Text(variant(m, map[int]string{18: medium})...)...)
			}
			if version == 7 && b.oneIn(2) {
				group = append(group, syntax.Text(variant(appTAN, map[int]string{18: medium, 21: pick(b, "5", "1", "0", "60")})...)...)
			}
		}
		all = append(all, syntax.New("HITANS", version, one, one, one, group))
	}
	if !b.oneIn(3) {
		all = append(all, syntax.New("HITABS", pick(b, 4, 5), one, one, one))
	}
	return all
}

func (b *erratic) media(s, about *syntax.Segment, say func(*syntax.Segment, string, string, ...string)) []syntax.Segment {
	list := syntax.New("HITAB", s.Version, syntax.Text("0"))
	switch pick(b, "list", "nothing", "3010", "refused", "empty") {
	case "nothing":
		return nil
	case "3010":
		say(about, "3010", "Keine Medien")
		return nil
	case "refused":
		say(about, pick(b, "9010", "9210", "9955"), "Abgelehnt")
		return nil
	case "list":
		for range pick(b, 1, 2, 3) {
			group := []string{pick(b, "M", "G", "A"), pick(b, "1", "2", "3", "4", ""), "", "", "", "", "", "", "", "", "", "", pick(b, "Handy", "Zweithandy", "")}
			if s.Version >= 5 {
				group = slices.Insert(group, 2, pick(b, "", "942"))
			}
			list.Elements = append(list.Elements, syntax.Text(group...))
		}
	}
	return []syntax.Segment{list}
}

// TestPINLoginsAreBounded lets a bank answer whatever it likes: with any methods, any of HITANS'
// versions, any media, any refusal of anything, and no answer at all. A synchronization never sends
// the PIN more than six times to open a dialog, beside what the customer's restarts allow: one more
// each, two where they choose the method anew. It never sends it again once it knows that the bank
// refused it, whoever dies in between. It ends: ready, or with a classified error.
func TestPINLoginsAreBounded(t *testing.T) {
	t.Parallel()
	bank := &erratic{}
	server := httptest.NewServer(bank)
	t.Cleanup(server.Close)
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.Uint64().Draw(r, "seed")
		now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
		bank.mu.Lock()
		bank.whims, bank.said, bank.broken, bank.temper = rand.New(rand.NewPCG(seed, seed)), nil, "", rapid.SampledFrom([]int{1000, 1000, 100, 30, 10, 4}).Draw(r, "temper")
		bank.mu.Unlock()
		driver := &driver{t: r, bank: bank, now: &now, provider: fints.New(fints.Options{Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)}),
			conv: banks.Conversation{Connection: banks.Connection{Protocol: "FINTS", URL: server.URL, BankCode: "90090042"},
				Credentials: map[string]string{banks.CredentialLogin: "demo", banks.CredentialPIN: pin}}}
		for n := range rapid.IntRange(1, 3).Draw(r, "synchronizations") {
			driver.conv.Dialog, driver.conv.Resumed = nil, true
			driver.conv.Interactive = n == 0 || rapid.Bool().Draw(r, "interactive")
			driver.conv.ChooseMethod, driver.conv.Restart = rapid.SampledFrom([]string{"", "", fmt.Sprint("wish-", n)}).Draw(r, "choose"), ""
			driver.restarts = rapid.SampledFrom([]int{0, 0, 0, 1, 5}).Draw(r, "restarts")
			driver.allowed = maxLoginsOfASynchronization
			bank.mu.Lock()
			bank.logins, bank.denied = 0, false
			bank.mu.Unlock()
			driver.synchronize()
			bank.mu.Lock()
			broken, logins, said := bank.broken, bank.logins, slices.Clone(bank.said)
			bank.mu.Unlock()
			require.Empty(r, broken, "%v", said)
			require.LessOrEqual(r, logins, driver.allowed, "%v", said)
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Hour, 24 * time.Hour, 200 * 24 * time.Hour}).Draw(r, "pause"))
		}
	})
}

// A bank that gives a reason to try again after every login gets the PIN six times, and once or
// twice more for each restart.
func TestSeventhLogin(t *testing.T) {
	t.Parallel()
	// forgetful is a bank that does not know the customer system that it has just given away.
	forgetful := func(t *testing.T) (*script, *customer, *bool) {
		s, knows := newScript(t), false
		s.methods, s.allowed = [][]string{smsTAN, variant(smsTAN, map[int]string{0: "943"})}, []string{"942", "943"}
		s.fail = func(w http.ResponseWriter, seen string) bool {
			if knows || seen != "HKIDN HKVVB HKTAN4" {
				return false
			}
			answerWith(w, feedback("HIRMG", 0, []string{"9050", "Fehler"}, []string{"9800", "Abbruch"}), feedback("HIRMS", 3, []string{"9210", "Kundensystem unbekannt"}))
			return true
		}
		s.challenge = func(string) *challenge { return &challenge{text: "TAN"} }
		return s, s.customer(), &knows
	}
	t.Run("without a restart", func(t *testing.T) {
		t.Parallel()
		s, c, _ := forgetful(t)
		requireError(t, c.connect(), banks.BankDown, banks.CodeTemporary)
		require.EqualValues(t, maxLoginsOfASynchronization, s.logins.Load())
	})
	for _, row := range []struct {
		name              string
		choose            bool
		restarts, allowed int
	}{
		{"after one restart", false, 1, 1},
		{"after five restarts", false, 5, 5},
		{"after a restart with another choice", true, 1, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, c, knows := forgetful(t)
			*knows = true
			_, err := c.authorize()
			require.NoError(t, err)
			step, err := c.answer(banks.Answer{MethodID: "942"})
			for n := range row.restarts {
				require.NoError(t, err)
				require.Equal(t, banks.Embedded, step.Challenge.Type)
				if *knows = n+1 < row.restarts; row.choose {
					c.conv.ChooseMethod = "wish"
				}
				c.conv.Restart = fmt.Sprint("restart-", n)
				if step, err = c.authorize(); row.choose {
					require.NoError(t, err)
					step, err = c.answer(banks.Answer{MethodID: "943"})
				}
			}
			requireError(t, err, banks.BankDown, banks.CodeTemporary)
			require.EqualValues(t, maxLoginsOfASynchronization+row.allowed, s.logins.Load())
		})
	}
}

// A driver does what activities and workflow do: it seals after every move, tries again what may
// pass, and loses what a worker that dies loses.
type driver struct {
	t        *rapid.T
	bank     *erratic
	now      *time.Time
	provider banks.Adapter
	conv     banks.Conversation
	moves    int
	restarts int // that the customer may still wish for
	allowed  int // logins in this synchronization
}

// synchronize goes on until everything is read, or an error ends it.
func (d *driver) synchronize() {
	for range 5 { // as often as the bank may want a TAN for an order
		if d.authorize() != nil {
			return
		}
		var accounts []banks.Account
		err := d.read(func() (err error) {
			accounts, err = d.provider.Accounts(d.t.Context(), &d.conv)
			return err
		})
		if err == nil && len(accounts) > 0 {
			err = d.read(func() error {
				_, err := d.provider.Transactions(d.t.Context(), &d.conv, accounts[0], banks.Window{}, "")
				return err
			})
		}
		if err == nil || d.classified(err).Kind != banks.NeedsAuthorization {
			return
		}
		d.conv.Resumed = true
	}
}

// read tries again what may pass.
func (d *driver) read(read func() error) (err error) {
	for range 7 {
		if err = read(); err == nil || d.classified(err).Kind != banks.Transient {
			return err
		}
		d.conv.Resumed = true
	}
	return err
}

func (d *driver) authorize() error {
	step, err := d.step(d.provider.Authorize)
	for range 40 {
		switch {
		case err != nil || step.Status == banks.Ready:
			return err
		case step.Status == banks.Pending, step.Challenge.Type == banks.Decoupled && d.restarts == 0:
			*d.now = d.now.Add(step.PollAfter)
			step, err = d.step(d.provider.Poll)
		case d.restarts > 0 && rapid.Bool().Draw(d.t, "restart"):
			step, err = d.restart()
		case step.Challenge.Type == banks.Decoupled:
			step, err = d.step(d.provider.Poll)
		default:
			answer := banks.Answer{Value: tan}
			if all := step.Challenge.AuthMethods; len(all) > 0 {
				answer.MethodID = rapid.SampledFrom(all).Draw(d.t, "method").ID
			}
			d.conv.Resumed = true // another worker goes on
			step, err = d.step(func(ctx context.Context, c *banks.Conversation) (banks.Step, error) {
				return d.provider.Answer(ctx, c, answer)
			})
		}
	}
	return fmt.Errorf("the customer has had enough")
}

// restart gives up the open question, as the API has it done.
func (d *driver) restart() (banks.Step, error) {
	d.restarts--
	d.allowed++
	d.conv.Restart, d.conv.Resumed = fmt.Sprint("restart-", d.moves, d.restarts), true
	if rapid.Bool().Draw(d.t, "choose anew") {
		d.allowed++
		d.conv.ChooseMethod = d.conv.Restart
	}
	step, err := d.step(d.provider.Authorize)
	d.conv.Restart = "" // only the call that begins another challenge has it
	return step, err
}

func (d *driver) step(move func(context.Context, *banks.Conversation) (banks.Step, error)) (step banks.Step, err error) {
	failures := 0
	for range 32 { // activities end what moves longer
		sealed := []json.RawMessage{slices.Clone(d.conv.Lasting), slices.Clone(d.conv.Dialog)}
		step, err = move(d.t.Context(), &d.conv)
		if d.moves++; d.moves%11 == 10 && rapid.Bool().Draw(d.t, "dies") {
			d.conv.Lasting, d.conv.Dialog, d.conv.Resumed = sealed[0], sealed[1], true
			d.bank.mu.Lock()
			d.bank.denied = false // what it said is lost with the worker
			d.bank.mu.Unlock()
			continue
		}
		switch {
		case err != nil:
			if d.classified(err).Kind != banks.Transient || failures == 6 {
				return step, err
			}
			failures++
			d.conv.Resumed = true
		case step.Status != banks.Moving:
			return step, nil
		}
	}
	d.t.Fatalf("it moves without end")
	return step, nil
}

func (d *driver) classified(err error) *banks.Error {
	e := banks.AsError(err)
	require.NotEmpty(d.t, e.Kind)
	require.NotZero(d.t, e.Code)
	require.NotContains(d.t, err.Error(), "canary")
	return e
}
