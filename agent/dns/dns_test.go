package dns

import (
	"net"
	"net/netip"
	"sync"
	"testing"

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
