package dns

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestNamesOfServices(t *testing.T) {
	s := New(Config{Upstream: "none", Service: func(namespace, name string) ([]netip.Addr, bool) {
		switch namespace + "/" + name {
		case "default/reviews":
			return []netip.Addr{netip.MustParseAddr("127.64.128.9")}, true
		case "default/empty":
			return nil, true
		}
		return nil, false
	}})
	for _, tc := range []struct {
		name  string
		kind  uint16
		code  int
		addrs int
	}{
		{"reviews.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, 1},
		{"Reviews.Default.SVC.cluster.local.", dns.TypeA, dns.RcodeSuccess, 1},
		{"reviews.default.svc.cluster.local.", dns.TypeAAAA, dns.RcodeSuccess, 0},
		{"empty.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, 0},
		{"nobody.default.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, 0},
		{"reviews.", dns.TypeA, dns.RcodeNameError, 0},
		{"cluster.local.", dns.TypeA, dns.RcodeNameError, 0},
	} {
		q := new(dns.Msg)
		q.SetQuestion(tc.name, tc.kind)
		got := s.answer(q)
		if got.Rcode != tc.code || len(got.Answer) != tc.addrs {
			t.Errorf("%s: got code %d and %d addresses; want %d and %d", tc.name, got.Rcode, len(got.Answer), tc.code, tc.addrs)
		}
	}
}
