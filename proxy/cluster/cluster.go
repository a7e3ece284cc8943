package cluster

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/pool"
)

// Deps are what a cluster needs of its surroundings.
type Deps struct {
	Dial    pool.Dial // nil: the operating system
	Resolve Resolve   // for DNS clusters
	Log     *slog.Logger
}

// Resolve finds the addresses of a name and how long they hold.
type Resolve func(ctx context.Context, name string) ([]netip.Addr, time.Duration, error)

// Cluster is a set of endpoints that serve the same.
type Cluster struct {
	Config
	deps  Deps
	Stats Stats

	// endpoints are immutable and swapped; hosts of addresses that stay are
	// carried over with their connections and their health.
	endpoints atomic.Pointer[endpoints]

	mu    sync.Mutex
	named []Endpoint // guarded by mu: what DNS resolves from
	// original keeps the hosts of an original-destination cluster by address;
	// guarded by mu.
	original map[netip.AddrPort]*Host

	retries, pending atomic.Int64
	// slowUntil is when the last slow start ends, Unix nanoseconds.
	slowUntil atomic.Int64
	// changed holds one: the endpoints are others now, or judged differently.
	changed chan struct{}
	judged  atomic.Bool
	// ejectedUntil is when the last ejection so far ends, Unix nanoseconds: after
	// it nobody is out, and picking need not look.
	ejectedUntil atomic.Int64
	// swept is when outlier detection last compared the hosts, Unix nanoseconds.
	swept atomic.Int64
}

// Stats are the cluster's counters under Envoy's names.
type Stats struct {
	CxTotal, CxActive, CxConnectFail, CxOverflow           atomic.Int64
	RqTotal, RqActive, RqTimeout, RqPerTryTimeout          atomic.Int64
	RqPerTryIdleTimeout                                    atomic.Int64
	RedirectsSucceeded, RedirectsFailed                    atomic.Int64
	RqRetry, RqRetrySuccess, RqRetryOverflow, RqRetryLimit atomic.Int64
	RqPendingOverflow, RqRxReset, RqTxReset, NoneHealthy   atomic.Int64
	Rq1xx, Rq2xx, Rq3xx, Rq4xx, Rq5xx                      atomic.Int64
	EjectionsTotal, EjectionsOverflow, UpdateSuccess       atomic.Int64
	MembershipTotal                                        atomic.Int64
	CxRxBytes, CxTxBytes                                   atomic.Int64
}

// Count notes a response's status class.
func (s *Stats) Count(status int) {
	switch status / 100 {
	case 1:
		s.Rq1xx.Add(1)
	case 2:
		s.Rq2xx.Add(1)
	case 3:
		s.Rq3xx.Add(1)
	case 4:
		s.Rq4xx.Add(1)
	case 5:
		s.Rq5xx.Add(1)
	}
}

// New makes a cluster with the configuration's endpoints. It starts nothing:
// DNS clusters resolve while [Cluster.Run] runs.
func New(cfg Config, deps Deps) *Cluster {
	if deps.Dial == nil {
		deps.Dial = pool.NetDial
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Panic < 0 {
		cfg.Panic = 50
	}
	c := &Cluster{Config: cfg, deps: deps, original: map[netip.AddrPort]*Host{}, changed: make(chan struct{}, 1)}
	c.endpoints.Store(&endpoints{})
	c.SetEndpoints(cfg.Endpoints)
	c.Config.Endpoints = nil // the hosts have them
	return c
}

func (l Limits) withDefaults() Limits {
	for field, value := range map[*uint32]uint32{&l.Connections: 1024, &l.Pending: 1024, &l.Requests: 1024, &l.Retries: 3} {
		if *field == 0 {
			*field = value
		}
	}
	return l
}

// SetEndpoints replaces the endpoints. Only the picker is swapped: hosts whose
// address and TLS stay keep their connections and their health.
func (c *Cluster) SetEndpoints(eps []Endpoint) {
	if c.Kind == StrictDNS || c.Kind == LogicalDNS {
		c.mu.Lock()
		c.named = eps
		c.mu.Unlock()
		eps = slices.DeleteFunc(slices.Clone(eps), func(e Endpoint) bool { return !e.Address.Addr().IsValid() && e.Socket == "" })
	}
	c.swap(eps)
}

func (c *Cluster) swap(eps []Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := map[string]*Host{}
	for _, h := range c.endpoints.Load().hosts {
		old[h.id()] = h
	}
	hosts := make([]*Host, 0, len(eps))
	for _, e := range eps {
		h := old[hostID(e)]
		if h != nil && h.tls == c.tlsOf(e) {
			h = h.with(e)
			delete(old, hostID(e))
		} else {
			h = c.newHost(e)
		}
		hosts = append(hosts, h)
	}
	c.endpoints.Store(compile(&c.Config, hosts))
	c.Stats.MembershipTotal.Store(int64(len(hosts)))
	c.Stats.UpdateSuccess.Add(1)
	c.change()
	for _, h := range old {
		h.shut()
	}
}

// change wakes who watches the endpoints.
func (c *Cluster) change() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *Cluster) tlsOf(e Endpoint) pool.TLS {
	switch {
	case e.Plain:
		return nil
	case e.TLS != nil:
		return e.TLS
	}
	return c.TLS
}

func (c *Cluster) newHost(e Endpoint) *Host {
	h := &Host{Endpoint: e, tls: c.tlsOf(e), cluster: c, State: &State{}}
	h.failing.Store(c.HealthCheck != nil && c.Kind != OriginalDst)
	if c.SlowStart != nil {
		c.begin(h, time.Now())
	}
	return h
}

// Original is the host for the address that a downstream connection wanted.
func (c *Cluster) Original(dst netip.AddrPort) *Host {
	if c.OriginalPort != 0 {
		dst = netip.AddrPortFrom(dst.Addr(), c.OriginalPort)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.original[dst]
	if h == nil {
		// A port scan must not fill the memory.
		if len(c.original) > 4096 {
			for k, old := range c.original {
				old.shut()
				delete(c.original, k)
			}
		}
		h = c.newHost(Endpoint{Address: dst})
		c.original[dst] = h
	}
	return h
}

// Hosts are the endpoints as they are now.
func (c *Cluster) Hosts() []*Host { return c.endpoints.Load().hosts }

// Usable counts the hosts that requests should go to, and all of them.
func (c *Cluster) Usable(now time.Time) (usable, all int) {
	hosts := c.Hosts()
	for _, h := range hosts {
		if h.Usable(now) {
			usable++
		}
	}
	return usable, len(hosts)
}

// Close lets go of all connections: those in use end with their requests.
func (c *Cluster) Close() {
	for _, h := range c.Hosts() {
		h.shut()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.original {
		h.shut()
	}
}

// AcquireRequest counts a request against the circuit breaker. It reports
// false when the limit is reached.
func (c *Cluster) AcquireRequest() bool {
	if n := c.Stats.RqActive.Add(1); c.Limits.Requests != Unlimited && n > int64(c.Limits.Requests) {
		c.Stats.RqActive.Add(-1)
		c.Stats.RqPendingOverflow.Add(1)
		return false
	}
	return true
}

// ReleaseRequest ends what AcquireRequest began.
func (c *Cluster) ReleaseRequest() { c.Stats.RqActive.Add(-1) }

// AcquireConnection counts a connection, as AcquireRequest does a request.
func (c *Cluster) AcquireConnection() bool {
	if n := c.Stats.CxActive.Add(1); c.Limits.Connections != Unlimited && n > int64(c.Limits.Connections) {
		c.Stats.CxActive.Add(-1)
		c.Stats.CxOverflow.Add(1)
		return false
	}
	c.Stats.CxTotal.Add(1)
	return true
}

// ReleaseConnection ends what AcquireConnection began. A host's pool calls it for
// each connection that it closes.
func (c *Cluster) ReleaseConnection() { c.Stats.CxActive.Add(-1) }

// AcquirePending counts a request that waits for a connection.
func (c *Cluster) AcquirePending() bool {
	if n := c.pending.Add(1); c.Limits.Pending != Unlimited && n > int64(c.Limits.Pending) {
		c.pending.Add(-1)
		c.Stats.RqPendingOverflow.Add(1)
		return false
	}
	return true
}

// ReleasePending ends what AcquirePending began.
func (c *Cluster) ReleasePending() { c.pending.Add(-1) }

// AcquireFirstConnection counts a connection to a host that has none: that one
// is allowed over the limit, because nothing else would let the host serve.
func (c *Cluster) AcquireFirstConnection(h *Host) bool {
	if h.Open() > 0 {
		return false
	}
	c.Stats.CxActive.Add(1)
	c.Stats.CxTotal.Add(1)
	return true
}

// AcquireRetry counts a retry that is under way.
func (c *Cluster) AcquireRetry() bool {
	if n := c.retries.Add(1); n > c.retryLimit() {
		c.retries.Add(-1)
		c.Stats.RqRetryOverflow.Add(1)
		return false
	}
	return true
}

// retryLimit is how many retries may be under way now.
func (c *Cluster) retryLimit() int64 {
	switch {
	case c.Limits.RetryPercent > 0:
		return max(int64(c.Limits.RetryMin), int64(float64(c.Stats.RqActive.Load())*c.Limits.RetryPercent/100))
	case c.Limits.Retries == Unlimited:
		return math.MaxInt64
	}
	return int64(c.Limits.Retries)
}

// ReleaseRetry ends what AcquireRetry began.
func (c *Cluster) ReleaseRetry() { c.retries.Add(-1) }
