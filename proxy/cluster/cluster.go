package cluster

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Deps are what a cluster needs of its surroundings.
type Deps struct {
	Dial    pool.Dial // nil: the operating system
	Resolve Resolve   // for DNS clusters
	Near    *Near     // nil: this proxy does not know where it is
	Log     *slog.Logger
}

// Near is the cluster of the proxies that are like this one, and where this one is.
type Near struct {
	Proxies  *Handle
	Locality model.Locality
}

// Resolve finds the addresses of a name and how long they hold.
type Resolve func(ctx context.Context, name string) ([]netip.Addr, time.Duration, error)

// Cluster is a set of endpoints that serve the same.
type Cluster struct {
	*Config
	deps  Deps
	Stats Stats

	// endpoints are immutable and swapped; hosts of addresses that stay are
	// carried over with their connections and their health.
	endpoints atomic.Pointer[endpoints]

	opening sync.Mutex // held while it is decided whether another connection may be opened
	mu      sync.Mutex
	spread  Spread          // guarded by mu
	named   []namedEndpoint // guarded by mu: what DNS resolves from
	// original keeps the hosts of an original-destination cluster by address;
	// guarded by mu.
	original map[netip.AddrPort]*Host
	closed   bool // guarded by mu

	// Default and High are the circuit breakers of the two priorities that a request
	// may have.
	Default, High Breaker
	// slowUntil is when the last slow start ends, Unix nanoseconds.
	slowUntil atomic.Int64
	probes    *probes // nil where endpoints are not asked
	// unresolved counts failures in a row; owned by who resolves.
	unresolved int
	streams    *streams // nil where they outlast their endpoint's health
	// returning is when the next ejection ends and the endpoints are arranged anew,
	// Unix nanoseconds; 0 while nobody is out.
	returning atomic.Int64
	// swept is when outlier detection last compared the hosts, Unix nanoseconds.
	swept atomic.Int64
}

// Stats are the cluster's counters under Envoy's names.
type Stats struct {
	CxTotal, CxActive, CxConnectFail, CxOverflow           atomic.Int64
	RqTotal, RqTimeout, RqPerTryTimeout                    atomic.Int64
	RqPerTryIdleTimeout                                    atomic.Int64
	RedirectsSucceeded, RedirectsFailed                    atomic.Int64
	RqRetry, RqRetrySuccess, RqRetryOverflow, RqRetryLimit atomic.Int64
	RqPendingOverflow, RqRxReset, RqTxReset, NoneHealthy   atomic.Int64
	Rq1xx, Rq2xx, Rq3xx, Rq4xx, Rq5xx                      atomic.Int64
	EjectionsTotal, EjectionsOverflow, UpdateSuccess       atomic.Int64
	MembershipTotal                                        atomic.Int64
	// Traffic is what connections have carried, within TLS where there is some.
	Traffic stream.Traffic
	// Codes are responses by status, RqTime is how long they took, from the request's
	// end to theirs, in milliseconds.
	Codes  Tally[int]
	RqTime stream.Occasional
	// Filters are what filters have decided about requests to the cluster, by the name
	// of the statistic: "ratelimit.over_limit".
	Filters Tally[string]
	// CxConnect is how long connections took to open, CxLength how long they lasted, in
	// milliseconds.
	CxConnect, CxLength stream.Occasional
}

// Count notes a response's status and its class.
func (s *Stats) Count(status int) {
	s.Codes.Count(status)
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
func New(cfg *Config, deps Deps) *Cluster {
	if deps.Dial == nil {
		deps.Dial = pool.NetDial
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Limits, cfg.HighLimits = cfg.Limits.withDefaults(), cfg.HighLimits.withDefaults()
	if cfg.Panic < 0 {
		cfg.Panic = 50
	}
	if cfg.Hashing == nil && (cfg.Policy == RingHash || cfg.Policy == Maglev) {
		cfg.Hashing = &Hashing{}
	}
	if cfg.DNS == nil && (cfg.Kind == StrictDNS || cfg.Kind == LogicalDNS) {
		cfg.DNS = &DNS{}
	}
	c := &Cluster{Config: cfg, deps: deps}
	if c.Kind == OriginalDst {
		c.original = map[netip.AddrPort]*Host{}
	}
	if len(c.HealthChecks) > 0 {
		c.probes = &probes{changed: make(chan struct{}, 1), heard: make(chan struct{})}
	}
	if c.CutUnhealthy {
		c.streams = &streams{}
	}
	c.Default.limits, c.Default.stats = &c.Limits, &c.Stats
	c.High.limits, c.High.stats, c.High.beneath = &c.HighLimits, &c.Stats, c.Limits.Connections
	c.endpoints.Store(&endpoints{})
	c.SetEndpoints(cfg.Endpoints, cfg.Spread)
	c.Config.Endpoints = nil // the hosts have them
	return c
}

// SetEndpoints replaces the endpoints. Only the picker is swapped: hosts whose
// address and TLS stay, and how they are probed, keep their connections and their
// health.
func (c *Cluster) SetEndpoints(eps []Endpoint, spread Spread) {
	c.mu.Lock()
	c.spread = spread
	c.mu.Unlock()
	if c.Kind == StrictDNS || c.Kind == LogicalDNS {
		all := make([]namedEndpoint, len(eps))
		for i, e := range eps {
			all[i].Endpoint = e
		}
		c.mu.Lock()
		c.named = all
		c.mu.Unlock()
		eps = slices.DeleteFunc(slices.Clone(eps), func(e Endpoint) bool { return !e.Address.Addr().IsValid() && e.Socket() == "" })
	}
	c.swap(eps)
}

func (c *Cluster) swap(eps []Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hosts, gone, fresh := c.carryOver(c.endpoints.Load().hosts, eps)
	if c.RenewOnChange && (fresh || len(gone) > 0) {
		for _, h := range hosts {
			h.renew()
		}
	}
	c.store(hosts)
	c.Stats.MembershipTotal.Store(int64(len(hosts)))
	c.Stats.UpdateSuccess.Add(1)
	c.change()
	for _, h := range gone {
		h.shut()
	}
}

// carryOver makes the hosts of endpoints, of old ones where they are the same. It
// tells which of those are gone, and whether some are new.
func (c *Cluster) carryOver(old []*Host, eps []Endpoint) (hosts, gone []*Host, fresh bool) {
	at := make(map[string][]*Host, len(old))
	for _, h := range old {
		id := h.id()
		at[id] = append(at[id], h)
	}
	hosts = make([]*Host, 0, len(eps))
	listed := make(map[string]bool, len(eps))
	for _, e := range eps {
		id := hostID(e)
		if listed[id] && c.Kind == EDS {
			continue
		}
		listed[id] = true
		i := slices.IndexFunc(at[id], func(h *Host) bool {
			return h.tls == c.tlsOf(e) && (c.probes == nil || h.probed() == e.probed())
		})
		if i < 0 {
			hosts, fresh = append(hosts, c.newHost(e)), true
			continue
		}
		h := at[id][i].with(e)
		at[id] = slices.Delete(at[id], i, i+1)
		h.put(removedBit, false)
		hosts = append(hosts, h)
	}
	for id, left := range at {
		for _, h := range left {
			if listed[id] || !c.outlasts(h) {
				gone = append(gone, h)
				continue
			}
			h.put(removedBit, true)
			hosts = append(hosts, h)
		}
	}
	return hosts, gone, fresh
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
	if c.Outlier != nil {
		h.outlier = &record{}
	}
	if c.Kind != OriginalDst && !h.unasked() {
		all := uint64(1)<<len(c.HealthChecks) - 1
		h.checks.Store(all<<failingAt | all<<unheardAt)
	}
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
		if c.closed { // for a request that came before the end
			h.shut()
		}
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
	c.closed = true
	for _, h := range c.original {
		h.shut()
	}
}

// Requests is how many requests are under way.
func (c *Cluster) Requests() int64 { return c.Default.requests.Load() + c.High.requests.Load() }

// release says that a connection has ended. A host's pool calls it for each.
func (c *Cluster) release(conn *pool.Conn) {
	c.Stats.CxActive.Add(-1)
	if conn != nil {
		c.Stats.CxLength.Observe(stream.Milliseconds(conn.Age()))
	}
}

// full reports whether a host with so many connections has all that one may have, and
// counts that it was asked for another.
func (h *Host) full(open int64) bool {
	c := h.cluster
	if c.PerHost == 0 || open < int64(c.PerHost) {
		return false
	}
	c.Stats.CxOverflow.Add(1)
	return true
}
