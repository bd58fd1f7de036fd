package notify_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/kontoflow/kontoflow/notify"
)

// nameServer is a resolver for which every name has the address.
func nameServer(t *testing.T, address string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	ip := net.ParseIP(address)
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			q := m.Questions[0]
			header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
			switch v4 := ip.To4(); {
			case q.Type == dnsmessage.TypeA && v4 != nil:
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: [4]byte(v4)}}}
			case q.Type == dnsmessage.TypeAAAA && v4 == nil:
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: [16]byte(ip)}}}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// A name that looked fine when it was stored resolves to a private address later: nothing connects.
func TestResolvedAddressIsPrivate(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(inside.Close)
	inside.Config.ConnState = func(net.Conn, http.ConnState) { reached.Add(1) }
	port := inside.Listener.Addr().(*net.TCPAddr).Port
	for _, address := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "10.1.2.3", "169.254.169.254", "fd00::1"} {
		s := newSender(t, notify.Options{Resolver: nameServer(t, address)})
		uri := (&url.URL{Scheme: "https", Host: net.JoinHostPort("receiver.example", itoa(port)), Path: "/hook", RawQuery: "token=t0ken"}).String()
		require.NoError(t, notify.CheckURI(uri, false))
		_, target := s.observe(uri)
		s.announce(s.access(), 1)
		s.deliver()
		var failure string
		require.NoError(t, s.store.DB.Raw(`SELECT last_error FROM notification_events`).Row().Scan(&failure))
		require.Equal(t, "PRIVATE_ADDRESS", failure, address)
		require.NotContains(t, s.log.String(), "t0ken")
		require.NotContains(t, s.log.String(), target.Secret)
	}
	require.Zero(t, reached.Load())
}

func itoa(n int) string { return strings.TrimPrefix((&net.TCPAddr{Port: n}).String(), ":") }

// A receiver that sends deliveries on to a private address has taken them; nobody goes there.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	inside := newReceiver(t, s.time, always(http.StatusOK))
	var codes []int
	outside := newReceiver(t, s.time, func(w http.ResponseWriter, a *arrival) int {
		w.Header().Set("Location", inside.URL)
		code := []int{301, 302, 303, 307, 308}[a.n()-1]
		codes = append(codes, code)
		return code
	})
	s.observe(outside.URL)
	s.announce(s.access(), 5)
	s.deliver()
	require.Equal(t, []int{301, 302, 303, 307, 308}, codes, "each is taken at once")
	require.Empty(t, inside.got())
}

// Where a redirect leads is not even read.
func TestRedirectToNowhere(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	r := newReceiver(t, s.time, func(w http.ResponseWriter, _ *arrival) int {
		w.Header().Set("Location", "https://receiver.example:port/%zz")
		return http.StatusFound
	})
	s.observe(r.URL)
	s.announce(s.access(), 2)
	s.deliver()
	require.Len(t, r.got(), 2, "each is taken at once")
}

// What else receivers do: everything is one word in the end, and nothing is waited for longer than that.
func TestReceiversMisbehave(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	serve := func(h http.HandlerFunc) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	untrusted := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(untrusted.Close)
	raw := func(answer string) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = conn.Write([]byte(answer))
				conn.Close()
			}
		}()
		return "http://" + listener.Addr().String()
	}
	for name, k := range map[string]struct{ uri, failure string }{
		"hangs":          {serve(func(http.ResponseWriter, *http.Request) { <-hang }), "TIMEOUT"},
		"not there":      {"http://127.0.0.1:1", "UNREACHABLE"},
		"untrusted":      {untrusted.URL, "TLS"},
		"no TLS":         {strings.Replace(serve(func(http.ResponseWriter, *http.Request) {}), "http:", "https:", 1), "TLS"},
		"off at once":    {raw(""), "BROKEN"},
		"not HTTP":       {raw("220 mail.example ESMTP\r\n"), "BROKEN"},
		"endless header": {raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), "BROKEN"},
		"refuses":        {serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }), "HTTP_404"},
		"hangs in its answer": {serve(func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-hang
		}), ""},
		"endless answer": {serve(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := notify.Options{Loopback: true}
			if strings.HasPrefix(name, "hangs") {
				o.Patience = 200 * time.Millisecond
			}
			s := newSender(t, o)
			_, target := s.observe(k.uri + "/?token=t0ken")
			s.announce(s.access(), 1)
			s.deliver()
			failures := []string{}
			require.NoError(t, s.store.DB.Raw(`SELECT last_error FROM notification_events`).Scan(&failures).Error)
			if k.failure == "" {
				require.Empty(t, failures)
			} else {
				require.Equal(t, []string{k.failure}, failures)
			}
			require.NotContains(t, s.log.String(), "t0ken")
			require.NotContains(t, s.log.String(), target.Secret)
			require.NotContains(t, s.log.String(), "127.0.0.1")
		})
	}
	t.Cleanup(func() { close(hang) }) // before the servers close
}

func TestCheckURI(t *testing.T) {
	t.Parallel()
	for uri, ok := range map[string][2]bool{ // without and with loopback
		"https://receiver.example/hook?a=b": {true, true},
		"https://receiver.example:8443":     {true, true},
		"https://93.184.216.34":             {true, true},
		"https://[2606:4700::1]/":           {true, true},
		"http://receiver.example":           {false, false},
		"http://localhost:8080/x":           {false, true},
		"https://localhost":                 {false, true},
		"http://127.0.0.1":                  {false, true},
		"http://127.9.9.9":                  {false, true},
		"http://[::1]:80":                   {false, true},
		"http://[::ffff:127.0.0.1]":         {false, true},
		"http://10.0.0.1":                   {false, false},
	} {
		require.Equal(t, ok, [2]bool{notify.CheckURI(uri, false) == nil, notify.CheckURI(uri, true) == nil}, uri)
	}
	for _, address := range []string{"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.1.1", "172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
		"2001:db8::1", "2002:a00:1::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1"} {
		require.Error(t, notify.CheckURI((&url.URL{Scheme: "https", Host: "[" + address + "]"}).String(), false), address)
		if !strings.Contains(address, ":") {
			require.Error(t, notify.CheckURI("https://"+address, false), address)
		}
	}
	for _, address := range []string{"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "198.20.0.1", "223.255.255.255",
		"2001:200::1", "2606:4700::1", "2a00:1450:4001::1", "64:ff9b::101:101"} {
		host := address
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		require.NoError(t, notify.CheckURI("https://"+host, false), address)
	}
}
