package dns

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Names are looked for in the workload's namespace first, then as they are.
func TestLookup(t *testing.T) {
	records := map[string]string{"reviews.shop.svc.cluster.local.": "127.64.128.1", "reviews.other.svc.cluster.local.": "127.64.128.2", "example.com.": "192.0.2.1"}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		ip, ok := records[q.Question[0].Name]
		switch {
		case !ok:
			m.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(ip)}}
		}
		_ = w.WriteMsg(m)
	})}
	var running sync.WaitGroup
	running.Go(func() { _ = server.ActivateAndServe() })
	defer running.Wait()
	defer server.Shutdown()

	r := Resolver{Server: netip.MustParseAddrPort(conn.LocalAddr().String()), Search: Search("shop", "cluster.local")}
	for host, want := range map[string]string{
		"reviews": "127.64.128.1", "reviews.other": "127.64.128.2", "reviews.other.svc.cluster.local": "127.64.128.2",
		"reviews.shop.svc.cluster.local.": "127.64.128.1", "example.com": "192.0.2.1", "10.0.0.7": "10.0.0.7", "nowhere": "",
	} {
		addrs, err := r.Lookup(t.Context(), host)
		if want == "" {
			if err == nil {
				t.Errorf("%s is %v", host, addrs)
			}
			continue
		}
		if err != nil || addrs[0].String() != want {
			t.Errorf("%s is %v, %v; want %s", host, addrs, err, want)
		}
	}
}

// Answers hold as long as the server says, "there is none" too, and those that
// do not fit a datagram come by TCP.
func TestAnswersAreKept(t *testing.T) {
	var asked atomic.Int64
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		m := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		_, byTCP := w.RemoteAddr().(*net.TCPAddr)
		a := &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 1)}
		switch {
		case name == "none.":
			m.Rcode = dns.RcodeNameError
			m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "a.", Mbox: "b.", Minttl: 20}}
		case q.Question[0].Qtype == dns.TypeAAAA:
		case name == "large." && !byTCP:
			m.Truncated = true
		case name == "broken.":
			m.Rcode = dns.RcodeServerFailure
		default:
			m.Answer = []dns.RR{a}
		}
		_ = w.WriteMsg(m)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Skipf("the port is taken for UDP: %v", err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	for _, server := range []*dns.Server{{PacketConn: conn, Handler: handler}, {Listener: l, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		running.Go(func() { _ = server.ActivateAndServe() })
		<-started
		defer server.Shutdown()
	}
	r := &Resolver{Server: netip.MustParseAddrPort(l.Addr().String())}
	for _, c := range []struct {
		host  string
		asks  int64 // how often the server is asked the second time
		found bool
	}{{"some", 0, true}, {"large", 0, true}, {"none", 0, false}, {"broken", 2, false}} {
		if _, err := r.Lookup(t.Context(), c.host); (err == nil) != c.found {
			t.Errorf("%s: %v; want found %v", c.host, err, c.found)
		}
		asked.Store(0)
		_, ttl, err := r.Resolve(t.Context(), c.host)
		if (err == nil) != c.found || c.found && (ttl <= 50*time.Second || ttl > time.Minute) {
			t.Errorf("%s again: for %v, %v; want a minute, found %v", c.host, ttl, err, c.found)
		}
		if got := asked.Load(); got != c.asks {
			t.Errorf("%s again: %d questions; want %d", c.host, got, c.asks)
		}
	}
}
