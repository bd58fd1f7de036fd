package e2e_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/worker"

	"github.com/kontoflow/kontoflow/sandbox"
	"github.com/kontoflow/kontoflow/workflows"
)

// What a synchronization costs Temporal is told by its history's length (docs/performance.md): with no challenge and one
// account, and with one challenge.
func TestHistoryEventCounts(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(s *stack) { s.workerOptions.SweepAfter = time.Hour }) // which would signal a slow answer twice
	for login, most := range map[string]int{"exempt": 30, "demo": 44} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			for n := 0; ; n++ {
				require.Less(t, n, 10, "the machine is too busy for this test")
				sync := c.start(c.access("demo", login+"+"+strconv.Itoa(n)), object{"credentials": object{"pin": password}})
				require.Equal(t, "COMPLETED", c.finish(sync)["status"])
				events := c.ended(idOf(sync)).Events
				if slices.ContainsFunc(events, late) {
					continue // events of the server's own making
				}
				require.LessOrEqual(t, len(events), most, "%v", events)
				return
			}
		})
	}
}

// late reports that the worker had no time to look at the workflow.
func late(event *history.HistoryEvent) bool {
	return event.EventType == enums.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
}

// TestHistories goes every way through the workflows, and replays what they did at once: a workflow that is not
// deterministic fails here first. `make histories` records what it did for workflows/testdata (docs/contributing.md).
func TestHistories(t *testing.T) {
	t.Parallel()
	s, hasty := newStack(t), newStack(t, withChallengeTimeout(2*time.Second))
	pin := object{"credentials": object{"pin": password}}
	ends := func(login, status string) func(c *customer) string {
		return func(c *customer) string {
			sync := c.start(c.access("demo", login), pin)
			require.Equal(c.t, status, c.finish(sync)["status"])
			return idOf(sync)
		}
	}
	// A synchronization that upgrades; each at a bank of its own, which supersedes its FinTS in its own manner.
	upgrades := func(login string, ends bool, code int, child bool) func(c *customer) string {
		return func(c *customer) string {
			c = newStack(c.t).newCustomer()
			access := c.access("fints", login)
			require.Zero(c.t, codeOf(c.sync(access)))
			c.supersede([]string{"Giro account"}, ends)
			sync := c.start(access, object{})
			require.Equal(c.t, code, codeOf(c.finish(sync)))
			if child {
				return "upgrade-" + access
			}
			return idOf(sync)
		}
	}
	// What runs by itself, a day after the customer was there, on clocks of its own.
	daily := func(login string, before func(c *customer), code int, sweep bool) func(c *customer) string {
		return func(c *customer) string {
			c = newStack(c.t, withBankClock()).newCustomer()
			access := c.access("demo", login)
			require.Zero(c.t, codeOf(c.finish(c.start(access, object{"credentials": object{"pin": password}, "save_secrets": true}))))
			before(c)
			_, _, next, _ := c.autoSync(access)
			c.bank.Advance(next.Sub(c.bank.Now()))
			run := "sweep-" + access
			require.Equal(c.t, 1, c.sweepAs(run).Started)
			require.Equal(c.t, code, codeOf(c.newest(access)))
			if sweep {
				return run
			}
			return c.newest(access)["id"].(string)
		}
	}
	nothing := func(*customer) {}
	for name, way := range map[string]func(c *customer) string{
		"automatic":                daily("demo", nothing, 0, false),
		"automatic-needs-customer": daily("demo", func(c *customer) { c.bank.RevokeConsents("demo") }, 10009, false),
		"automatic-sweep":          daily("demo", nothing, 0, true),
		"upgrade-direct":           upgrades("demo", false, 40001, false),
		"upgrade-multi":            upgrades("savings", false, 40002, false),
		"upgrade-partial":          upgrades("savings", true, 40003, false),
		"upgrade-child":            upgrades("savings", true, 40003, true),
		"no-challenge":             ends("exempt", "COMPLETED"),
		"tan":                      ends("demo", "COMPLETED"),
		"method-then-tan":          ends("methods", "COMPLETED"),
		"decoupled":                ends("decoupled", "COMPLETED"),
		"redirect":                 ends("redirect", "COMPLETED"),
		"second-challenge":         ends("again", "COMPLETED"),
		"wrong-pin":                ends("wrongpin", "FAILED"),
		"bad-account":              ends("badaccount", "COMPLETED"),
		"restarted": func(c *customer) string {
			sync := c.start(c.access("demo", "methods+restarted"), pin)
			asked := c.choose(sync, c.until(sync, ""), "photo")
			c.restart(sync, asked, object{"choose_method": true})
			require.Equal(c.t, "COMPLETED", c.finish(sync)["status"])
			return idOf(sync)
		},
		"restarted-decoupled": func(c *customer) string {
			sync := c.start(c.access("demo", "app+restarted"), pin)
			c.restart(sync, c.until(sync, ""), object{})
			require.NoError(c.t, c.bank.Decide("app+restarted", true))
			require.Equal(c.t, "COMPLETED", c.finish(sync)["status"])
			return idOf(sync)
		},
		"cancelled": func(c *customer) string {
			sync := c.start(c.access("demo", "demo+cancelled"), pin)
			challenge := c.until(sync, "")["challenge"].(object)
			c.post(sync+"/cancel", nil, 200, nil)
			require.Equal(c.t, 30007, codeOf(c.until(sync, challenge["id"].(string))))
			return idOf(sync)
		},
		"expired": func(c *customer) string {
			sync := c.start(c.access("demo", "demo"), pin)
			challenge := c.until(sync, "")["challenge"].(object)
			require.Equal(c.t, 30005, codeOf(c.until(sync, challenge["id"].(string))))
			return idOf(sync)
		},
		"revocation": func(c *customer) string {
			access := c.access("demo", "demo+revoked")
			require.Zero(c.t, codeOf(c.sync(access)))
			require.NoError(c.t, c.bank.Inject(sandbox.Fault{Login: "demo+revoked", Endpoint: "consents.delete", Action: sandbox.ActStatus, Status: 503, Times: 1}))
			c.revoke(access)
			var owed string
			require.NoError(c.t, c.store.DB.Raw(`SELECT id FROM revocations WHERE access_id = ?`, access).Scan(&owed).Error)
			return "revoke-" + owed
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := s
			if name == "expired" {
				at = hasty
			}
			c := at.in(t).newCustomer()
			did := c.ended(way(c))
			replayer := worker.NewWorkflowReplayer()
			workflows.Register(replayer)
			require.NoError(t, replayer.ReplayWorkflowHistory(nil, did))
			if folder := os.Getenv("RECORD_HISTORIES"); folder != "" {
				record(t, did, filepath.Join(folder, name+".json"))
			}
		})
	}
}

// ended is the history of a workflow, when it is over.
func (s *stack) ended(id string) *history.History {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	require.Eventually(s.t, func() bool {
		_, err := s.temporal.DescribeWorkflowExecution(ctx, id, "")
		return err == nil
	}, patience, 50*time.Millisecond, "the workflow has not started")
	_ = s.temporal.GetWorkflow(ctx, id, "").Get(ctx, nil) // waits; a failed synchronization fails its run
	return s.history(ctx, id)
}

func idOf(sync string) string { return filepath.Base(sync) }

// record writes a history as golden histories are kept: as Temporal's tools write it, without this machine's names.
func record(t *testing.T, h *history.History, file string) {
	t.Helper()
	encoded, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(h)
	require.NoError(t, err)
	host, err := os.Hostname()
	require.NoError(t, err)
	encoded = bytes.ReplaceAll(encoded, []byte(host), []byte("worker"))
	encoded = regexp.MustCompile(`"identity": *"[^"]*"`).ReplaceAll(encoded, []byte(`"identity": "worker"`))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, append(encoded, '\n'), 0o644))
	t.Log("recorded", file)
}
