package pool

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/lateenmesh/lateen/internal/memnet"
)

func ends(from, to string) Ends {
	return Ends{From: netip.MustParseAddrPort(from), To: netip.MustParseAddrPort(to)}
}

// introduced makes a connection for somebody, and reads what it begins with.
func introduced(t *testing.T, p *Pool, l net.Listener, who Ends) (*Conn, *proxyproto.Header) {
	t.Helper()
	c, err := p.Connect(context.Background(), TLSRequest{Ends: who})
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h, err := proxyproto.Read(bufio.NewReader(far))
	if err != nil {
		t.Fatal(err)
	}
	return c, h
}

// A connection begins with whom it is for, and is for nobody else.
func TestProxied(t *testing.T) {
	for version := range byte(2) {
		version++
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			l, err := n.Listen("10.0.0.1:80")
			if err != nil {
				t.Fatal(err)
			}
			p := New("tcp", "10.0.0.1:80", &Config{}, &Proxied{Version: version}, n.Dial, nil)
			defer func() {
				p.Shut()
				l.Close()
			}()
			for who, want := range map[Ends]string{
				ends("192.0.2.1:5000", "198.51.100.1:443"):       "192.0.2.1:5000 198.51.100.1:443",
				ends("[2001:db8::1]:5000", "[2001:db8::2]:443"):  "[2001:db8::1]:5000 [2001:db8::2]:443",
				ends("[::ffff:192.0.2.9]:5000", "192.0.2.10:80"): "192.0.2.9:5000 192.0.2.10:80",
				{}: "",
			} {
				c, h := introduced(t, p, l, who)
				switch {
				case h.Version != version:
					t.Fatalf("version %d: got %+v", version, h)
				case want == "" && version == 2:
					if h.Command != proxyproto.LOCAL {
						t.Errorf("for nobody: %+v", h)
					}
				case want == "":
					want = c.LocalAddr().String() + " " + c.RemoteAddr().String()
					fallthrough
				default:
					if got := h.SourceAddr.String() + " " + h.DestinationAddr.String(); got != want {
						t.Errorf("version %d: got %s, want %s", version, got, want)
					}
				}
				p.Put(c)
				if p.Idle(TLSRequest{Ends: ends("192.0.2.77:1", "192.0.2.78:1")}, time.Now()) != nil {
					t.Error("used for somebody else")
				}
				if p.Idle(TLSRequest{Ends: who}, time.Now()) != c {
					t.Error("not used for whom it is for")
				}
				p.Close(c)
			}
		})
	}
}

// A header has the values that are added and, behind them, those of the client's that
// are passed on; who has others gets another connection.
func TestProxiedValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l, err := n.Listen("10.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all := func(byte) bool { return true }
		added := []proxyproto.TLV{{Type: 0xF1, Value: []byte("own")}, {Type: 0xF1, Value: []byte("more")}}
		who := ends("192.0.2.1:5000", "198.51.100.1:443")
		who.TLVs = "\x02\x00\x01a\xf1\x00\x01b\xea\x00\x01c"
		other := who
		other.TLVs = "\x02\x00\x01z"
		for name, tc := range map[string]struct {
			proxied Proxied
			who     Ends
			want    string
			shared  bool // with who has other values
		}{
			"added":            {Proxied{Version: 2, Added: added}, who, "\xf1\x00\x03own\xf1\x00\x04more", true},
			"passed":           {Proxied{Version: 2, Pass: all}, who, who.TLVs, false},
			"passed and added": {Proxied{Version: 2, Pass: all, Added: added}, who, "\xf1\x00\x03own\xf1\x00\x04more\x02\x00\x01a\xea\x00\x01c", false},
			"some":             {Proxied{Version: 2, Pass: func(k byte) bool { return k == 2 }}, who, "\x02\x00\x01a", false},
			"version 1":        {Proxied{Version: 1}, who, "", true},
			"for nobody":       {Proxied{Version: 2, Pass: all, Added: added}, Ends{}, "", true},
		} {
			p := New("tcp", "10.0.0.1:80", &Config{}, &tc.proxied, n.Dial, nil)
			c, h := introduced(t, p, l, tc.who)
			values, err := h.TLVs()
			raw, _ := proxyproto.JoinTLVs(values)
			if err != nil || string(raw) != tc.want {
				t.Errorf("%s: got %q, %v", name, raw, err)
			}
			p.Put(c)
			if tc.who == who {
				if got := p.Idle(TLSRequest{Ends: other}, time.Now()); (got != nil) != tc.shared {
					t.Errorf("%s: shared %v", name, got != nil)
				}
			}
			p.Shut()
		}
	})
}

// Where no more may be opened, a connection that nobody uses makes room.
func TestDropIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, Config{})
		if p.DropIdle() {
			t.Error("nothing was dropped")
		}
		a, b := connect(t, p), connect(t, p)
		p.Put(a)
		p.Put(b)
		if !p.DropIdle() || p.Open() != 1 || p.Idle(TLSRequest{}, time.Now()) != b {
			t.Error("not the one that was idle longest was dropped")
		}
		p.Close(b)
	})
}
