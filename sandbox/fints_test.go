package sandbox_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kontoflow/providers/fints/syntax"
	"kontoflow/sandbox"
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
}

func newFinTSClient(t *testing.T, bank *sandbox.Bank, login, function string) *fintsClient {
	server := httptest.NewServer(bank.Handler())
	t.Cleanup(server.Close)
	return &fintsClient{t: t, url: server.URL + "/fints", login: login, pin: "demo", function: function, system: "0", dialog: "0", number: 1}
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
		m.Security = &syntax.Security{Function: c.function, SystemID: c.system, Country: "280", BankCode: "90090042", UserID: c.login,
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
	return []syntax.Segment{syntax.New("HKIDN", 2, syntax.Text("280", "90090042"), syntax.Text(customer), syntax.Text(c.system), syntax.Text("1")),
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
