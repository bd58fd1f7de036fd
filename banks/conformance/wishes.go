package conformance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
)

// runWishes holds an adapter to what the customer can wish for: another question, and another method.
func runWishes(t *testing.T, adapter Adapter) {
	can := func(persona string) bool { return !slices.Contains(adapter.Without, persona) }

	t.Run("a question is given up for another one, whichever move is lost", func(t *testing.T) {
		t.Parallel()
		shared := newGround(t, adapter)
		for _, way := range ways {
			if !can(way.persona) || way.ends != nil || way.asked == "" {
				continue
			}
			t.Run(way.persona, func(t *testing.T) {
				t.Parallel()
				g := shared.under(t)
				undisturbed := g.newWorker(adapter.Bank, way.persona+"+anew")
				begun, moves := undisturbed.anew()
				for lost := begun + 1; lost <= moves; lost++ {
					w := g.newWorker(adapter.Bank, fmt.Sprintf("%s+anew-%d", way.persona, lost))
					w.lose = lost
					w.anew()
				}
			})
		}
	})

	t.Run("nothing is given up where nothing is open", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "demo")
		require.NoError(t, w.connect())
		before := w.trouble()
		w.conv.Restart = "late"
		require.NoError(t, w.connect())
		require.Equal(t, before, w.trouble())
	})

	t.Run("a method is stored, and chosen anew by wish", func(t *testing.T) {
		t.Parallel()
		w := newGround(t, adapter).newWorker(adapter.Bank, "methods")
		require.NoError(t, w.connect()) // chooses the last one
		require.NotEmpty(t, w.asked)
		last := w.asked[0].AuthMethods[len(w.asked[0].AuthMethods)-1].ID
		require.Equal(t, last, w.stored())

		w = w.wishing("", "renewed")
		require.NoError(t, w.connect())
		for _, c := range w.asked {
			require.NotEqual(t, banks.MethodSelection, c.Type, "the stored one is used without asking")
		}

		w = w.wishing("another", "given up") // and nobody answers
		step, err := w.step(w.provider.Authorize)
		require.NoError(t, err)
		require.Equal(t, banks.MethodSelection, step.Challenge.Type)
		require.Equal(t, last, w.stored())
		first := step.Challenge.AuthMethods[0].ID
		require.NotEqual(t, last, first)

		w = w.wishing("another", "another") // the same wish, which has not come true
		w.prefers = first
		require.NoError(t, w.connect())
		require.Equal(t, banks.MethodSelection, w.asked[0].Type)
		require.Equal(t, first, w.stored())
		asked := len(w.asked)
		require.NoError(t, w.connect())
		require.Len(t, w.asked, asked, "once")

		w = w.wishing("", "last")
		require.NoError(t, w.connect())
		for _, c := range w.asked {
			require.NotEqual(t, banks.MethodSelection, c.Type)
		}
		require.Equal(t, first, w.stored())
	})
}

// anew goes a persona's way, and gives up the first question for another one. It returns how many moves there were up to
// that, and in the whole.
func (w *worker) anew() (begun, moves int) {
	step, err := w.step(w.provider.Authorize)
	require.NoError(w.t, err)
	require.Equal(w.t, banks.Challenged, step.Status)
	begun = w.moves
	first := step.Challenge
	w.conv.Resumed, w.conv.Restart = true, "anew" // the customer takes their time: another worker goes on
	w.conv.Redirect.State += "-anew"
	step, err = w.step(w.provider.Authorize)
	require.NoError(w.t, err)
	require.Equal(w.t, banks.Challenged, step.Status)
	requireChallenge(w.t, step)
	require.Equal(w.t, first.Type, step.Challenge.Type)
	require.Equal(w.t, first.Format, step.Challenge.Format)
	if first.Type == banks.RedirectTo {
		require.NotEqual(w.t, first.Location, step.Challenge.Location)
	}
	w.load()
	again, err := w.step(w.provider.Authorize)
	require.NoError(w.t, err)
	require.Equal(w.t, step.Challenge, again.Challenge, "the wish was fulfilled already")
	moves = w.moves

	w.conv.Restart, w.conv.Resumed = "", true
	require.NoError(w.t, w.connect())
	login := w.conv.Credentials[banks.CredentialLogin]
	require.LessOrEqual(w.t, w.bank.Counters().TANs[login], 1)
	require.Zero(w.t, w.bank.Counters().WrongTANs[login])
	return begun, moves
}

// wishing begins another synchronization with the customer. Where the protocol knows consents, a new one is wished for:
// nobody is asked under one that is valid.
func (w *worker) wishing(choose, renew string) *worker {
	next := w.attended()
	next.conv.ChooseMethod = choose
	if next.conv.Connection.Capabilities().GrantsConsents {
		next.conv.Renew = renew
	}
	return next
}

// stored is the id of the method that is used without asking.
func (w *worker) stored() (id string) {
	w.t.Helper()
	for _, m := range w.conv.Methods {
		require.NotEmpty(w.t, m.ID)
		require.NotEmpty(w.t, m.Type)
		if m.Default {
			require.Empty(w.t, id, "two are stored: %v", w.conv.Methods)
			id = m.ID
		}
	}
	return id
}
