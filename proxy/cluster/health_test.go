package cluster

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/pool"
)

// An endpoint gets requests once it has answered a probe, none after so many
// failures in a row, and none at once when it says itself that it is not well.
func TestHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer atomic.Value // of the first endpoint
		var probes atomic.Int32
		check := HealthCheck{Timeout: time.Second, Interval: 10 * time.Second, NoTraffic: 10 * time.Second, Failures: 3, Successes: 2,
			Probe: func(_ context.Context, to Target) (bool, error) {
				probes.Add(1)
				if to.Pool.String() == "tcp:10.0.0.1:80" {
					return false, nil
				}
				why, _ := answer.Load().(string)
				switch why {
				case "", "degraded":
					return why != "", nil
				case "unwell":
					return false, &Unwell{"status 500"}
				}
				return false, errors.New(why)
			}}
		n := memnet.New()
		c := New(&Config{Name: "c", Endpoints: endpointsOf(2, nil), HealthChecks: []HealthCheck{check}, Panic: 0}, Deps{Dial: n.Dial})
		if c.Pick(Choice{}) != nil || !c.Hosts()[0].Failing() {
			t.Error("picked before anybody has answered")
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = c.Run(ctx) }()
		usable := func() (n int) {
			synctest.Wait()
			for _, h := range c.Hosts() {
				if h.Usable(time.Now()) {
					n++
				}
			}
			return n
		}
		if n := usable(); n != 2 || probes.Load() != 2 {
			t.Errorf("%d usable after %d probes", n, probes.Load())
		}
		answer.Store("no answer")
		time.Sleep(20 * time.Second)
		if n := usable(); n != 2 {
			t.Errorf("%d usable after two failures", n)
		}
		time.Sleep(10 * time.Second)
		if n := usable(); n != 1 {
			t.Errorf("%d usable after three failures", n)
		}
		answer.Store("")
		time.Sleep(10 * time.Second)
		if n := usable(); n != 1 {
			t.Errorf("%d usable after one success", n)
		}
		time.Sleep(10 * time.Second)
		if n := usable(); n != 2 {
			t.Errorf("%d usable after two", n)
		}
		answer.Store("degraded")
		time.Sleep(10 * time.Second)
		if n, load := usable(), levelShares(c); n != 2 || !c.Hosts()[0].Degraded() || load[0] != 70 || load[1] != 30 {
			t.Errorf("%d usable, degraded %v, load %v, after it said that it is degraded", n, c.Hosts()[0].Degraded(), load)
		}
		answer.Store("unwell")
		time.Sleep(10 * time.Second)
		if n := usable(); n != 1 {
			t.Errorf("%d usable after it said that it is not well", n)
		}
		c.SetEndpoints(endpointsOf(3, nil), Spread{})
		if n := usable(); n != 1 { // the new one says what the first one does
			t.Errorf("%d usable with a new one", n)
		}
		cancel()
		<-done
	})
}

// A new endpoint begins with the least share and has all of it at the end of its
// window.
func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, policy := range []Policy{RoundRobin, LeastRequest} {
			c := New(&Config{Policy: policy, Endpoints: endpointsOf(1, nil), SlowStart: &SlowStart{Window: 10 * time.Second, Least: 0.1}}, Deps{Dial: memnet.New().Dial})
			time.Sleep(time.Minute)
			c.SetEndpoints(endpointsOf(2, nil), Spread{})
			share := func() float64 {
				fresh := c.Hosts()[1]
				picked := 0
				for range 4000 {
					if c.Pick(Choice{}) == fresh {
						picked++
					}
				}
				return float64(picked) / 4000
			}
			if s := share(); s > 0.3 {
				t.Errorf("%v: %.2f at the beginning", policy, s)
			}
			time.Sleep(10 * time.Second)
			if s := share(); s < 0.4 || s > 0.6 && policy != LeastRequest {
				t.Errorf("%v: %.2f at the end", policy, s)
			}
		}
	})
}

// A new endpoint that begins with nothing gets something after all.
func TestSlowStartFromNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		weigh := func(i int, e *Endpoint) { e.Weight = uint32(i + 1) }
		c := New(&Config{Policy: LeastRequest, Endpoints: endpointsOf(1, weigh), SlowStart: &SlowStart{Window: 10 * time.Second}}, Deps{})
		time.Sleep(time.Minute)
		c.SetEndpoints(endpointsOf(2, weigh), Spread{})
		picks(c, 20_000, nil) // as many as a weight of a ten thousandth takes
		time.Sleep(time.Minute)
		if got := picks(c, 300, nil); got[1] < 190 || got[1] > 210 {
			t.Errorf("got %v; want twice as many for the new one", got)
		}
	})
}

// A probe that goes well takes an endpoint back in that misbehaved, and forgets no
// failure of one that is in use.
func TestHealthUnejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check := HealthCheck{Timeout: time.Second, Interval: 10 * time.Second, NoTraffic: 10 * time.Second, Failures: 1, Successes: 1,
			Probe: well}
		c := New(&Config{Name: "c", Endpoints: endpointsOf(2, nil), HealthChecks: []HealthCheck{check},
			Outlier: &Outlier{Consecutive5xx: 3, Enforce5xx: 100, Interval: time.Hour, BaseEjection: time.Hour, MaxEjection: 9 * time.Hour, MaxEjectionPercent: 100, HealthUnejects: true}}, Deps{Dial: memnet.New().Dial})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = c.Run(ctx) }()
		time.Sleep(5 * time.Second)
		h := c.Hosts()[0]
		for range 3 {
			if h.Ejected(time.Now()) {
				t.Error("out before the third failure")
			}
			c.Report(h, ServerError, time.Now)
			time.Sleep(3 * time.Second) // a probe comes in between
		}
		if !h.Ejected(time.Now()) {
			t.Error("in use after three failures in a row")
		}
		time.Sleep(10 * time.Second)
		if h.Ejected(time.Now()) {
			t.Error("still out after a probe that went well")
		}
		for range 3 {
			c.Report(h, ServerError, time.Now)
		}
		if got := time.Until(time.Unix(0, h.outlier.until.Load())); got != 2*time.Hour {
			t.Errorf("the second time it is out for %v", got)
		}
		cancel()
		<-done
	})
}

// well is the answer of an endpoint that is.
func well(context.Context, Target) (bool, error) { return false, nil }

// running runs a cluster until the test's bubble ends.
func running(t *testing.T, c *Cluster) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	synctest.Wait()
	return func() { cancel(); <-done }
}

// An endpoint is well when all checks say so.
func TestSeveralHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ill atomic.Int32
		ill.Store(-1)
		var checks []HealthCheck
		for i := range int32(3) {
			checks = append(checks, HealthCheck{Timeout: time.Second, Interval: time.Second, NoTraffic: time.Second, Failures: 1, Successes: 1, Probe: func(context.Context, Target) (bool, error) {
				if ill.Load() == i {
					return false, errors.New("ill")
				}
				return false, nil
			}})
		}
		c := New(&Config{Endpoints: endpointsOf(1, nil), HealthChecks: checks}, Deps{Dial: memnet.New().Dial})
		defer running(t, c)()
		for _, i := range []int32{-1, 0, 2, -1, 1} {
			ill.Store(i)
			time.Sleep(2 * time.Second)
			if got, want := c.Hosts()[0].Failing(), i >= 0; got != want {
				t.Errorf("check %d says ill: failing %v", i, got)
			}
		}
	})
}

func TestProbeIntervals(t *testing.T) {
	h := HealthCheck{Interval: 1, Unhealthy: 2, HealthyEdge: 3, UnhealthyEdge: 4, NoTraffic: 5, NoTrafficHealthy: 6}
	bare := HealthCheck{Interval: 1}
	for _, tc := range []struct {
		used, well, pending bool
		want, bare          time.Duration
	}{
		{true, true, false, 1, 1}, {true, true, true, 3, 1}, {true, false, false, 2, 1}, {true, false, true, 4, 1},
		{false, true, false, 6, time.Minute}, {false, true, true, 5, time.Minute}, {false, false, false, 5, time.Minute}, {false, false, true, 5, time.Minute},
	} {
		if got := h.wait(tc.used, tc.well, tc.pending); got != tc.want {
			t.Errorf("%+v: got %d", tc, got)
		}
		if got := bare.wait(tc.used, tc.well, tc.pending); got != tc.bare {
			t.Errorf("%+v: got %d of the defaults", tc, got)
		}
	}
	jittered := HealthCheck{Interval: 100 * time.Second, JitterPercent: 50, Jitter: 10 * time.Second}
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		d := jittered.wait(true, true, false)
		least, most = min(least, d), max(most, d)
	}
	if least < 100*time.Second || least > 110*time.Second || most < 150*time.Second || most >= 160*time.Second {
		t.Errorf("between %v and %v; want 100 s to 160 s", least, most)
	}
}

// Endpoints are asked where and as they want, or not at all.
func TestWhoIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]string{}
		check := HealthCheck{Timeout: time.Second, Interval: time.Second, Initial: 10 * time.Second, Failures: 1, Successes: 1, Probe: func(_ context.Context, to Target) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			asked[to.Pool.String()] = to.Host
			return false, nil
		}}
		probed := []*Rare{nil, {Probed: &Probed{Port: 81, Host: "own"}}, {Probed: &Probed{Address: address(9)}}, {Probed: &Probed{Off: true}}}
		c := New(&Config{Endpoints: endpointsOf(4, func(i int, e *Endpoint) { e.Rare = probed[i] }), HealthChecks: []HealthCheck{check}}, Deps{Dial: memnet.New().Dial})
		if got := picks(c, 10, nil); got[3] != 10 {
			t.Errorf("before the first answers: got %v; want the one that is not asked", got)
		}
		defer running(t, c)()
		time.Sleep(11 * time.Second)
		want := map[string]string{"tcp:10.0.0.0:80": "", "tcp:10.0.0.1:81": "own", "tcp:10.0.0.9:80": ""}
		mu.Lock()
		defer mu.Unlock()
		if !maps.Equal(asked, want) {
			t.Errorf("asked %v; want %v", asked, want)
		}
	})
}

// How an endpoint is asked changes with what is said of it.
func TestAskedOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Value
		check := HealthCheck{Timeout: time.Second, Interval: time.Second, NoTraffic: time.Second, Failures: 1, Successes: 1, Probe: func(_ context.Context, to Target) (bool, error) {
			asked.Store(to.Pool.String())
			return false, errors.New("ill")
		}}
		c := New(&Config{Endpoints: endpointsOf(1, nil), HealthChecks: []HealthCheck{check}}, Deps{Dial: memnet.New().Dial})
		defer running(t, c)()
		for _, tc := range []struct {
			probed *Probed
			want   string
		}{{&Probed{Port: 81}, "tcp:10.0.0.0:81"}, {&Probed{Address: address(9)}, "tcp:10.0.0.9:80"}, {&Probed{Off: true}, ""}, {nil, "tcp:10.0.0.0:80"}} {
			c.SetEndpoints(endpointsOf(1, func(_ int, e *Endpoint) { e.Rare = &Rare{Probed: tc.probed} }), Spread{})
			synctest.Wait()
			asked.Store("")
			time.Sleep(2 * time.Second)
			if got := asked.Load(); got != tc.want || c.Hosts()[0].Failing() != (tc.want != "") || len(c.Hosts()) != 1 {
				t.Errorf("%+v: asked %q, failing %v", tc.probed, got, c.Hosts()[0].Failing())
			}
			same := c.Hosts()[0].State
			if c.SetEndpoints(endpointsOf(1, func(_ int, e *Endpoint) { e.Rare = &Rare{Probed: tc.probed} }), Spread{}); c.Hosts()[0].State != same {
				t.Errorf("%+v: made anew though nothing has changed", tc.probed)
			}
		}
	})
}

// An endpoint that is removed goes on while it is well.
func TestRemovedButWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ignore := range []bool{false, true} {
			var ill atomic.Bool
			check := HealthCheck{Timeout: time.Second, Interval: time.Second, NoTraffic: time.Second, Failures: 1, Successes: 1, Probe: func(context.Context, Target) (bool, error) {
				if ill.Load() {
					return false, errors.New("ill")
				}
				return false, nil
			}}
			c := New(&Config{Endpoints: endpointsOf(2, nil), HealthChecks: []HealthCheck{check}, IgnoreHealthOnRemoval: ignore}, Deps{Dial: memnet.New().Dial})
			stop := running(t, c)
			c.SetEndpoints(endpointsOf(1, nil), Spread{})
			synctest.Wait()
			if got := len(c.Hosts()); got != map[bool]int{false: 2, true: 1}[ignore] {
				t.Errorf("ignoring health %v: %d endpoints", ignore, got)
			}
			ill.Store(true)
			time.Sleep(2 * time.Second)
			if got := len(c.Hosts()); got != 1 {
				t.Errorf("ignoring health %v: %d endpoints after it was found ill", ignore, got)
			}
			stop()
		}
	})
}

// New endpoints are not reckoned with until they have answered, where that is wanted.
func TestNewEndpointsAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ignore := range []bool{false, true} {
			check := HealthCheck{Timeout: time.Second, Interval: time.Second, Failures: 1, Successes: 1, Probe: func(ctx context.Context, to Target) (bool, error) {
				if to.Pool.String() == "tcp:10.0.0.0:80" {
					return false, nil
				}
				<-ctx.Done()
				return false, ctx.Err()
			}}
			c := New(&Config{Panic: -1, IgnoreNew: ignore, Endpoints: endpointsOf(1, nil), HealthChecks: []HealthCheck{check}}, Deps{Dial: memnet.New().Dial})
			stop := running(t, c)
			c.SetEndpoints(endpointsOf(4, nil), Spread{})
			synctest.Wait()
			if got := picks(c, 40, nil); len(got) != map[bool]int{false: 4, true: 1}[ignore] {
				t.Errorf("ignoring new ones %v: got %v", ignore, got)
			}
			time.Sleep(2 * time.Second) // they have failed: most are ill, and all are used
			if got := picks(c, 40, nil); len(got) != 4 {
				t.Errorf("ignoring new ones %v, after their first probes: got %v", ignore, got)
			}
			stop()
		}
	})
}

// Byte streams end with their endpoint's health where that is wanted.
func TestStreamsEndWithHealth(t *testing.T) {
	for _, cut := range []bool{false, true} {
		c := New(&Config{CutUnhealthy: cut, Endpoints: endpointsOf(2, nil), HealthChecks: []HealthCheck{{Probe: well}}}, Deps{})
		h := c.Hosts()[0]
		c.judge(h, 1, false, false, nil)
		ended := [3]int{}
		c.Follow(h, func() { ended[0]++ })
		c.Follow(c.Hosts()[1], func() { ended[1]++ })
		over := c.Follow(h, func() { ended[2]++ })
		over()
		c.judge(h, 1, true, false, nil)
		if want := map[bool]int{false: 0, true: 1}[cut]; ended != [3]int{want, 0, 0} {
			t.Errorf("cutting %v: got %v", cut, ended)
		}
	}
}

// Connections are made anew when an endpoint comes, where that is wanted. Requests that
// have one have to find the pool that it is from.
func TestConnectionsAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, renew := range []bool{false, true} {
			n := memnet.New()
			l, _ := n.Listen(address(0).String())
			c := New(&Config{RenewOnChange: renew, Endpoints: endpointsOf(1, nil)}, Deps{Dial: n.Dial})
			p := c.Hosts()[0].Pool()
			conn, err := p.Connect(t.Context(), pool.TLSRequest{})
			if err != nil {
				t.Fatal(err)
			}
			p.Put(conn)
			if c.SetEndpoints(endpointsOf(1, nil), Spread{}); p.Open() != 1 {
				t.Errorf("renewing %v: made anew although nobody came", renew)
			}
			if c.SetEndpoints(endpointsOf(2, nil), Spread{}); (p.Open() == 0) != renew || c.Hosts()[0].Pool() != p {
				t.Errorf("renewing %v: %d connections of before", renew, p.Open())
			}
			c.Close()
			l.Close()
		}
	})
}

// carried is a connection for several requests that takes a second to end.
type carried struct {
	pool.Carrier
	shut  chan struct{}
	ended bool
}

func (*carried) Reserve() bool { return true }
func (*carried) Usable() bool  { return false }
func (c *carried) Shut()       { close(c.shut) }
func (c *carried) Run() {
	<-c.shut
	time.Sleep(time.Second)
	c.ended = true
}

// The connections of probes have ended when nobody probes any more.
func TestProbesLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l, _ := n.Listen(address(0).String())
		defer l.Close()
		carrier := &carried{shut: make(chan struct{})}
		c := New(&Config{Endpoints: endpointsOf(1, nil), HealthChecks: []HealthCheck{{Timeout: time.Second, Probe: func(ctx context.Context, to Target) (bool, error) {
			conn, err := to.Pool.Connect(ctx, pool.TLSRequest{})
			if err == nil {
				to.Pool.Carry(conn, carrier)
			}
			return false, err
		}}}}, Deps{Dial: n.Dial})
		running(t, c)()
		if !carrier.ended {
			t.Error("a connection outlasts the probes")
		}
	})
}
