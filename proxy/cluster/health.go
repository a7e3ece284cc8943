package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/pool"
)

// HealthCheck asks endpoints whether they are well. Until an endpoint has
// answered for the first time it gets no requests.
type HealthCheck struct {
	// Probe asks once, over a connection of the pool. An [Unwell] error takes the
	// endpoint out at once.
	Probe   func(ctx context.Context, p *pool.Pool) error
	Timeout time.Duration
	// Interval between probes, plus a random part of Jitter. While the cluster has
	// not had a request it is NoTraffic (60 s when zero), for an endpoint that is
	// out Unhealthy (Interval when zero).
	Interval, Jitter, NoTraffic, Unhealthy time.Duration
	// Failures and Successes in a row change an endpoint's state. The first answer
	// always does.
	Failures, Successes uint32
}

// Unwell is an answer by which an endpoint itself says that it is not well.
type Unwell struct{ Reason string }

// Error gives the reason.
func (u *Unwell) Error() string { return u.Reason }

// watch probes the endpoints, as they come and go, until ctx ends.
func (c *Cluster) watch(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	stops := map[*State]context.CancelFunc{}
	for {
		now := map[*State]bool{}
		for _, h := range c.Hosts() {
			now[h.State] = true
			if stops[h.State] == nil {
				each, stop := context.WithCancel(ctx)
				stops[h.State] = stop
				running.Go(func() { c.follow(each, h) })
			}
		}
		for state, stop := range stops {
			if !now[state] {
				stop()
				delete(stops, state)
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range stops {
				stop()
			}
			return
		case <-c.changed:
			if c.judged.Swap(false) {
				c.arrange()
			}
		}
	}
}

// follow probes one endpoint.
func (c *Cluster) follow(ctx context.Context, h *Host) {
	check := c.HealthCheck
	network, address := h.dialAddress()
	p := pool.New(network, address, &c.Config.Pool, h.tls, c.deps.Dial, nil)
	defer p.Shut()
	var bad, good uint32
	first := true
	for {
		err := c.probe(ctx, p)
		if ctx.Err() != nil {
			return
		}
		var unwell *Unwell
		switch {
		case err == nil:
			bad = 0
			if good++; good >= check.Successes || first {
				c.judge(h, true, nil)
			}
			if c.Outlier != nil && c.Outlier.HealthUnejects && h.Ejected(time.Now()) {
				h.outlier.until.Store(0)
				h.outlier.clear()
			}
		default:
			good = 0
			if bad++; bad >= check.Failures || first || errors.As(err, &unwell) {
				c.judge(h, false, err)
			}
		}
		first = false
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.nextProbe(h)):
		}
	}
}

func (c *Cluster) probe(ctx context.Context, p *pool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, c.HealthCheck.Timeout)
	defer cancel()
	return c.HealthCheck.Probe(ctx, p)
}

func (c *Cluster) nextProbe(h *Host) time.Duration {
	check := c.HealthCheck
	wait := check.Interval
	switch {
	case c.Stats.RqTotal.Load() == 0:
		if wait = check.NoTraffic; wait == 0 {
			wait = time.Minute
		}
	case h.failing.Load() && check.Unhealthy > 0:
		wait = check.Unhealthy
	}
	if check.Jitter > 0 {
		wait += time.Duration(rand.Int64N(int64(check.Jitter)))
	}
	return wait
}

// judge puts an endpoint in or takes it out.
func (c *Cluster) judge(h *Host, well bool, why error) {
	if h.failing.Swap(!well) == !well {
		return
	}
	if well {
		c.begin(h, time.Now())
	}
	c.deps.Log.Info("health changed", "cluster", c.Name, "endpoint", h.Text(), "healthy", well, "error", why)
	c.judged.Store(true)
	c.change()
}

// arrange arranges the endpoints anew for picking. Many that change at once are
// arranged once.
func (c *Cluster) arrange() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endpoints.Store(compile(&c.Config, c.endpoints.Load().hosts))
}
