package child_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/child"
)

// TestMain is also the parent that TestEndsWithItsParent kills: it starts a child, says which, and waits.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST_PARENT") == "" {
		os.Exit(m.Run())
	}
	sleep := exec.Command("sleep", "300")
	if _, err := child.Start(sleep, syscall.SIGTERM); err != nil {
		panic(err)
	}
	fmt.Println(sleep.Process.Pid)
	select {}
}

func TestEndsWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child that its parent was killed")
	}
	t.Parallel()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "CHILD_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	require.True(t, runs(t, pid))

	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	require.Eventually(t, func() bool { return !runs(t, pid) }, time.Minute, 10*time.Millisecond)
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	t.Parallel()
	deaf := exec.Command("sh", "-c", `trap "" TERM; echo ready; sleep 300 & wait; sleep 300`)
	out, err := deaf.StdoutPipe()
	require.NoError(t, err)
	process, err := child.Start(deaf, syscall.SIGTERM)
	require.NoError(t, err)
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)

	require.ErrorContains(t, process.Stop(syscall.SIGTERM, 100*time.Millisecond), "was killed")
	require.False(t, runs(t, deaf.Process.Pid))
}

func TestStopIsNoErrorForWhatEndsWhenAsked(t *testing.T) {
	t.Parallel()
	process, err := child.Start(exec.Command("sleep", "300"), syscall.SIGTERM)
	require.NoError(t, err)
	require.NoError(t, process.Stop(syscall.SIGTERM, time.Minute))
}

// runs tells whether the process is alive; one that only waits to be collected is not.
func runs(t *testing.T, pid int) bool {
	t.Helper()
	out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	state := strings.TrimSpace(string(out))
	return state != "" && !strings.HasPrefix(state, "Z")
}
