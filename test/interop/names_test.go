package interop

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// names is a name server whose answers may change.
type names struct {
	port string
	// phase is what changing.test is.
	phase atomic.Value
}

func newNames(t *testing.T) *names {
	n := &names{}
	n.phase.Store("there")
	conns, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", conns.Addr().String())
	for err != nil { // somebody has the port for UDP
		conns.Close()
		if conns, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		packets, err = net.ListenPacket("udp", conns.Addr().String())
	}
	_, n.port, _ = net.SplitHostPort(packets.LocalAddr().String())
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: n}, {Listener: conns, Handler: n}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return n
}

// ServeDNS implements dns.Handler.
func (n *names) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r := new(dns.Msg)
	r.SetReply(q)
	r.Authoritative = true
	name := q.Question[0].Name
	what := strings.TrimSuffix(name, ".test.")
	if what == "changing" {
		what = n.phase.Load().(string)
	}
	answer := func(qtype uint16, text string) {
		if q.Question[0].Qtype == qtype {
			rr, _ := dns.NewRR(name + " 1 IN " + text)
			r.Answer = append(r.Answer, rr)
		}
	}
	switch what {
	case "there", "v4":
		answer(dns.TypeA, "A 127.0.0.1")
	case "both":
		answer(dns.TypeA, "A 127.0.0.1")
		answer(dns.TypeAAAA, "AAAA ::1")
	case "v6":
		answer(dns.TypeAAAA, "AAAA ::1")
	case "elsewhere":
		answer(dns.TypeA, "A 127.0.0.9")
	case "empty":
	case "broken":
		r.Rcode = dns.RcodeServerFailure
	default:
		r.Rcode = dns.RcodeNameError
	}
	w.WriteMsg(r)
}

// namedBalances find their endpoints by names. The first backend listens on IPv6,
// too, and is number 7 there.
func namedBalances(t *testing.T, p numbered) []balance {
	l, err := net.Listen("tcp", "[::1]:"+p[0])
	if err != nil {
		t.Logf("SKIPPED: there is no IPv6: %v", err)
		return nil
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Number", "7") })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	server := newNames(t)
	at := "resolvers: [" + socketAddress(server.port) + "]"
	resolver := "dns_" + at
	var out []balance
	for _, kind := range []string{"STRICT_DNS", "LOGICAL_DNS"} {
		for _, family := range []string{"", "AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL"} {
			for _, name := range []string{"v4", "v6", "both"} {
				if kind == "LOGICAL_DNS" && family == "ALL" && name == "both" {
					continue // Envoy tries one after the other, and so do we: which is first is nobody's concern
				}
				b := balance{name: strings.ToLower(kind + "-" + family + "-" + name), cluster: "type: " + kind + "\n" + resolver, endpoints: endpointNamed(name, p[0])}
				if family != "" {
					b.cluster += "\ndns_lookup_family: " + family
				}
				b.none = family == "V4_ONLY" && name == "v6" || family == "V6_ONLY" && name == "v4"
				out = append(out, b)
			}
		}
	}
	typed := func(fields string) string {
		return `type: STRICT_DNS
typed_dns_resolver_config: {name: envoy.network.dns_resolver.cares, typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, ` + fields + `}}`
	}
	return append(out,
		balance{name: "typed-resolver", cluster: typed(at), endpoints: endpointNamed("v4", p[1])},
		balance{name: "typed-resolver-tcp", cluster: typed(at + ", dns_resolver_options: {use_tcp_for_dns_lookups: true, no_default_search_domain: true}"), endpoints: endpointNamed("v4", p[1])},
		balance{name: "older-resolver", cluster: "type: STRICT_DNS\ndns_resolution_config: {" + at + ", dns_resolver_options: {use_tcp_for_dns_lookups: true}}", endpoints: endpointNamed("v4", p[1])},
		balance{name: "tcp-resolver", cluster: "type: STRICT_DNS\nuse_tcp_for_dns_lookups: true\n" + resolver, endpoints: endpointNamed("v4", p[1])},
	)
}

func endpointNamed(name, port string) string {
	return "endpoints: [{lb_endpoints: [{endpoint: {address: " + socketAddress(name+".test:"+port) + "}}]}]"
}

// What becomes of a cluster whose name changes is what becomes of Envoy's.
func TestNamesChangeAsWithEnvoy(t *testing.T) {
	t.Parallel() // it mostly waits
	ports, server := newNumbered(t, 1), newNames(t)
	var all []balance
	const asked = "dns_refresh_rate: 0.2s\nhealth_checks: [{timeout: 1s, interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]"
	for _, kind := range []string{"STRICT_DNS", "LOGICAL_DNS"} {
		for _, how := range []string{asked, asked + "\nignore_health_on_host_removal: true", "dns_refresh_rate: 0.2s", "dns_refresh_rate: 0.2s\nrespect_dns_ttl: true", "dns_refresh_rate: 0.2s\ndns_failure_refresh_rate: {base_interval: 0.1s, max_interval: 0.2s}"} {
			all = append(all, balance{name: fmt.Sprint(strings.ToLower(kind), len(all)), endpoints: endpointNamed("changing", ports[0]),
				cluster: "type: " + kind + "\n" + how + "\ndns_lookup_family: V4_ONLY\ndns_resolvers: [" + socketAddress(server.port) + "]"})
		}
	}
	theirs, ours := both(t, balanced(all))
	for _, phase := range []string{"there", "broken", "there", "empty", "there", "gone", "there", "elsewhere", "there"} {
		server.phase.Store(phase)
		time.Sleep(2500 * time.Millisecond) // more than the time for which addresses hold
		for _, b := range all {
			if got, want := ours.status(t, b.name), theirs.status(t, b.name); got != want {
				t.Errorf("%s while the name is %s: got %d; Envoy says %d", b.cluster, phase, got, want)
			}
		}
	}
}

// status asks on a connection of its own.
func (p *peer) status(t *testing.T, path string) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + p.address + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
