package sandbox_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/camt"
	"github.com/kontoflow/kontoflow/banks/formats/mt940"
	"github.com/kontoflow/kontoflow/sandbox"
)

// fintsClient speaks FinTS by hand: what tests of a protocol need, and no client should do.
type fintsClient struct {
	t        *testing.T
	url      string
	login    string
	pin      string
	function string
	system   string
	dialog   string
	number   int
	bankCode string
}

func newFinTSClient(t *testing.T, bank *sandbox.Bank, login, function string) *fintsClient {
	server := httptest.NewServer(bank.Handler())
	t.Cleanup(server.Close)
	return &fintsClient{t: t, url: server.URL + "/fints", login: login, pin: "demo", function: function, system: "0", dialog: "0", number: 1, bankCode: "90090042"}
}

// again is the same customer's next dialog.
func (c *fintsClient) again(function string) {
	c.function, c.dialog, c.number = function, "0", 1
}

type fintsAnswer struct {
	*syntax.Message
	t *testing.T
}

func (c *fintsClient) send(tan string, segments ...syntax.Segment) fintsAnswer {
	c.t.Helper()
	m := syntax.Message{DialogID: c.dialog, Number: c.number, Segments: segments}
	if c.login != "" {
		m.Security = &syntax.Security{Function: c.function, SystemID: c.system, Country: "280", BankCode: c.bankCode, UserID: c.login,
			At: time.Now(), Reference: "4711", Signed: true, PIN: c.pin, TAN: tan}
	}
	wire, err := m.Wire()
	require.NoError(c.t, err)
	answer := c.post(wire)
	require.Equal(c.t, c.number, answer.Number)
	require.Equal(c.t, c.number, answer.Answers.Number)
	c.number++
	c.dialog = answer.DialogID
	if s := answer.Find("HISYN"); s != nil {
		c.system = s.Get(0, 0)
	}
	return answer
}

func (c *fintsClient) post(wire []byte) fintsAnswer {
	c.t.Helper()
	response, err := http.Post(c.url, "text/plain", strings.NewReader(base64.StdEncoding.EncodeToString(wire)))
	require.NoError(c.t, err)
	defer response.Body.Close()
	require.Equal(c.t, http.StatusOK, response.StatusCode)
	encoded, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	raw, err := base64.StdEncoding.DecodeString(string(encoded))
	require.NoError(c.t, err)
	m, err := syntax.Read(raw)
	require.NoError(c.t, err)
	require.Equal(c.t, len(raw), m.Size)
	return fintsAnswer{m, c.t}
}

func (c *fintsClient) identify() []syntax.Segment {
	customer := c.login
	if customer == "" {
		customer = "9999999999"
	}
	return []syntax.Segment{syntax.New("HKIDN", 2, syntax.Text("280", c.bankCode), syntax.Text(customer), syntax.Text(c.system), syntax.Text("1")),
		syntax.New("HKVVB", 3, syntax.Text("0"), syntax.Text("0"), syntax.Text("0"), syntax.Text("Test"), syntax.Text("1"))}
}

// synchronize opens the one-step dialog that gives a customer-system id, and ends it.
func (c *fintsClient) synchronize() fintsAnswer {
	function := c.function
	c.again("999")
	answer := c.send("", append(c.identify(), syntax.New("HKSYN", 3, syntax.Text("0")))...)
	require.Subset(c.t, answer.codes(), []string{"3920"})
	c.end()
	c.again(function)
	return answer
}

func (c *fintsClient) logIn(medium string) fintsAnswer {
	return c.send("", append(c.identify(), tanFor("HKIDN", medium))...)
}

func (c *fintsClient) end() {
	require.Equal(c.t, []string{"0100"}, c.send("", syntax.New("HKEND", 1, syntax.Text(c.dialog))).codes())
}

func tanFor(order, medium string) syntax.Segment {
	s := syntax.New("HKTAN", 7, syntax.Text("4"), syntax.Text(order))
	if medium != "" {
		s.Elements = append(append(s.Elements, make([]syntax.Element, 8)...), syntax.Text(medium))
	}
	return s
}

func tanStep(process, reference string) syntax.Segment {
	return syntax.New("HKTAN", 7, syntax.Text(process), nil, nil, nil, syntax.Text(reference), syntax.Text("N"))
}

// codes are all return codes, the general ones first.
func (a fintsAnswer) codes() (codes []string) {
	for i := range a.Segments {
		if s := &a.Segments[i]; s.Name == "HIRMG" || s.Name == "HIRMS" {
			for n := range s.Elements {
				codes = append(codes, s.Get(n, 0))
			}
		}
	}
	return codes
}

func (a fintsAnswer) parameter(code string) string {
	for i := range a.Segments {
		for _, e := range a.Segments[i].Elements {
			if strings.HasPrefix(a.Segments[i].Name, "HIRM") && e.Get(0) == code {
				return e.Get(3)
			}
		}
	}
	return ""
}

func (a fintsAnswer) names() (names []string) {
	for _, s := range a.Segments {
		names = append(names, s.Name)
	}
	return slices.Compact(names)
}

func statementOrder(account string, touchdown string) syntax.Segment {
	return syntax.New("HKKAZ", 6, syntax.Text(account, "", "280", "90090042"), syntax.Text("N"), nil, nil, nil, syntax.Text(touchdown))
}

func TestFinTSAnonymousDialog(t *testing.T) {
	t.Parallel()
	c := newFinTSClient(t, sandbox.New(sandbox.Options{}), "", "")
	answer := c.send("", c.identify()...)
	require.Equal(t, []string{"0010", "0020"}, answer.codes())
	for _, name := range []string{"HIBPA", "HISHV", "HIPINS", "HITANS", "HITABS", "HISPAS", "HISALS", "HIKAZS", "HICAZS"} {
		require.NotNil(t, answer.Find(name), name)
	}
	require.Equal(t, []string{"HIRMG", "HIRMS"}, c.send("", syntax.New("HKSPA", 1)).names(), "nothing but parameters without a customer")
	c.end()
}

func TestFinTSDialog(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{})
	c := newFinTSClient(t, bank, "demo", "920")
	answer := c.synchronize()
	require.Equal(t, "920", answer.parameter("3920"))
	require.Nil(t, answer.Find("HIUPD"), "accounts are for those who have authenticated")

	answer = c.logIn("")
	require.Contains(t, answer.codes(), "0030")
	challenge := answer.Find("HITAN")
	require.Contains(t, challenge.Get(3, 0), "TAN")
	refused := c.send("", syntax.New("HKSPA", 1))
	require.Contains(t, refused.codes(), "9210", "before the TAN")
	answer = c.send("111111", tanStep("2", challenge.Get(2, 0)))
	require.Contains(t, answer.codes(), "0020")
	require.Equal(t, "DE67900900424711951500", answer.Find("HIUPD").Get(1, 0))
	require.Contains(t, c.send("111111", tanStep("2", challenge.Get(2, 0))).codes(), "9991", "a TAN is spent once")

	answer = c.send("", syntax.New("HKSPA", 1))
	require.Equal(t, "DE67900900424711951500", answer.Find("HISPA").Get(0, 1))
	ledgers, err := bank.Ledgers("demo")
	require.NoError(t, err)
	answer = c.send("", syntax.New("HKSAL", 7, syntax.Text("DE67900900424711951500"), syntax.Text("N")))
	require.Equal(t, ledgers[0].Balance, cents(t, answer.Find("HISAL").Get(3, 0), answer.Find("HISAL").Get(3, 1)))

	booked, pages := "", 0
	for touchdown, more := "", true; more; touchdown = answer.parameter("3040") {
		answer = c.send("", statementOrder("4711951500", touchdown), tanFor("HKKAZ", ""))
		require.Contains(t, answer.codes(), "3076")
		booked += answer.Find("HIKAZ").Get(0, 0)
		pages++
		more = answer.parameter("3040") != ""
	}
	require.Greater(t, pages, 2)
	want := 0
	for _, e := range ledgers[0].Entries {
		if !e.Pending {
			want++
		}
	}
	require.Equal(t, want, strings.Count(booked, ":61:"))
	final := booked[strings.LastIndex(booked, ":62F:")+len(":62F:"):]
	require.Equal(t, ledgers[0].Balance, cents(t, final[:1], strings.TrimSpace(strings.SplitN(final, "\r\n", 2)[0][10:])))
	c.end()

	c.again("920")
	require.Contains(t, c.logIn("").codes(), "3076", "the customer system is known now")
	c.end()
	require.Equal(t, 1, bank.Counters().TANs["demo"])
	require.Equal(t, 3, bank.Counters().Logins["demo"])
}

// cents reads an amount with a comma.
func cents(t *testing.T, side, amount string) int64 {
	whole, rest, _ := strings.Cut(amount, ",")
	n, err := strconv.ParseInt(whole+(rest + "00")[:2], 10, 64)
	require.NoError(t, err)
	if side == "D" {
		return -n
	}
	return n
}

// TestFinTSRefusals: what a login is told, persona by persona.
func TestFinTSRefusals(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{})
	for _, refusal := range []struct {
		login, pin string
		codes      []string
	}{
		{"wrongpin", "demo", []string{"9942", "9800"}},
		{"demo", "falsch", []string{"9942", "9800"}},
		{"nobody", "demo", []string{"9942", "9800"}},
		{"locked", "demo", []string{"9931", "9800"}},
		{"pinchange", "demo", []string{"3916", "3920"}},
		{"maintenance", "demo", []string{"9010", "9800"}},
	} {
		c := newFinTSClient(t, bank, refusal.login, "999")
		c.pin = refusal.pin
		answer := c.send("", append(c.identify(), syntax.New("HKSYN", 3, syntax.Text("0")))...)
		require.Subset(t, answer.codes(), refusal.codes, refusal.login)
		require.Equal(t, refusal.login == "pinchange", answer.Find("HISYN") != nil, refusal.login)
	}

	c := newFinTSClient(t, bank, "wrongpin+3", "999")
	for range 3 {
		c.again("999")
		require.Contains(t, c.send("", c.identify()...).codes(), "9942")
	}
	c.again("999")
	require.Contains(t, c.send("", c.identify()...).codes(), "3938", "the third locks")
	require.Equal(t, 3, bank.Counters().WrongPINs["wrongpin+3"])

	c = newFinTSClient(t, bank, "photo", "920")
	c.synchronize()
	answer := c.logIn("")
	require.Subset(t, answer.codes(), []string{"9380", "3920", "9800"})
	require.Equal(t, "930", answer.parameter("3920"))
	c.again("930")
	require.Contains(t, c.send("", c.identify()...).codes(), "9075", "a login without HKTAN")
	c.again("930")
	c.system = "1234567890ABCDEF0123456789"
	require.Contains(t, c.logIn("").codes(), "9210", "a customer-system id that the bank never gave")
	c.system = "0"
	c.again("999")
	c.send("", c.identify()...)
	require.Contains(t, c.send("", syntax.New("HKSPA", 1)).codes(), "9955", "one step is not enough for accounts")
}

// TestFinTSDialogIsStrict: dialog ids, message numbers, signatures and segment numbers have to be right.
func TestFinTSDialogIsStrict(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{})
	open := func() *fintsClient {
		c := newFinTSClient(t, bank, "exempt", "920")
		c.synchronize()
		require.Contains(t, c.logIn("").codes(), "3076")
		return c
	}
	for name, spoil := range map[string]func(*fintsClient){
		"dialog":   func(c *fintsClient) { c.dialog = "4711" },
		"number":   func(c *fintsClient) { c.number++ },
		"replay":   func(c *fintsClient) { c.number-- },
		"customer": func(c *fintsClient) { c.login = "demo" },
		"function": func(c *fintsClient) { c.function = "930" },
		"system":   func(c *fintsClient) { c.system = "0" },
		"PIN":      func(c *fintsClient) { c.pin = "falsch" },
	} {
		c := open()
		spoil(c)
		dialog := c.dialog
		answer := c.send("", syntax.New("HKSPA", 1))
		require.Contains(t, answer.codes(), "9800", name)
		require.Nil(t, answer.Security, "an abort is in clear")
		require.Nil(t, answer.Find("HISPA"), name)
		if name == "number" {
			c.number = 3
			c.dialog = dialog
			require.Contains(t, c.send("", syntax.New("HKSPA", 1)).codes(), "9120", "the dialog is over")
		}
	}

	c := open()
	require.Contains(t, c.send("", syntax.New("HKSPA", 9)).codes(), "9110", "unknown version")
	require.Contains(t, c.send("", syntax.New("HKCCS", 1)).codes(), "9210", "unknown order")
	require.Contains(t, c.send("", syntax.New("HKSAL", 7, syntax.Text("DE02120300000000202051"), syntax.Text("N"))).codes(), "9210", "somebody else's account")
	require.Contains(t, c.send("", statementOrder("4711951500", "")).codes(), "9210", "HKTAN is missing")
	bank.Advance(time.Hour)
	require.Contains(t, c.send("", syntax.New("HKSPA", 1)).codes(), "9120", "nothing was said for too long")
}

func TestFinTSMalformed(t *testing.T) {
	t.Parallel()
	c := newFinTSClient(t, sandbox.New(sandbox.Options{}), "", "")
	m := syntax.Message{DialogID: "0", Number: 1, Segments: c.identify()}
	wire, err := m.Wire()
	require.NoError(t, err)
	for name, broken := range map[string]string{
		"size":    strings.Replace(string(wire), "HNHBK:1:3+000", "HNHBK:1:3+001", 1),
		"number":  strings.Replace(string(wire), "HKVVB:3:", "HKVVB:5:", 1),
		"end":     string(wire[:len(wire)-4]),
		"version": strings.Replace(string(wire), "+300+", "+220+", 1),
		"nothing": "",
	} {
		require.Subset(t, c.post([]byte(broken)).codes(), []string{"9110", "9800"}, name)
	}
	response, err := http.Post(c.url, "text/plain", strings.NewReader(strings.Repeat("A", 1<<20)))
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
}

func TestFinTSTAN(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{})
	challenged := func(c *fintsClient) string {
		c.again("920")
		return c.logIn("").Find("HITAN").Get(2, 0)
	}
	c := newFinTSClient(t, bank, "demo+tan", "920")
	c.synchronize()
	reference := challenged(c)
	require.Subset(t, c.send("000000", tanStep("2", reference)).codes(), []string{"9941", "9800"})
	require.Equal(t, 1, bank.Counters().WrongTANs["demo+tan"])

	challenged(c)
	require.Contains(t, c.send("111111", tanStep("2", "4711")).codes(), "9210", "another order's reference")
	reference = challenged(c)
	bank.Advance(11 * time.Minute)
	require.Contains(t, c.send("111111", tanStep("2", reference)).codes(), "9951", "too late")
	require.Zero(t, bank.Counters().TANs["demo+tan"])

	reference = challenged(c)
	require.Contains(t, c.send("111111", tanStep("2", reference)).codes(), "0900")
	challengedAgain := func() bool {
		c.again("920")
		return c.logIn("").Find("HITAN").Get(2, 0) != "noref"
	}
	require.False(t, challengedAgain())
	bank.Advance(181 * 24 * time.Hour)
	require.True(t, challengedAgain(), "180 days have passed")
}

// TestFinTSDecoupled: status calls at the bank's pace, and what comes of asking too often.
func TestFinTSDecoupled(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	bank := sandbox.New(sandbox.Options{Now: func() time.Time { return time.Unix(1_790_000_000+now.Load(), 0) }})
	open := func(login string) (*fintsClient, string) {
		c := newFinTSClient(t, bank, login, "940")
		c.synchronize()
		answer := c.logIn("")
		require.Subset(t, answer.codes(), []string{"0030", "3955"})
		return c, answer.Find("HITAN").Get(2, 0)
	}
	c, reference := open("decoupled")
	for range 2 {
		now.Add(1)
		answer := c.send("", tanStep("S", reference))
		require.Contains(t, answer.codes(), "3956")
		require.Nil(t, answer.Find("HIUPD"))
	}
	now.Add(1)
	require.NotNil(t, c.send("", tanStep("S", reference)).Find("HIUPD"), "the third is the customer's yes")
	require.Equal(t, 3, bank.Counters().Polls["decoupled"])

	c, reference = open("app")
	require.Contains(t, c.send("", tanStep("S", reference)).codes(), "9941", "too soon")
	require.Equal(t, 1, bank.Counters().WrongTANs["app"])

	c, reference = open("app+no")
	require.NoError(t, bank.Decide("app+no", false))
	now.Add(1)
	require.Subset(t, c.send("", tanStep("S", reference)).codes(), []string{"9210", "9800"})
	c, reference = open("app+yes")
	require.NoError(t, bank.Decide("app+yes", true))
	now.Add(1)
	require.NotNil(t, c.send("", tanStep("S", reference)).Find("HIUPD"))
}

// read fetches all pages of an account's statements, each page given to take.
func (c *fintsClient) read(account string, order func(touchdown string) syntax.Segment, take func(fintsAnswer)) {
	for touchdown := ""; ; {
		s := order(touchdown)
		answer := c.send("", s, tanFor(s.Name, ""))
		take(answer)
		if touchdown = answer.parameter("3040"); touchdown == "" {
			return
		}
	}
}

// TestFinTSStatements: what the bank writes as MT940, MT942 and camt.052 is its ledger, in other words and without ids.
func TestFinTSStatements(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{})
	for _, login := range []string{"exempt", "pending", "noids", "movingdates", "swappeddates", "thousand", "currencies", "card"} {
		c := newFinTSClient(t, bank, login, "920")
		c.synchronize()
		answer := c.logIn("")
		if reference := answer.Find("HITAN").Get(2, 0); reference != "noref" {
			answer = c.send("111111", tanStep("2", reference))
		}
		ledgers, err := bank.Ledgers(login)
		require.NoError(t, err)
		accounts := answer.All("HIUPD")
		require.Len(t, accounts, len(ledgers))
		for i, l := range ledgers {
			number := accounts[i].At(0)
			var written []string
			c.read(l.Number, func(touchdown string) syntax.Segment {
				return syntax.New("HKKAZ", 6, number, syntax.Text("N"), nil, nil, nil, syntax.Text(touchdown))
			}, func(a fintsAnswer) {
				for part := range 2 {
					if s := a.Find("HIKAZ"); s != nil && s.Get(part, 0) != "" {
						report, err := mt940.Read(s.Get(part, 0), l.Currency)
						require.NoError(t, err)
						written = append(written, facts(report.Entries, part == 1)...)
					}
				}
			})
			require.Equal(t, ledgerFacts(l), slices.Sorted(slices.Values(written)), "%s MT940", login)

			for _, version := range []string{"02", "08"} {
				written = nil
				c.read(l.Number, func(touchdown string) syntax.Segment {
					account := append(syntax.Text("", ""), number...)
					return syntax.New("HKCAZ", 1, account, syntax.Text("urn:iso:std:iso:20022:tech:xsd:camt.052.001."+version), syntax.Text("N"), nil, nil, nil, syntax.Text(touchdown))
				}, func(a fintsAnswer) {
					if s := a.Find("HICAZ"); s != nil {
						for part := 2; part < len(s.Elements); part++ {
							for _, document := range s.At(part) {
								require.Contains(t, document.Text, "camt.052.001."+version)
								report, err := camt.Read(strings.NewReader(document.Text), l.Currency)
								require.NoError(t, err)
								written = append(written, facts(report.Entries, part == 3)...)
							}
						}
					}
				})
				require.Equal(t, ledgerFacts(l), slices.Sorted(slices.Values(written)), "%s camt %s", login, version)
			}
		}
		c.end()
	}
}

// facts are what both protocols agree about; of pending entries camt tells no day.
func facts(entries []banks.Entry, pending bool) (list []string) {
	for _, e := range entries {
		if pending {
			e.BookingDate = 0
		}
		list = append(list, fmt.Sprint(e.BookingDate, " ", e.Amount.StringFixed(2), " ", e.Currency, " ", e.Counterparty.IBAN, " ", e.EndToEndID, " ", e.MandateID, " ", e.TransactionID, " ", pending))
	}
	return list
}

func ledgerFacts(l sandbox.Ledger) (list []string) {
	for _, e := range l.Entries {
		if e.Pending {
			e.BookingDate = 0
		}
		list = append(list, fmt.Sprint(e.BookingDate, " ", euros(e.Cents), " ", e.Currency, " ", e.IBAN, " ", e.EndToEndID, " ", e.MandateID, "  ", e.Pending))
	}
	slices.Sort(list)
	return list
}

// TestFinTSFaults: the same faults as over XS2A, by the same names of endpoints.
func TestFinTSFaults(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{})
	c := newFinTSClient(t, bank, "exempt", "920")
	c.synchronize()
	c.logIn("")

	require.NoError(t, bank.Inject(sandbox.Fault{Bank: "fints", Endpoint: "transactions", Times: 1, Action: sandbox.ActLoop}))
	ledgers, err := bank.Ledgers("exempt")
	require.NoError(t, err)
	first := c.send("", statementOrder(ledgers[0].Number, ""), tanFor("HKKAZ", "")).parameter("3040")
	require.NotEmpty(t, first)
	require.Contains(t, c.send("", statementOrder(ledgers[0].Number, first+"x"), tanFor("HKKAZ", "")).codes(), "9210", "a touchdown point of somebody's own")

	require.NoError(t, bank.Inject(sandbox.Fault{Endpoint: "accounts", Times: 1, Action: sandbox.ActLose}))
	m := syntax.Message{DialogID: c.dialog, Number: c.number, Segments: []syntax.Segment{syntax.New("HKSPA", 1)},
		Security: &syntax.Security{Function: "920", SystemID: c.system, Country: "280", BankCode: "90090042", UserID: "exempt", At: time.Now(), Reference: "1", Signed: true, PIN: "demo"}}
	wire, err := m.Wire()
	require.NoError(t, err)
	_, err = http.Post(c.url, "text/plain", strings.NewReader(base64.StdEncoding.EncodeToString(wire))) //nolint:bodyclose // there is none
	require.Error(t, err)
	require.Subset(t, c.post(wire).codes(), []string{"9120", "9800"}, "the bank has had that number: it is not done twice")

	c.again("920")
	require.Contains(t, c.logIn("").codes(), "3076")
	require.NoError(t, bank.Inject(sandbox.Fault{Endpoint: "balances", Times: 1, Action: sandbox.ActStatus, Status: 503, Text: "Wartungsarbeiten bis 6:00 Uhr"}))
	answer := c.send("", syntax.New("HKSAL", 7, syntax.Text(ledgers[0].IBAN), syntax.Text("N")))
	require.Equal(t, []string{"9010", "9800"}, answer.codes())
	require.Equal(t, 1, bank.Counters().Calls["fints/balances"])
	require.Equal(t, 3, bank.Counters().ByLogin["exempt"]["login"])
}
