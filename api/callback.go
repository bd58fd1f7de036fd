package api

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
)

// returnFromBank takes a customer whom the bank sends back after a redirect: what they bring is the answer to the
// challenge that their state belongs to. Then they go on to the client's redirect_uri, with the client's state and
// whether it went well. Only the first return counts.
func (s *Server) returnFromBank(c echo.Context) error {
	ctx := c.Request().Context()
	query := c.QueryParams()
	var challenge models.Challenge
	var target, state *string
	err := s.store.Pool.QueryRow(ctx, `SELECT c.id, c.sync_id, y.redirect_uri, y.state
		FROM challenges c JOIN synchronizations y ON y.id = c.sync_id WHERE c.redirect_hash = $1`, models.HashSecret(query.Get("state"))).
		Scan(&challenge.ID, &challenge.SyncID, &target, &state)
	if errors.Is(err, pgx.ErrNoRows) {
		return page(c, http.StatusNotFound, "This link is not valid", "It was used before, it has expired, or it was not made here. Please start again where you came from.")
	}
	if err != nil {
		return fmt.Errorf("look for the challenge: %w", err)
	}
	answer := banks.Answer{Query: make(map[string]string, len(query))}
	for name, values := range query {
		if name != "state" {
			answer.Query[name] = values[0]
		}
	}
	success := query.Get("error") == ""
	switch err := s.store.PutAnswer(ctx, challenge.ID, answer); {
	case err == nil:
		s.answered(ctx, challenge)
	case errors.Is(err, models.ErrEdge), errors.Is(err, models.ErrAnswered):
		success = false // too late: nobody waits any more
	default:
		return err
	}
	if target == nil {
		if success {
			return page(c, http.StatusOK, "Thank you", "You can close this window.")
		}
		return page(c, http.StatusOK, "This did not work", "Please start again where you came from.")
	}
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	return c.Redirect(http.StatusFound, withQuery(*target, state, success))
}

// withQuery adds state and success to the client's redirect_uri, whatever query that has already.
func withQuery(target string, state *string, success bool) string {
	u, err := url.Parse(target)
	if err != nil { // checked when the synchronization was made
		return target
	}
	added := "success=" + strconv.FormatBool(success)
	if state != nil {
		added = "state=" + url.QueryEscape(*state) + "&" + added
	}
	if u.RawQuery != "" {
		added = u.RawQuery + "&" + added
	}
	u.RawQuery = added
	return u.String()
}

var plainPage = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}}</title>
<style>body{font:18px/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto 0;padding:0 1.5rem;color:#1c2433}h1{font-size:1.5rem}</style>
<h1>{{.Title}}</h1><p>{{.Text}}</p></html>
`))

// page is for the customer's eyes, where the answer is no API answer.
func page(c echo.Context, status int, title, words string) error {
	header := c.Response().Header()
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	c.Response().WriteHeader(status)
	return plainPage.Execute(c.Response(), struct{ Title, Text string }{title, words})
}
