// Package api is Kontoflow's HTTP face. openapi.yaml is the contract: types and routes are generated from it
// (openapi.gen.go), and every request is held against it before its handler runs (contract.go). There is one file per
// resource; a handler reads the request, makes its one change or query, and answers.
//
// The API reads and writes the database, and tells Temporal what happened: start, answered, cancel. What it cannot tell
// is not lost, since the rows are the outbox and the worker's sweep looks at them.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/version"
	"github.com/kontoflow/kontoflow/models"
)

// Options is what a server needs.
type Options struct {
	Store     *models.Store
	Temporal  client.Client
	TaskQueue string

	// PublicURL is where customers and banks reach this server, without a slash at its end; banks return customers
	// to PublicURL + CallbackPath.
	PublicURL string
	// LoopbackReceivers lets notifications go to this machine, over http, too; the workers have to allow it as well.
	LoopbackReceivers bool
	PasswordLength    int                   // of new passwords, at least; zero: 8
	Limits            LimitSettings         // zero: the defaults
	Logger            *slog.Logger          // nil: slog.Default
	Metrics           prometheus.Registerer // nil: none
}

// CallbackPath is where banks send customers back to after a redirect.
const CallbackPath = "/callback/redirect"

// A Server answers the API. Close it to end its waits and its database listener.
type Server struct {
	store             *models.Store
	temporal          client.Client
	taskQueue         string
	publicURL         string
	loopbackReceivers bool
	log               *slog.Logger
	contract          *contract
	passwords         *passwords
	gates             *gates
	changes           *changes
	docs              *documentation
	echo              *echo.Echo
	close             context.CancelFunc
}

var _ ServerInterface = (*Server)(nil)

// New makes a server. It begins to listen for changes in the database at once, and for requests never: see Handler.
func New(o Options) *Server {
	contract, err := newContract(o.PasswordLength)
	if err != nil {
		panic(err) // it is embedded: a test of this package would not have passed
	}
	docs, err := newDocumentation(contract.document)
	if err != nil {
		panic(err)
	}
	limits := o.Limits.orDefaults()
	address, err := limits.addressOf()
	if err != nil {
		panic(err) // Serve has checked it
	}
	s := &Server{store: o.Store, temporal: o.Temporal, taskQueue: o.TaskQueue, publicURL: strings.TrimSuffix(o.PublicURL, "/"),
		loopbackReceivers: o.LoopbackReceivers, log: o.Logger, contract: contract, docs: docs, passwords: newPasswords(), gates: newGates(limits, o.Metrics)}
	if s.log == nil {
		s.log = slog.Default()
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.close = cancel
	s.changes = newChanges(ctx, o.Store.Pool.Config().ConnConfig, s.log)

	s.echo = echo.New()
	s.echo.HTTPErrorHandler = s.fail
	s.echo.IPExtractor = address
	s.echo.Use(s.identify, s.record(newMeasures(o.Metrics)), s.recover, s.bound, s.guard)
	RegisterHandlers(s.echo, s)
	s.echo.GET(CallbackPath, s.returnFromBank)
	s.echo.GET("/", s.docs.home)
	s.echo.GET("/docs", s.docs.show)
	s.echo.GET("/openapi.yaml", s.docs.specification)
	s.echo.GET("/version", s.version)
	s.echo.GET("/health", s.health)
	s.echo.GET("/ready", s.ready)
	return s
}

// Handler answers requests.
func (s *Server) Handler() http.Handler { return s.echo }

// Close ends waiting requests and event streams, and stops listening to the database. Further requests still work,
// without waiting.
func (s *Server) Close() { s.close() }

// version says which build runs. Clients of the family ask for it.
func (s *Server) version(c echo.Context) error {
	build := version.Current()
	return c.JSON(http.StatusOK, map[string]string{"version": build.Version, "revision": build.Revision})
}

func (s *Server) health(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// ready reports whether requests would succeed. Temporal is not asked: without it, synchronizations wait in their rows. The
// question goes over the connections of authorization, so that a database which is busy with others' lists is ready.
func (s *Server) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), 2*time.Second)
	defer cancel()
	if err := s.store.AuthPool.Ping(ctx); err != nil {
		return &problem{status: http.StatusServiceUnavailable, code: banks.CodeTemporary, cause: err}
	}
	return c.JSON(http.StatusOK, map[string]string{"status": "ready"})
}
