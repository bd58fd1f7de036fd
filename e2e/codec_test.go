package e2e_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/failure/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/vault"
	"github.com/kontoflow/kontoflow/workflows"
)

// With the codec on, Temporal holds no payload in plain text but search attributes, and no message of a failure. What it
// holds opens with the keys alone.
func TestCodec(t *testing.T) {
	t.Parallel()
	codec := testground.Codec(t, testground.Keyset(t))
	s := newStack(t, func(s *stack) { s.codec = codec })
	for login, code := range map[string]int{"demo": 0, "redirect": 0, "wrongpin": 10001} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			sync := c.start(c.access("demo", login), object{"credentials": object{"pin": password}})
			require.Equal(t, code, codeOf(c.finish(sync)))

			did := c.ended(idOf(sync))
			for _, payload := range payloadsOf(t, did) {
				require.Equal(t, "binary/encrypted", string(payload.Metadata["encoding"]), payload)
			}
			require.NoError(t, proxy.VisitFailures(t.Context(), did, proxy.VisitFailuresOptions{
				Visitor: func(_ *proxy.VisitFailuresContext, f *failure.Failure) error {
					if f.Source != "" { // not the server's own words, such as those of a timeout
						require.Equal(t, "Encoded failure", f.Message)
						require.Empty(t, f.StackTrace)
					}
					return nil
				}}))
			words := []string{`"sync_id"`, "authorize with the bank", "manual synchronization of"}
			if code != 0 {
				words = append(words, "the synchronization failed with")
			}
			for _, word := range words {
				require.NotContains(t, plainText(t, did), word)
			}
			require.Contains(t, plainText(t, did), "SyncState", "search attributes are for looking for")

			require.NoError(t, replay(did, codec))
			require.ErrorContains(t, replay(did, testground.Codec(t, testground.Keyset(t))), temporalclient.ErrSealed.Error())
			open(t, did, codec)
			for _, word := range words {
				require.Contains(t, plainText(t, did), word)
			}
			require.NoError(t, replay(did, nil))
		})
	}
}

// A synchronization goes on while the codec is switched on under it, its keys are rotated, and it is switched off. A worker
// that lacks the key holds it up, and neither fails it nor loses the customer's answer.
func TestCodecComesAndGoes(t *testing.T) {
	t.Parallel()
	first := testground.Keyset(t)
	second, err := vault.Rotate(first)
	require.NoError(t, err)
	var ofAPI struct{ client.Client }
	s := newStack(t, func(s *stack) {
		s.workerOptions.SweepAfter = time.Hour // which would signal a slow answer twice
		s.wrapTemporal = func(c client.Client) client.Client { ofAPI.Client = c; return &ofAPI }
	})
	dial := func(codec *temporalclient.Codec) client.Client {
		c, err := temporalclient.Dial(temporalclient.Options{Address: s.address, Logger: s.workerOptions.Logger, Codec: codec})
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	work := func(codec *temporalclient.Codec) {
		s.worker.Stop()
		s.workerOptions.Client = dial(codec)
		s.startWorker()
	}
	c := s.newCustomer()
	asked := func(access string) (sync string, challenge object) {
		sync = c.start(access, object{"credentials": object{"pin": password}})
		return sync, c.until(sync, "")["challenge"].(object)
	}
	completes := func(sync string, challenge object) *history.History {
		require.Equal(t, "COMPLETED", c.until(sync, challenge["id"].(string))["status"])
		did := c.ended(idOf(sync))
		require.NoError(t, replay(did, testground.Codec(t, second)))
		return did
	}

	sync, challenge := asked(c.access("demo", "demo"))
	ofAPI.Client = dial(testground.Codec(t, first))
	c.answer(sync, challenge)
	var held *history.History
	c.eventually(func() bool {
		held = c.history(t.Context(), idOf(sync))
		return slices.ContainsFunc(held.Events, refused)
	}, "the worker holds the run up")
	require.Contains(t, plainText(t, held), temporalclient.ErrSealed.Error())
	work(testground.Codec(t, first))
	did := completes(sync, challenge)
	require.Equal(t, []string{"", keyOf(t, first)}, keysIn(t, did))

	sync, challenge = asked(c.access("demo", "demo+rotated"))
	ofAPI.Client = dial(testground.Codec(t, second))
	work(testground.Codec(t, second))
	c.answer(sync, challenge)
	did = completes(sync, challenge)
	require.Equal(t, []string{keyOf(t, first), keyOf(t, second)}, keysIn(t, did))
	require.ErrorContains(t, replay(did, testground.Codec(t, first)), temporalclient.ErrSealed.Error())

	sync, challenge = asked(c.access("demo", "demo+off"))
	opens, err := temporalclient.NewCodec(second, true)
	require.NoError(t, err)
	ofAPI.Client = dial(opens)
	work(opens)
	c.answer(sync, challenge)
	did = completes(sync, challenge)
	require.Equal(t, []string{keyOf(t, second), ""}, keysIn(t, did))
}

// refused reports that a worker could not go on.
func refused(event *history.HistoryEvent) bool {
	return event.EventType == enums.EVENT_TYPE_WORKFLOW_TASK_FAILED
}

// replay replays a history with a codec; nil: with none.
func replay(did *history.History, codec *temporalclient.Codec) error {
	if codec == nil {
		codec = &temporalclient.Codec{}
	}
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DataConverter: codec.DataConverter()})
	if err != nil {
		return err
	}
	workflows.Register(replayer)
	silent := log.NewStructuredLogger(slog.New(slog.DiscardHandler)) // it logs the panic, with its stack
	return replayer.ReplayWorkflowHistory(silent, did)
}

// payloadsOf are all payloads of a history but search attributes, in its order.
func payloadsOf(t *testing.T, did *history.History) (all []*common.Payload) {
	t.Helper()
	require.NoError(t, proxy.VisitPayloads(t.Context(), did, proxy.VisitPayloadsOptions{SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, some []*common.Payload) ([]*common.Payload, error) {
			all = append(all, some...)
			return some, nil
		}}))
	require.NotEmpty(t, all)
	return all
}

// open opens a history's payloads in place.
func open(t *testing.T, did *history.History, codec *temporalclient.Codec) {
	t.Helper()
	require.NoError(t, proxy.VisitPayloads(t.Context(), did, proxy.VisitPayloadsOptions{SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, some []*common.Payload) ([]*common.Payload, error) {
			return codec.Decode(some)
		}}))
}

// keysIn are the keys of a history's payloads (Tink's prefixes) in the order in which they come up; "" is a plain one.
func keysIn(t *testing.T, did *history.History) (keys []string) {
	t.Helper()
	for _, payload := range payloadsOf(t, did) {
		key := ""
		if string(payload.Metadata["encoding"]) == "binary/encrypted" {
			key = string(payload.Data[:5])
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// keyOf is the key that seals by a keyset.
func keyOf(t *testing.T, keys string) string {
	t.Helper()
	all, err := testground.Codec(t, keys).Encode([]*common.Payload{{}})
	require.NoError(t, err)
	return string(all[0].Data[:5])
}
