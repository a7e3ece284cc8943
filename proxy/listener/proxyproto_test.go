package listener

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// tells answers with the ends that it knows of, then what it got.
type tells struct{ chain string }

func (h tells) Serve(conn net.Conn, facts *stream.Conn, _ <-chan struct{}) {
	defer conn.Close()
	direct := facts.Direct()
	_, _ = io.WriteString(conn, h.chain+" "+facts.Remote.String()+" "+facts.Original.String()+" "+direct.Local.String()+" ")
	_, _ = io.Copy(conn, conn)
}

// A PROXY header tells both ends, chooses the chain and never reaches the handler;
// where one is asked for nothing is served without.
func TestProxyHeader(t *testing.T) {
	const (
		v1   = "PROXY TCP4 192.0.2.7 198.51.100.9 4321 443\r\n"
		sig  = "\r\n\r\n\x00\r\nQUIT\n"
		ends = "\xc0\x00\x02\x07\xc6\x33\x64\x09\x10\xe1\x01\xbb"
		v2   = sig + "\x21\x11\x00\x0c" + ends
		told = "https 192.0.2.7:4321 198.51.100.9:443 10.0.0.1:80 "
	)
	always := func(uint16) bool { return true }
	for _, tc := range []struct {
		name, say string
		asked     ProxyProtocol
		want      string // empty: closed; "bare": as the socket says
	}{
		{"v1", v1 + "x", ProxyProtocol{}, told + "x"},
		{"v2", v2 + "x", ProxyProtocol{}, told + "x"},
		{"v2 with TLVs", sig + "\x21\x11\x00\x13" + ends + "\x02\x00\x04hostx", ProxyProtocol{}, told + "x"},
		{"v1 in pieces", "PR|OXY TCP4 192.0.2.7 198.51|.100.9 4321 443\r|\n|x", ProxyProtocol{}, told + "x"},
		{"v2 in pieces", sig[:5] + "|" + sig[5:] + "\x21|\x11\x00\x0c" + ends + "|x", ProxyProtocol{}, told + "x"},
		{"a request in pieces", "P|UT / HTTP/1.1\r\n", ProxyProtocol{Optional: true}, "put"},
		{"too long", "PROXY TCP4 " + strings.Repeat("1", 200), ProxyProtocol{}, ""},
		{"local", sig + "\x20\x00\x00\x00x", ProxyProtocol{}, "bare"},
		{"unknown", "PROXY UNKNOWN\r\nx", ProxyProtocol{}, "bare"},
		{"none", "x", ProxyProtocol{}, ""},
		{"none, optional", "x", ProxyProtocol{Optional: true}, "bare"},
		{"half a header, optional", "PROXY TCP4 192.0.2.7", ProxyProtocol{Optional: true}, ""},
		{"bad address", "PROXY TCP4 192.0.2.700 198.51.100.9 4321 443\r\nx", ProxyProtocol{Optional: true}, ""},
		{"bad port", "PROXY TCP4 192.0.2.7 198.51.100.9 65536 443\r\nx", ProxyProtocol{}, ""},
		{"datagrams", sig + "\x21\x12\x00\x0c" + ends + "x", ProxyProtocol{}, ""},
		{"version 3", sig + "\x31\x11\x00\x0c" + ends + "x", ProxyProtocol{}, ""},
		{"no v1", v1 + "x", ProxyProtocol{NoV1: true}, ""},
		{"no v2", v2 + "x", ProxyProtocol{NoV2: true}, ""},
		{"v2 where v1 is refused", v2 + "x", ProxyProtocol{NoV1: true}, told + "x"},
		{"elsewhere", "x", ProxyProtocol{When: func(port uint16) bool { return port != 80 }}, "bare"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			s := NewSet(listen(n))
			defer s.Close()
			if tc.asked.When == nil {
				tc.asked.When = always
			}
			s.Update([]*Config{{Name: "l", Address: tcp("10.0.0.1:80"), Bind: true, ProxyProtocol: &tc.asked, InspectTimeout: 5 * time.Second,
				Chains: []*Chain{{Match: Match{Port: 443}, Handler: tells{"https"}}}, Default: &Chain{Handler: tells{"plain"}}}})
			conn, err := n.Dial(context.Background(), "tcp", "10.0.0.1:80", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			want := tc.want
			if want == "bare" || want == "put" {
				want = "plain " + conn.LocalAddr().String() + " 10.0.0.1:80 10.0.0.1:80 " + map[string]string{"bare": "x", "put": "PUT / HTTP/1.1\r\n"}[want]
			}
			for _, piece := range strings.Split(tc.say, "|") {
				_, _ = io.WriteString(conn, piece)
				synctest.Wait() // so that each arrives by itself
			}
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			if got, _ := io.ReadAll(conn); string(got) != want {
				t.Errorf("%s: got %q; want %q", tc.name, got, want)
			}
		})
	}
}

// Who says nothing is not waited for longer than the look may take.
func TestProxyHeaderThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		s := NewSet(listen(n))
		defer s.Close()
		s.Update([]*Config{{Name: "l", Address: tcp("10.0.0.1:80"), Bind: true, InspectTimeout: 5 * time.Second,
			ProxyProtocol: &ProxyProtocol{When: func(uint16) bool { return true }}, Default: &Chain{Handler: tells{"plain"}}}})
		conn, _ := n.Dial(context.Background(), "tcp", "10.0.0.1:80", nil)
		defer conn.Close()
		start := time.Now()
		if got, _ := io.ReadAll(conn); len(got) != 0 || time.Since(start) != 5*time.Second {
			t.Errorf("got %q after %v", got, time.Since(start))
		}
		if n := s.StatsOf()["l"].ProxyProtocolError.Load(); n != 1 {
			t.Errorf("counted %d", n)
		}
	})
}
