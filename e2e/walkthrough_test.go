package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/stretchr/testify/require"
)

// TestWalkthrough runs the commands of docs/walkthrough.md in a shell, section by section: what they print has to begin
// with what stands behind the arrows, in order.
func TestWalkthrough(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "docs", "walkthrough.md"))
	require.NoError(t, err)
	sections := strings.Split(string(text), "\n## ")[1:]
	title, preamble := commands(sections[0])
	require.Equal(t, "Before", title)

	// Password and TAN are those of the documentation, which leave no trace either: they are too common to be looked for.
	s := newStack(t, withAdapter(banks.Options{AnswerTimeout: 10 * time.Second, WholeTimeout: 10 * time.Second}), withDocumentedBank())
	for _, section := range sections[1:] {
		title, script := commands(section)
		t.Run(title, func(t *testing.T) {
			if strings.Contains(script, "/control/clock") {
				t.Skip("has a bank of its own below")
			}
			if title == "Much" {
				t.Skip("TestBig does the same")
			}
			t.Parallel()
			s.in(t).walk(preamble, script)
		})
	}
	for _, section := range sections[1:] {
		if title, script := commands(section); strings.Contains(script, "/control/clock") {
			t.Run(title+", alone", func(t *testing.T) {
				t.Parallel()
				newStack(t, withDocumentedBank()).walk(preamble, script)
			})
		}
	}
}

func withDocumentedBank() option {
	return func(s *stack) { s.bankOptions.Password, s.bankOptions.TAN = "demo", "111111" }
}

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	arrow      = regexp.MustCompile(`→ ([^→\n]+)`)
)

// commands are a section's title and its shell blocks, but for the one that takes the addresses from a file.
func commands(section string) (title, script string) {
	title, _, _ = strings.Cut(section, "\n")
	for _, block := range shellBlock.FindAllStringSubmatch(section, -1) {
		if !strings.HasPrefix(block[1], "source ") {
			script += block[1] + "\n"
		}
	}
	return title, script
}

// walk runs a script, and holds its output against its arrows.
func (s *stack) walk(preamble, script string) {
	s.t.Helper()
	shell := exec.CommandContext(s.t.Context(), "bash", "-euo", "pipefail", "-c", preamble+script)
	shell.Env = append(os.Environ(), "API="+s.api.URL, "CLIENT="+s.clientID, "SECRET="+s.secret, "BANK="+s.bankURL)
	var problems strings.Builder
	shell.Stderr = &problems
	out, err := shell.Output()
	require.NoError(s.t, err, "%s\n%s\n%s", out, &problems, s.logs.complaints())
	lines := strings.Split(string(out), "\n")
	for _, want := range arrow.FindAllStringSubmatch(script, -1) {
		text := strings.TrimSpace(want[1])
		for len(lines) > 0 && !strings.HasPrefix(lines[0], text) {
			lines = lines[1:]
		}
		require.NotEmpty(s.t, lines, "%q does not come, or not in this place:\n%s\n%s", text, out, s.logs.complaints())
		lines = lines[1:]
	}
	require.NotContains(s.t, string(out), "null")
}

// complaints are the log's warnings and errors.
func (j *journal) complaints() string {
	lines := strings.Split(j.String(), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool {
		return !strings.Contains(l, `"level":"WARN"`) && !strings.Contains(l, `"level":"ERROR"`)
	}), "\n")
}
