package fints_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// refusing answers the messages of the given names with return codes about the whole message.
func (s *script) refusing(names string, codes ...[]string) {
	s.fail = func(w http.ResponseWriter, seen string) bool {
		if seen != names {
			return false
		}
		answerWith(w, feedback("HIRMG", 0, codes...))
		return true
	}
}

func answerWith(w http.ResponseWriter, segments ...syntax.Segment) {
	m := &syntax.Message{DialogID: "x", Number: 1, Answers: &syntax.Reference{DialogID: "x", Number: 1}, Segments: segments}
	wire, _ := m.Wire()
	_, _ = w.Write(wire)
}

// next is the same customer's next synchronization.
func (c *customer) next(interactive bool) *customer {
	c.conv.Dialog, c.conv.Interactive = nil, interactive
	c.asked, c.seen = nil, nil
	c.logins.Store(0)
	c.reload()
	return c
}

// variant is a method with some of its fields changed.
func variant(method []string, fields map[int]string) []string {
	m := slices.Clone(method)
	for i, value := range fields {
		m[i] = value
	}
	return m
}

func named(method []string) []string { return variant(method, map[int]string{18: "2"}) }

func usualOrders() map[string]func(*syntax.Segment) []syntax.Segment {
	return map[string]func(*syntax.Segment) []syntax.Segment{"HKSAL": balance, "HKSPA": ibans,
		"HKKAZ": func(*syntax.Segment) []syntax.Segment { return statement("", ":61:260228D12,34NMSCNONREF//A1") }}
}

// reads is what a synchronization reads after the login.
func (c *customer) reads() ([]banks.Entry, error) {
	accounts, err := c.provider.Accounts(c.t.Context(), &c.conv)
	if err != nil {
		return nil, err
	}
	c.reload()
	page, err := c.provider.Transactions(c.t.Context(), &c.conv, accounts[0], banks.Window{}, "")
	c.reload()
	return page.Entries, err
}

const anonymous = "HKIDN HKVVB"

// A bank without anonymous dialogs gives its parameters to its customers only ("Formals", section
// C.5, has them as an offer). What it says in such a dialog about its user is about nobody.
func TestBankWithoutAnonymousDialogs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(s *script, w http.ResponseWriter)
		asked  int
	}{
		"refused, and it says why": {func(_ *script, w http.ResponseWriter) {
			answerWith(w, feedback("HIRMG", 0, []string{"9800", "Der Dialog wurde abgebrochen."}, []string{"9400", "Anonymer Dialog nicht unterstützt."}))
		}, 1},
		"refused, and it does not": {func(_ *script, w http.ResponseWriter) {
			answerWith(w, feedback("HIRMG", 0, []string{"9800", "Dialog abgebrochen."}))
		}, 1},
		"not available": {func(_ *script, w http.ResponseWriter) {
			answerWith(w, feedback("HIRMG", 0, []string{"9010", "Der anonyme Zugang ist derzeit nicht verfügbar."}))
		}, 1},
		"not understood": {func(_ *script, w http.ResponseWriter) {
			answerWith(w, feedback("HIRMG", 0, []string{"9110", "Unbekannter Aufbau"}))
		}, 1},
		"open, and without parameters": {func(_ *script, w http.ResponseWriter) {
			answerWith(w, feedback("HIRMG", 0, []string{"0010", "Entgegengenommen"}),
				syntax.New("HIUPA", 4, syntax.Text("9999999999"), syntax.Text("3"), syntax.Text("0")),
				syntax.New("HIUPD", 6, syntax.Text("1", "", "280", "90090042"), syntax.Empty(), syntax.Text("9999999999"), syntax.Text("1"), syntax.Text("EUR"), syntax.Text("anonym")))
		}, 1},
		"open, with parameters and a user of its own": {func(s *script, w http.ResponseWriter) {
			answerWith(w, append([]syntax.Segment{feedback("HIRMG", 0, []string{"0010", "Entgegengenommen"}),
				syntax.New("HIUPA", 4, syntax.Text("9999999999"), syntax.Text("3"), syntax.Text("0")),
				syntax.New("HIUPD", 6, syntax.Text("1", "", "280", "90090042"), syntax.Empty(), syntax.Text("9999999999"), syntax.Text("1"), syntax.Text("EUR"), syntax.Text("anonym"))},
				s.bankParameters()...)...)
		}, 1},
		"HTTP 404": {func(_ *script, w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, 1},
		"HTTP 500": {func(_ *script, w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.orders = usualOrders()
			s.fail = func(w http.ResponseWriter, names string) bool {
				if names == anonymous && len(s.seen) <= test.asked {
					test.answer(s, w)
					return true
				}
				return false
			}
			c := s.customer()
			err := c.connect()
			for range test.asked - 1 { // the activity tries again what may pass
				requireError(t, err, banks.Transient, banks.CodeTemporary)
				c.reload()
				err = c.connect()
			}
			require.NoError(t, err)
			accounts, err := c.provider.Accounts(t.Context(), &c.conv)
			require.NoError(t, err)
			require.Len(t, accounts, 1)
			require.Equal(t, "Ernst Müller", accounts[0].Owner)
			require.EqualValues(t, 2, s.logins.Load())
		})
	}
}

// Where the bank is closed, or does not accept our product, nothing is gained by sending it a PIN.
func TestNoPINAfterAnAnonymousDialogThatSaysWhy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		codes [][]string
		http  int
		kind  banks.Kind
		code  int
	}{
		"maintenance": {[][]string{{"9010", "Wegen Wartungsarbeiten geschlossen"}}, 0, banks.BankDown, banks.CodeMaintenance},
		"our product": {[][]string{{"9800", "Abbruch"}, {"9952", "Das Kundenprodukt wird nicht unterstützt"}}, 0, banks.Rejected, banks.CodeInternal},
		"HTTP 503":    {nil, 503, banks.Transient, banks.CodeTemporary},
		"HTTP 429":    {nil, 429, banks.LimitExceeded, banks.CodeTemporary},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.fail = func(w http.ResponseWriter, names string) bool {
				if names != anonymous {
					return false
				}
				if test.http != 0 {
					w.WriteHeader(test.http)
				} else {
					answerWith(w, feedback("HIRMG", 0, test.codes...))
				}
				return true
			}
			c := s.customer()
			for range 3 {
				requireError(t, c.connect(), test.kind, test.code)
				c.reload()
			}
			require.Zero(t, s.logins.Load())
		})
	}
}

// Banks with the one-step procedure only list it as 900 or 999, or list nothing, and have HITANS of
// old versions at most. HKTAN is never sent to them.
func TestOneStepBank(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		allowed []string
		version int // of HITANS
	}{
		"900":                         {[]string{"900"}, 1},
		"999":                         {[]string{"999"}, 1},
		"nothing":                     {nil, 1},
		"a method of an old version":  {[]string{"942"}, 5},
		"900, and HITANS lists none":  {[]string{"900"}, 6},
		"999 and a method of the old": {[]string{"942", "999"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.version, s.allowed, s.orders = test.version, test.allowed, usualOrders()
			if test.version >= 6 {
				s.methods = nil
			}
			c := s.customer()
			require.NoError(t, c.connect())
			entries, err := c.reads()
			require.NoError(t, err)
			require.NotEmpty(t, entries)
			require.Empty(t, c.asked)
			require.EqualValues(t, 2, s.logins.Load())
			require.NotContains(t, strings.Join(s.seen, " "), "HKTAN")
			c.next(false)
			require.NoError(t, c.connect())
			require.Equal(t, []string{"HKIDN HKVVB"}, s.seen)
		})
	}
	t.Run("none of the bank's methods is the customer's", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		s.allowed = []string{"911"}
		requireError(t, s.customer().connect(), banks.NeedsUser, banks.CodeTANNotActivated)
		require.EqualValues(t, 1, s.logins.Load())
	})
}

// A bank may want the name of a medium and name none that can be used. Then it is tried without
// one, and the question is not asked again.
func TestNoUsableMedium(t *testing.T) {
	t.Parallel()
	group := func(version int, class, status, name string) syntax.Element {
		fields := []string{class, status, "", "", "", "", "", "", "", "", "", "", name, ""}
		if version >= 5 {
			fields = slices.Insert(fields, 2, "")
		}
		return syntax.Text(fields...)
	}
	for name, answer := range map[string]func(order *syntax.Segment) []syntax.Segment{
		"no segment": func(*syntax.Segment) []syntax.Segment { return nil },
		"3010": func(o *syntax.Segment) []syntax.Segment {
			return []syntax.Segment{feedback("HIRMS", o.Number, []string{"3010", "Keine Medien"})}
		},
		"an empty list": func(o *syntax.Segment) []syntax.Segment {
			return []syntax.Segment{syntax.New("HITAB", o.Version, syntax.Text("0"))}
		},
		"an empty segment": func(o *syntax.Segment) []syntax.Segment { return []syntax.Segment{syntax.New("HITAB", o.Version)} },
		"only inactive": func(o *syntax.Segment) []syntax.Segment {
			return []syntax.Segment{syntax.New("HITAB", o.Version, syntax.Text("0"), group(o.Version, "M", "2", "Unregistriert 1"), group(o.Version, "M", "3", "Karte"))}
		},
		"without a name": func(o *syntax.Segment) []syntax.Segment {
			return []syntax.Segment{syntax.New("HITAB", o.Version, syntax.Text("0"), group(o.Version, "M", "1", ""))}
		},
		"of another class": func(o *syntax.Segment) []syntax.Segment {
			return []syntax.Segment{syntax.New("HITAB", o.Version, syntax.Text("0"), group(o.Version, "G", "1", "Karte"))}
		},
		"the order refused": func(o *syntax.Segment) []syntax.Segment {
			return []syntax.Segment{feedback("HIRMS", o.Number, []string{"9210", "Nicht erlaubt"})}
		},
		"the dialog ended": func(o *syntax.Segment) []syntax.Segment {
			return []syntax.Segment{feedback("HIRMG", 0, []string{"9800", "Abbruch"}), feedback("HIRMS", o.Number, []string{"9010", "Fehler"})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.methods, s.orders = [][]string{named(smsTAN)}, usualOrders()
			s.orders["HKTAB"] = answer
			c := s.customer()
			require.NoError(t, c.connect())
			require.EqualValues(t, 3, s.logins.Load())
			c.next(true)
			require.NoError(t, c.connect())
			require.EqualValues(t, 1, s.logins.Load(), "%v", s.seen)

			s.refusing("HKIDN HKVVB HKTAN4", []string{"9010", "Nicht möglich"})
			c = s.customer()
			c.logins.Store(0)
			requireError(t, c.connect(), banks.NeedsUser, banks.CodeTANNotActivated)
			require.EqualValues(t, 3, s.logins.Load())
		})
	}
}

// The placeholder of HITAN is no medium: banks that want a name refuse it.
func TestPlaceholderIsNoMedium(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.methods = [][]string{named(smsTAN)}
	s.orders["HKTAB"] = func(o *syntax.Segment) []syntax.Segment { return nil }
	var sent []syntax.Segment
	s.overhear = func(m *syntax.Message) {
		for _, segment := range m.Segments {
			if segment.Name == "HKTAN" {
				sent = append(sent, segment)
			}
		}
	}
	require.NoError(t, s.customer().connect())
	require.Len(t, sent, 2)
	for _, segment := range sent {
		require.Empty(t, segment.Get(10, 0))
	}
}

// Parameters and methods go stale overnight, and banks seldom say that this is why they refuse a
// login.
func TestStaleParameters(t *testing.T) {
	t.Parallel()
	second := variant(smsTAN, map[int]string{0: "943", 5: "mobileTAN neu"})
	third := variant(smsTAN, map[int]string{0: "944", 5: "chipTAN neu"})
	no := [][]string{{"9010", "Der Auftrag kann nicht verarbeitet werden"}}
	refuseOf := func(functions string, codes ...[]string) func(string) [][]string {
		return func(function string) [][]string {
			if strings.Contains(functions, function) {
				return codes
			}
			return nil
		}
	}
	for name, test := range map[string]struct {
		overnight func(s *script)
		asked     int // questions to a customer who is there
		logins    int
		alone     banks.Kind // without the customer; "": it works
	}{
		"another method, and no reason": {func(s *script) {
			s.methods, s.allowed, s.refuse = [][]string{second}, []string{"943"}, refuseOf("942", no...)
		}, 0, 3, banks.NeedsUser},
		"only the end of the dialog is said": {func(s *script) {
			s.methods, s.allowed, s.refuse = [][]string{second}, []string{"943"}, refuseOf("942", []string{"9800", "Dialog abgebrochen"})
		}, 0, 3, banks.NeedsUser},
		"two other methods": {func(s *script) {
			s.methods, s.allowed, s.refuse = [][]string{second, third}, []string{"943", "944"}, refuseOf("942", no...)
		}, 1, 3, banks.NeedsUser},
		"the method against the contract": {func(s *script) {
			s.methods, s.allowed = [][]string{smsTAN, second}, []string{"943"}
			s.refuse = refuseOf("942", []string{"9930", "Das Freigabeverfahren passt nicht zum Legitimationsvertrag."})
		}, 0, 3, banks.NeedsUser},
		"the method is listed and refused": {func(s *script) {
			s.methods, s.allowed, s.refuse = [][]string{smsTAN, second}, []string{"942", "943"}, refuseOf("942", no...)
		}, 1, 4, banks.Rejected},
		"one-step login refused": {func(s *script) {
			s.methods, s.allowed, s.refuse = [][]string{second}, []string{"943"}, refuseOf("942", []string{"9955", "Nicht zugelassen"})
		}, 0, 3, banks.NeedsUser},
		"HKTAN 6 is switched off": {func(s *script) {
			s.version = 7
			s.reject = func(m *syntax.Message) [][]string {
				for _, segment := range m.Segments {
					if segment.Name == "HKTAN" && segment.Version == 6 {
						return no
					}
				}
				return nil
			}
		}, 0, 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := func() *customer {
				s := newScript(t)
				s.version, s.orders = 6, usualOrders()
				s.methods, s.bpd = [][]string{smsTAN, second}, 7
				c := s.customer()
				require.NoError(t, c.connect())
				test.overnight(s)
				s.bpd = 8
				return c
			}
			c := start().next(true)
			require.NoError(t, c.connect())
			require.Len(t, c.asked, test.asked)
			require.EqualValues(t, test.logins, c.logins.Load(), "%v", c.seen)
			_, err := c.reads()
			require.NoError(t, err)
			c.next(true)
			require.NoError(t, c.connect())
			require.EqualValues(t, 1, c.logins.Load())

			c = start().next(false)
			err = c.connect()
			if test.alone == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, test.alone, banks.AsError(err).Kind, "%v", err)
			require.LessOrEqual(t, c.logins.Load(), int32(3))
			once := c.logins.Load()
			require.Error(t, c.next(false).connect())
			require.Less(t, c.logins.Load(), once, "without the customer it is tried once")
			require.NoError(t, c.next(true).connect(), "with the customer all is well again")
		})
	}
	t.Run("a bank that refuses for good is asked once more", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		c := s.customer()
		require.NoError(t, c.connect())
		s.refuse = func(function string) [][]string { return no }
		requireError(t, c.next(true).connect(), banks.Rejected, banks.CodeBankCannot)
		require.LessOrEqual(t, s.logins.Load(), int32(3))
	})
	t.Run("nothing is dropped for a PIN or a lock", func(t *testing.T) {
		t.Parallel()
		for _, code := range []string{"9942", "9931", "3938", "9910", "9930"} {
			s := newScript(t)
			c := s.customer()
			require.NoError(t, c.connect())
			s.refuse = func(string) [][]string { return [][]string{{code, "Abgelehnt"}} }
			require.Error(t, c.next(true).connect())
			require.EqualValues(t, 1, s.logins.Load())
			require.Equal(t, []string{"HKIDN HKVVB HKTAN4"}, s.seen)
		}
	})
}

// A bank that says that parameters are outdated, and does not send the present ones, is asked for
// them the next time.
func TestOutdatedParameters(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	c := s.customer()
	require.NoError(t, c.connect())
	said := true
	var known []string
	s.overhear = func(m *syntax.Message) {
		for _, segment := range m.Segments {
			if segment.Name == "HKVVB" {
				known = append(known, segment.Get(0, 0)+"/"+segment.Get(1, 0))
			}
		}
	}
	s.besides = func(m *syntax.Message) []syntax.Segment {
		if m.DialogID != "0" || !said {
			return nil
		}
		said = false
		return []syntax.Segment{feedback("HIRMS", 4, []string{"3050", "BPD nicht mehr aktuell."}, []string{"3050", "UPD nicht mehr aktuell."})}
	}
	for range 3 {
		require.NoError(t, c.next(true).connect())
	}
	require.Equal(t, []string{"7/3", "0/0", "7/3"}, known)
}

// The methods may be listed in several codes.
func TestMethodsInSeveralCodes(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.methods = [][]string{smsTAN, appTAN}
	s.besides = func(m *syntax.Message) []syntax.Segment {
		if m.DialogID == "0" && m.Security != nil {
			return []syntax.Segment{feedback("HIRMS", 4, []string{"3920", "Weitere Verfahren", "946", "942"})}
		}
		return nil
	}
	step, err := (s.customer()).authorize()
	require.NoError(t, err)
	require.Len(t, step.Challenge.AuthMethods, 2)
}

func (c *customer) authorize() (banks.Step, error) { return c.move(c.provider.Authorize) }

// A bank may give the customer other names (3072). They hold for the login that the customer gave,
// and for no other.
func TestRenamedCustomer(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	var names []string
	s.overhear = func(m *syntax.Message) {
		if m.Security != nil && m.DialogID == "0" {
			names = append(names, m.Security.UserID+"/"+m.Segments[0].Get(1, 0))
		}
	}
	s.besides = func(m *syntax.Message) []syntax.Segment {
		if m.Security != nil && m.Security.UserID == "demo" {
			return []syntax.Segment{feedback("HIRMS", 4, []string{"3072", "Neue Kennungen", "benutzer-1", "kunde-1"})}
		}
		return nil
	}
	c := s.customer()
	require.NoError(t, c.connect())
	c.conv.Credentials[banks.CredentialLogin] = "other"
	require.NoError(t, c.next(true).connect())
	require.Equal(t, []string{"demo/demo", "benutzer-1/kunde-1", "other/other"}, names)
}

// A wrong PIN is one, whatever the bank says beside the code: its text often warns of the lock that
// would follow.
func TestWrongPINIsNotBlocked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"PIN ungültig": banks.CodePINInvalid,
		"PIN falsch. Nach drei Fehlversuchen wird Ihr Zugang gesperrt.":            banks.CodePINInvalid,
		"Anmeldename oder PIN ist falsch, oder der Zugang ist gesperrt.":           banks.CodePINInvalid,
		"The user cannot be matched or is blocked, or a password was not correct.": banks.CodePINInvalid,
		"Bei weiteren Fehlversuchen kann Ihr Zugang gesperrt werden.":              banks.CodePINInvalid,
		"PIN ungültig (gesperrte PINs lassen sich in der Filiale entsperren)":      banks.CodePINInvalid,
		"PIN falsch, bitte versuchen Sie es später noch einmal":                    banks.CodePINInvalid,
		"Ihr Zugang ist gesperrt.":                                                 banks.CodeAccessBlocked,
		"Your access has been blocked.":                                            banks.CodeAccessBlocked,
	} {
		for _, code := range []string{"9942", "9340", "9910"} {
			s := newScript(t)
			s.refuse = func(string) [][]string { return [][]string{{code, text}} }
			c := s.customer()
			err := c.connect()
			require.Equal(t, want, banks.AsError(err).Code, "%s: %s", code, text)
			if want == banks.CodePINInvalid {
				require.Equal(t, banks.WrongCredentials, banks.AsError(err).Kind)
			}
			require.Error(t, c.connect())
			require.EqualValues(t, 1, s.logins.Load(), "sent again")
		}
	}
}

// 9930 says that the access is locked, unless its words are about the method.
func TestMethodIsNotTheAccess(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"Abgelehnt.":                                               banks.CodeAccessBlocked,
		"Ihr Online-Zugang ist gesperrt.":                          banks.CodeAccessBlocked,
		"Sicherheitsverfahren nicht zugelassen":                    banks.CodeTANNotActivated,
		"Freigabeverfahren widerspricht dem Legitimationsvertrag.": banks.CodeTANNotActivated,
	} {
		s := newScript(t)
		s.refuse = func(string) [][]string { return [][]string{{"9930", text}} }
		requireError(t, s.customer().connect(), banks.NeedsUser, want)
	}
}

// What passes by itself is not told as something that the bank cannot do, and the PIN is not sent
// for it again.
func TestTryLater(t *testing.T) {
	t.Parallel()
	for name, codes := range map[string][][]string{
		"9311 beside others": {{"9040", "Authentifizierung des Einreichers fehlerhaft"}, {"9800", "Abbruch"}, {"9050", "Teilweise fehlerhaft"},
			{"9311", "PIN/TAN-System nicht verfügbar, bitte später noch einmal versuchen"}},
		"9311 alone":        {{"9311", "Fehler"}},
		"at the moment":     {{"9010", "Das System steht zurzeit nicht zur Verfügung."}},
		"now":               {{"9210", "Derzeit ausgelastet"}},
		"for some time":     {{"9999", "Vorübergehend gestört"}},
		"in English":        {{"9010", "Service temporarily unavailable"}},
		"beside a 9800":     {{"9800", "Bitte versuchen Sie es später erneut"}},
		"words of the 9050": {{"9010", "Abgelehnt"}, {"9050", "Nicht verfügbar"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.orders = usualOrders()
			c := s.customer()
			require.NoError(t, c.connect())
			for _, interactive := range []bool{true, false} {
				c.next(interactive)
				s.refusing("HKIDN HKVVB HKTAN4", codes...)
				requireError(t, c.connect(), banks.BankDown, banks.CodeTemporary)
				require.EqualValues(t, 1, s.logins.Load())
			}
			s.fail = nil
			require.NoError(t, c.next(false).connect(), "nothing was dropped for it")
			require.EqualValues(t, 1, s.logins.Load())
		})
	}
}

// What only the operator can mend is our fault, and in the log with the bank's code.
func TestOperatorsFaults(t *testing.T) {
	t.Parallel()
	for name, codes := range map[string][][]string{
		"9078":               {{"9078", "Die Registrierungsnummer ist nicht bekannt"}},
		"9952":               {{"9800", "Abbruch"}, {"9952", "Kundenprodukt nicht unterstützt"}},
		"3078 and a refusal": {{"9800", "Abbruch"}, {"3078", "Produkt nicht registriert"}},
		"3079 and a refusal": {{"9010", "Abgelehnt"}, {"3079", "Registrierung prüfen"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			var log bytes.Buffer
			c := s.customer()
			require.NoError(t, c.connect())
			c.provider = fints.New(fints.Options{Now: func() time.Time { return s.now }, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
			c.next(true)
			s.refusing("HKIDN HKVVB HKTAN4", codes...)
			requireError(t, c.connect(), banks.Rejected, banks.CodeInternal)
			require.EqualValues(t, 1, s.logins.Load())
			require.Equal(t, 1, strings.Count(log.String(), `"level":"WARN"`))
			require.Contains(t, log.String(), `"bank_code":"90090042"`)
			require.NotContains(t, log.String(), "Registrier")
			require.NotContains(t, log.String(), "canary")
		})
	}
	t.Run("a warning alone is none", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		var log bytes.Buffer
		s.besides = func(*syntax.Message) []syntax.Segment {
			return []syntax.Segment{feedback("HIRMS", 4, []string{"3078", "Bitte registrieren"})}
		}
		c := s.customer()
		c.provider = fints.New(fints.Options{Now: func() time.Time { return s.now }, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
		require.NoError(t, c.connect())
		require.Contains(t, log.String(), `"bank_code":"90090042"`)
	})
}

// A PIN that the bank accepted in the same synchronization is not called wrong because answers get
// lost after it.
func TestAcceptedPINIsNeverCalledWrong(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.challenge = func(order string) *challenge {
		if order == "HKIDN" {
			return &challenge{text: "TAN"}
		}
		return nil
	}
	c := s.customer()
	step, err := c.authorize()
	require.NoError(t, err)
	require.Equal(t, banks.Embedded, step.Challenge.Type)
	s.fail = func(w http.ResponseWriter, names string) bool {
		connection, _, err := http.NewResponseController(w).Hijack()
		require.NoError(t, err)
		connection.Close()
		return true
	}
	for range 8 {
		if _, err = c.answer(banks.Answer{Value: tan}); banks.AsError(err).Kind != banks.Transient {
			break
		}
	}
	requireError(t, err, banks.BankDown, banks.CodeTemporary)
	require.LessOrEqual(t, s.logins.Load(), int32(6))
}

// The bank's times are the least. Few polls are spread over the time that the challenge is valid.
func TestPollsAreSpread(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		polls, first, next string
		valid              time.Duration // 0: the bank does not say
		least, most        time.Duration // until the last poll
	}{
		"ten":                      {"10", "2", "2", 0, 4 * time.Minute, 5 * time.Minute},
		"two":                      {"2", "5", "5", 0, 4 * time.Minute, 5 * time.Minute},
		"one":                      {"1", "2", "", 0, 4 * time.Minute, 5 * time.Minute},
		"many":                     {"120", "1", "1", 0, 4 * time.Minute, 5 * time.Minute},
		"the bank says how long":   {"4", "1", "1", 20 * time.Second, 18 * time.Second, 20 * time.Second},
		"… and a long time":        {"6", "1", "1", 15 * time.Minute, 14 * time.Minute, 15 * time.Minute},
		"… and nonsense":           {"6", "1", "1", 500 * time.Hour, 4 * time.Minute, 5 * time.Minute},
		"the pace is slower still": {"3", "200", "300", 0, 800 * time.Second, 800 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.methods, s.allowed, s.polls = [][]string{variant(appTAN, map[int]string{21: test.polls, 22: test.first, 23: test.next})}, []string{"946"}, 1000
			s.challenge = func(string) *challenge {
				return &challenge{text: "Bitte bestätigen", decoupled: true, valid: test.valid}
			}
			c := s.customer()
			begun := s.now
			step, err := c.authorize()
			require.NoError(t, err)
			asked, last, shortest := 0, time.Time{}, time.Hour
			for err == nil {
				require.Positive(t, step.PollAfter)
				s.now = s.now.Add(step.PollAfter)
				before := len(s.seen)
				step, err = c.move(c.provider.Poll)
				if len(s.seen) > before && s.seen[len(s.seen)-1] == "HKTANS" {
					asked++
					if !last.IsZero() {
						shortest = min(shortest, s.now.Sub(last))
					}
					last = s.now
				}
			}
			requireError(t, err, banks.NeedsUser, banks.CodeExpired)
			require.Equal(t, test.polls, fmt.Sprint(asked))
			require.GreaterOrEqual(t, last.Sub(begun), test.least)
			require.LessOrEqual(t, last.Sub(begun), test.most)
			if test.next != "" && asked > 1 {
				least, _ := time.ParseDuration(test.next + "s")
				require.GreaterOrEqual(t, shortest, least)
			}
		})
	}
}

// A bank that wants the customer at every login is known after two of them. Then nothing is sent
// without the customer.
func TestEachLogin(t *testing.T) {
	t.Parallel()
	newBank := func(t *testing.T) (*script, *customer, *bool) {
		s := newScript(t)
		wanted := true
		s.challenge = func(order string) *challenge {
			if order == "HKIDN" && wanted {
				return &challenge{text: "TAN"}
			}
			return nil
		}
		return s, s.customer(), &wanted
	}
	day := func(s *script, n int) { s.now = s.now.Add(time.Duration(n) * 24 * time.Hour) }
	t.Run("a synchronization a week, and one every night", func(t *testing.T) {
		t.Parallel()
		s, c, _ := newBank(t)
		troubled := 0
		for n := range 30 {
			if n%7 == 0 {
				require.NoError(t, c.next(true).connect())
			}
			day(s, 1)
			requireError(t, c.next(false).connect(), banks.NeedsUser, banks.CodeActivationNeeded)
			troubled += int(s.logins.Load())
			require.Equal(t, n >= 7, banks.NeedsUserEachTime(c.conv.Lasting), "day %d", n)
		}
		require.Equal(t, 1, troubled, "logins that sent a TAN to nobody")
	})
	t.Run("with the customer alone", func(t *testing.T) {
		t.Parallel()
		_, c, wanted := newBank(t)
		for n := range 4 {
			require.NoError(t, c.next(true).connect())
			require.Equal(t, n >= 2, banks.NeedsUserEachTime(c.conv.Lasting))
		}
		*wanted = false
		require.NoError(t, c.next(true).connect())
		require.False(t, banks.NeedsUserEachTime(c.conv.Lasting), "the bank does without again")
		require.NoError(t, c.next(false).connect())
	})
	t.Run("one demand is no habit", func(t *testing.T) {
		t.Parallel()
		s, c, wanted := newBank(t)
		require.NoError(t, c.connect())
		*wanted = false
		day(s, 1)
		require.NoError(t, c.next(false).connect())
		*wanted = true // the customer ended it at the bank
		day(s, 1)
		require.Error(t, c.next(false).connect())
		day(s, 1)
		require.NoError(t, c.next(true).connect())
		*wanted = false
		day(s, 1)
		require.NoError(t, c.next(false).connect())
	})
	t.Run("nor are two because of the law", func(t *testing.T) {
		t.Parallel()
		s, c, _ := newBank(t)
		for range 4 {
			require.NoError(t, c.next(true).connect())
			require.False(t, banks.NeedsUserEachTime(c.conv.Lasting))
			day(s, 181)
		}
	})
}

// A customer can choose method and medium again. What is stored stays until a login with the new
// choice has succeeded.
func TestChooseMethod(t *testing.T) {
	t.Parallel()
	newBank := func(t *testing.T) (*script, *customer) {
		s := newScript(t)
		s.methods, s.allowed, s.orders = [][]string{named(smsTAN), variant(smsTAN, map[int]string{0: "943", 5: "neu"})}, []string{"942"}, usualOrders()
		s.orders["HKTAB"] = func(o *syntax.Segment) []syntax.Segment {
			medium := func(name string) syntax.Element {
				return syntax.Text("M", "1", "", "", "", "", "", "", "", "", "", "", name, "")
			}
			return []syntax.Segment{syntax.New("HITAB", 4, syntax.Text("0"), medium("Handy"), medium("Zweithandy"))}
		}
		s.challenge = func(order string) *challenge {
			if order == "HKIDN" && s.tans.Load() == 0 {
				return &challenge{text: "TAN"}
			}
			return nil
		}
		c := s.customer()
		require.NoError(t, c.connect())
		require.Equal(t, []banks.AuthMethod{{ID: "942", Type: "SMS_OTP", MediumName: "Zweithandy", Default: true,
			AdditionalInfo: map[string]string{"name": "mobileTAN"}}}, c.conv.Methods)
		s.allowed = []string{"942", "943"}
		s.tans.Store(0)
		return s, c.next(true)
	}
	chosen := func(c *customer) string {
		for _, m := range c.conv.Methods {
			if m.Default {
				return m.ID + m.MediumName
			}
		}
		return ""
	}
	t.Run("another method", func(t *testing.T) {
		t.Parallel()
		s, c := newBank(t)
		c.conv.ChooseMethod = "wish-1"
		require.NoError(t, c.connect())
		require.Equal(t, []banks.ChallengeType{banks.MethodSelection, banks.Embedded}, types(c.asked))
		require.Len(t, c.asked[0].AuthMethods, 2)
		require.Equal(t, "943", chosen(c))
		require.EqualValues(t, 2, s.logins.Load())
		require.NoError(t, c.next(true).connect(), "the wish is fulfilled once")
		require.Empty(t, c.asked)
		require.EqualValues(t, 1, s.logins.Load())
	})
	t.Run("another medium of the same method", func(t *testing.T) {
		t.Parallel()
		s, c := newBank(t)
		s.allowed = []string{"942"}
		c.conv.ChooseMethod = "wish-1"
		step, err := c.authorize()
		require.NoError(t, err)
		require.Equal(t, "Handy", step.Challenge.AuthMethods[0].MediumName)
		step, err = c.answer(banks.Answer{MethodID: "1"})
		require.NoError(t, err)
		require.Equal(t, "942Zweithandy", chosen(c), "until it has worked")
		require.Equal(t, banks.Embedded, step.Challenge.Type)
		_, err = c.answer(banks.Answer{Value: tan})
		require.NoError(t, err)
		require.Equal(t, "942Handy", chosen(c))
	})
	t.Run("the customer cancels", func(t *testing.T) {
		t.Parallel()
		_, c := newBank(t)
		c.conv.ChooseMethod = "wish-1"
		_, err := c.authorize()
		require.NoError(t, err)
		_, err = c.answer(banks.Answer{MethodID: "943"})
		require.NoError(t, err)
		require.NoError(t, c.provider.(banks.HangUpper).HangUp(t.Context(), &c.conv))
		c.next(true).conv.ChooseMethod = ""
		require.NoError(t, c.connect())
		require.Equal(t, []banks.ChallengeType{banks.Embedded}, types(c.asked))
		require.Equal(t, "942Zweithandy", chosen(c))
	})
	t.Run("the bank refuses it", func(t *testing.T) {
		t.Parallel()
		s, c := newBank(t)
		s.refuse = func(function string) [][]string {
			if function == "943" {
				return [][]string{{"9010", "Geht nicht"}}
			}
			return nil
		}
		c.conv.ChooseMethod = "wish-1"
		require.Error(t, c.connect())
		require.LessOrEqual(t, s.logins.Load(), int32(6))
		c.next(true).conv.ChooseMethod = ""
		require.NoError(t, c.connect())
		require.Equal(t, "942Zweithandy", chosen(c))
	})
	t.Run("nobody is there to choose", func(t *testing.T) {
		t.Parallel()
		s, c := newBank(t)
		s.tans.Store(1)
		c.next(false).conv.ChooseMethod = "wish-1"
		require.NoError(t, c.connect())
		require.EqualValues(t, 1, s.logins.Load())
	})
}

func types(asked []banks.Challenge) (all []banks.ChallengeType) {
	for _, c := range asked {
		all = append(all, c.Type)
	}
	return all
}

// A customer whose TAN does not come can have another one, or choose another method, in the same
// synchronization.
func TestRestart(t *testing.T) {
	t.Parallel()
	newBank := func(t *testing.T) (*script, *customer) {
		s := newScript(t)
		s.methods, s.allowed, s.orders = [][]string{smsTAN, variant(smsTAN, map[int]string{0: "943", 5: "neu"})}, []string{"942", "943"}, usualOrders()
		s.challenge = func(order string) *challenge {
			if s.tans.Load() == 0 {
				return &challenge{text: fmt.Sprintf("TAN %d", s.logins.Load())}
			}
			return nil
		}
		return s, s.customer()
	}
	t.Run("another TAN", func(t *testing.T) {
		t.Parallel()
		s, c := newBank(t)
		_, err := c.authorize()
		require.NoError(t, err)
		step, err := c.answer(banks.Answer{MethodID: "942"})
		require.NoError(t, err)
		first := step.Challenge.Data
		for n := range 8 { // as often as the caller allows it
			c.conv.Restart = fmt.Sprintf("restart-%d", n)
			step, err = c.authorize()
			require.NoError(t, err)
			require.Equal(t, banks.Embedded, step.Challenge.Type)
			require.NotEqual(t, first, step.Challenge.Data)
			first = step.Challenge.Data
			again, err := c.authorize()
			require.NoError(t, err)
			require.Equal(t, step, again, "each wish is fulfilled once")
		}
		require.Len(t, s.dialogs, 1, "the dialogs before are ended")
		step, err = c.answer(banks.Answer{Value: tan})
		require.NoError(t, err)
		require.Equal(t, banks.Ready, step.Status)
		require.EqualValues(t, 10, s.logins.Load())
	})
	t.Run("another method", func(t *testing.T) {
		t.Parallel()
		s, c := newBank(t)
		_, err := c.authorize()
		require.NoError(t, err)
		_, err = c.answer(banks.Answer{MethodID: "942"})
		require.NoError(t, err)
		c.conv.Restart, c.conv.ChooseMethod = "restart-1", "wish-1"
		step, err := c.authorize()
		require.NoError(t, err)
		require.Equal(t, banks.MethodSelection, step.Challenge.Type)
		_, err = c.answer(banks.Answer{MethodID: "943"})
		require.NoError(t, err)
		step, err = c.answer(banks.Answer{Value: tan})
		require.NoError(t, err)
		require.Equal(t, banks.Ready, step.Status)
		require.Contains(t, string(c.conv.Lasting), `"method":"943"`)
		require.Len(t, s.dialogs, 1)
	})
	t.Run("another choice", func(t *testing.T) {
		t.Parallel()
		_, c := newBank(t)
		first, err := c.authorize()
		require.NoError(t, err)
		c.conv.Restart = "restart-1"
		second, err := c.authorize()
		require.NoError(t, err)
		require.Equal(t, first, second)
	})
	t.Run("of an order", func(t *testing.T) {
		t.Parallel()
		s, c := newBank(t)
		s.needTAN, s.allowed = []string{"HKKAZ"}, []string{"942"}
		s.challenge = func(order string) *challenge {
			if order == "HKKAZ" && s.tans.Load() == 0 {
				return &challenge{text: "TAN"}
			}
			return nil
		}
		require.NoError(t, c.connect())
		_, err := c.reads()
		requireError(t, err, banks.NeedsAuthorization, banks.CodeNotAuthorized)
		step, err := c.authorize()
		require.NoError(t, err)
		require.Equal(t, banks.Challenged, step.Status)
		c.conv.Restart = "restart-1"
		step, err = c.authorize()
		require.NoError(t, err)
		require.Equal(t, banks.Ready, step.Status, "the login itself needs no TAN; the order is asked again")
		_, err = c.reads()
		requireError(t, err, banks.NeedsAuthorization, banks.CodeNotAuthorized)
		require.NoError(t, c.connect())
		entries, err := c.reads()
		require.NoError(t, err)
		require.NotEmpty(t, entries)
	})
}

// One TAN need not be enough: the bank may answer it with the next challenge.
func TestSeveralTANs(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.tansNeeded, s.orders = 3, usualOrders()
	s.challenge = func(order string) *challenge {
		if order == "HKIDN" {
			return &challenge{text: "TAN"}
		}
		return nil
	}
	c := s.customer()
	require.NoError(t, c.connect())
	require.Len(t, c.asked, 3)
	require.EqualValues(t, 3, s.tans.Load())
	require.EqualValues(t, 2, s.logins.Load())
	_, err := c.reads()
	require.NoError(t, err)
}

// A bank may refuse the method only when an order comes with it. Then it is chosen anew, in the same
// synchronization if the customer is there.
func TestMethodRefusedForAnOrder(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.methods = [][]string{smsTAN, variant(smsTAN, map[int]string{0: "943", 5: "neu"})}
	s.orders, s.needTAN = usualOrders(), []string{"HKKAZ"}
	function := ""
	s.overhear = func(m *syntax.Message) {
		if m.Security != nil {
			function = m.Security.Function
		}
	}
	c := s.customer()
	require.NoError(t, c.connect())
	read := s.orders["HKKAZ"]
	s.orders["HKKAZ"] = func(o *syntax.Segment) []syntax.Segment {
		if function == "942" {
			return []syntax.Segment{feedback("HIRMS", o.Number, []string{"9930", "Freigabeverfahren widerspricht dem Vertrag"})}
		}
		return read(o)
	}
	_, err := c.next(false).synchronize()
	requireError(t, err, banks.NeedsUser, banks.CodeTANNotActivated)
	_, err = c.next(false).synchronize()
	requireError(t, err, banks.NeedsUser, banks.CodeActivationNeeded)
	require.Zero(t, s.logins.Load())

	_, err = c.next(true).synchronize()
	requireError(t, err, banks.NeedsUser, banks.CodeTANNotActivated) // there is no other
	require.LessOrEqual(t, s.logins.Load(), int32(4))
	s.allowed = []string{"943"}
	entries, err := c.next(true).synchronize()
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	require.Contains(t, string(c.conv.Lasting), `"method":"943"`)
	_, err = c.next(false).synchronize()
	require.NoError(t, err)
	require.EqualValues(t, 1, s.logins.Load())
}

// synchronize logs in and reads, and goes back to the login where the bank wants more.
func (c *customer) synchronize() (entries []banks.Entry, err error) {
	for range 4 {
		if err = c.connect(); err != nil {
			return nil, err
		}
		if entries, err = c.reads(); err == nil || banks.AsError(err).Kind != banks.NeedsAuthorization {
			return entries, err
		}
	}
	return entries, err
}

// A one-step bank that introduces a TAN method overnight sends no TAN to a customer who is not there.
func TestOneStepBankThatGetsAMethod(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.version, s.allowed, s.orders = 1, []string{"900"}, usualOrders()
	c := s.customer()
	require.NoError(t, c.connect())
	s.version, s.allowed, s.bpd = 7, []string{"942"}, 8
	s.refuse = func(function string) [][]string {
		if function == "999" && !strings.HasSuffix(s.seen[len(s.seen)-1], "HKSYN") && len(s.seen) == 1 {
			return [][]string{{"9075", "Starke Authentifizierung erforderlich"}}
		}
		return nil
	}
	challenges := 0
	s.challenge = func(order string) *challenge {
		if order != "HKIDN" || s.tans.Load() > 0 {
			return nil
		}
		challenges++
		return &challenge{text: "TAN"}
	}
	requireError(t, c.next(false).connect(), banks.NeedsUser, banks.CodeActivationNeeded)
	require.Zero(t, challenges)
	require.NoError(t, c.next(true).connect())
	require.Len(t, c.asked, 1)
}
