package up

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// walk is one complete synchronization through the public API, as a customer's backend would run it. It prints what
// it sends and the telling part of what comes back.
type walk struct {
	api    string // base address
	client credentials
	out    io.Writer
	step   int
	sync   string   // id of the synchronization that was run
	names  []string // pairs of an id and the shell variable that it is printed as
}

type credentials struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

const (
	demoLogin    = "demo"
	demoPassword = "demo"
	demoTAN      = "111111"
)

// errNotCompleted says that the synchronization ended otherwise; the transcript tells how.
var errNotCompleted = errors.New("the synchronization did not complete")

func (w *walk) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()

	w.title("A user, and a token to act for them")
	var user struct {
		ID string `json:"user_id"`
	}
	email := fmt.Sprintf("ada-%d@example.org", time.Now().UnixNano())
	if err := w.call(ctx, "POST", "/auth/user", nil, object{"email": email, "password": "correct horse battery staple"}, &user); err != nil {
		return err
	}
	w.name("USER", user.ID)
	var token struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := w.call(ctx, "POST", "/auth/token", nil, object{"grant_type": "client_credentials", "user_id": user.ID}, &token); err != nil {
		return err
	}
	w.answer("TOKEN=A…, good for %d s", token.ExpiresIn)
	bearer := http.Header{"Authorization": {"Bearer " + token.AccessToken}}

	w.title("Their bank")
	var banks []bank
	if err := w.call(ctx, "GET", "/rest/catalog/banks?q="+sandboxBankCode, bearer, nil, &banks); err != nil {
		return err
	}
	if len(banks) == 0 || len(banks[0].AccessMethods) == 0 {
		return errors.New("the catalog does not know the sandbox bank")
	}
	// The bank speaks XS2A, and FinTS beside it.
	for _, method := range banks[0].AccessMethods {
		w.name("METHOD", method.ID, banks[0].Name+", "+method.Type+", asks for "+method.fields())
		if err := w.synchronize(ctx, bearer, method); err != nil {
			return err
		}
	}

	w.title("What is there now")
	var accounts struct {
		Accounts []account `json:"accounts"`
	}
	if err := w.call(ctx, "GET", "/rest/accounts", bearer, nil, &accounts); err != nil {
		return err
	}
	for _, a := range accounts.Accounts {
		w.answer("%-22s %s  %s %s", a.Name, a.IBAN, amount(a.Balance.Balance), a.Currency)
	}
	var transactions struct {
		Transactions []transaction `json:"transactions"`
	}
	if err := w.call(ctx, "GET", "/rest/transactions?count=6", bearer, nil, &transactions); err != nil {
		return err
	}
	for _, t := range transactions.Transactions {
		w.answer("%.10s  %s %s  %s", t.BookedAt, amount(t.Amount), t.Currency, shorten(t.Name+" · "+t.Purpose, 60))
	}
	return nil
}

type object map[string]any

type bank struct {
	Name          string         `json:"name"`
	AccessMethods []accessMethod `json:"access_methods"`
}

type accessMethod struct {
	ID          string `json:"id"`
	Type        string `json:"type"`
	Credentials []struct {
		Key      string `json:"key"`
		IsSecret bool   `json:"is_secret"`
		Optional bool   `json:"is_optional"`
	} `json:"credentials"`
}

// synchronize adds an access with the method, and synchronizes it.
func (w *walk) synchronize(ctx context.Context, bearer http.Header, method accessMethod) error {
	w.title("An access to it over " + method.Type)
	var access struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	if err := w.call(ctx, "POST", "/rest/accesses", bearer, object{
		"access_method_id": method.ID,
		"credentials":      method.enter(false),
	}, &access); err != nil {
		return err
	}
	w.name("ACCESS", access.ID, access.Status)

	w.title("A synchronization")
	syncs := "/rest/accesses/" + access.ID + "/syncs"
	present := bearer.Clone()
	present.Set("PSU-IP-Address", "192.0.2.7")
	var s synchronization
	if err := w.call(ctx, "POST", syncs, present, object{"credentials": method.enter(true)}, &s); err != nil {
		return err
	}
	w.sync = s.ID
	w.name("SYNC", s.ID, s.Status)

	for s.Status == "QUEUED" || s.Status == "RUNNING" || s.Status == "AWAIT_AUTH" {
		after := s.Status
		if err := w.call(ctx, "GET", syncs+"/"+s.ID+"?wait=30&after="+after, bearer, nil, &s); err != nil {
			return err
		}
		switch {
		case s.Status == after:
			w.answer("still %s", s.Status)
		case s.Status == "AWAIT_AUTH" && s.Challenge != nil:
			w.answer("AWAIT_AUTH")
			w.name("CHALLENGE", s.Challenge.ID, s.Challenge.String())
			w.title("The customer's answer")
			answer := syncs + "/" + s.ID + "/challenges/" + s.Challenge.ID + "/response"
			if err := w.call(ctx, "POST", answer, bearer, s.Challenge.answer(), nil); err != nil {
				return err
			}
			w.answer("{}")
		default:
			w.answer("%s", s.Status)
		}
	}
	if s.Error != nil {
		w.answer("%s", s.Error)
	}
	if s.Status != "COMPLETED" {
		return errNotCompleted
	}
	w.answer("%d of %d accounts, %d new transactions", s.Progress.AccountsDone, s.Progress.AccountsTotal, s.Progress.TransactionsAdded)
	return nil
}

func (m accessMethod) fields() string {
	var keys []string
	for _, field := range m.Credentials {
		keys = append(keys, field.Key)
	}
	return strings.Join(keys, " and ")
}

// enter fills in what the access method asks for: its secret fields, or its other ones.
func (m accessMethod) enter(secret bool) map[string]string {
	values := make(map[string]string)
	for _, field := range m.Credentials {
		if field.Optional || field.IsSecret != secret {
			continue
		}
		values[field.Key] = demoLogin
		if secret {
			values[field.Key] = demoPassword
		}
	}
	return values
}

type synchronization struct {
	ID        string     `json:"id"`
	Status    string     `json:"status"`
	Challenge *challenge `json:"challenge"`
	Error     *failure   `json:"error"`
	Progress  struct {
		AccountsTotal     int `json:"accounts_total"`
		AccountsDone      int `json:"accounts_done"`
		TransactionsAdded int `json:"transactions_added"`
	} `json:"progress"`
}

type challenge struct {
	ID          string `json:"id"`
	Type        string `json:"type"`
	Format      string `json:"format"`
	Label       string `json:"label"`
	Data        string `json:"data"`
	AuthMethods []struct {
		ID string `json:"id"`
	} `json:"auth_methods"`
}

func (c *challenge) String() string {
	if c.Type == "METHOD_SELECTION" {
		return c.Type
	}
	return fmt.Sprintf("%s %s: %s", c.Type, c.Format, shorten(c.Data, 90))
}

func (c *challenge) answer() object {
	if c.Type == "METHOD_SELECTION" && len(c.AuthMethods) > 0 {
		return object{"method_id": c.AuthMethods[0].ID}
	}
	return object{"value": demoTAN}
}

type failure struct {
	Code        int    `json:"code"`
	Description string `json:"description"`
	Message     string `json:"message"`
}

func (f *failure) String() string {
	return strings.TrimSpace(fmt.Sprintf("error %d: %s %s", f.Code, f.Description, f.Message))
}

type account struct {
	Name     string `json:"name"`
	IBAN     string `json:"iban"`
	Currency string `json:"currency"`
	Balance  struct {
		Balance json.Number `json:"balance"`
	} `json:"balance"`
}

type transaction struct {
	BookedAt string      `json:"booked_at"`
	Amount   json.Number `json:"amount"`
	Currency string      `json:"currency"`
	Name     string      `json:"name"`
	Purpose  string      `json:"purpose"`
}

// call sends one request and prints it. Without a Bearer token it authenticates as the client.
func (w *walk) call(ctx context.Context, method, path string, header http.Header, body object, result any) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, w.api+path, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if header.Get("Authorization") == "" {
		request.SetBasicAuth(w.client.ID, w.client.Secret)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	line := strings.NewReplacer(w.names...).Replace(strings.TrimSpace(path + " " + string(payload)))
	fmt.Fprintf(w.out, "     %-4s %s\n", method, shorten(line, 150))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, bare(path), err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, bare(path), err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, bare(path), response.Status, shorten(string(text), 300))
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("%s %s: %w", method, bare(path), err)
	}
	return nil
}

func (w *walk) title(text string) {
	w.step++
	fmt.Fprintf(w.out, "\n  %d  %s\n", w.step, text)
}

// name prints an id that came back, and what else is worth telling; from here on it is printed by its name.
func (w *walk) name(name, id string, rest ...string) {
	w.answer("%s", strings.Join(append([]string{name + "=" + id}, rest...), "  "))
	w.names = append(w.names, id, "$"+name)
}

func (w *walk) answer(format string, args ...any) {
	fmt.Fprintf(w.out, "       → "+format+"\n", args...)
}

// bare is the path without its query.
func bare(path string) string {
	u, err := url.Parse(path)
	if err != nil {
		return "?"
	}
	return u.Path
}

func amount(n json.Number) string { return fmt.Sprintf("%10s", n) }

func shorten(text string, max int) string {
	text = strings.Join(strings.Fields(text), " ")
	runes := []rune(text)
	if len(runes) <= max {
		return text
	}
	return string(runes[:max-1]) + "…"
}
