package resolve

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// serve answers for shop.test over UDP and TCP, and counts who asks how.
func serve(t *testing.T) (at netip.AddrPort, overTCP *atomic.Int32) {
	overTCP = &atomic.Int32{}
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		if _, ok := w.RemoteAddr().(*net.TCPAddr); ok {
			overTCP.Add(1)
		}
		r := new(dns.Msg)
		r.SetReply(q)
		switch name := q.Question[0].Name; {
		case name == "broken.test.":
			r.Rcode = dns.RcodeServerFailure
		case name != "shop.test.":
			r.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			r.Answer = []dns.RR{record("shop.test. 30 IN A 10.0.0.1"), record("shop.test. 20 IN A 10.0.0.2")}
		case q.Question[0].Qtype == dns.TypeAAAA:
			r.Answer = []dns.RR{record("shop.test. 40 IN AAAA fd00::1")}
		}
		_ = w.WriteMsg(r) // a client that is gone asks again
	})
	conns, packets := sockets(t)
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: answer}, {Listener: conns, Handler: answer}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }() // ends with Shutdown
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return netip.MustParseAddrPort(packets.LocalAddr().String()), overTCP
}

// sockets are one port's for TCP and for UDP.
func sockets(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 100 {
		conns, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if packets, err := net.ListenPacket("udp", conns.Addr().String()); err == nil {
			return conns, packets
		}
		conns.Close()
	}
	t.Fatal("no port is free for both")
	return nil, nil
}

func record(text string) dns.RR {
	r, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return r
}

// Addresses come with the shortest time for which they hold, over UDP or TCP.
func TestAddressesAndTheirTime(t *testing.T) {
	at, overTCP := serve(t)
	for _, tcp := range []bool{false, true} {
		r := &Resolver{Servers: []netip.AddrPort{at}, TCP: tcp, Absolute: true}
		addrs, ttl, err := r.Resolve(t.Context(), "shop.test")
		var got []string
		for _, a := range addrs {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(got, []string{"10.0.0.1", "10.0.0.2", "fd00::1"}); diff != "" || ttl != 20*time.Second || err != nil {
			t.Errorf("TCP %v: for %v, %v:\n%s", tcp, ttl, err, diff)
		}
		if (overTCP.Load() > 0) != tcp {
			t.Errorf("TCP %v: %d questions over TCP", tcp, overTCP.Load())
		}
	}
}

// That a name does not exist is an answer; that nobody can tell is an error.
func TestNamesThatAreNotThere(t *testing.T) {
	at, _ := serve(t)
	r := &Resolver{Servers: []netip.AddrPort{at}, Absolute: true}
	if addrs, _, err := r.Resolve(t.Context(), "nobody.test"); len(addrs) != 0 || err != nil {
		t.Errorf("no such name: got %v, %v", addrs, err)
	}
	if addrs, _, err := r.Resolve(t.Context(), "broken.test"); err == nil {
		t.Errorf("a server that fails: got %v", addrs)
	}
}

// The next server is asked when one does not answer.
func TestServersInTurn(t *testing.T) {
	at, _ := serve(t)
	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := netip.MustParseAddrPort(gone.LocalAddr().String())
	gone.Close()
	r := &Resolver{Servers: []netip.AddrPort{dead, at}, Absolute: true}
	if addrs, _, err := r.Resolve(t.Context(), "shop.test"); len(addrs) != 3 || err != nil {
		t.Errorf("got %v, %v", addrs, err)
	}
}

// The families keep their order, and IPv4 that is written as IPv6 is IPv4.
func TestFamilies(t *testing.T) {
	var all []netip.Addr
	for _, a := range []string{"fd00::2", "10.0.0.2", "::ffff:10.0.0.1", "fd00::1"} {
		all = append(all, netip.MustParseAddr(a))
	}
	v4, v6 := Families(all)
	if got, want := fmt.Sprint(v4, v6), "[10.0.0.2 10.0.0.1] [fd00::2 fd00::1]"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}
