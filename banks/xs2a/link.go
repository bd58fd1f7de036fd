package xs2a

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
)

// Links of a bank are addresses that it supplies, and requests to them carry the customer's PIN,
// TAN and consent. So they are read by one rule, and each is checked.
//
// The specification leaves open what a path counts from ("All links can be relative or full links",
// OpenAPI file 1.3.11, _linksConsents): beside its server https://api.testbank.com/psd2 it has
// examples with "/psd2/v1/…" and with "/v1/…". Banks write both. With the catalog's URL
// https://bank.example/gateway/psd2 a link means:
//
//	/gateway/psd2/v1/x         …/gateway/psd2/v1/x   begins with the whole path of the URL
//	/psd2/v1/x                 …/gateway/psd2/v1/x   … with the end of it, then a version
//	/v1/x, v1/x                …/gateway/psd2/v1/x   … with the version at once
//	/.well-known/x             …/gateway/psd2/.well-known/x
//	/login/x                   …/login/x             anything else: from the host (RFC 3986)
//	consents/x                 …/gateway/psd2/v1/consents/x
//	https://bank.example/y/x   as it stands
//
// A link to another host, port or scheme is refused, and so is one with user information, or one
// that climbs (".."). What is sent for an authorisation goes only below the catalog's URL (api).

// resolve turns a link of the bank into an address on the catalog's host.
func (b *bank) resolve(href string) (*url.URL, error) {
	u, err := parseLink(href)
	if err != nil {
		return nil, err
	}
	switch {
	case u.IsAbs() || u.Host != "":
		u = b.base.ResolveReference(u)
	case u.Path == "":
		return nil, errors.New("link has no path")
	default:
		return b.fromPath(u), nil
	}
	if u.Scheme != b.base.Scheme || !sameHost(u, b.base) {
		return nil, errors.New("link leaves the bank's host")
	}
	u.Host = b.base.Host
	return u, nil
}

// api is resolve for a link that the customer's identity and secrets are sent to: it has to lie
// below the catalog's URL.
func (b *bank) api(href string) (*url.URL, error) {
	u, err := b.resolve(href)
	if err != nil {
		return nil, err
	}
	if _, below := strings.CutPrefix(u.EscapedPath(), b.base.EscapedPath()+"/"); !below {
		return nil, errors.New("link is not below the catalog's URL")
	}
	return u, nil
}

// fromPath is where a link leads that is a path.
func (b *bank) fromPath(u *url.URL) *url.URL {
	at := *b.base
	at.RawQuery = u.RawQuery
	if at.Path == "" {
		at.Path = "/" // else JoinPath gives a path without it
	}
	path := u.EscapedPath()
	own := segments(b.base.EscapedPath())
	for n := len(own); n >= 0; n-- { // the longest end of our own path that the link begins with
		rest, ok := cutSegments(path, own[len(own)-n:])
		if ok && (n > 0 && n == len(own) || ofAPI.MatchString(rest)) {
			return at.JoinPath(rest)
		}
	}
	if strings.HasPrefix(path, "/") {
		at.Path, at.RawPath = "/", ""
		return at.JoinPath(path)
	}
	return at.JoinPath("v1", path)
}

// ofAPI is how a path below the catalog's URL begins: with a version, or with what RFC 8615
// reserves.
var ofAPI = regexp.MustCompile(`^(v[0-9]{1,2}(\.[0-9]{1,2}){0,2}|\.well-known)/`)

// segments are the parts of an escaped path.
func segments(path string) []string {
	if path = strings.Trim(path, "/"); path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// cutSegments is path without the segments that it begins with.
func cutSegments(path string, first []string) (rest string, found bool) {
	rest = strings.TrimPrefix(path, "/")
	for _, segment := range first {
		if rest, found = strings.CutPrefix(rest, segment+"/"); !found {
			return "", false
		}
	}
	return rest, true
}

// maxLink is how long a link may be, in bytes.
const maxLink = 4096

func parseLink(href string) (*url.URL, error) {
	href = strings.TrimSpace(href)
	if rest, found := strings.CutPrefix(href, "null/"); found { // where the address of their server belongs
		href = "/" + rest
	}
	if len(href) > maxLink {
		return nil, errors.New("link is too long")
	}
	u, err := url.Parse(href)
	if err != nil || u.Opaque != "" || u.User != nil || strings.Contains(href, `\`) {
		return nil, errors.New("link cannot be read")
	}
	if climbs(u) {
		return nil, errors.New("link climbs out of its path")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// sameHost compares hosts as they are connected to: in any case, with the port of the scheme where
// none is named.
func sameHost(a, b *url.URL) bool {
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// climbs reports whether a path has a segment "." or ".." in any of the ways that servers read it:
// escaped, behind an escaped slash or a backslash, or with parameters ("..;x").
func climbs(u *url.URL) bool {
	path := u.EscapedPath()
	for range 3 { // escaped more than once
		for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
			segment, _, _ = strings.Cut(segment, ";")
			if segment == "." || segment == ".." {
				return true
			}
		}
		decoded, err := url.PathUnescape(path)
		if err != nil || decoded == path {
			return false
		}
		path = decoded
	}
	return false
}

// known reports whether u may be asked by us: one of the catalog's hosts.
func (b *bank) known(u *url.URL) bool {
	return banks.SafeAddress(u) && u.Opaque == "" && slices.ContainsFunc(b.hosts, func(host *url.URL) bool {
		return u.Scheme == host.Scheme && sameHost(u, host)
	})
}

// elsewhere turns a link that may lead to another of the catalog's hosts, as an authorization
// server's does, into the addresses that it may mean, the likeliest first. Paths are read as in
// resolve, then as counting from the host: RFC 8414 (section 3.1) puts the path of an issuer behind
// the well-known part.
func (b *bank) elsewhere(href string) []*url.URL {
	u, err := parseLink(href)
	if err != nil || u.Path == "" {
		return nil
	}
	if u.IsAbs() || u.Host != "" {
		if u = b.base.ResolveReference(u); !b.known(u) {
			return nil
		}
		return []*url.URL{u}
	}
	likely := b.fromPath(u)
	literal := *b.base
	literal.Path, literal.RawPath = "/", ""
	fromHost := literal.ResolveReference(u)
	if fromHost.String() == likely.String() {
		return []*url.URL{likely}
	}
	return []*url.URL{likely, fromHost}
}

// path is the address below the base of the catalog, "/v1/…".
func (b *bank) path(segments ...string) *url.URL { return b.base.JoinPath(segments...) }

// startLinks are the links that start an authorisation, each with the one that does the same to an
// authorisation that is there already.
var startLinks = map[string]string{
	"startAuthorisation":                                  "updatePsuIdentification",
	"startAuthorisationWithPsuIdentification":             "updatePsuIdentification",
	"startAuthorisationWithPsuAuthentication":             "updatePsuAuthentication",
	"startAuthorisationWithEncryptedPsuAuthentication":    "updateEncryptedPsuAuthentication",
	"startAuthorisationWithAuthenticationMethodSelection": "selectAuthenticationMethod",
	"startAuthorisationWithTransactionAuthorisation":      "authoriseTransaction",
}

// begun replaces start links that name an authorisation by the links that update it: some banks
// begin the authorisation with the consent, and call the way on a start all the same. Such a link
// ends in authorisations/<id>, or is the one that the status is asked at.
func (b *bank) begun(l links) links {
	result := make(links, len(l))
	for name, href := range l {
		update, starts := startLinks[name]
		if !starts || !b.isAuthorisation(href, l["scaStatus"]) {
			result[name] = href
			continue
		}
		if result["scaStatus"] == "" && l["scaStatus"] == "" {
			result["scaStatus"] = href
		}
		if l[update] == "" {
			result[update] = href
		}
	}
	return result
}

func (b *bank) isAuthorisation(href, status string) bool {
	u, err := b.resolve(href)
	if err != nil {
		return false
	}
	if at, err := b.resolve(status); err == nil && at.EscapedPath() == u.EscapedPath() {
		return true
	}
	return authorisationIn.MatchString(u.EscapedPath())
}

var authorisationIn = regexp.MustCompile(`/authori[sz]ations/[^/]+/?$`)
