// Package up brings up everything that Kontoflow needs on one machine: for a first look (Run), and for tests and
// benchmarks (Command).
package up

// Options are the settings of both.
type Options struct {
	DatabaseURL     string // empty: a private PostgreSQL
	TemporalAddress string // empty: a private Temporal server
	DevServer       string // path of kontoflow-devserver; empty: beside us, in ./bin, or built from ./devserver
}
