package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/pool"
)

func address(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 80)
}

// endpointsOf makes n endpoints, changed by with.
func endpointsOf(n int, with func(int, *Endpoint)) []Endpoint {
	eps := make([]Endpoint, n)
	for i := range eps {
		eps[i].Address = address(i)
		if with != nil {
			with(i, &eps[i])
		}
	}
	return eps
}

// picks counts where n picks go, by the endpoint's number.
func picks(c *Cluster, n int, choice func(int) Choice) map[int]int {
	got := map[int]int{}
	for i := range n {
		var ch Choice
		if choice != nil {
			ch = choice(i)
		}
		if h := c.Pick(ch); h != nil {
			b := h.Address.Addr().As4()
			got[int(b[2])<<8+int(b[3])]++
		} else {
			got[-1]++
		}
	}
	return got
}

func TestRoundRobinIsExact(t *testing.T) {
	c := New(&Config{Endpoints: endpointsOf(3, nil)}, Deps{})
	if got, want := picks(c, 300, nil), map[int]int{0: 100, 1: 100, 2: 100}; !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	c = New(&Config{Endpoints: endpointsOf(3, func(i int, e *Endpoint) { e.Weight = uint32(i + 1) })}, Deps{})
	if got, want := picks(c, 600, nil), map[int]int{0: 100, 1: 200, 2: 300}; !maps.Equal(got, want) {
		t.Errorf("weighted: got %v", got)
	}
}

func TestEveryPolicyUsesEveryHealthyEndpointOnly(t *testing.T) {
	for _, p := range []Policy{RoundRobin, LeastRequest, Random, RingHash, Maglev} {
		c := New(&Config{Policy: p, Endpoints: endpointsOf(6, func(i int, e *Endpoint) {
			if i >= 4 {
				e.Health = model.Unhealthy
			}
		})}, Deps{})
		got := picks(c, 4000, nil)
		if len(got) != 4 {
			t.Errorf("policy %d: got %v", p, got)
		}
		for i := range 4 {
			if got[i] < 200 {
				t.Errorf("policy %d: endpoint %d got %d of 4000", p, i, got[i])
			}
		}
		if allocs := testing.AllocsPerRun(200, func() { c.Pick(Choice{}) }); allocs != 0 {
			t.Errorf("policy %d: %v allocations a pick", p, allocs)
		}
	}
}

func TestLeastRequestAvoidsBusyHosts(t *testing.T) {
	c := New(&Config{Policy: LeastRequest, Endpoints: endpointsOf(2, nil)}, Deps{})
	c.Hosts()[0].Active.Store(10)
	if got := picks(c, 1000, nil); got[0] > 400 {
		t.Errorf("the busy host got %d of 1000", got[0])
	}
}

// When an endpoint goes, only its share of keys moves.
func TestConsistentPoliciesMoveLittle(t *testing.T) {
	for _, p := range []Policy{RingHash, Maglev} {
		c := New(&Config{Policy: p, Endpoints: endpointsOf(10, nil)}, Deps{})
		where := func() []string {
			var at []string
			for k := range 1000 {
				at = append(at, c.Pick(Choice{Hash: HashString(fmt.Sprint(k)), HasHash: true}).Text())
			}
			return at
		}
		before := where()
		if !slices.Equal(before, where()) {
			t.Fatalf("policy %d is not consistent", p)
		}
		c.SetEndpoints(endpointsOf(9, nil), Spread{})
		moved := 0
		for i, at := range where() {
			if at != before[i] {
				moved++
			}
		}
		if moved < 50 || moved > 250 {
			t.Errorf("policy %d: %d of 1000 keys moved; want about 100", p, moved)
		}
	}
}

func TestPrioritiesTakeOverWhenTheFirstLacks(t *testing.T) {
	for _, tc := range []struct {
		healthy int // of 10 in the first priority
		first   float64
	}{{10, 1}, {8, 1}, {5, .7}, {1, .14}, {0, 0}} {
		c := New(&Config{Endpoints: endpointsOf(20, func(i int, e *Endpoint) {
			e.Priority = uint32(i / 10)
			if i < 10 && i >= tc.healthy {
				e.Health = model.Unhealthy
			}
		})}, Deps{})
		first := 0
		for i, n := range picks(c, 10000, nil) {
			if i < 10 {
				first += n
			}
		}
		if share := float64(first) / 10000; math.Abs(share-tc.first) > .03 {
			t.Errorf("%d healthy of 10: %.2f go there; want %.2f", tc.healthy, share, tc.first)
		}
	}
}

func TestLocalityWeights(t *testing.T) {
	c := New(&Config{LocalityWeighted: true, Endpoints: endpointsOf(3, func(i int, e *Endpoint) {
		e.Locality, e.LocalityWeight = &model.Locality{Region: fmt.Sprint("r", min(i, 1))}, []uint32{80, 20, 20}[i]
	})}, Deps{})
	if got := picks(c, 10000, nil); math.Abs(float64(got[0])-8000) > 300 {
		t.Errorf("got %v; want 8000 for the first", got)
	}
	if allocs := testing.AllocsPerRun(200, func() { c.Pick(Choice{}) }); allocs != 0 {
		t.Errorf("%v allocations a pick", allocs)
	}
}

func TestPanicUsesEverything(t *testing.T) {
	eps := endpointsOf(4, func(i int, e *Endpoint) {
		if i > 0 {
			e.Health = model.Unhealthy
		}
	})
	for _, tc := range []struct {
		threshold float64
		hosts     int
	}{{-1, 4}, {0, 1}, {20, 1}, {30, 4}} {
		if got := picks(New(&Config{Panic: tc.threshold, Endpoints: eps}, Deps{}), 400, nil); len(got) != tc.hosts {
			t.Errorf("threshold %v: got %v; want %d hosts", tc.threshold, got, tc.hosts)
		}
	}
	if h := New(&Config{}, Deps{}).Pick(Choice{}); h != nil {
		t.Errorf("picked %v of nothing", h)
	}
}

func TestEjectionTimesAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(&Config{Endpoints: endpointsOf(4, nil), Outlier: &Outlier{Consecutive5xx: 3, Enforce5xx: 100, BaseEjection: 30 * time.Second, MaxEjection: 50 * time.Second, MaxEjectionPercent: 50}}, Deps{})
		bad := c.Hosts()[0]
		fail := func(h *Host, n int) {
			for range n {
				c.Report(h, ServerError, time.Now)
			}
		}
		fail(bad, 2)
		c.Report(bad, OK, time.Now)
		if fail(bad, 2); bad.Ejected(time.Now()) {
			t.Fatal("ejected although the failures were not consecutive")
		}
		for i, want := range []time.Duration{30 * time.Second, 50 * time.Second} {
			if fail(bad, 3); !bad.Ejected(time.Now()) {
				t.Fatal("not ejected")
			}
			if got := picks(c, 40, nil); got[0] != 0 {
				t.Errorf("got %v", got)
			}
			time.Sleep(want - time.Nanosecond)
			if !bad.Ejected(time.Now()) {
				t.Errorf("ejection %d ended early", i)
			}
			if time.Sleep(time.Nanosecond); bad.Ejected(time.Now()) {
				t.Errorf("ejection %d lasts on", i)
			}
		}
		for _, h := range c.Hosts() {
			fail(h, 3)
		}
		if got := picks(c, 40, nil); len(got) != 2 {
			t.Errorf("half may be ejected at most; left are %v", got)
		}
	})
}

func TestSwapKeepsConnectionsAndHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l, _ := n.Listen(address(1).String())
		defer l.Close()
		c := New(&Config{Endpoints: endpointsOf(2, nil)}, Deps{Dial: n.Dial})
		defer c.Close()
		host := c.Hosts()[1]
		conn, err := c.Connect(context.Background(), c.Default.AcquireConnectionTo(host), pool.TLSRequest{})
		if err != nil {
			t.Fatal(err)
		}
		host.Pool().Put(conn)
		c.SetEndpoints(endpointsOf(3, func(_ int, e *Endpoint) { e.Weight = 7 }), Spread{})
		if now := c.Hosts()[1]; now.Pool() != host.Pool() || now.State != host.State || now.Weight != 7 {
			t.Error("the host was made anew")
		}
		c.SetEndpoints(endpointsOf(1, nil), Spread{})
		if host.Pool().Open() != 0 || c.Stats.CxActive.Load() != 0 {
			t.Errorf("%d connections to an endpoint that is gone, %d counted", host.Pool().Open(), c.Stats.CxActive.Load())
		}
	})
}

// Of an assignment's endpoints at one address the first counts, of others each does.
// None is forgotten when they go.
func TestAddressesThatAreListedTwice(t *testing.T) {
	for _, kind := range []Kind{Static, EDS} {
		c := New(&Config{Kind: kind, Endpoints: append(endpointsOf(2, nil), Endpoint{Address: address(0)})}, Deps{})
		hosts := c.Hosts()
		if got, want := picks(c, 300, nil), map[Kind]int{Static: 200, EDS: 150}[kind]; got[0] != want {
			t.Errorf("kind %v: picked %v; want %d for the first", kind, got, want)
		}
		c.SetEndpoints(append(endpointsOf(2, nil), Endpoint{Address: address(0)}), Spread{})
		for i, h := range c.Hosts() {
			if h.State != hosts[i].State {
				t.Errorf("kind %v: %s was made anew", kind, h.Text())
			}
		}
		c.SetEndpoints(nil, Spread{})
		for _, h := range hosts {
			if !h.gone.Load() {
				t.Errorf("kind %v: %s keeps its connections", kind, h.Text())
			}
		}
	}
}

// An endpoint that is secured otherwise now takes the place of its old self, however
// well that is.
func TestOtherTLSReplaces(t *testing.T) {
	c := New(&Config{TLS: &pool.Proxied{}, HealthChecks: []HealthCheck{{Probe: well}}, Endpoints: endpointsOf(1, nil)}, Deps{})
	old := c.Hosts()[0]
	c.judge(old, 1, false, false, nil)
	c.SetEndpoints(endpointsOf(1, func(_ int, e *Endpoint) { e.Plain = true }), Spread{})
	if got := c.Hosts(); len(got) != 1 || got[0].State == old.State || !old.gone.Load() {
		t.Errorf("%d hosts, the old one is gone %v", len(got), old.gone.Load())
	}
}

func TestNamesAreResolvedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := map[string][]netip.Addr{"a": {address(1).Addr(), address(2).Addr()}, "b": {address(3).Addr()}}
		var mu sync.Mutex
		resolve := func(_ context.Context, name string) ([]netip.Addr, time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			if a := answers[name]; a != nil {
				return a, 0, nil
			}
			return nil, 0, errors.New("no such name")
		}
		at := netip.AddrPortFrom(netip.Addr{}, 80)
		c := New(&Config{Kind: StrictDNS, DNS: &DNS{Refresh: 10 * time.Second}, Endpoints: []Endpoint{{Name: "a", Address: at}, {Name: "b", Address: at}}}, Deps{Resolve: resolve})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = c.Run(ctx) }()
		hosts := func() (all []string) {
			synctest.Wait()
			for _, h := range c.Hosts() {
				all = append(all, h.Text())
			}
			return all
		}
		if diff := cmp.Diff(hosts(), []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}); diff != "" {
			t.Error(diff)
		}
		mu.Lock()
		answers["a"], answers["b"] = answers["a"][:1], nil
		mu.Unlock()
		time.Sleep(10 * time.Second) // mesh time
		if diff := cmp.Diff(hosts(), []string{"10.0.0.1:80", "10.0.0.3:80"}); diff != "" {
			t.Errorf("a name that is not resolved keeps its addresses: %s", diff)
		}
		cancel()
		<-done
	})
}

// Each priority has limits of its own; connections are for both, and HIGH may open
// more.
func TestLimits(t *testing.T) {
	for _, high := range []bool{false, true} {
		c := New(&Config{
			Endpoints:  endpointsOf(1, nil),
			Limits:     Limits{Connections: 2, Pending: 1, Requests: 3, Retries: 1},
			HighLimits: Limits{Connections: 3, Pending: 2, Requests: None, Retries: 2},
		}, Deps{})
		b, other, limits := &c.Default, &c.High, [4]int{2, 1, 3, 1}
		if high {
			b, other, limits = &c.High, &c.Default, [4]int{5, 2, 0, 2}
		}
		for i, tc := range []struct {
			name    string
			acquire func() bool
			release func()
		}{
			{"connections", func() bool { return b.AcquireStreamTo(c.Hosts()[0]) != nil }, func() { c.release(nil) }},
			{"pending", b.AcquirePending, b.ReleasePending},
			{"requests", b.AcquireRequest, b.ReleaseRequest},
			{"retries", b.AcquireRetry, b.ReleaseRetry},
		} {
			for n := range limits[i] {
				left, _ := b.Remaining()
				if got := []int64{left.Connections, left.Pending, left.Requests, left.Retries}[i]; got != int64(limits[i]-n) {
					t.Errorf("high %v: %s: %d remain of %d", high, tc.name, got, limits[i]-n)
				}
				if !tc.acquire() {
					t.Errorf("high %v: %s: refused below the limit", high, tc.name)
				}
			}
			if tc.acquire() {
				t.Errorf("high %v: %s: allowed over the limit", high, tc.name)
			}
			if limits[i] == 0 {
				continue
			}
			if tc.release(); !tc.acquire() {
				t.Errorf("high %v: %s: refused after a release", high, tc.name)
			}
		}
		if !other.AcquirePending() || !other.AcquireRetry() {
			t.Errorf("high %v: the other priority is limited with it", high)
		}
		if got := c.Requests(); got != int64(limits[2]) {
			t.Errorf("high %v: %d requests; want %d", high, got, limits[2])
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := New(&Config{Policy: LeastRequest, Endpoints: endpointsOf(n, nil)}, Deps{})
			b.ReportAllocs()
			for b.Loop() {
				c.Pick(Choice{})
			}
		})
	}
}

// A host that is asked for is taken while it is well; another one if it is not,
// unless no other is wanted.
func TestWanted(t *testing.T) {
	eps := endpointsOf(4, nil)
	eps[1].Health, eps[2].Health = model.Unhealthy, model.Draining
	for _, draining := range []bool{false, true} {
		c := New(&Config{Endpoints: eps, OverrideDraining: draining}, Deps{})
		for i, well := range []bool{true, false, draining, true} {
			name := c.Hosts()[i].Text()
			for range 20 {
				if h := c.Pick(Choice{Wanted: name, Only: true}); well != (h != nil) || h != nil && h.Text() != name {
					t.Errorf("host %d, draining ones too %v: got %v", i, draining, h)
				}
				if h := c.Pick(Choice{Wanted: name}); h == nil || (h.Text() == name) != well && well {
					t.Errorf("host %d or another: got %v", i, h)
				}
			}
		}
		if h := c.Pick(Choice{Wanted: "10.9.9.9:80"}); h == nil {
			t.Error("an unknown host leaves none")
		}
	}
}

// A cluster that has been replaced keeps no connection, not even to a destination that
// is asked for only afterwards, by a request that came before.
func TestClosedClustersKeepNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l, err := n.Listen("10.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c := New(&Config{Kind: OriginalDst}, Deps{Dial: n.Dial})
		c.Close()
		h := c.Original(netip.MustParseAddrPort("10.0.0.1:80"))
		conn, err := c.Connect(t.Context(), c.Default.AcquireConnectionTo(h), pool.TLSRequest{})
		if err != nil {
			t.Fatal(err)
		}
		h.Pool().Put(conn)
		if open := h.Pool().Open(); open != 0 {
			t.Errorf("%d connections are kept", open)
		}
	})
}
