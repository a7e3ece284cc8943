package listener

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/socket"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// says answers with a name, then with what it read until the peer ended.
type says struct {
	name  string
	facts chan *stream.Conn
}

func (s says) Serve(conn net.Conn, facts *stream.Conn, _ <-chan struct{}) {
	defer conn.Close()
	if s.facts != nil {
		s.facts <- facts
	}
	_, _ = io.WriteString(conn, s.name+":")
	_, _ = io.Copy(conn, conn)
}

func always(uint16) bool { return true }

func listen(n *memnet.Net) Deps {
	return Deps{Listen: func(a socket.Address) (net.Listener, error) { return n.Listen(a.String()) }}
}

func tcp(address string) socket.Address {
	return socket.Address{AddrPort: netip.MustParseAddrPort(address)}
}

// dial connects, sends text, ends its direction, and returns the answer.
func dial(t *testing.T, n *memnet.Net, to, text string) string {
	t.Helper()
	conn, err := n.Dial(context.Background(), "tcp", to, nil)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, text)
	_ = conn.(*memnet.Conn).CloseWrite()
	all, _ := io.ReadAll(conn)
	return string(all)
}

func TestMostSpecificChainWins(t *testing.T) {
	chain := func(name string, m Match) *Chain { return &Chain{Name: name, Match: m} }
	prefix := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	c := newChains(&Config{Default: chain("default", Match{}), Chains: []*Chain{
		chain("port", Match{Port: 80}),
		chain("port tls", Match{Port: 80, Transport: "tls"}),
		chain("port mtls", Match{Port: 80, Transport: "tls", ALPN: []string{"istio", "istio-http/1.1"}}),
		chain("wide", Match{Prefixes: prefix("10.0.0.0/8")}),
		chain("narrow", Match{Prefixes: prefix("10.1.0.0/16")}),
		chain("narrow http", Match{Prefixes: prefix("10.1.0.0/16"), Transport: "raw_buffer", ALPN: []string{"http/1.1", "h2c"}}),
		chain("suffix", Match{Prefixes: prefix("192.168.0.0/16"), ServerNames: []string{"*.example.com"}}),
		chain("name", Match{Prefixes: prefix("192.168.0.0/16"), ServerNames: []string{"a.example.com"}}),
		chain("source", Match{Prefixes: prefix("192.168.0.0/16"), SourcePrefixes: prefix("10.9.0.0/16")}),
	}})
	raw := sniffed{transport: "raw_buffer"}
	for _, tc := range []struct {
		to, from string
		seen     sniffed
		want     string
	}{
		{"10.1.0.1:80", "", raw, "port"},
		{"1.1.1.1:80", "", sniffed{transport: "tls"}, "port tls"},
		{"1.1.1.1:80", "", sniffed{transport: "tls", alpn: []string{"h2", "istio"}}, "port mtls"},
		{"10.1.0.1:81", "", raw, "default"}, // "narrow http" won by its transport: no way back
		{"10.1.0.1:81", "", sniffed{transport: "tls"}, "narrow"},
		{"10.1.0.1:81", "", sniffed{transport: "raw_buffer", alpn: []string{"h2c"}}, "narrow http"},
		{"10.2.0.1:81", "", raw, "wide"},
		{"192.168.0.1:81", "", sniffed{transport: "tls", serverName: "a.example.com"}, "name"},
		{"192.168.0.1:81", "", sniffed{transport: "tls", serverName: "b.example.com"}, "suffix"},
		{"192.168.0.1:81", "10.9.0.1:1", sniffed{transport: "tls", serverName: "example.com"}, "source"},
		{"192.168.0.1:81", "10.8.0.1:1", raw, "default"},
		{"1.1.1.1:1", "", raw, "default"},
	} {
		from := netip.MustParseAddrPort("10.0.0.9:1000")
		if tc.from != "" {
			from = netip.MustParseAddrPort(tc.from)
		}
		got := c.pick(&stream.Conn{Original: netip.MustParseAddrPort(tc.to), Remote: from}, tc.seen)
		if got.Name != tc.want {
			t.Errorf("%s from %s, %+v: got %s; want %s", tc.to, tc.from, tc.seen, got.Name, tc.want)
		}
	}
}

func TestOriginalDestinationFindsItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		s := NewSet(listen(n))
		at := netip.MustParseAddrPort
		listener := func(name, address string, bind bool) *Config {
			return &Config{Name: name, Address: tcp(address), Bind: bind, UseOriginalDst: bind, Default: &Chain{Handler: says{name: name}}}
		}
		s.Update([]*Config{listener("outbound", "0.0.0.0:15001", true), listener("vip", "10.9.0.1:80", false), listener("wild", "0.0.0.0:80", false)})
		defer s.Close()
		for original, want := range map[string]string{"10.9.0.1:80": "vip:x", "10.9.0.2:80": "wild:x", "10.9.0.1:81": "outbound:x", "0.0.0.0:15001": "outbound:x"} {
			near, far := memnet.Pipe(at("10.0.0.1:1"), at("10.0.0.2:15001"))
			s.Handover(far, at("0.0.0.0:15001"), at(original))
			_, _ = io.WriteString(near, "x")
			_ = near.CloseWrite()
			if got, _ := io.ReadAll(near); string(got) != want {
				t.Errorf("%s: got %q; want %q", original, got, want)
			}
		}
		near, far := memnet.Pipe(at("10.0.0.1:1"), at("10.0.0.2:9"))
		if s.Handover(far, at("1.1.1.1:9"), at("1.1.1.1:9")); true {
			if got, _ := io.ReadAll(near); len(got) != 0 {
				t.Errorf("a listener that does not exist answered %q", got)
			}
		}
	})
}

// A listener with several addresses answers at each, and an update opens and closes
// what has changed.
func TestSeveralAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		s := NewSet(listen(n))
		defer s.Close()
		serve := func(first string, more ...string) {
			c := &Config{Name: "l", Address: tcp(first), Bind: true, Default: &Chain{Handler: says{name: "l"}}}
			for _, a := range more {
				c.More = append(c.More, tcp(a))
			}
			if failed := s.Update([]*Config{c}); len(failed) > 0 {
				t.Error(failed)
			}
			for _, a := range append(more, first) {
				if got := dial(t, n, a, "x"); got != "l:x" {
					t.Errorf("%s: got %q", a, got)
				}
			}
		}
		serve("10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80")
		serve("10.0.0.2:80", "10.0.0.3:80")
		if got := dial(t, n, "10.0.0.1:80", "x"); got == "l:x" {
			t.Error("an address that is gone answers")
		}
	})
}

func TestFirstBytesChooseTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		s := NewSet(listen(n))
		defer s.Close()
		s.Update([]*Config{{Name: "l", Address: tcp("10.0.0.1:80"), Bind: true, InspectTLS: always, InspectHTTP: always, InspectTimeout: 5 * time.Second, ContinueOnTimeout: true,
			Chains:  []*Chain{{Match: Match{ALPN: []string{"http/1.1", "http/1.0"}}, Handler: says{name: "http"}}, {Match: Match{ALPN: []string{"h2c"}}, Handler: says{name: "h2"}}, {Match: Match{Transport: "tls", ServerNames: []string{"a"}}, Handler: says{name: "tls"}}},
			Default: &Chain{Handler: says{name: "raw"}}}})
		for text, want := range map[string]string{
			"GET / HTTP/1.1\r\n": "http", "BREW /x HTTP/1.0\r\n": "http", preface: "h2", "SSH-2.0\r\n": "raw", "GET /\r\n": "raw", "\x16\x03\x05x": "raw", "\x00": "raw",
			"PRINT / HTTP/1.1\r\n": "http", "\x16\x03\x01\x00\x05\x02abcd": "raw",
		} {
			if got := dial(t, n, "10.0.0.1:80", text); got != want+":"+text {
				t.Errorf("%q: got %q; want %s", text, got, want)
			}
		}
		// A server that speaks first gets its turn when the look has taken long enough.
		conn, _ := n.Dial(context.Background(), "tcp", "10.0.0.1:80", nil)
		defer conn.Close()
		start := time.Now()
		buf := make([]byte, 4)
		if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "raw:" || time.Since(start) != 5*time.Second {
			t.Errorf("got %q, %v after %v", buf, err, time.Since(start))
		}
	})
}

// hello is a ClientHello as a real client writes it.
func hello(name string, alpn ...string) []byte {
	near, far := memnet.Pipe(netip.MustParseAddrPort("1.1.1.1:1"), netip.MustParseAddrPort("1.1.1.1:2"))
	go func() { _ = tls.Client(near, &tls.Config{ServerName: name, NextProtos: alpn}).Handshake() }()
	buf := make([]byte, 16<<10)
	n, _ := far.Read(buf)
	far.Close()
	return buf[:n]
}

func TestClientHelloIsReadHoweverItIsCut(t *testing.T) {
	text := hello("A.example.com", "istio-peer-exchange", "istio")
	for cut := range text {
		if seen, complete, ok := new(records).clientHello(text[:cut]); complete || !ok {
			t.Fatalf("cut at %d: %+v, complete %v, ok %v", cut, seen, complete, ok)
		}
	}
	check := func(p []byte) {
		t.Helper()
		seen, complete, ok := new(records).clientHello(p)
		if !complete || !ok || seen.serverName != "a.example.com" || len(seen.alpn) != 2 || seen.alpn[1] != "istio" {
			t.Errorf("got %+v, complete %v, ok %v", seen, complete, ok)
		}
	}
	check(text)
	// The same message in records of 100 bytes.
	check(inRecords(text, 100))
	// And of one byte, as they come: what was read stays read.
	text = inRecords(text, 1)
	first := &records{}
	for cut := range text {
		if _, complete, ok := first.clientHello(text[:cut]); complete || !ok || first.at < cut-6 {
			t.Fatalf("cut at %d: complete %v, ok %v, read up to %d", cut, complete, ok, first.at)
		}
	}
	if seen, complete, ok := first.clientHello(text); !complete || !ok || seen.serverName != "a.example.com" {
		t.Errorf("got %+v, complete %v, ok %v", seen, complete, ok)
	}
}

// inRecords is a hello in records of so many bytes.
func inRecords(hello []byte, size int) (out []byte) {
	for rest := hello[5:]; len(rest) > 0; {
		n := min(size, len(rest))
		out = append(append(out, 22, 3, 1, 0, byte(n)), rest[:n]...)
		rest = rest[n:]
	}
	return out
}

func FuzzClientHello(f *testing.F) {
	f.Add(hello("a", "h2"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if seen, complete, ok := new(records).clientHello(p); complete && ok && (len(seen.serverName) > len(p) || strings.ContainsFunc(seen.serverName, func(r rune) bool { return r <= ' ' || r > '~' })) {
			t.Fatalf("%+v", seen)
		}
		new(records).look(p, true, true)
	})
}

// certificate makes one that is its own authority, for a SPIFFE ID.
func certificate(t *testing.T, id string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse(id)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), URIs: []*url.URL{uri}, DNSNames: []string{"a.example.com"}, Subject: pkix.Name{CommonName: "cn"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

type fixedTLS struct{ config *tls.Config }

func (f fixedTLS) Config(*tls.ClientHelloInfo) (*tls.Config, error) { return f.config, nil }

func TestPeerIsKnownAfterTheHandshake(t *testing.T) {
	n := memnet.New()
	s := NewSet(listen(n))
	defer s.Close()
	facts := make(chan *stream.Conn, 1)
	server := &tls.Config{Certificates: []tls.Certificate{certificate(t, "spiffe://td/ns/a/sa/server")}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"http/1.1"}}
	s.Update([]*Config{{Name: "l", Address: tcp("10.0.0.1:443"), Bind: true, InspectTLS: always,
		Chains: []*Chain{{Name: "mtls", Match: Match{Transport: "tls"}, TLS: fixedTLS{server}, Handler: says{"in", facts}}}}})
	raw, err := n.Dial(context.Background(), "tcp", "10.0.0.1:443", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{ServerName: "a.example.com", InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{certificate(t, "spiffe://td/ns/a/sa/client")}})
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Fatal(err)
	}
	got := <-facts
	if got.TLS.Principal() != "spiffe://td/ns/a/sa/client" || got.TLS.SNI != "a.example.com" || got.TLS.ALPN != "http/1.1" || got.Chain != "mtls" || got.TLS.Subject != "CN=cn" || got.TLS.LocalURI != "spiffe://td/ns/a/sa/server" || got.TLS.Local == nil || len(got.TLS.Chain) != 1 {
		t.Errorf("got %+v", got.TLS)
	}
	conn.Close()
}

// A connection that no handler gets is told of, with the reason where its handshake
// failed.
func TestRefusedConnectionsAreTold(t *testing.T) {
	n := memnet.New()
	deps := listen(n)
	deps.Log = slog.New(slog.DiscardHandler)
	s := NewSet(deps)
	defer s.Close()
	told := make(chan error, 1)
	refused := func(_ *stream.Conn, failed error) { told <- failed }
	s.Update([]*Config{
		{Name: "handshake", Address: tcp("10.0.0.1:443"), Bind: true, Refused: refused, Default: &Chain{TLS: fixedTLS{&tls.Config{}}, Handler: says{name: "in"}}},
		{Name: "no chain", Address: tcp("10.0.0.1:80"), Bind: true, Refused: refused},
	})
	for to, failed := range map[string]bool{"10.0.0.1:443": true, "10.0.0.1:80": false} {
		dial(t, n, to, "no hello")
		if err := <-told; (err != nil) != failed {
			t.Errorf("%s: got %v", to, err)
		}
	}
}

// A handshake that is under way notices the pressure, unless its listener goes on.
func TestPressureOnHandshakes(t *testing.T) {
	for exempt, want := range map[bool]time.Duration{false: 5 * time.Second, true: 15 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			deps := listen(n)
			deps.Handshake = &stream.Squeeze{Least: 2 * time.Second}
			s := NewSet(deps)
			defer s.Close()
			s.Update([]*Config{{Name: "l", Address: tcp("10.0.0.1:443"), Bind: true, Exempt: exempt, Default: &Chain{TLS: fixedTLS{&tls.Config{}}, Handler: says{name: "in"}}}})
			conn, err := n.Dial(context.Background(), "tcp", "10.0.0.1:443", nil)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			time.Sleep(5 * time.Second)
			deps.Handshake.Press(1_000_000)
			s.Wake()
			_, _ = io.ReadAll(conn)
			if took := time.Since(start); took != want {
				t.Errorf("exempt %v: ended after %v", exempt, took)
			}
		})
	}
}

func TestUpdateKeepsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		s := NewSet(listen(n))
		defer s.Close()
		at := tcp("10.0.0.1:80")
		same := &Config{Name: "same", Address: tcp("10.0.0.1:81"), Bind: true, Default: &Chain{Handler: says{name: "same"}}}
		s.Update([]*Config{{Name: "l", Address: at, Bind: true, Default: &Chain{Handler: says{name: "old"}}}, same})
		conn, err := n.Dial(context.Background(), "tcp", "10.0.0.1:80", nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if failed := s.Update([]*Config{{Name: "l", Address: at, Bind: true, Default: &Chain{Handler: says{name: "new"}}}, same}); len(failed) > 0 {
			t.Fatal(failed)
		}
		if got := dial(t, n, "10.0.0.1:80", "x"); got != "new:x" {
			t.Errorf("got %q", got)
		}
		_, _ = io.WriteString(conn, "still")
		_ = conn.(*memnet.Conn).CloseWrite()
		if got, _ := io.ReadAll(conn); string(got) != "old:still" {
			t.Errorf("the connection of before got %q", got)
		}
		s.Update([]*Config{same})
		if got := dial(t, n, "10.0.0.1:80", "x"); got == "new:x" {
			t.Error("a listener that is gone answered")
		}
		if got := dial(t, n, "10.0.0.1:81", "x"); got != "same:x" {
			t.Errorf("got %q", got)
		}
	})
}

type fine struct{}

func (fine) Handle(*stream.Request) (*stream.Response, error) {
	return &stream.Response{Status: 200}, nil
}

func TestDrainEndsWaitingConnectionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		s := NewSet(listen(n))
		defer s.Close()
		s.Update([]*Config{{Name: "l", Address: tcp("10.0.0.1:80"), Bind: true, Default: &Chain{Handler: http1.NewServer(http1.Config{}, fine{}, nil)}}})
		conn, err := n.Dial(context.Background(), "tcp", "10.0.0.1:80", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		start := time.Now()
		s.Drain(nil)
		all, err := io.ReadAll(conn)
		if err != nil || len(all) == 0 || time.Since(start) != 0 {
			t.Errorf("got %q, %v after %v", all, err, time.Since(start))
		}
		synctest.Wait()
		if s.Active() != 0 {
			t.Errorf("%d connections", s.Active())
		}
		conn.Close()
	})
}

// Connections over the limit are closed at once, except where a listener is
// exempt; one that ends makes room.
func TestMaxConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		deps := listen(n)
		deps.MaxConnections = 2
		s := NewSet(deps)
		defer s.Close()
		listener := func(name, address string, unlimited bool) *Config {
			return &Config{Name: name, Address: tcp(address), Bind: true, Unlimited: unlimited, Default: &Chain{Handler: says{name: name}}}
		}
		s.Update([]*Config{listener("web", "10.0.0.1:80", false), listener("more", "10.0.0.1:81", false), listener("probes", "10.0.0.1:15021", true)})
		open := func(address string) (net.Conn, bool) {
			conn, err := n.Dial(context.Background(), "tcp", address, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadFull(conn, make([]byte, 4)) // the handler's first word
			return conn, err == nil
		}
		first, ok1 := open("10.0.0.1:80")
		second, ok2 := open("10.0.0.1:81")
		third, ok3 := open("10.0.0.1:80")
		probe, ok4 := open("10.0.0.1:15021")
		if !ok1 || !ok2 || ok3 || !ok4 {
			t.Errorf("served %v, %v, %v, the exempt one %v; want all but the third", ok1, ok2, ok3, ok4)
		}
		if got := s.StatsOf()["web"].Overflow.Load(); got != 1 {
			t.Errorf("counted %d", got)
		}
		first.Close()
		synctest.Wait()
		fourth, ok := open("10.0.0.1:80")
		if !ok {
			t.Error("no room after one has ended")
		}
		for _, c := range []net.Conn{second, third, probe, fourth} {
			c.Close()
		}
	})
}

// Under pressure connections wait, or are closed, except at listeners that are
// exempt; a pause does not outlive its socket.
func TestPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		var pause, reject atomic.Bool
		deps := listen(n)
		deps.Pause, deps.Reject = pause.Load, reject.Load
		s := NewSet(deps)
		web, probe := tcp("10.0.0.1:80"), tcp("10.0.0.1:81")
		failed := s.Update([]*Config{
			{Name: "web", Address: web, Bind: true, Default: &Chain{Handler: says{name: "web"}}},
			{Name: "probe", Address: probe, Bind: true, Exempt: true, Default: &Chain{Handler: says{name: "probe"}}},
		})
		if len(failed) > 0 {
			t.Fatal(failed)
		}
		reject.Store(true)
		if got := dial(t, n, "10.0.0.1:80", "x"); got != "" {
			t.Errorf("rejected, and answered %q", got)
		}
		reject.Store(false)
		pause.Store(true)
		start := time.Now()
		time.AfterFunc(time.Minute, func() { pause.Store(false) })
		if got := dial(t, n, "10.0.0.1:81", "x"); got != "probe:x" || time.Since(start) > 0 {
			t.Errorf("exempt: %q after %v", got, time.Since(start))
		}
		if got := dial(t, n, "10.0.0.1:80", "x"); got != "web:x" || time.Since(start) < time.Minute {
			t.Errorf("paused: %q after %v", got, time.Since(start))
		}
		pause.Store(true)
		conn, err := n.Dial(context.Background(), "tcp", "10.0.0.1:80", nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Close()
		if got, _ := io.ReadAll(conn); len(got) > 0 {
			t.Errorf("a connection of a closed socket was answered %q", got)
		}
		conn.Close()
	})
}
