package cluster

import (
	"context"
	"errors"
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
		check := &HealthCheck{Timeout: time.Second, Interval: 10 * time.Second, NoTraffic: 10 * time.Second, Failures: 3, Successes: 2,
			Probe: func(_ context.Context, p *pool.Pool) error {
				probes.Add(1)
				if p.String() == "tcp:10.0.0.1:80" {
					return nil
				}
				why, _ := answer.Load().(string)
				switch why {
				case "":
					return nil
				case "unwell":
					return &Unwell{"status 500"}
				}
				return errors.New(why)
			}}
		n := memnet.New()
		c := New(Config{Name: "c", Endpoints: endpointsOf(2, nil), HealthCheck: check, Panic: 0}, Deps{Dial: n.Dial})
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
		answer.Store("unwell")
		time.Sleep(10 * time.Second)
		if n := usable(); n != 1 {
			t.Errorf("%d usable after it said that it is not well", n)
		}
		c.SetEndpoints(endpointsOf(3, nil))
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
		for _, policy := range []Policy{RoundRobin, Random, LeastRequest} {
			c := New(Config{Policy: policy, Endpoints: endpointsOf(1, nil), SlowStart: &SlowStart{Window: 10 * time.Second, Least: 0.1}}, Deps{Dial: memnet.New().Dial})
			time.Sleep(time.Minute)
			c.SetEndpoints(endpointsOf(2, nil))
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

// A probe that goes well takes an endpoint back in that misbehaved, and forgets no
// failure of one that is in use.
func TestHealthUnejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check := &HealthCheck{Timeout: time.Second, Interval: 10 * time.Second, NoTraffic: 10 * time.Second, Failures: 1, Successes: 1,
			Probe: func(context.Context, *pool.Pool) error { return nil }}
		c := New(Config{Name: "c", Endpoints: endpointsOf(2, nil), HealthCheck: check,
			Outlier: &Outlier{Consecutive5xx: 3, Enforce5xx: 100, BaseEjection: time.Hour, MaxEjectionPercent: 100, HealthUnejects: true}}, Deps{Dial: memnet.New().Dial})
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
		cancel()
		<-done
	})
}
