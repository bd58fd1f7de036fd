// Command errortables writes the tables of error codes from the catalogue in package rules: docs/errors.md, and the two
// tables in the description of api/openapi.yaml. It runs in the project's root directory (make generate).
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/kontoflow/kontoflow/rules"
)

func main() {
	if err := write("."); err != nil {
		fmt.Fprintln(os.Stderr, "errortables:", err)
		os.Exit(1)
	}
}

const (
	page        = "docs/errors.md"
	description = "api/openapi.yaml"
)

func write(root string) error {
	if err := os.WriteFile(root+"/"+page, []byte(errorsPage()), 0o644); err != nil {
		return err
	}
	b, err := os.ReadFile(root + "/" + description)
	if err != nil {
		return err
	}
	described, err := describe(string(b))
	if err != nil {
		return err
	}
	return os.WriteFile(root+"/"+description, []byte(described), 0o644)
}

// The tables' first lines, by which they are found in the description.
const (
	ofRequests = "| code | HTTP | meaning | note |"
	ofSyncs    = "| code | meaning | note |"
)

// describe replaces the tables in the description.
func describe(text string) (string, error) {
	for _, table := range []struct {
		head string
		rows []string
	}{{ofRequests, requestRows()}, {ofSyncs, syncRows()}} {
		lines := strings.Split(text, "\n")
		first := -1
		for i, line := range lines {
			if strings.TrimSpace(line) == table.head {
				first = i
			}
		}
		if first < 0 {
			return "", fmt.Errorf("%s has no table %q", description, table.head)
		}
		indent := lines[first][:strings.Index(lines[first], "|")]
		last := first
		for last < len(lines) && strings.HasPrefix(lines[last], indent+"|") {
			last++
		}
		rows := make([]string, 0, len(table.rows)+2)
		for _, row := range append([]string{table.head, rule(table.head)}, table.rows...) {
			rows = append(rows, indent+row)
		}
		text = strings.Join(append(append(lines[:first:first], rows...), lines[last:]...), "\n")
	}
	return text, nil
}

// rule is the line below a table's head.
func rule(head string) string {
	return strings.Repeat("|---", strings.Count(head, "|")-1) + "|"
}

func requestRows() (rows []string) {
	for _, e := range rules.Catalog {
		if len(e.HTTP) > 0 {
			rows = append(rows, row(strconv.Itoa(e.Code), statuses(e.HTTP), e.EN, notes(e)))
		}
	}
	return rows
}

func syncRows() (rows []string) {
	for _, e := range rules.Catalog {
		if e.OfSyncs {
			rows = append(rows, row(strconv.Itoa(e.Code), e.EN, notes(e)))
		}
	}
	return rows
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |" }

func statuses(all []int) string {
	words := make([]string, len(all))
	for i, status := range all {
		words[i] = strconv.Itoa(status)
	}
	return strings.Join(words, ", ")
}

func notes(e rules.CatalogedError) string {
	var all []string
	if e.Customer {
		all = append(all, "only the customer can mend it")
	}
	if e.Passes {
		all = append(all, "passes by itself")
	}
	if e.Reserved {
		all = append(all, "reserved, not sent at present")
	}
	if e.Note != "" {
		all = append(all, e.Note)
	}
	return strings.Join(all, "; ")
}

func errorsPage() string {
	var b strings.Builder
	b.WriteString(`# Error codes

<!-- Generated from the catalogue in rules/errors.go: make generate. -->

A failed request has a code in ` + "`error.code`" + `, and so has a failed synchronization. Decide by the code. What to do about
each group is in [api.md](api.md#when-it-fails). Which answer of a bank becomes which code is in [dialects.md](dialects.md).

"Customer" says that nothing will work until the customer has done something: automatic synchronization stops. "Passes" says
that it may be over in an hour: automatic synchronization tries again on the same day.

`)
	const head = "| code | group | HTTP | on synchronizations | customer | passes | English | German |"
	b.WriteString(head + "\n" + rule(head) + "\n")
	mark := func(is bool) string {
		if is {
			return "yes"
		}
		return ""
	}
	for _, e := range rules.Catalog {
		english := e.EN
		if e.Reserved {
			english += " (Reserved: not sent at present.)"
		}
		b.WriteString(row(strconv.Itoa(e.Code), string(e.Group()), statuses(e.HTTP), mark(e.OfSyncs), mark(e.Customer),
			mark(e.Passes), english, e.DE) + "\n")
	}
	return b.String()
}
