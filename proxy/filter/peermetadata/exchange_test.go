package peermetadata

import (
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

var here, there = netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")

func exchangeFor(t *testing.T, p stream.Peer) *Exchange {
	t.Helper()
	e, err := NewExchange(p, "sidecar~"+p.Name, &Peers{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Both ends learn of each other, whoever speaks first, and the bytes behind that
// are the application's.
func TestExchange(t *testing.T) {
	web := stream.Peer{Name: "web-1", Namespace: "shop", Workload: "web", App: "web"}
	for _, first := range []string{"client", "server"} {
		near, far := memnet.Pipe(here, there)
		client, server := exchangeFor(t, web).Conn(near), exchangeFor(t, cart).Conn(far)
		speaks, listens := client, server
		if first == "server" {
			speaks, listens = server, client
		}
		if client.Told() != nil {
			t.Error("told before anything has come")
		}
		for range 2 {
			if _, err := io.WriteString(speaks, "hello"); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(listens, got); err != nil || string(got) != "hello" {
				t.Errorf("%s first: got %q, %v", first, got, err)
			}
			speaks, listens = listens, speaks
		}
		if p := client.Told(); p == nil || *p != cart {
			t.Errorf("%s first: the client was told %v", first, p)
		}
		if p := server.Told(); p == nil || p.Workload != "web" {
			t.Errorf("%s first: the server was told %v", first, p)
		}
		if client.exchange.known.message(server.exchange.frame[frameHead:]) != client.Told() {
			t.Error("the same peer is two")
		}
		client.CloseWrite()
		if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes behind the end, %v", n, err)
		}
		near.Close()
		far.Close()
	}
}

// What is no message of the protocol is the application's, and one that is too
// long ends the connection.
func TestExchangeWithOthers(t *testing.T) {
	broken := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, magic), 3), "???"...)
	for sent, want := range map[string]string{
		"":                             "",
		"hi":                           "hi",
		"GET / HTTP/1.1\r\n":           "GET / HTTP/1.1\r\n",
		string(broken) + "the rest":    "the rest",
		"\x3d\x23\x04\x67\x00\x00\x00": "\x3d\x23\x04\x67\x00\x00\x00",
	} {
		near, far := memnet.Pipe(here, there)
		io.WriteString(near, sent)
		near.CloseWrite()
		c := exchangeFor(t, cart).Conn(far)
		got, err := io.ReadAll(struct{ io.Reader }{c})
		if err != nil || string(got) != want || c.Told() != nil {
			t.Errorf("%q: got %q, %v, told %v", sent, got, err, c.Told())
		}
		near.Close()
		far.Close()
	}
	near, far := memnet.Pipe(here, there)
	defer near.Close()
	defer far.Close()
	near.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, magic), maxMessage+1))
	if _, err := exchangeFor(t, cart).Conn(far).Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "are too many") {
		t.Errorf("a message that is too long: %v", err)
	}
}

func FuzzHear(f *testing.F) {
	e, err := NewExchange(cart, "id", &Peers{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(append([]byte(nil), e.frame...), "hello"...))
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		near, far := memnet.Pipe(here, there)
		defer near.Close()
		defer far.Close()
		near.Write(sent)
		near.CloseWrite()
		c := e.Conn(far)
		got, err := io.ReadAll(struct{ io.Reader }{c})
		if err == nil && !strings.HasSuffix(string(sent), string(got)) {
			t.Errorf("%q became %q", sent, got)
		}
	})
}
