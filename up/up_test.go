package up_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/testground"
)

var binary string

// TestMain builds the binary under test.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kontoflow-binary-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "kontoflow")
	if out, err := exec.Command("go", "build", "-o", binary, "..").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// A first start, a kill -9, and a second start at once: both complete their synchronization, nothing of the first is
// left running, and the second finds what the first has stored.
func TestStateSurvivesAKill(t *testing.T) {
	t.Parallel()
	dir := reachable(t)

	first := kontoflow(t, "--dir", dir)
	out, err := first.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, first.Start())
	before := readUntil(t, out, "Ctrl-C")
	require.Contains(t, before, "→ COMPLETED")
	children := childrenOf(t, first.Process.Pid)
	require.Len(t, children, 5, "PostgreSQL, Temporal, bank, worker, API")

	require.NoError(t, first.Process.Kill())
	_ = first.Wait()
	second := kontoflow(t, "--dir", dir, "--once")
	after, err := second.Output()
	require.NoError(t, err, "%s", after)
	require.Contains(t, string(after), "→ COMPLETED")
	require.Equal(t, field(t, before, "API client"), field(t, string(after), "API client"),
		"the database still knows the client: another one would have been made otherwise")
	for _, child := range children {
		require.Eventually(t, func() bool { return !runs(child) }, time.Minute, 50*time.Millisecond)
	}
}

// Real servers named by the environment are used, and left alone.
func TestUsesServersThatRunAlready(t *testing.T) {
	t.Parallel()
	up := kontoflow(t, "--dir", t.TempDir(), "--once")
	up.Env = append(up.Env,
		"DATABASE_URL="+testground.Database(t),
		"TEMPORAL_ADDRESS="+testground.Temporal(t),
		"TASK_QUEUE="+t.Name(),
	)
	out, err := up.Output()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "→ COMPLETED")
	require.NotContains(t, string(out), "Temporal UI")
}

func TestCommandsExitCodeIsOurs(t *testing.T) {
	t.Parallel()
	up := kontoflow(t, "--", "sh", "-c", `echo "$DATABASE_URL $TEMPORAL_ADDRESS"; exit 7`)
	up.Env = append(up.Env, "DATABASE_URL=postgres://there", "TEMPORAL_ADDRESS=there:7233")
	out, err := up.Output()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 7, exit.ExitCode())
	require.Equal(t, "postgres://there there:7233\n", string(out))
}

// kontoflow is a run of `kontoflow up` on free ports, of which the test's own servers are hidden.
func kontoflow(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, append([]string{"up"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if name != "DATABASE_URL" && name != "TEMPORAL_ADDRESS" {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	for _, port := range []string{"API_PORT", "BANK_PORT", "POSTGRES_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT"} {
		cmd.Env = append(cmd.Env, port+"=0")
	}
	cmd.Stderr = &bytes.Buffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", cmd.Stderr)
		}
	})
	return cmd
}

// reachable is a directory that PostgreSQL can work in, too, where we are root and it is not.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kontoflow-up-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func readUntil(t *testing.T, out io.Reader, word string) string {
	t.Helper()
	var text strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(&text, lines.Text())
		if strings.Contains(lines.Text(), word) {
			return text.String()
		}
	}
	require.FailNow(t, "ended early", "%s", text.String())
	return ""
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	out, err := exec.Command("ps", "-o", "pid=", "--ppid", strconv.Itoa(pid)).Output()
	require.NoError(t, err)
	var pids []int
	for _, word := range strings.Fields(string(out)) {
		child, err := strconv.Atoi(word)
		require.NoError(t, err)
		pids = append(pids, child)
	}
	return pids
}

func runs(pid int) bool {
	out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	state := strings.TrimSpace(string(out))
	return state != "" && !strings.HasPrefix(state, "Z")
}

// field is the value behind a name in the table of addresses.
func field(t *testing.T, transcript, name string) string {
	t.Helper()
	match := regexp.MustCompile(`(?m)^  ` + name + ` +(\S+)$`).FindStringSubmatch(transcript)
	require.NotNil(t, match, "%s", transcript)
	return match[1]
}
