package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/pool"
)

func TestFamilies(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	both, only4, only6 := []netip.Addr{v6, v4}, []netip.Addr{v4}, []netip.Addr{v6}
	for _, tc := range []struct {
		family   Family
		in, want []netip.Addr
	}{
		{Auto, both, only6}, {Auto, only4, only4}, {Auto, only6, only6},
		{V4Only, both, only4}, {V4Only, only6, nil},
		{V6Only, both, only6}, {V6Only, only4, nil},
		{V4Preferred, both, only4}, {V4Preferred, only6, only6},
		{All, both, []netip.Addr{v4, v6}}, {All, only6, only6},
	} {
		if diff := cmp.Diff(tc.family.of(tc.in), tc.want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("family %v of %v: %s", tc.family, tc.in, diff)
		}
	}
}

// named is a cluster of one name.
func named(kind Kind, dns DNS) *Config {
	return &Config{Kind: kind, DNS: &dns, Endpoints: []Endpoint{{Name: "shop", Address: netip.AddrPortFrom(netip.Addr{}, 80)}}}
}

// Names are asked for again when their addresses no longer hold, and later each time
// when they are not found.
func TestWhenNamesAreResolvedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			name      string
			dns       DNS
			ttl       time.Duration
			fails     bool
			low, high time.Duration
		}{
			{"by default", DNS{}, time.Second, false, 5 * time.Second, 5 * time.Second},
			{"as is said", DNS{Refresh: time.Second}, 9 * time.Second, false, time.Second, time.Second},
			{"with jitter", DNS{Refresh: time.Second, Jitter: time.Second}, 0, false, time.Second, 2 * time.Second},
			{"as long as they hold", DNS{FollowTTL: true}, 9 * time.Second, false, 9 * time.Second, 9 * time.Second},
			{"where nobody says how long", DNS{FollowTTL: true, Refresh: 3 * time.Second}, 0, false, 3 * time.Second, 3 * time.Second},
			{"not too often", DNS{FollowTTL: true, Least: 20 * time.Second}, 9 * time.Second, false, 20 * time.Second, 20 * time.Second},
			{"after a failure", DNS{Refresh: time.Second}, 0, true, time.Second, time.Second},
			{"after a failure, as is said", DNS{Retry: 10 * time.Second}, 0, true, 1, 10*time.Second + 1},
		} {
			tc.dns.Resolve = func(context.Context, string) ([]netip.Addr, time.Duration, error) {
				if tc.fails {
					return nil, 0, errors.New("no answer")
				}
				return []netip.Addr{address(1).Addr()}, tc.ttl, nil
			}
			c := New(named(StrictDNS, tc.dns), Deps{})
			if got := c.ResolveOnce(t.Context()); got < tc.low || got > tc.high {
				t.Errorf("%s: after %v; want %v to %v", tc.name, got, tc.low, tc.high)
			}
		}
		c := New(named(StrictDNS, DNS{Retry: 3 * time.Hour}), Deps{})
		for c.unresolved = range 70 {
			if got := c.nextResolve(true, 0); got < 1 || got > 30*time.Hour {
				t.Errorf("after %d failures: after %v", c.unresolved, got)
			}
		}
		c = New(named(StrictDNS, DNS{Retry: time.Second, MostRetry: 30 * time.Second}), Deps{})
		for n, most := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			longest := time.Duration(0)
			for range 200 {
				c.unresolved = n
				longest = max(longest, c.nextResolve(true, 0))
			}
			if most *= time.Second; longest > most || longest < most*9/10 {
				t.Errorf("after %d failures up to %v; want %v", n+1, longest, most)
			}
		}
	})
}

// A name that is gone takes its endpoints along, unless the cluster is a logical
// one, which has one address and keeps it.
func TestNamesThatGo(t *testing.T) {
	for _, kind := range []Kind{StrictDNS, LogicalDNS} {
		var now []netip.Addr
		c := New(named(kind, DNS{Resolve: func(context.Context, string) ([]netip.Addr, time.Duration, error) { return now, 0, nil }}), Deps{})
		hosts := func(addrs ...netip.Addr) []string {
			now = addrs
			c.ResolveOnce(t.Context())
			got := []string{}
			for _, h := range c.Hosts() {
				got = append(got, h.Text())
			}
			return got
		}
		logical := kind == LogicalDNS
		want := func(strict, other []string) []string {
			if logical {
				return other
			}
			return strict
		}
		if diff := cmp.Diff(hosts(address(1).Addr(), address(2).Addr()), want([]string{"10.0.0.1:80", "10.0.0.2:80"}, []string{"10.0.0.1:80"})); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(hosts(address(3).Addr()), []string{"10.0.0.3:80"}); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(hosts(), want([]string{}, []string{"10.0.0.3:80"})); diff != "" {
			t.Errorf("kind %v: %s", kind, diff)
		}
	}
}

// An endpoint is found by the name that it is resolved by, also when that fails once,
// and keeps the name that it has.
func TestEndpointsWithAnotherName(t *testing.T) {
	var failure error
	c := New(&Config{Kind: StrictDNS, Endpoints: []Endpoint{{Name: "shown", Address: netip.AddrPortFrom(netip.Addr{}, 80), Rare: &Rare{DNSName: "asked"}}}, DNS: &DNS{
		Resolve: func(_ context.Context, name string) ([]netip.Addr, time.Duration, error) {
			if name != "asked" {
				t.Errorf("resolved %q", name)
			}
			return []netip.Addr{address(1).Addr()}, 0, failure
		},
	}}, Deps{Log: slog.New(slog.DiscardHandler)})
	for range 2 {
		c.ResolveOnce(t.Context())
		if h := c.Hosts(); len(h) != 1 || h[0].Name != "shown" || h[0].Text() != "10.0.0.1:80" {
			t.Errorf("got %v", h)
		}
		failure = errors.New("no answer")
	}
}

// What cannot be resolved keeps the addresses that it had, however often it fails and
// however often its name is written. An address counts once for each name.
func TestFailuresKeepAddresses(t *testing.T) {
	near, far := &model.Locality{Zone: "near"}, &model.Locality{Zone: "far"}
	at := func(port uint16, where *model.Locality) Endpoint {
		return Endpoint{Name: "shop", Address: netip.AddrPortFrom(netip.Addr{}, port), Locality: where}
	}
	for name, tc := range map[string]struct {
		eps  []Endpoint
		want []string
	}{
		"two ports":      {[]Endpoint{at(80, near), at(81, near)}, []string{"10.0.0.1:80 near", "10.0.0.2:80 near", "10.0.0.1:81 near", "10.0.0.2:81 near"}},
		"two localities": {[]Endpoint{at(80, near), at(80, far)}, []string{"10.0.0.1:80 near", "10.0.0.2:80 near", "10.0.0.1:80 far", "10.0.0.2:80 far"}},
	} {
		var fails error
		cfg := named(StrictDNS, DNS{Resolve: func(context.Context, string) ([]netip.Addr, time.Duration, error) {
			return []netip.Addr{address(1).Addr(), address(2).Addr(), address(1).Addr()}, 0, fails
		}})
		cfg.Endpoints = tc.eps
		c := New(cfg, Deps{})
		for n := range 4 {
			c.ResolveOnce(t.Context())
			var got []string
			for _, h := range c.Hosts() {
				got = append(got, h.Text()+" "+h.Where().Zone)
			}
			if diff := cmp.Diff(got, tc.want); diff != "" {
				t.Errorf("%s, after %d failures: %s", name, n, diff)
			}
			fails = errors.New("no answer")
		}
	}
}

// An address that is gone, and kept because it is well, is not found again by a
// failure.
func TestFailuresFindNothingRemoved(t *testing.T) {
	now, fails := address(1).Addr(), error(nil)
	cfg := named(StrictDNS, DNS{Resolve: func(context.Context, string) ([]netip.Addr, time.Duration, error) {
		return []netip.Addr{now}, 0, fails
	}})
	cfg.HealthChecks = []HealthCheck{{Probe: well}}
	c := New(cfg, Deps{})
	c.ResolveOnce(t.Context())
	old := c.Hosts()[0]
	c.judge(old, 1, false, false, nil)
	now = address(2).Addr()
	c.ResolveOnce(t.Context())
	fails = errors.New("no answer")
	c.ResolveOnce(t.Context())
	if !old.noted(removedBit) || len(c.Hosts()) != 2 {
		t.Errorf("removed %v, of %d", old.noted(removedBit), len(c.Hosts()))
	}
}

// ending is a connection that tells when it is closed.
type ending struct {
	net.Conn
	end func()
}

func (e *ending) Close() error { e.end(); return nil }

// The endpoints of names are heard of when they are in force, not before.
func TestNamesAreHeardOf(t *testing.T) {
	var c *Cluster
	early := false
	cfg := named(StrictDNS, DNS{Resolve: func(context.Context, string) ([]netip.Addr, time.Duration, error) {
		return []netip.Addr{address(1).Addr()}, 0, nil
	}})
	cfg.Endpoints = append(cfg.Endpoints, Endpoint{Address: address(2)})
	cfg.HealthChecks, cfg.RenewOnChange = []HealthCheck{{Probe: well}}, true
	c = New(cfg, Deps{Dial: func(context.Context, string, string, net.Addr) (net.Conn, error) {
		return &ending{end: func() { early = c.allHeard() }}, nil
	}})
	known := c.Hosts()[0]
	c.judge(known, 1, false, false, nil)
	conn, err := known.Pool().Connect(t.Context(), pool.TLSRequest{})
	if err != nil {
		t.Fatal(err)
	}
	known.Pool().Put(conn) // it is closed while the new endpoint comes into force
	<-c.probes.changed
	c.ResolveOnce(t.Context())
	if early || c.allHeard() || !c.probes.resolved.Load() || len(c.probes.changed) != 1 {
		t.Errorf("heard of before %v, after %v", early, c.allHeard())
	}
}
