package notify

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Whoever makes a notification chooses where this machine connects to. So an address is checked twice: its form when it
// is stored, and what its name has resolved to when a connection is made, whatever a name server says in between.

// maxURI is the most that a receiver's address may have, in bytes.
const maxURI = 2048

// CheckURI says what is wrong with a receiver's address; nil: nothing. Loopback lets http go to this machine.
func CheckURI(uri string, loopback bool) error {
	u, err := url.Parse(uri)
	switch {
	case len(uri) > maxURI:
		return errors.New("must have at most 2048 bytes")
	case err != nil, u.Opaque != "", u.Hostname() == "", strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("must be an absolute https address")
	case u.User != nil:
		return errors.New("must not hold a user or password")
	case strings.Contains(uri, "#"):
		return errors.New("must not have a fragment")
	}
	address, err := netip.ParseAddr(u.Hostname())
	literal := err == nil
	local := u.Hostname() == "localhost" || literal && address.Unmap().IsLoopback()
	switch {
	case loopback && local && (u.Scheme == "http" || u.Scheme == "https"):
		return nil
	case u.Scheme != "https" && loopback:
		return errors.New("must be https, or http on a loopback address")
	case u.Scheme != "https":
		return errors.New("must be https")
	case local, literal && !public(address):
		return errors.New("must be an address of the public internet")
	}
	return nil
}

// special are the networks within the unicast ranges that are nobody's on the public internet (IANA's registries of
// special-purpose addresses), or that reach others: 6to4 and Teredo wrap an IPv4 address.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)

// unicast is what the IPv6 internet consists of, and nat64 what wraps an IPv4 address there (RFC 6052).
var (
	unicast = netip.MustParsePrefix("2000::/3")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(all ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(all))
	for i, p := range all {
		parsed[i] = netip.MustParsePrefix(p)
	}
	return parsed
}

// public reports whether an address is one of the public internet.
func public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if nat64.Contains(a) {
		wrapped := a.As16()
		a = netip.AddrFrom4([4]byte(wrapped[12:]))
	}
	if a.Is6() && !unicast.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

// errPrivate says that a receiver's name resolved to an address that is not public.
var errPrivate = errors.New("not an address of the public internet")

// connectTimeout is for each address that a name resolves to, and for each handshake.
const connectTimeout = 5 * time.Second

// newTransport makes what deliveries go through: to public addresses only (and this machine where it is allowed), through
// no proxy, without patience for large headers. It follows no redirect, and does not even read where one leads.
func newTransport(o Options) *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, Resolver: o.Resolver, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !public(to.Addr()) && !(o.Loopback && to.Addr().Unmap().IsLoopback()) {
			return errPrivate
		}
		return nil
	}}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		MaxResponseHeaderBytes: 16 << 10,
		MaxIdleConns:           1000,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        time.Minute,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}
