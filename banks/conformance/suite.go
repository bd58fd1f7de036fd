package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/sandbox"
)

// way is what a persona goes through.
type way struct {
	persona string
	asked   string // the challenges, in order
	ends    *banks.Error
}

var ways = []way{
	{"demo", "TEXT", nil},
	{"methods", "METHOD_SELECTION DECOUPLED", nil},
	{"devices", "METHOD_SELECTION METHOD_SELECTION HHD", nil},
	{"photo", "PHOTO", nil},
	{"unreadable", "TEXT", nil},
	{"flicker", "HHD", nil},
	{"markup", "HTML", nil},
	{"decoupled", "DECOUPLED", nil},
	{"redirect", "REDIRECT", nil},
	{"oauth", "REDIRECT", nil},
	{"exempt", "", nil},
	{"slow", "", nil},
	{"flaky", "", nil},
	{"wrongpin", "", &banks.Error{Kind: banks.WrongCredentials, Code: banks.CodePINInvalid}},
	{"locked", "", &banks.Error{Kind: banks.NeedsUser, Code: banks.CodeAccessBlocked}},
	{"pinchange", "", &banks.Error{Kind: banks.NeedsUser, Code: banks.CodePINChange}},
	{"maintenance", "", &banks.Error{Kind: banks.BankDown, Code: banks.CodeMaintenance}},
}

// Run holds an adapter to the rules.
func Run(t *testing.T, adapter Adapter) {
	can := func(persona string) bool { return !slices.Contains(adapter.Without, persona) }

	runWishes(t, adapter)

	t.Run("every persona goes its way", func(t *testing.T) {
		t.Parallel()
		g := newGround(t, adapter)
		for _, way := range ways {
			if !can(way.persona) {
				continue
			}
			t.Run(way.persona, func(t *testing.T) {
				t.Parallel()
				way.walk(g.under(t).newWorker(adapter.Bank, way.persona))
			})
		}
	})

	t.Run("banks that deviate", func(t *testing.T) {
		t.Parallel()
		shared := newGround(t, adapter)
		for bank, persona := range adapter.Others {
			t.Run(bank, func(t *testing.T) {
				t.Parallel()
				g := shared.under(t)
				persona := persona + "+" + bank
				w := g.newWorker(bank, persona)
				require.NoError(t, w.connect())
				readsEverything(w)
				for lost := 1; lost <= w.moves; lost++ {
					login := fmt.Sprintf("%s-%d", persona, lost)
					again := g.newWorker(bank, login)
					again.lose = lost
					if err := again.connect(); err != nil {
						// Not every bank lets anybody find out whether a PIN arrived; then it is not sent again.
						requireKind(t, err, banks.WrongCredentials)
						require.LessOrEqual(t, g.bank.Counters().Logins[login], 1)
						continue
					}
					readsEverything(again)
				}
			})
		}
	})

	t.Run("whichever move is lost, the outcome is the same", func(t *testing.T) {
		t.Parallel()
		shared := newGround(t, adapter)
		for _, way := range ways {
			if !can(way.persona) || way.persona == "slow" {
				continue
			}
			t.Run(way.persona, func(t *testing.T) {
				t.Parallel()
				g := shared.under(t)
				undisturbed := g.newWorker(adapter.Bank, way.persona+"+0")
				way.walk(undisturbed)
				for lost := 1; lost <= undisturbed.moves; lost++ {
					w := g.newWorker(adapter.Bank, fmt.Sprintf("%s+%d", way.persona, lost))
					w.lose = lost
					way.walk(w)
				}
			})
		}
	})

	t.Run("whichever call fails, the outcome is the same", func(t *testing.T) {
		t.Parallel()
		shared := newGround(t, adapter)
		for _, action := range []sandbox.Action{sandbox.ActLose, sandbox.ActDrop} {
			for _, way := range ways {
				if !can(way.persona) || way.ends != nil || way.persona == "slow" || way.persona == "flaky" {
					continue
				}
				t.Run(string(action)+" "+way.persona, func(t *testing.T) {
					t.Parallel()
					g := shared.under(t)
					undisturbed := fmt.Sprintf("%s+%s", way.persona, action)
					way.walk(g.newWorker(adapter.Bank, undisturbed))
					for endpoint := range g.bank.Counters().ByLogin[undisturbed] {
						w := g.newWorker(adapter.Bank, undisturbed+"-"+strings.ReplaceAll(endpoint, ".", "-"))
						login := w.conv.Credentials[banks.CredentialLogin]
						require.NoError(t, g.bank.Inject(sandbox.Fault{Login: login, Endpoint: endpoint, Times: 1, Action: action}))
						w.faulted = true
						way.walk(w)
						require.LessOrEqual(t, g.bank.Counters().TANs[login], 1, "%s: the TAN was accepted twice", endpoint)
						require.Zero(t, g.bank.Counters().WrongTANs[login], "%s: a TAN was refused", endpoint)
						require.LessOrEqual(t, g.bank.Counters().Logins[login], g.bank.Counters().Logins[undisturbed]+1, "%s: the PIN was sent too often", endpoint)
					}
				})
			}
		}
	})

	t.Run("a wrong PIN is sent once", func(t *testing.T) {
		t.Parallel()
		g := newGround(t, adapter)
		refused := func(login string, prepare func(*worker)) (moves int) {
			w := g.newWorker(adapter.Bank, login)
			w.conv.Credentials[banks.CredentialPIN] = "wrong"
			prepare(w)
			requireKind(t, w.connect(), banks.WrongCredentials)
			require.Equal(t, 1, g.bank.Counters().WrongPINs[login], login)
			return w.moves
		}
		moves := refused("demo", func(*worker) {})
		for lost := 1; lost <= moves; lost++ {
			refused(fmt.Sprintf("demo+move%d", lost), func(w *worker) { w.lose = lost })
		}
		for endpoint := range g.bank.Counters().ByLogin["demo"] {
			login := "demo+" + strings.ReplaceAll(endpoint, ".", "-")
			refused(login, func(*worker) {
				require.NoError(t, g.bank.Inject(sandbox.Fault{Login: login, Endpoint: endpoint, Times: 1, Action: sandbox.ActLose}))
			})
		}
	})

	t.Run("a PIN that became wrong is sent once without the customer", func(t *testing.T) {
		t.Parallel()
		// Whichever answer is lost, and whichever move: what follows day after day may not send it again.
		disturbances := map[string]func(w *worker, login string){}
		for _, endpoint := range []string{"login", "transactions", "nothing"} {
			disturbances["lost answer of "+endpoint] = func(w *worker, login string) {
				require.NoError(w.t, w.bank.Inject(sandbox.Fault{Login: login, Endpoint: endpoint, Times: 1, Action: sandbox.ActLose}))
			}
		}
		for lost := 1; lost <= 3; lost++ {
			disturbances[fmt.Sprintf("lost move %d", lost)] = func(w *worker, _ string) { w.lose = lost }
		}
		for name, disturb := range disturbances {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				login := "exempt+" + strings.ReplaceAll(name, " ", "-")
				w := newGround(t, adapter).newWorker(adapter.Bank, login)
				_, err := w.synchronize()
				require.NoError(t, err)
				require.NoError(t, w.bank.ChangePassword(login, "another-"+pin))
				for day := range 4 {
					w.bank.Advance(24 * time.Hour)
					w = w.unattended()
					if day == 0 {
						disturb(w, login)
					}
					_, _ = w.synchronize()
					require.LessOrEqual(t, w.bank.Counters().WrongPINs[login], 1, "day %d", day)
				}
				w = w.attended()
				w.conv.Credentials[banks.CredentialPIN] = "another-" + pin
				_, err = w.synchronize()
				require.NoError(t, err)
				w.bank.Advance(24 * time.Hour)
				_, err = w.unattended().synchronize()
				require.NoError(t, err, "the customer was there, and all is well again")
			})
		}
	})

	t.Run("a wrong TAN is sent once", func(t *testing.T) {
		t.Parallel()
		g := newGround(t, adapter)
		w := g.newWorker(adapter.Bank, "demo")
		step, err := w.step(w.provider.Authorize)
		require.NoError(t, err)
		require.Equal(t, banks.Challenged, step.Status)
		_, err = w.step(func(ctx context.Context, c *banks.Conversation) (banks.Step, error) {
			return w.provider.Answer(ctx, c, banks.Answer{Value: "000000"})
		})
		requireKind(t, err, banks.WrongCredentials)
		require.Equal(t, banks.CodeTANInvalid, banks.AsError(err).Code)
		require.Equal(t, 1, g.bank.Counters().WrongTANs["demo"])
	})

	t.Run("the open question is asked again, not anew", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "demo")
		first, err := w.step(w.provider.Authorize)
		require.NoError(t, err)
		calls := w.bank.Counters().ByLogin["demo"]
		w.load()
		second, err := w.step(w.provider.Authorize)
		require.NoError(t, err)
		require.Equal(t, first, second)
		require.Equal(t, calls, w.bank.Counters().ByLogin["demo"])
	})

	t.Run("without the customer nobody is troubled", func(t *testing.T) {
		t.Parallel()
		for name, test := range map[string]struct {
			login string
			then  func(*worker) // what happens after the customer authorised once
			// Only asking tells that the bank wants the customer, so that it may happen once where asking is a login.
			surprise bool
		}{
			"the authorization is too old":             {login: "demo", then: func(w *worker) { w.bank.Advance(200 * 24 * time.Hour) }},
			"the customer ended it at the bank":        {login: "demo", then: func(w *worker) { w.bank.RevokeConsents("demo") }, surprise: true},
			"… and confirms in an app":                 {login: "decoupled", then: func(w *worker) { w.bank.RevokeConsents("decoupled") }, surprise: true},
			"the bank wants them before it shows more": {login: "again", then: func(*worker) {}, surprise: true},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newGround(t, adapter).newWorker(adapter.Bank, test.login)
				require.NoError(t, w.connect())
				test.then(w)
				before := w.trouble()
				for n := range 2 {
					w = w.unattended()
					_, err := w.synchronize()
					requireKind(t, err, banks.NeedsUser)
					require.Empty(t, w.asked)
					if n == 0 && test.surprise && adapter.Sessions {
						before.challenges++
						before.logins++
					}
					require.Equal(t, before, w.trouble())
				}
				w = w.attended()
				_, err := w.synchronize()
				require.NoError(t, err)
				w.bank.Advance(24 * time.Hour)
				before = w.trouble()
				w = w.unattended()
				_, err = w.synchronize()
				require.NoError(t, err, "the customer was there, and all is well again")
				if adapter.Sessions {
					before.logins++
				}
				require.Equal(t, before, w.trouble())
			})
		}
		t.Run("nothing was ever authorised", func(t *testing.T) {
			t.Parallel()
			w := newGround(t, adapter).newWorker(adapter.Bank, "demo").unattended()
			_, err := w.synchronize()
			requireKind(t, err, banks.NeedsUser)
			require.Empty(t, w.bank.Counters().ByLogin["demo"], "the bank was asked")
		})
		t.Run("more than 90 days take a TAN", func(t *testing.T) {
			t.Parallel()
			w := newGround(t, adapter).newWorker(adapter.Bank, "recent")
			all, err := w.synchronize()
			require.NoError(t, err)
			w.bank.Advance(time.Hour)
			w = w.attended() // they want to see it all, and then do not look for their TAN
			require.NoError(t, w.connect())
			accounts, err := w.accounts()
			require.NoError(t, err)
			_, err = w.transactions(accounts[0], banks.Window{})
			requireKind(t, err, banks.NeedsAuthorization)
			w.seal()
			before := w.trouble()
			w = w.unattended()
			recent, err := w.synchronize()
			require.NoError(t, err)
			require.Equal(t, civil.On(w.bank.Now()).AddDays(1-90), recent.covered.From)
			require.Less(t, all.covered.From, recent.covered.From)
			require.NotEmpty(t, recent.entries)
			if adapter.Sessions {
				before.logins++
			}
			require.Equal(t, before, w.trouble())
		})
	})

	t.Run("everything is read, page by page", func(t *testing.T) {
		t.Parallel()
		g := newGround(t, adapter)
		for _, persona := range []string{"demo", "thirty", "savings", "card", "currencies", "file", "pending"} {
			if !can(persona) {
				continue
			}
			t.Run(persona, func(t *testing.T) {
				t.Parallel()
				w := g.under(t).newWorker(adapter.Bank, persona)
				require.NoError(t, w.connect())
				readsEverything(w)
			})
		}
	})

	t.Run("a window is kept to", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "demo")
		require.NoError(t, w.connect())
		accounts, err := w.accounts()
		require.NoError(t, err)
		today := civil.On(w.bank.Now())
		window := banks.Window{From: today.AddDays(-40), To: today.AddDays(-10)}
		s, err := w.transactions(accounts[0], window)
		require.NoError(t, err)
		require.NotEmpty(t, s.entries)
		require.Equal(t, window, s.covered)
		for _, e := range s.entries {
			if !e.Pending {
				require.GreaterOrEqual(t, e.BookingDate, window.From)
				require.LessOrEqual(t, e.BookingDate, window.To)
			}
		}
	})

	t.Run("accounts are the same under the next consent", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "currencies")
		require.NoError(t, w.connect())
		before, err := w.accounts()
		require.NoError(t, err)
		require.NoError(t, w.provider.Revoke(t.Context(), &w.conv))
		w = w.again()
		require.NoError(t, w.connect())
		after, err := w.accounts()
		require.NoError(t, err)
		require.Len(t, before, 3)
		require.Equal(t, identities(before), identities(after))
	})

	t.Run("accounts are read at the same time", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "savings")
		require.NoError(t, w.connect())
		accounts, err := w.accounts()
		require.NoError(t, err)
		var group sync.WaitGroup
		errs := make([]error, len(accounts))
		for i, account := range accounts {
			conv := w.conv
			group.Go(func() {
				_, errs[i] = w.provider.Transactions(t.Context(), &conv, account, banks.Window{}, "")
			})
		}
		group.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
	})

	t.Run("a second authentication before transactions", func(t *testing.T) {
		t.Parallel()
		if !can("again") {
			t.Skip("the protocol does not know it")
		}
		w := newGround(t, adapter).newWorker(adapter.Bank, "again")
		require.NoError(t, w.connect())
		accounts, err := w.accounts()
		require.NoError(t, err)
		_, err = w.transactions(accounts[0], banks.Window{})
		requireKind(t, err, banks.NeedsAuthorization)
		logins := w.bank.Counters().Logins["again"]
		w.load()
		w.conv.Interactive = false
		requireKind(t, w.connect(), banks.NeedsUser)
		require.Equal(t, logins, w.bank.Counters().Logins["again"], "the PIN was sent, and nobody is there for what follows")
		w.conv.Interactive = true
		require.NoError(t, w.connect())
		require.Len(t, w.asked, 2)
		s, err := w.transactions(accounts[0], banks.Window{})
		require.NoError(t, err)
		require.NotEmpty(t, s.entries)
	})

	t.Run("an access that is over is authorised anew", func(t *testing.T) {
		t.Parallel()
		for name, end := range map[string]func(*worker){
			"expired":             func(w *worker) { w.bank.Advance(100 * 24 * time.Hour) },
			"ended by customer":   func(w *worker) { require.Positive(w.t, w.bank.RevokeConsents("demo")) },
			"ended while reading": func(w *worker) { _, _ = w.accounts(); require.Positive(w.t, w.bank.RevokeConsents("demo")) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if !can("consent") {
					t.Skip("the protocol has no consents")
				}
				w := newGround(t, adapter).newWorker(adapter.Bank, "demo")
				require.NoError(t, w.connect())
				require.WithinDuration(t, w.bank.Now().Add(90*24*time.Hour), w.conv.Granted.ValidUntil, 48*time.Hour)
				w = w.again()
				end(w)
				_, err := w.accounts()
				requireKind(t, err, banks.NeedsAuthorization)
				w.load()
				require.NoError(t, w.connect())
				require.NotEmpty(t, w.asked, "nobody was asked")
				readsEverything(w)
			})
		}
	})

	t.Run("an account is found again under another handle", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "currencies")
		require.NoError(t, w.connect())
		accounts, err := w.accounts()
		require.NoError(t, err)
		require.NoError(t, w.provider.Revoke(t.Context(), &w.conv))
		w = w.again()
		require.NoError(t, w.connect())
		for _, account := range accounts {
			s, err := w.transactions(account, banks.Window{})
			require.NoError(t, err)
			require.Equal(t, account.Currency, s.entries[0].Currency)
		}
		accounts[0].IBAN, accounts[0].Number = "DE02120300000000202051", "202051"
		_, err = w.transactions(accounts[0], banks.Window{})
		requireKind(t, err, banks.Gone)
	})

	t.Run("what is valid is used again", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "demo")
		require.NoError(t, w.connect())
		w = w.again()
		require.NoError(t, w.connect())
		require.Empty(t, w.asked)
		if !adapter.Sessions {
			require.Equal(t, 1, w.bank.Counters().Logins["demo"])
		}
	})

	t.Run("revoked is revoked", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "demo")
		require.NoError(t, w.provider.Revoke(t.Context(), &w.conv), "nothing to revoke is revoked")
		require.NoError(t, w.connect())
		before := w.conv
		require.NoError(t, w.provider.Revoke(t.Context(), &w.conv))
		require.Nil(t, w.conv.Granted)
		require.NoError(t, w.provider.Revoke(t.Context(), &before), "the bank knows it no longer")
		_, err := w.provider.Accounts(t.Context(), &w.conv)
		requireKind(t, err, banks.NeedsAuthorization)
	})

	t.Run("a customer who refuses", func(t *testing.T) {
		t.Parallel()
		for persona, refuse := range map[string]func(*worker) (banks.Step, error){
			"redirect": refuseRedirect, "oauth": refuseRedirect,
			"app": func(w *worker) (banks.Step, error) {
				require.NoError(w.t, w.bank.Decide("app", false))
				w.bank.Advance(time.Minute)
				return w.step(w.provider.Poll)
			},
		} {
			if !can(persona) {
				continue
			}
			t.Run(persona, func(t *testing.T) {
				t.Parallel()
				w := newGround(t, adapter).newWorker(adapter.Bank, persona)
				step, err := w.step(w.provider.Authorize)
				require.NoError(t, err)
				require.Equal(t, banks.Challenged, step.Status)
				_, err = refuse(w)
				requireKind(t, err, banks.NeedsUser)
			})
		}
	})

	t.Run("a bank is not asked oftener than it declares", func(t *testing.T) {
		t.Parallel()
		const pace = 10 // a second
		g := newGround(t, adapter)
		asked := g.counted()
		begun := time.Now()
		var group sync.WaitGroup
		failed := make([]error, 3) // synchronizations at once
		for i := range failed {
			w := g.newWorker(adapter.Bank, fmt.Sprintf("exempt+%d", i))
			w.conv.Connection.RequestsPerSecond = pace
			group.Go(func() { _, failed[i] = w.synchronize() })
		}
		group.Wait()
		require.NoError(t, errors.Join(failed...))
		require.Greater(t, int(asked.Load()), pace)
		require.GreaterOrEqual(t, time.Since(begun), time.Duration(asked.Load()-1)*time.Second/pace)
	})

	t.Run("what somebody waits for goes before the background", func(t *testing.T) {
		t.Parallel()
		g := newGround(t, adapter)
		asked := g.counted()
		known := make([]*worker, 12)
		for i := range known {
			known[i] = g.newWorker(adapter.Bank, fmt.Sprintf("exempt+%d", i))
			require.NoError(t, known[i].connect())
			known[i].conv.Connection.RequestsPerSecond = 2 // slow enough that a busy machine does not look like a pause
		}
		manual, background := known[0], known[1:]
		asked.Store(0)
		_, err := manual.attended().synchronize()
		require.NoError(t, err)
		alone := asked.Load()

		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for _, w := range background {
			group.Go(func() {
				for ctx.Err() == nil { // refused or not: it asks
					_, _ = w.unattended().synchronize()
				}
			})
		}
		require.Eventually(t, func() bool { return asked.Load() > alone+5 }, time.Minute, time.Millisecond)
		asked.Store(0)
		_, err = manual.attended().synchronize()
		among := asked.Load()
		stop()
		group.Wait()
		require.NoError(t, err)
		// Between two requests of the manual one, nobody may be waiting for a moment; in one queue it were eleven for each.
		require.LessOrEqual(t, among, 4*alone)
	})

	t.Run("a bank is not polled sooner than it likes", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "app")
		step, err := w.step(w.provider.Authorize)
		require.NoError(t, err)
		require.Equal(t, banks.Decoupled, step.Challenge.Type)
		for range 3 {
			step, err = w.step(w.provider.Poll)
			require.NoError(t, err)
			require.Equal(t, banks.Pending, step.Status)
		}
		require.Zero(t, w.bank.Counters().Polls["app"], "polled too soon")
		w.bank.Advance(step.PollAfter)
		_, err = w.step(w.provider.Poll)
		require.NoError(t, err)
		require.Equal(t, 1, w.bank.Counters().Polls["app"])
	})

	t.Run("limits are no empty answer", func(t *testing.T) {
		t.Parallel()
		for persona, wait := range map[string]time.Duration{"limit": time.Hour, "limit-bare": 0} {
			if !can(persona) {
				continue
			}
			w := newGround(t, adapter).newWorker(adapter.Bank, persona)
			require.NoError(t, w.connect())
			accounts, err := w.accounts()
			require.NoError(t, err)
			_, err = w.transactions(accounts[0], banks.Window{})
			requireKind(t, err, banks.LimitExceeded)
			require.Equal(t, wait, banks.AsError(err).RetryAfter)
		}
	})

	t.Run("a bad account fails alone", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "badaccount")
		require.NoError(t, w.connect())
		accounts, err := w.accounts()
		require.NoError(t, err)
		require.Len(t, accounts, 3)
		bad := 0
		for _, account := range accounts {
			w.patience = 1
			if _, err := w.transactions(account, banks.Window{}); err != nil {
				bad++
				require.Contains(t, []banks.Kind{banks.Transient, banks.Rejected}, banks.AsError(err).Kind)
			}
		}
		require.Equal(t, 1, bad)
	})

	t.Run("a hostile bank ends in a classified error", func(t *testing.T) {
		t.Parallel()
		for _, persona := range []string{"html", "truncated", "enormous", "elsewhere", "endless", "loop"} {
			if !can(persona) {
				continue
			}
			t.Run(persona, func(t *testing.T) {
				t.Parallel()
				g := newGround(t, adapter)
				g.provider = adapter.New(g.bank.Now, 2*time.Second)
				w := g.newWorker(adapter.Bank, persona)
				w.patience = 1
				err := w.connect()
				var accounts []banks.Account
				if err == nil {
					accounts, err = w.accounts()
				}
				if err == nil {
					_, err = w.transactions(accounts[0], banks.Window{})
				}
				require.Error(t, err)
				kind := banks.AsError(err).Kind
				require.Contains(t, []banks.Kind{banks.Rejected, banks.Transient}, kind)
			})
		}
	})
}

// under is the same ground for a subtest.
func (g *ground) under(t *testing.T) *ground {
	sub := *g
	sub.t = t
	return &sub
}

// walk goes the way, and compares.
func (way way) walk(w *worker) {
	w.t.Helper()
	err := w.connect()
	if way.ends != nil {
		require.Error(w.t, err)
		if w.lose > 0 && banks.AsError(err).Kind == banks.WrongCredentials {
			return // the reason may be lost with the bank's answer; that nobody tries again may not
		}
		requireKind(w.t, err, way.ends.Kind)
		require.Equal(w.t, way.ends.Code, banks.AsError(err).Code, "%v", err)
		return
	}
	blind := w.adapter.Blind && (w.lose > 0 || w.faulted)
	if blind && err != nil && banks.AsError(err).Kind == banks.WrongCredentials {
		require.LessOrEqual(w.t, w.bank.Counters().Logins[w.conv.Credentials[banks.CredentialLogin]], 1, "the PIN was sent again")
		return
	}
	require.NoError(w.t, err)
	var asked []string
	for _, c := range w.asked {
		if c.Type == banks.Embedded {
			asked = append(asked, c.Format)
		} else {
			asked = append(asked, string(c.Type))
		}
	}
	switch {
	case w.lose > 0:
	case blind: // what was lost may be asked again
		require.True(w.t, strings.HasPrefix(strings.Join(asked, " "), way.asked), "%v", asked)
	default:
		require.Equal(w.t, way.asked, strings.Join(asked, " "))
	}
	readsEverything(w)
}

// readsEverything lists the accounts and reads each to its end; what comes has to make sense.
func readsEverything(w *worker) {
	w.t.Helper()
	accounts, err := w.accounts()
	require.NoError(w.t, err)
	require.NotEmpty(w.t, accounts)
	for _, account := range accounts {
		require.NotEmpty(w.t, account.IBAN+account.Number)
		require.NotEmpty(w.t, account.Currency)
		require.NotEqual(w.t, banks.Unknown, account.Type)
		if account.Unread != "" {
			continue
		}
		s, err := w.transactions(account, banks.Window{})
		require.NoError(w.t, err)
		require.NotEmpty(w.t, append(account.Balances, s.balances...))
		require.NotEmpty(w.t, s.entries)
		require.False(w.t, s.covered.From.IsZero() || s.covered.To.IsZero(), "what was covered is not said")
		seen := map[string]bool{}
		for _, e := range s.entries {
			require.False(w.t, e.Amount.IsZero())
			require.Equal(w.t, account.Currency, e.Currency)
			require.True(w.t, e.Pending || !e.BookingDate.IsZero())
			require.NotEmpty(w.t, strings.Join(e.Remittance, "")+e.Counterparty.Name+e.BookingText)
			if id := e.TransactionID; id != "" {
				require.False(w.t, seen[id], "an entry came twice")
				seen[id] = true
			}
		}
	}
}

// identities are what accounts are recognised by.
func identities(accounts []banks.Account) []string {
	var all []string
	for _, a := range accounts {
		all = append(all, a.IBAN+" "+a.Number+" "+a.Currency)
	}
	slices.Sort(all)
	return all
}

func refuseRedirect(w *worker) (banks.Step, error) {
	step, err := w.step(w.provider.Authorize)
	require.NoError(w.t, err)
	query := w.browse(step.Challenge.Location, false)
	return w.step(func(ctx context.Context, c *banks.Conversation) (banks.Step, error) {
		return w.provider.Answer(ctx, c, banks.Answer{Query: query})
	})
}

func requireKind(t *testing.T, err error, kind banks.Kind) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, banks.AsError(err).Kind, "%v", err)
}
