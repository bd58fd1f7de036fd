package xs2a

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
)

// Sizes that an answer may have.
const (
	maxAnswer = 1 << 20  // consents, authorisations, errors
	maxList   = 16 << 20 // accounts, balances
	maxReport = 64 << 20 // one page of transactions
)

// A call is one request to the bank.
type call struct {
	doing     string // for errors and logs: "create the consent"
	method    string
	url       *url.URL
	body      any               // JSON; nil: none
	header    map[string]string // beside those that every request has
	accept    string            // "": JSON
	requestID string            // "": a new one
	secret    step              // the step whose secret is in the body, for classifying a refusal
	anonymous bool              // goes without an access token
	of        subject           // what a 404 means
	counted   bool              // against the reads that the bank allows without the customer
	limit     int64             // of the answer's size; 0: maxAnswer
}

// A reply is the bank's answer to a call, with a 2xx status. The caller closes it.
type reply struct {
	status int
	header http.Header
	media  string // media type of the body, without parameters
	body   io.ReadCloser
}

// send makes the request, and turns everything but a 2xx answer into a classified error.
func (t *talk) send(ctx context.Context, c call) (*reply, error) {
	if t.usesOwnToken(&c) {
		return t.sendWithOwnToken(ctx, c)
	}
	return t.attempt(ctx, &c, "")
}

// attempt is send with our own access token; "" none, or the customer's.
func (t *talk) attempt(ctx context.Context, c *call, own string) (*reply, error) {
	if err := t.bank.Turn(ctx, c.doing, t.conv.Interactive); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.options.WholeTimeout)
	request, err := t.request(ctx, c, own)
	if err != nil {
		cancel()
		return nil, misconfigured(fmt.Errorf("%s: %w", c.doing, err))
	}
	started := time.Now()
	var response *http.Response
	if c.counted {
		var sent bool
		response, sent, err = t.bank.DoOnce(request)
		t.counted = t.counted || sent
	} else {
		response, err = t.bank.Do(request)
	}
	if err != nil {
		cancel()
		return nil, transport.Unreachable(c.doing, err)
	}
	t.options.Logger.DebugContext(ctx, "bank answered", "doing", c.doing, "status", response.StatusCode,
		"request_id", request.Header.Get("X-Request-ID"), "took", time.Since(started))
	limit := c.limit
	if limit == 0 {
		limit = maxAnswer
	}
	r := &reply{status: response.StatusCode, header: response.Header,
		body: &bounded{reader: response.Body, left: limit, closer: func() {
			// What is left of a short answer is read, so that the connection can be used again.
			_, _ = io.CopyN(io.Discard, response.Body, 4<<10)
			_ = response.Body.Close()
			cancel()
		}}}
	r.media, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type"))
	if r.status/100 == 2 {
		return r, nil
	}
	defer r.body.Close()
	return nil, t.refused(c, r)
}

// request builds the HTTP request with all headers.
func (t *talk) request(ctx context.Context, c *call, own string) (*http.Request, error) {
	var body []byte
	var reader io.Reader
	if c.body != nil {
		var err error
		if body, err = json.Marshal(c.body); err != nil {
			return nil, errors.New("write the request body")
		}
		reader = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, c.method, c.url.String(), reader)
	if err != nil {
		return nil, errors.New("build the request")
	}
	set := func(name, value string) {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	for name, value := range t.conv.Connection.Headers {
		set(name, value)
	}
	if c.requestID == "" {
		c.requestID = newID()
	}
	set("X-Request-ID", c.requestID)
	set("User-Agent", t.options.UserAgent)
	set("Accept", cmp.Or(c.accept, acceptJSON))
	if body != nil {
		set("Content-Type", "application/json")
	}
	t.presence(set)
	switch token := t.lasting.Token; {
	case c.anonymous:
	case own != "":
		set("Authorization", "Bearer "+own)
	case token != nil:
		set(cmp.Or(t.dialect.tokenHeader, "Authorization"), "Bearer "+token.Access)
	}
	for name, value := range c.header {
		set(name, value)
	}
	if t.bank.signer != nil {
		if err := t.bank.signer.sign(r, body, t.options.Now(), t.conv.Connection.SignDate); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// presence tells the bank that the customer is there. PSU-IP-Address on a read is what makes it
// attended, and keeps it out of the daily limit.
func (t *talk) presence(set func(name, value string)) {
	address, there := t.customer()
	if !there {
		return
	}
	set("PSU-IP-Address", address.Unmap().String())
	set("PSU-User-Agent", headerValue(t.conv.PSU.UserAgent))
	set("PSU-Http-Method", http.MethodPost)
}

// customer is the address of the customer, where they are there.
func (t *talk) customer() (address netip.Addr, there bool) {
	address, err := netip.ParseAddr(t.conv.PSU.IPAddress)
	return address, err == nil
}

// ownAddress is our address on the way to the bank: what stands for the customer's where that is not
// known (OpenAPI file 1.3.11, PSU-IP-Address_mandatory).
func (t *talk) ownAddress() string {
	port := t.bank.base.Port()
	if port == "" {
		port = "443"
	}
	conn, err := net.Dial("udp", net.JoinHostPort(t.bank.base.Hostname(), port)) // sends nothing
	if err != nil {
		return "127.0.0.1"
	}
	defer conn.Close()
	if address, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
		return address.Addr().Unmap().WithZone("").String()
	}
	return "127.0.0.1"
}

// json sends the call and reads the answer, bounded, into into.
func (t *talk) json(ctx context.Context, c call, into any) (*reply, error) {
	r, err := t.send(ctx, c)
	if err != nil {
		return nil, err
	}
	defer r.body.Close()
	body, err := io.ReadAll(r.body)
	if err != nil {
		return nil, unreadable(c.doing, err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return r, nil
	}
	if !isJSON(r.media, body) {
		return nil, unreadable(c.doing, banks.OwnError("the answer is not JSON"))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, unreadable(c.doing, err)
	}
	return r, nil
}

// isJSON judges by the media type, and by the first byte where the bank calls everything plain
// text.
func isJSON(media string, body []byte) bool {
	if strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json") {
		return true
	}
	body = bytes.TrimSpace(body)
	return (media == "" || media == "text/plain" || media == "application/octet-stream") &&
		len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

func isXML(media string) bool {
	return strings.HasSuffix(media, "/xml") || strings.HasSuffix(media, "+xml")
}

// bounded ends a body that is larger than its limit with an error.
type bounded struct {
	reader io.Reader
	left   int64
	closer func()
}

const errTooLarge = banks.OwnError("the answer is too large")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		if n, err := b.reader.Read(one[:]); n == 0 && err != nil {
			return 0, err
		}
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.reader.Read(p)
	b.left -= int64(n)
	return n, err
}

func (b *bounded) Close() error {
	if b.closer != nil {
		b.closer()
		b.closer = nil
	}
	return nil
}

// signed are the headers that a signature covers, as far as a request has them (Implementation
// Guidelines since 1.3.4, "Requirements on the Signature header"). Date was the last of them
// before; some banks still want it.
var signed = []string{"Digest", "X-Request-ID", "PSU-ID", "PSU-Corporate-ID", "TPP-Redirect-URI", "Date"}

// sign adds Digest, Date, Signature and TPP-Signature-Certificate. withDate says that the signature
// covers Date.
func (s *signer) sign(r *http.Request, body []byte, now time.Time, withDate bool) error {
	digest := sha256.Sum256(body)
	r.Header.Set("Digest", "SHA-256="+base64Of(digest[:]))
	r.Header.Set("Date", now.UTC().Format(http.TimeFormat))
	r.Header.Set("TPP-Signature-Certificate", s.certificate)
	var names, lines []string
	for _, name := range signed {
		if value := r.Header.Get(name); value != "" && (withDate || name != "Date") {
			names = append(names, strings.ToLower(name))
			lines = append(lines, strings.ToLower(name)+": "+value)
		}
	}
	hash := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, hash[:])
	if err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	r.Header.Set("Signature", fmt.Sprintf(`keyId=%q,algorithm="rsa-sha256",headers="%s",signature="%s"`,
		s.keyID, strings.Join(names, " "), base64Of(signature)))
	return nil
}

func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err) // the system has no randomness
	}
	return id.String()
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// headerValue is s as a header may carry it.
func headerValue(s string) string {
	return lenient.Cut(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s), maxText)
}
