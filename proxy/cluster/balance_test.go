package cluster

import (
	"fmt"
	"io"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/accept"
	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/runtime"
)

// levelShares tells how much of the load each priority gets from healthy and from
// degraded hosts.
func levelShares(c *Cluster) (out []uint32) {
	for _, l := range c.endpoints.Load().priority {
		out = append(out, l.load, l.degradedLoad)
	}
	return out
}

func TestLoadOverPriorities(t *testing.T) {
	const well, ill, poor = model.Healthy, model.Unhealthy, model.Degraded
	type levels [][]model.Health
	for _, tc := range []struct {
		name   string
		levels levels
		spread Spread
		panics float64
		want   []uint32
	}{
		{"all well", levels{{well, well}, {well}}, Spread{}, -1, []uint32{100, 0, 0, 0}},
		{"half of the first", levels{{well, ill}, {well}}, Spread{}, -1, []uint32{70, 0, 30, 0}},
		{"half is enough", levels{{well, ill}, {well}}, Spread{Overprovision: 200}, -1, []uint32{100, 0, 0, 0}},
		{"degraded stand in after healthy ones", levels{{well, ill}, {well, ill, ill, ill}, {poor}}, Spread{}, -1, []uint32{70, 0, 30, 0, 0, 0}},
		{"degraded stand in", levels{{well, ill, poor, poor}, {ill}}, Spread{}, -1, []uint32{35, 65, 0, 0}},
		{"only degraded", levels{{poor, poor}}, Spread{}, -1, []uint32{0, 100}},
		{"nobody, and all panic", levels{{ill, ill, ill}, {ill}}, Spread{}, -1, []uint32{75, 0, 25, 0}},
		{"nobody, without panic", levels{{ill}, {ill}}, Spread{}, 0, []uint32{100, 0, 0, 0}},
		{"what rounding leaves", levels{{well, ill, ill, ill}, {well, ill, ill, ill}, {well, ill, ill, ill}}, Spread{Overprovision: 100}, 0, []uint32{34, 0, 33, 0, 33, 0}},
		{"what rounding leaves, behind degraded ones", levels{{poor, ill, ill, ill}, {well, ill, ill, ill}, {well, ill, ill, ill}}, Spread{Overprovision: 100}, 0, []uint32{0, 33, 34, 0, 33, 0}},
	} {
		var eps []Endpoint
		for p, level := range tc.levels {
			for _, h := range level {
				eps = append(eps, Endpoint{Address: address(len(eps)), Priority: uint32(p), Health: h})
			}
		}
		c := New(&Config{Panic: tc.panics, Spread: tc.spread, Endpoints: eps}, Deps{})
		if got := levelShares(c); fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: got %v; want %v", tc.name, got, tc.want)
		}
	}
	c := New(&Config{Spread: Spread{Weighted: true}, Endpoints: endpointsOf(3, func(i int, e *Endpoint) {
		e.Weight, e.Health, e.Priority = []uint32{9, 1, 1}[i], []model.Health{well, ill, well}[i], []uint32{0, 0, 1}[i]
	})}, Deps{})
	if got := levelShares(c); got[0] != 100 {
		t.Errorf("by weight: got %v; want all for the first", got)
	}
}

// Whatever a level gets somebody takes: keys stay on its healthy hosts, and while it
// panics all of them are used.
func TestWhoTakesTheShareOfDegradedOnes(t *testing.T) {
	for _, p := range []Policy{RingHash, Maglev} {
		c := New(&Config{Policy: p, Endpoints: endpointsOf(10, func(i int, e *Endpoint) {
			if i >= 3 {
				e.Health = model.Degraded
			}
		})}, Deps{})
		if got := picks(c, 3000, nil); got[0]+got[1]+got[2] != 3000 {
			t.Errorf("policy %v: got %v; want the healthy ones alone", p, got)
		}
	}
	c := New(&Config{Panic: -1, Endpoints: endpointsOf(20, func(i int, e *Endpoint) {
		e.Priority = uint32(i / 10)
		switch {
		case i == 0:
			e.Health = model.Degraded
		case i < 10 || i >= 16:
			e.Health = model.Unhealthy
		}
	})}, Deps{})
	got := picks(c, 5000, nil)
	if len(got) != 16 || got[-1] > 0 {
		t.Errorf("one level panics: got %v; want all of it and the healthy ones of the other", got)
	}
}

// Weights that are too far apart for a schedule count too.
func TestWeightsFarApart(t *testing.T) {
	c := New(&Config{Endpoints: endpointsOf(2, func(i int, e *Endpoint) { e.Weight = []uint32{70_000, 1}[i] })}, Deps{})
	if got := picks(c, 70_001, nil); got[1] > 2 {
		t.Errorf("got %v", got)
	}
	if allocs := testing.AllocsPerRun(200, func() { c.Pick(Choice{}) }); allocs != 0 {
		t.Errorf("%v allocations a pick", allocs)
	}
}

// With an endpoint out its share goes to all others, not to its neighbour.
func TestWhoIsOutLeavesNoGap(t *testing.T) {
	for _, p := range []Policy{RoundRobin, Random} {
		c := New(&Config{Policy: p, Endpoints: endpointsOf(4, func(i int, e *Endpoint) {
			if i == 1 {
				e.Health = model.Unhealthy
			}
		})}, Deps{})
		got := picks(c, 9000, nil)
		for _, i := range []int{0, 2, 3} {
			if math.Abs(float64(got[i])-3000) > 300 {
				t.Errorf("policy %v: got %v; want 3000 each", p, got)
				break
			}
		}
	}
}

// Who is ejected is back when its time is over, without anybody reporting.
func TestEjectedComeBackByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(&Config{Endpoints: endpointsOf(2, nil), Outlier: &Outlier{Consecutive5xx: 1, Enforce5xx: 100, BaseEjection: time.Minute, MaxEjectionPercent: 100}}, Deps{})
		c.Report(c.Hosts()[0], ServerError, time.Now)
		if got := picks(c, 10, nil); got[0] != 0 {
			t.Errorf("ejected: got %v", got)
		}
		time.Sleep(time.Minute)
		if got := picks(c, 10, nil); got[0] != 5 {
			t.Errorf("after its time: got %v", got)
		}
	})
}

func TestLeastRequestByWeightAndBusyness(t *testing.T) {
	keys := runtime.New([]runtime.Layer{{Name: "static", Values: map[string]string{"bias": "0.5"}}})
	for _, tc := range []struct {
		name string
		cfg  Config
		busy int64
		want float64 // of the first of two, which weighs 3 to 1
	}{
		{"idle", Config{}, 0, .75},
		{"busy", Config{}, 2, .5},
		{"less bias", Config{Bias: &runtime.Number{Value: .5}}, 3, .6},
		{"less bias by a key", Config{Bias: &runtime.Number{Value: 1, Key: keys.Key("bias")}}, 3, .6},
	} {
		tc.cfg.Policy, tc.cfg.Endpoints = LeastRequest, endpointsOf(2, func(i int, e *Endpoint) { e.Weight = []uint32{3, 1}[i] })
		c := New(&tc.cfg, Deps{})
		c.Hosts()[0].Active.Store(tc.busy)
		if got := picks(c, 1000, nil); math.Abs(float64(got[0])/1000-tc.want) > .01 {
			t.Errorf("%s: got %v; want a share of %v", tc.name, got, tc.want)
		}
	}
	c := New(&Config{Policy: LeastRequest, FullScan: true, Endpoints: endpointsOf(5, nil)}, Deps{})
	for i, h := range c.Hosts() {
		h.Active.Store(int64(i / 2))
	}
	if got := picks(c, 1000, nil); len(got) != 2 || got[0] < 400 || got[1] < 400 {
		t.Errorf("of all: got %v; want the two that are idle", got)
	}
}

// Who is as busy as it may be passes keys on, each key to the same endpoint.
func TestBoundedLoad(t *testing.T) {
	for _, p := range []Policy{RingHash, Maglev} {
		c := New(&Config{Policy: p, Hashing: &Hashing{Balance: 125}, Endpoints: endpointsOf(4, nil)}, Deps{})
		key := Choice{Hash: HashString("key"), HasHash: true}
		own := c.Pick(key)
		c.Default.requests.Store(8)
		own.Active.Store(4)
		other := c.Pick(key)
		if other == own || c.Pick(key) != other {
			t.Errorf("policy %v: went to %v, then %v", p, own.Text(), other.Text())
		}
		for _, h := range c.Hosts() {
			h.Active.Store(10)
		}
		c.Hosts()[2].Active.Store(5)
		if h := c.Pick(key); h != c.Hosts()[2] {
			t.Errorf("policy %v: all are full, and it went to %v", p, h.Text())
		}
		if allocs := testing.AllocsPerRun(100, func() { c.Pick(key) }); allocs != 0 {
			t.Errorf("policy %v: %v allocations a pick", p, allocs)
		}
	}
}

// A name set for hashing makes addresses irrelevant.
func TestHashNames(t *testing.T) {
	where := func(a Hashing, with func(int, *Endpoint)) (at []string) {
		c := New(&Config{Policy: RingHash, Hashing: &a, Endpoints: endpointsOf(4, with)}, Deps{})
		for k := range 50 {
			at = append(at, c.Pick(Choice{Hash: HashString(fmt.Sprint(k)), HasHash: true}).Name)
		}
		return at
	}
	for name, a := range map[string]struct {
		Hashing
		rare bool
	}{"hostname": {Hashing: Hashing{ByHostname: true}}, "key": {rare: true}} {
		fill := func(shift int) func(int, *Endpoint) {
			return func(i int, e *Endpoint) {
				e.Name = fmt.Sprint("host-", i)
				e.Address = address(i + shift)
				if a.rare {
					e.Rare = &Rare{HashKey: e.Name}
				}
			}
		}
		if got, want := fmt.Sprint(where(a.Hashing, fill(7))), fmt.Sprint(where(a.Hashing, fill(0))); got != want {
			t.Errorf("%s: keys moved with the addresses", name)
		}
	}
}

// The values are what std::hash of libstdc++ gives.
func TestMurmurHash(t *testing.T) {
	for text, want := range map[string]uint64{"": 0x553e93901e462a6e, "a": 0x454ddee488c1ed6b, "abcdefgh": 0x783db3e38db898bb, "127.0.0.1:80_17": 0x260c77a91e47235e} {
		if got := murmur2([]byte(text)); got != want {
			t.Errorf("%q: got %x; want %x", text, got, want)
		}
	}
}

func TestZones(t *testing.T) {
	a, b := model.Locality{Zone: "a"}, model.Locality{Zone: "b"}
	at := func(zones ...model.Locality) []Endpoint {
		return endpointsOf(len(zones), func(i int, e *Endpoint) { e.Locality = &zones[i] })
	}
	for _, tc := range []struct {
		name      string
		zones     Zones
		proxies   []Endpoint
		endpoints []Endpoint
		want      float64 // of requests that stay in zone a
	}{
		{"as many as proxies", Zones{Enabled: 100}, at(a, b), at(a, b), 1},
		{"half as many", Zones{Enabled: 100}, at(a, b), at(a, b, b, b), .5},
		{"half of the requests", Zones{Enabled: 50}, at(a, b), at(a, b), .75},
		{"too small", Zones{Enabled: 100, Least: 6}, at(a, b), at(a, b, b, b), .25},
		{"no proxies elsewhere", Zones{Enabled: 100}, at(a, a), at(a, b, b, b), .25},
		{"forced", Zones{Enabled: 100, Force: 1}, at(a, b), at(a, b, b, b), 1},
		{"forced by more than there are", Zones{Enabled: 100, Force: 2}, at(a, b), at(a, b, b, b), .5},
	} {
		local := NewHandle("proxies")
		c := New(&Config{Zones: &tc.zones, Endpoints: tc.endpoints}, Deps{Near: &Near{local, a}})
		share := func() float64 {
			near := 0
			for range 10_000 {
				if c.Pick(Choice{}).Where() == a {
					near++
				}
			}
			return float64(near) / 10_000
		}
		even := 1 / float64(len(tc.endpoints))
		if got := share(); math.Abs(got-even) > .03 {
			t.Errorf("%s: %.2f stay while the proxies are unknown; want %.2f", tc.name, got, even)
		}
		local.Store(New(&Config{Endpoints: tc.proxies}, Deps{}))
		if got := share(); math.Abs(got-tc.want) > .03 {
			t.Errorf("%s: %.2f stay; want %.2f", tc.name, got, tc.want)
		}
		if allocs := testing.AllocsPerRun(100, func() { c.Pick(Choice{}) }); allocs != 0 {
			t.Errorf("%s: %v allocations a pick", tc.name, allocs)
		}
	}
	c := New(&Config{Panic: -1, Zones: &Zones{Enabled: 100, FailOnPanic: true}, Endpoints: endpointsOf(3, func(i int, e *Endpoint) {
		if i > 0 {
			e.Health = model.Unhealthy
		}
	})}, Deps{})
	if h := c.Pick(Choice{}); h != nil {
		t.Errorf("picked %v in panic", h.Text())
	}
}

// An endpoint has so many connections and no more, whatever the cluster may have.
func TestConnectionsPerHost(t *testing.T) {
	n := memnet.New()
	for i := range 2 {
		l, err := n.Listen(address(i).String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		accept.Each(l, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	}
	c := New(&Config{PerHost: 2, Endpoints: endpointsOf(2, nil)}, Deps{Dial: n.Dial})
	h := c.Hosts()[0]
	var conns []*pool.Conn
	for range 2 {
		conn, err := c.Connect(t.Context(), c.Default.AcquireConnectionTo(h), pool.TLSRequest{})
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	if c.Default.AcquireConnectionTo(h) != nil || c.Stats.CxOverflow.Load() != 1 {
		t.Errorf("there may be a third, %d overflows", c.Stats.CxOverflow.Load())
	}
	if got, told := c.Default.Remaining(); got != (Remaining{1022, 1024, 1024, 3}) || told {
		t.Errorf("%+v remain, told %v", got, told)
	}
	h.Pool().Close(conns[0])
	if c.Default.AcquireStreamTo(h) == nil {
		t.Error("still full after a connection has ended")
	}
	h.Pool().Close(conns[1])
}

// A connection that does not come about is counted as that, and otherwise no more when
// those who wait for its place are told.
func TestConnectionsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		n.Lose(address(0).String())
		c := New(&Config{Limits: Limits{Connections: 1}, Endpoints: endpointsOf(1, nil)}, Deps{Dial: n.Dial})
		p := c.Default.AcquireConnectionTo(c.Hosts()[0])
		go func() {
			if _, err := c.Connect(t.Context(), p, pool.TLSRequest{}); err == nil {
				t.Error("connected to nobody")
			}
		}()
		p.Wait(pool.TLSRequest{}, time.Time{}, nil)
		if got := c.Stats.CxActive.Load(); got != 0 {
			t.Errorf("%d are counted when the next may try", got)
		}
		if synctest.Wait(); c.Stats.CxConnectFail.Load() != 1 {
			t.Errorf("%d failures", c.Stats.CxConnectFail.Load())
		}
	})
}
