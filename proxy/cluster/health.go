package cluster

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/pool"
)

// HealthCheck asks endpoints whether they are well. Until an endpoint has
// answered for the first time it gets no requests; with several checks it has to
// be well by all.
type HealthCheck struct {
	// Probe asks once. An [Unwell] error takes the endpoint out at once; degraded is
	// an answer of one that is only to be used where better ones lack.
	Probe   func(ctx context.Context, to Target) (degraded bool, err error)
	Timeout time.Duration
	// Interval is between probes, of an endpoint that is out Unhealthy (Interval when
	// zero). HealthyEdge and UnhealthyEdge come after an answer that differs from what
	// is known while more like it are needed (Interval and Unhealthy when zero).
	// Until the cluster has had a connection it is NoTraffic (60 s when zero), of
	// an endpoint that is well NoTrafficHealthy (NoTraffic when zero).
	Interval, Unhealthy, HealthyEdge, UnhealthyEdge, NoTraffic, NoTrafficHealthy time.Duration
	// Initial is up to how long the first probe waits. A random part of Jitter, and of
	// JitterPercent of the interval, is added to each interval.
	Initial, Jitter time.Duration
	JitterPercent   uint32
	// Failures and Successes in a row change an endpoint's state. The first answer
	// always does.
	Failures, Successes uint32
	// Socket is how endpoints are asked; nil is as requests are sent.
	Socket *Socket
}

// Socket is a choice of transport; TLS is nil for plain text.
type Socket struct{ TLS pool.TLS }

// Target is whom a probe asks.
type Target struct {
	Pool *pool.Pool
	// Host is the name that the endpoint has for probes; empty for the check's own.
	Host string
}

// Probed says how an endpoint is asked whether it is well, where that differs.
type Probed struct {
	Address netip.AddrPort // invalid: the endpoint's own
	Port    uint16         // instead of the endpoint's own where Address is not set; 0: its own
	Host    string         // empty: the check's own
	Off     bool           // it is not asked
}

// Unwell is an answer by which an endpoint itself says that it is not well.
type Unwell struct{ Reason string }

// Error gives the reason.
func (u *Unwell) Error() string { return u.Reason }

// probes are what those who ask the endpoints have to know of each other.
type probes struct {
	changed  chan struct{} // holds one: the endpoints are others now, or judged differently
	judged   atomic.Bool
	resolved atomic.Bool   // names have been resolved once
	heard    chan struct{} // closed when each endpoint has answered once
}

// Heard is closed when the cluster's endpoints are known and each has answered its
// first probes, one way or the other. It is nil where endpoints are not asked.
func (c *Cluster) Heard() <-chan struct{} {
	if c.probes == nil {
		return nil
	}
	return c.probes.heard
}

// change wakes who watches the endpoints.
func (c *Cluster) change() {
	if c.probes == nil {
		return
	}
	select {
	case c.probes.changed <- struct{}{}:
	default:
	}
}

// allHeard reports whether no endpoint's first answer is outstanding.
func (c *Cluster) allHeard() bool {
	if (c.Kind == StrictDNS || c.Kind == LogicalDNS) && !c.probes.resolved.Load() {
		return false
	}
	return !slices.ContainsFunc(c.Hosts(), func(h *Host) bool { return h.noted(everyCheck << unheardAt) })
}

// watch probes the endpoints, as they come and go, until ctx ends.
func (c *Cluster) watch(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	stops := map[*State]context.CancelFunc{}
	for told := false; ; {
		now := map[*State]bool{}
		for _, h := range c.Hosts() {
			if h.unasked() {
				continue
			}
			now[h.State] = true
			if stops[h.State] == nil {
				each, stop := context.WithCancel(ctx)
				stops[h.State] = stop
				for i := range c.HealthChecks {
					running.Go(func() { c.follow(each, h, i) })
				}
			}
		}
		for state, stop := range stops {
			if !now[state] {
				stop()
				delete(stops, state)
			}
		}
		if !told && c.allHeard() {
			told = true
			close(c.probes.heard)
		}
		select {
		case <-ctx.Done():
			for _, stop := range stops {
				stop()
			}
			return
		case <-c.probes.changed:
			if c.probes.judged.Swap(false) {
				c.arrange()
			}
		}
	}
}

// target is whom the probes of a host ask.
func (c *Cluster) target(h *Host, check *HealthCheck) Target {
	to, t := Target{}, h.tls
	network, address := h.dialAddress()
	if check.Socket != nil {
		t = check.Socket.TLS
	}
	p := h.probed()
	to.Host = p.Host
	switch {
	case p.Address.IsValid():
		network, address = "tcp", p.Address.String()
	case p.Port != 0:
		network, address = "tcp", netip.AddrPortFrom(h.Address.Addr(), p.Port).String()
	}
	to.Pool = pool.New(network, address, &c.Config.Pool, t, c.deps.Dial, nil)
	return to
}

// follow probes one endpoint by one check.
func (c *Cluster) follow(ctx context.Context, h *Host, number int) {
	check, bit := &c.HealthChecks[number], uint64(1)<<number
	to := c.target(h, check)
	defer to.Pool.Drain()
	if check.Initial > 0 && !rest(ctx, time.Duration(rand.Int64N(int64(check.Initial)))) {
		return
	}
	var bad, good uint32
	for first := true; ; first = false {
		degraded, err := check.probe(ctx, to)
		if ctx.Err() != nil {
			return
		}
		var unwell *Unwell
		out := h.noted(bit << failingAt)
		switch {
		case err == nil && out:
			good, bad = good+1, 0
			out = good < check.Successes && !first
		case err == nil:
			bad = 0
		case !out:
			good, bad = 0, bad+1
			out = bad >= check.Failures || first || errors.As(err, &unwell)
		default:
			good = 0
		}
		c.judge(h, bit, out, degraded && err == nil, err)
		if err == nil && c.Outlier != nil && c.Outlier.HealthUnejects && h.Ejected(time.Now()) {
			h.outlier.until.Store(time.Now().UnixNano())
			h.outlier.clear()
			c.arrange()
		}
		if !rest(ctx, check.wait(c.Stats.CxTotal.Load() > 0, err == nil, out == (err == nil))) {
			return
		}
	}
}

// rest waits; it reports false when ctx ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (h *HealthCheck) probe(ctx context.Context, to Target) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	return h.Probe(ctx, to)
}

// wait is the time to the next probe: of a cluster that is used or not, after a
// good answer or a bad one, which is pending when more like it are needed.
func (h *HealthCheck) wait(used, well, pending bool) time.Duration {
	var d time.Duration
	unhealthy, idle := cmp.Or(h.Unhealthy, h.Interval), cmp.Or(h.NoTraffic, time.Minute)
	switch {
	case !used && well && !pending:
		d = cmp.Or(h.NoTrafficHealthy, idle)
	case !used:
		d = idle
	case well && pending:
		d = cmp.Or(h.HealthyEdge, h.Interval)
	case well:
		d = h.Interval
	case pending:
		d = cmp.Or(h.UnhealthyEdge, unhealthy)
	default:
		d = unhealthy
	}
	for _, most := range [2]time.Duration{d / 100 * time.Duration(h.JitterPercent), h.Jitter} {
		if most > 0 {
			d += time.Duration(rand.Int64N(int64(most)))
		}
	}
	return d
}

// judge notes what a check has found.
func (c *Cluster) judge(h *Host, bit uint64, out, degraded bool, why error) {
	failed := h.Failing()
	changed := h.put(bit<<failingAt, out)
	changed = h.put(bit<<degradedAt, degraded) || changed
	changed = h.put(bit<<unheardAt, false) || changed
	if !changed {
		return
	}
	if now := h.Failing(); now != failed {
		if now {
			c.cut(h)
		} else {
			c.begin(h, time.Now())
		}
		c.deps.Log.Info("health changed", "cluster", c.Name, "endpoint", h.Text(), "healthy", !now, "error", why)
	}
	c.probes.judged.Store(true)
	c.change()
}

// arrange arranges the endpoints anew for picking. Many that change at once are
// arranged once.
func (c *Cluster) arrange() {
	c.mu.Lock()
	defer c.mu.Unlock()
	hosts := c.endpoints.Load().hosts
	if c.keepsRemoved() {
		hosts = slices.DeleteFunc(slices.Clone(hosts), func(h *Host) bool {
			over := h.noted(removedBit) && h.Failing()
			if over {
				h.shut()
			}
			return over
		})
		c.Stats.MembershipTotal.Store(int64(len(hosts)))
	}
	c.store(hosts)
}

// store puts hosts in force, arranged as they are now. The caller holds mu.
func (c *Cluster) store(hosts []*Host) {
	now := time.Now()
	c.endpoints.Store(c.compile(hosts, now))
	next := int64(0)
	for _, h := range hosts {
		if h.outlier == nil {
			break // nobody looks for outliers
		}
		if until := h.outlier.until.Load(); until > now.UnixNano() && (next == 0 || until < next) {
			next = until
		}
	}
	c.returning.Store(next)
}

// unknown reports whether a host is not to be reckoned with yet.
func (c *Cluster) unknown(h *Host) bool {
	return c.IgnoreNew && h.noted(everyCheck<<unheardAt) && h.Failing()
}

// outlasts reports whether a host goes on though its endpoint has been removed.
func (c *Cluster) outlasts(h *Host) bool {
	return c.keepsRemoved() && !h.Failing() && h.Health != model.Unhealthy && h.Health != model.Draining && !h.unasked()
}

// keepsRemoved reports whether endpoints that are removed go on while health checks
// find them well. A logical cluster has one endpoint, and no other beside it.
func (c *Cluster) keepsRemoved() bool {
	return len(c.HealthChecks) > 0 && !c.IgnoreHealthOnRemoval && c.Kind != LogicalDNS
}
