package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// A Visitor is a customer in front of the bank's own pages, for tests and demonstrations: they fill in the forms that
// a person would fill in.
type Visitor struct {
	Login    string
	Password string
	TAN      string // "" where the bank asks for none
	Client   *http.Client
}

// Approve goes to location (a scaRedirect link or an OAuth2 authorization request), logs in, allows access to all
// accounts that are offered, and returns the address that the bank sends them back to, without going there.
func (v Visitor) Approve(ctx context.Context, location string) (back string, err error) {
	return v.visit(ctx, location, true)
}

// Decline logs in and then refuses.
func (v Visitor) Decline(ctx context.Context, location string) (back string, err error) {
	return v.visit(ctx, location, false)
}

func (v Visitor) visit(ctx context.Context, location string, approve bool) (string, error) {
	p, err := v.open(ctx, http.MethodGet, location, nil)
	if err != nil {
		return "", err
	}
	p, err = v.open(ctx, http.MethodPost, p.address, url.Values{"step": {"login"}, "login": {v.Login}, "password": {v.Password}})
	if err != nil {
		return "", err
	}
	form := url.Values{"step": {"confirm"}, "tan": {v.TAN}}
	for _, box := range checkbox.FindAllStringSubmatch(p.text, -1) {
		form.Add("account", box[1])
	}
	if !approve {
		form = url.Values{"step": {"cancel"}}
	}
	p, err = v.open(ctx, http.MethodPost, p.address, form)
	if err != nil {
		return "", err
	}
	if p.back == "" {
		return "", errors.New("the bank did not send its visitor back")
	}
	return p.back, nil
}

var (
	checkbox  = regexp.MustCompile(`type="checkbox" name="account" value="([^"]+)"`)
	complaint = regexp.MustCompile(`role="alert">([^<]*)<`)
)

// visited is a page of the bank, or the way back from it.
type visited struct{ address, text, back string }

// open follows redirects as long as they stay at the bank.
func (v Visitor) open(ctx context.Context, method, address string, form url.Values) (visited, error) {
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if v.Client != nil {
		client.Transport = v.Client.Transport
	}
	for range 5 {
		request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
		if err != nil {
			return visited{}, fmt.Errorf("visit the bank: %w", err)
		}
		if form != nil {
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		response, err := client.Do(request)
		if err != nil {
			var named *url.Error
			if errors.As(err, &named) {
				err = named.Err // without the URL, which is the key to the visit
			}
			return visited{}, fmt.Errorf("visit the bank: %w", err)
		}
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		_ = response.Body.Close()
		if err != nil {
			return visited{}, fmt.Errorf("visit the bank: %w", err)
		}
		text := string(body)
		to, err := response.Location()
		if err != nil { // no redirect
			if said := complaint.FindStringSubmatch(text); said != nil || response.StatusCode != http.StatusOK {
				return visited{}, fmt.Errorf("the bank's page answered %d: %v", response.StatusCode, said)
			}
			return visited{address: address, text: text}, nil
		}
		if to.Host != request.URL.Host || !strings.Contains(to.Path, "/login/") {
			return visited{back: to.String()}, nil
		}
		method, address, form = http.MethodGet, to.String(), nil
	}
	return visited{}, errors.New("the bank's pages lead in circles")
}
