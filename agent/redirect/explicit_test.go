package redirect

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/proxy"
)

type handed struct {
	listener, original string
	conn               net.Conn
}

// mixedPort serves one connection of the proxy port in memory; the other end is
// the client's.
func mixedPort(t *testing.T) (net.Conn, chan handed) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	out := make(chan handed, 1)
	x := &Explicit{
		Log: slog.New(slog.DiscardHandler),
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host == "redis" {
				return []netip.Addr{netip.MustParseAddr("127.64.128.9")}, nil
			}
			if a, err := netip.ParseAddr(host); err == nil {
				return []netip.Addr{a}, nil
			}
			return nil, errors.New("no such host")
		},
		Handover: func(c net.Conn, l, o netip.AddrPort) { out <- handed{l.String(), o.String(), c} },
	}
	go x.mixed(t.Context(), server)
	return client, out
}

type oneConn struct{ net.Conn }

func (c oneConn) Dial(string, string) (net.Conn, error) { return c.Conn, nil }

// A SOCKS5 client gets through to the name that it asked for, and what it
// sends next is not lost.
func TestSOCKS5(t *testing.T) {
	client, out := mixedPort(t)
	d, err := proxy.SOCKS5("tcp", "x", nil, oneConn{client})
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial("tcp", "redis:6379")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "PING"); err != nil {
		t.Fatal(err)
	}
	h := <-out
	got := make([]byte, 4)
	if _, err := io.ReadFull(h.conn, got); err != nil || string(got) != "PING" || h.listener != "0.0.0.0:15001" || h.original != "127.64.128.9:6379" {
		t.Errorf("handed over %s for %s with %q, %v", h.listener, h.original, got, err)
	}
}

func TestSOCKS5UnknownName(t *testing.T) {
	client, _ := mixedPort(t)
	d, _ := proxy.SOCKS5("tcp", "x", nil, oneConn{client})
	if _, err := d.Dial("tcp", "nowhere:1"); err == nil {
		t.Error("a name that is not there is connected")
	}
}

// CONNECT opens a tunnel; bytes that came with it are handed over.
func TestConnect(t *testing.T) {
	client, out := mixedPort(t)
	if _, err := io.WriteString(client, "CONNECT redis:6379 HTTP/1.1\r\nHost: redis:6379\r\n\r\nearly"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(client), &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("answer %v, %v", resp, err)
	}
	h := <-out
	got := make([]byte, 5)
	if _, err := io.ReadFull(h.conn, got); err != nil || string(got) != "early" || h.original != "127.64.128.9:6379" {
		t.Errorf("handed over for %s with %q, %v", h.original, got, err)
	}
}

func TestConnectUnknownName(t *testing.T) {
	client, _ := mixedPort(t)
	if _, err := io.WriteString(client, "CONNECT nowhere:1 HTTP/1.1\r\nHost: nowhere:1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(client), &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 502 {
		t.Errorf("answer %v, %v; want 502", resp, err)
	}
}

// Other requests go to the proxy's listener for them, unread.
func TestPlainHTTP(t *testing.T) {
	client, out := mixedPort(t)
	u, _ := url.Parse("http://reviews:9080/x")
	req := &http.Request{Method: "GET", URL: u, Host: u.Host}
	if err := req.WriteProxy(client); err != nil {
		t.Fatal(err)
	}
	h := <-out
	seen, err := http.ReadRequest(bufio.NewReader(h.conn))
	if err != nil || seen.RequestURI != "http://reviews:9080/x" || h.listener != "127.0.0.1:15080" {
		t.Errorf("handed to %s: %v, %v", h.listener, seen, err)
	}
}

func TestBindAndTarget(t *testing.T) {
	x := &Explicit{Pod: netip.MustParseAddr("127.64.0.5"), Apps: map[uint16]uint16{9080: 20001, 80: 20002}, LowPorts: 61000}
	for a, want := range map[string]string{
		"0.0.0.0:15006": "", "0.0.0.0:15001": "", "127.0.0.1:15080": "", "0.0.0.0:8080": "127.64.0.5:8080", "127.0.0.1:15000": "127.64.0.5:15000",
		"0.0.0.0:443": "127.64.0.5:61443",
	} {
		got, bind := x.Bind(netip.MustParseAddrPort(a))
		if bind != (want != "") || bind && got.String() != want {
			t.Errorf("%s binds %v %v, want %q", a, got, bind, want)
		}
	}
	for a, want := range map[string]string{
		"127.64.0.5:9080": "127.0.0.1:20001", "127.0.0.1:80": "127.0.0.1:20002", "127.64.0.6:9080": "127.64.0.6:9080",
		"127.64.0.6:80": "127.64.0.6:61080", "192.0.2.1:80": "192.0.2.1:80", "127.64.0.5:1234": "127.64.0.5:1234",
	} {
		if got := x.Target(netip.MustParseAddrPort(a)); got.String() != want {
			t.Errorf("%s dials %v, want %s", a, got, want)
		}
	}
}

func TestParsePorts(t *testing.T) {
	got, err := ParsePorts("9080=20001, 9090=20002")
	if err != nil || !maps.Equal(got, map[uint16]uint16{9080: 20001, 9090: 20002}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParsePorts("9080"); err == nil || !strings.Contains(err.Error(), "PODPORT=PRIVATEPORT") {
		t.Errorf("got %v", err)
	}
}
