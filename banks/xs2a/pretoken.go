package xs2a

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2/clientcredentials"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
)

// Some banks want a token before there is a consent. Where the customer gets it on the bank's
// pages, oauth.go does that. Here are the other two: a token of our own, as the bank's client (RFC
// 6749, section 4.4), and one for the customer's login and PIN.

// clientToken is our own token at a bank. It is nobody's but ours, so all conversations of the
// process share it, and it is not stored.
type clientToken struct {
	turn   chan struct{} // holds one for whoever looks at the rest
	access string
	until  time.Time
}

func newClientToken() clientToken { return clientToken{turn: make(chan struct{}, 1)} }

// defaultClientLife is how long our own token is used where the bank does not say.
const defaultClientLife = 5 * time.Minute

// clientAccess is our own access token; it is fetched where there is none, or where the bank has
// refused the one named.
func (t *talk) clientAccess(ctx context.Context, refused string) (string, error) {
	const doing = "get a token of our own"
	own := &t.bank.client
	select {
	case own.turn <- struct{}{}:
		defer func() { <-own.turn }()
	case <-ctx.Done():
		return "", transport.Unreachable(doing, ctx.Err())
	}
	now := t.options.Now()
	if own.access != "" && own.access != refused && now.Before(own.until) {
		return own.access, nil
	}
	own.access = ""
	address, err := t.tokenEndpoint(ctx)
	if err != nil {
		return "", err
	}
	if err := t.bank.Turn(ctx, doing, t.conv.Interactive); err != nil {
		return "", err
	}
	ctx, cancel := t.oauthContext(ctx)
	defer cancel()
	config := t.oauthConfig(address)
	got, err := (&clientcredentials.Config{ClientID: config.ClientID, ClientSecret: config.ClientSecret,
		TokenURL: config.Endpoint.TokenURL, AuthStyle: config.Endpoint.AuthStyle}).Token(ctx)
	if err != nil {
		return "", t.oauthError(doing, err)
	}
	life := defaultClientLife
	if !got.Expiry.IsZero() { // by the machine's clock, which need not be ours
		life = min(time.Until(got.Expiry), maxTokenLife)
	}
	own.access, own.until = got.AccessToken, now.Add(life-min(life/4, time.Minute))
	return own.access, nil
}

// usesOwnToken reports whether a call carries our own token, since there is none of the customer's.
func (t *talk) usesOwnToken(c *call) bool {
	return t.oauthFlow() == clientCredentials && t.lasting.Token == nil && !c.anonymous
}

// sendWithOwnToken is send for calls that carry our own token. One that the bank refuses is fetched
// anew, once.
func (t *talk) sendWithOwnToken(ctx context.Context, c call) (*reply, error) {
	access, err := t.clientAccess(ctx, "")
	if err != nil {
		return nil, err
	}
	r, err := t.attempt(ctx, &c, access)
	if !ownTokenRefused(&c, err) {
		return r, err
	}
	if access, err = t.clientAccess(ctx, access); err != nil {
		return nil, err
	}
	_, reading := c.header["Consent-ID"] // else it may be the consent that the bank does not take
	if r, err = t.attempt(ctx, &c, access); !reading && ownTokenRefused(&c, err) {
		no, _ := asRefusal(err)
		no.fault.Kind, no.fault.Code = banks.Rejected, banks.CodeInternal // it is us who are not let in, not the customer
	}
	return r, err
}

// ownTokenRefused reports whether the bank looked at nothing but the token. A bare 401 to a secret
// may be about that.
func ownTokenRefused(c *call, err error) bool {
	no, refused := asRefusal(err)
	return refused && no.status == http.StatusUnauthorized &&
		(strings.HasPrefix(no.code, "TOKEN_") || no.code == "INVALID_TOKEN" || no.code == "" && c.secret == "")
}

// maxTokenSize bounds a token, which goes into a header of every call. In bytes.
const maxTokenSize = 16 << 10

// passwordAnswer is what a bank answers to login and PIN: its own form, or that of RFC 6749.
type passwordAnswer struct {
	ReturnCode text   `json:"returnCode"`
	Access     string `json:"accessToken"`
	Expires    text   `json:"expiresIn"`
	OAuth      string `json:"access_token"`
	OAuthLife  text   `json:"expires_in"`
}

// byReturnCode classifies what stands beside, or in place of, the token. It is how DKB's older
// platform says it.
var byReturnCode = map[string]verdict{
	"FAILED":                          {banks.WrongCredentials, banks.CodePINInvalid},
	"LOCKED":                          {banks.NeedsUser, banks.CodeAccessBlocked},
	"TEMPORARY_LOCKED":                {banks.NeedsUser, banks.CodeAccessBlocked},
	"PASSWORD_EXPIRED":                {banks.NeedsUser, banks.CodePINChange},
	"CORRECT_PASSWORD_CHANGE":         {banks.NeedsUser, banks.CodePINChange},
	"NO_SUITABLE_AUTHENTICATION_TYPE": {banks.NeedsUser, banks.CodeTANNotActivated},
}

// fetchPasswordToken gets the customer's token for login and PIN. The address is the catalog's own,
// never one of the bank's answers.
func (t *talk) fetchPasswordToken(ctx context.Context, requestID string) error {
	const doing = "log in for a token"
	address := t.bank.elsewhere(t.conv.Connection.OAuth.TokenURL)
	if len(address) == 0 {
		return misconfigured(errors.New("the catalog has no address to log in at for a token"))
	}
	c := call{doing: doing, method: http.MethodPost, url: address[0], secret: passwordToken, requestID: requestID, anonymous: true,
		body: map[string]string{"username": t.conv.Credentials[banks.CredentialLogin], "password": t.conv.Credentials[banks.CredentialPIN]}}
	var said passwordAnswer
	r, err := t.json(ctx, c, &said)
	if no, refused := asRefusal(err); refused {
		if v, known := byReturnCode[no.code]; known {
			no.fault.Kind, no.fault.Code = v.kind, v.code
		}
	}
	if err != nil {
		return err
	}
	access, life := said.Access, said.Expires
	if access == "" {
		access, life = said.OAuth, said.OAuthLife
	}
	code := errorCode(strings.ToUpper(string(said.ReturnCode)))
	v, known := byReturnCode[code]
	switch {
	case known:
	case access == "" || len(access) > maxTokenSize:
		v = verdict{banks.Rejected, banks.CodeBankCannot}
	default:
		now := t.options.Now()
		t.lasting.Token, t.dialog.RefreshToken, t.dirty = &token{Access: access, Got: now}, false, true
		if seconds, err := strconv.ParseInt(string(life), 10, 64); err == nil && seconds > 0 {
			t.lasting.Token.Expiry = now.Add(secondsOf(seconds))
		}
		return nil
	}
	return &refusal{status: r.status, code: code, fault: &banks.Error{Kind: v.kind, Code: v.code,
		Err: fmt.Errorf("%s: the bank gives no token (%s)", doing, code)}}
}
