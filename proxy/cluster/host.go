package cluster

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Host is one endpoint with what is known of it.
type Host struct {
	Endpoint
	// State is shared by all generations of the host.
	*State
	cluster *Cluster
	tls     pool.TLS
}

// State is what a host has been seen to do.
type State struct {
	Active  atomic.Int64 // requests under way
	Total   atomic.Int64
	Errors  atomic.Int64
	ejected atomic.Int64 // until when, Unix nanoseconds; 0 when in use
	// ejections multiplies the time of the next one.
	ejections                    atomic.Int64
	failures5xx, failuresGateway atomic.Uint32
	failuresLocal                atomic.Uint32
	// pool is made when the first request needs it: of many hosts few are used.
	pool atomic.Pointer[pool.Pool]
	gone atomic.Bool // no more connections are kept
	// failing is what health checks have found; since is when the host took up its
	// work, Unix nanoseconds.
	failing atomic.Bool
	since   atomic.Int64
}

func (h *Host) id() string { return hostID(h.Endpoint) }

func hostID(e Endpoint) string {
	if e.Socket != "" {
		return e.Socket
	}
	return e.Address.String()
}

// with is the same host with other facts.
func (h *Host) with(e Endpoint) *Host {
	return &Host{Endpoint: e, State: h.State, cluster: h.cluster, tls: h.tls}
}

// Pool keeps the connections to the host.
func (h *Host) Pool() *pool.Pool {
	if p := h.pool.Load(); p != nil {
		return p
	}
	network, address := h.dialAddress()
	c := h.cluster
	p := pool.New(network, address, &c.Config.Pool, h.tls, c.deps.Dial, c.ReleaseConnection)
	if !h.pool.CompareAndSwap(nil, p) {
		return h.pool.Load()
	}
	if h.gone.Load() {
		p.Shut()
	}
	return p
}

func (h *Host) dialAddress() (network, address string) {
	if h.Socket != "" {
		return "unix", h.Socket
	}
	return "tcp", h.Address.String()
}

// Open is the number of connections to the host.
func (h *Host) Open() int64 {
	if p := h.pool.Load(); p != nil {
		return p.Open()
	}
	return 0
}

// shut lets go of the host's connections: those in use end with their requests.
func (h *Host) shut() {
	h.gone.Store(true)
	if p := h.pool.Load(); p != nil {
		p.Shut()
	}
}

// Usable reports whether requests should go there.
func (h *Host) Usable(now time.Time) bool {
	return h.Health == model.Healthy && !h.Failing() && !h.Ejected(now)
}

// Failing reports whether health checks have found the host unwell, or have not
// heard of it yet.
func (h *Host) Failing() bool { return h.failing.Load() }

// Ejected reports whether outlier detection has taken the host out.
func (h *Host) Ejected(now time.Time) bool {
	until := h.ejected.Load()
	return until != 0 && now.UnixNano() < until
}

// Secured reports whether connections to it are encrypted.
func (h *Host) Secured() bool { return pool.Secured(h.tls) }

// Text is the host as logs show it.
func (h *Host) Text() string { return strings.TrimPrefix(h.id(), "unix://") }

// Outcome is how an exchange with a host went.
type Outcome uint8

// The outcomes that outlier detection counts.
const (
	OK           Outcome = iota
	ServerError          // a 5xx
	GatewayError         // 502, 503 or 504
	LocalFailure         // no connection, a timeout, a reset
)

// OutcomeOf classifies a response's status.
func OutcomeOf(status int) Outcome {
	switch {
	case status >= 502 && status <= 504:
		return GatewayError
	case status >= 500:
		return ServerError
	}
	return OK
}

// Report tells how an exchange went, and ejects the host when it has failed too
// often in a row.
func (c *Cluster) Report(h *Host, outcome Outcome, now func() time.Time) {
	if outcome != OK {
		h.Errors.Add(1)
	}
	o := c.Outlier
	if o == nil {
		return
	}
	if outcome == OK {
		h.failures5xx.Store(0)
		h.failuresGateway.Store(0)
		h.failuresLocal.Store(0)
		return
	}
	reached := func(counter *atomic.Uint32, limit, enforce uint32) bool {
		return counter.Add(1) >= limit && limit > 0 && stream.Chance(enforce*10_000)
	}
	eject := false
	if outcome == LocalFailure && o.SplitLocal {
		eject = reached(&h.failuresLocal, o.ConsecutiveLocal, o.EnforceLocal)
	} else {
		eject = reached(&h.failures5xx, o.Consecutive5xx, o.Enforce5xx)
		if outcome != ServerError && reached(&h.failuresGateway, o.ConsecutiveGateway, o.EnforceGateway) {
			eject = true
		}
	}
	if eject {
		c.eject(h, now())
	}
}

// eject takes a host out, unless too many are out already.
func (c *Cluster) eject(h *Host, now time.Time) {
	o, out, all := c.Outlier, 0, c.Hosts()
	for _, other := range all {
		if other.Ejected(now) {
			out++
		}
	}
	// One host may always be ejected, whatever the percentage says.
	if h.Ejected(now) || out > 0 && (out+1)*100 > int(o.MaxEjectionPercent)*len(all) || o.MaxEjectionPercent == 0 && out > 0 {
		return
	}
	n := h.ejections.Add(1)
	d := o.BaseEjection * time.Duration(n)
	if o.MaxEjection > 0 {
		d = min(d, max(o.MaxEjection, o.BaseEjection))
	}
	until := now.Add(d).UnixNano()
	h.ejected.Store(until)
	for last := c.ejectedUntil.Load(); last < until && !c.ejectedUntil.CompareAndSwap(last, until); {
		last = c.ejectedUntil.Load()
	}
	h.failures5xx.Store(0)
	h.failuresGateway.Store(0)
	h.failuresLocal.Store(0)
	c.Stats.EjectionsTotal.Add(1)
}
