package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kontoflow/kontoflow/banks"
)

const requestIDKey = "request_id"

func requestID(c echo.Context) string {
	id, _ := c.Get(requestIDKey).(string)
	return id
}

// identify gives the request its id, the caller's own where they sent a decent one, and the answer its fixed headers.
func (s *Server) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !decent(id) {
			id = uuid.NewString()
		}
		c.Set(requestIDKey, id)
		header := c.Response().Header()
		header.Set(echo.HeaderXRequestID, id)
		header.Set(echo.HeaderCacheControl, "no-store")
		header.Set(echo.HeaderXContentTypeOptions, "nosniff")
		return next(c)
	}
}

// decent request ids are short and printable: they go into headers and logs.
func decent(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

// measures are what Prometheus gets to know about requests.
type measures struct {
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMeasures(r prometheus.Registerer) *measures {
	m := &measures{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kontoflow_http_request_duration_seconds", Help: "Time to answer a request, by method, route and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kontoflow_http_requests_in_flight", Help: "Requests being answered."}),
	}
	if r != nil {
		r.MustRegister(m.duration, m.inFlight)
	}
	return m
}

// record logs and measures each request by its route. The path itself and its query stay out: people put all sorts of
// things into URLs.
func (s *Server) record(m *measures) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			m.inFlight.Inc()
			defer m.inFlight.Dec()
			start := time.Now()
			if err := next(c); err != nil {
				s.fail(err, c)
			}
			took, r, status := time.Since(start), c.Request(), c.Response().Status
			route := c.Path()
			if status == http.StatusNotFound && s.contract.operation(c) == nil {
				route = "none"
			}
			m.duration.WithLabelValues(method(r), route, strconv.Itoa(status)).Observe(took.Seconds())
			if !s.log.Enabled(r.Context(), slog.LevelInfo) {
				return nil
			}
			attributes := []slog.Attr{
				slog.String("request_id", requestID(c)), slog.String("method", method(r)), slog.String("route", route), slog.Int("status", status),
				slog.Int64("bytes", c.Response().Size), slog.Float64("ms", float64(took.Microseconds())/1000),
			}
			if who := callerOf(c); who != nil && who.user != "" {
				attributes = append(attributes, slog.String("user_id", who.user))
			} else if who != nil {
				attributes = append(attributes, slog.String("client_id", who.client.String()))
			}
			s.log.LogAttrs(r.Context(), slog.LevelInfo, "request", attributes...)
			return nil
		}
	}
}

// method keeps made-up methods out of the metrics' labels.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions:
		return r.Method
	}
	return "other"
}

// recover turns a panic into 30000 and a log line.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch r := recover(); r {
			case nil:
			case http.ErrAbortHandler:
				panic(r)
			default:
				s.log.ErrorContext(c.Request().Context(), "a request panicked", "request_id", requestID(c), "route", c.Path(),
					"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
				err = &problem{status: http.StatusInternalServerError, code: banks.CodeInternal}
			}
		}()
		return next(c)
	}
}

const (
	longestWait    = 30 * time.Second // of GET sync with `wait`
	requestTimeout = longestWait + 15*time.Second
)

// bound ends a request that takes too long. Event streams bound themselves.
func (s *Server) bound(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Path() == eventsPath {
			return next(c)
		}
		ctx, cancel := context.WithTimeout(c.Request().Context(), requestTimeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}
