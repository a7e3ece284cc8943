package cluster

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/pool"
)

// Host is one endpoint with what is known of it.
type Host struct {
	Endpoint
	Pool *pool.Pool
	// State is shared by all generations of the host.
	*State
	tls pool.TLS
}

// State is what a host has been seen to do.
type State struct {
	Active  atomic.Int64 // requests under way
	Total   atomic.Int64
	Errors  atomic.Int64
	ejected atomic.Int64 // until when, Unix nanoseconds; 0 when in use
	// ejections multiplies the time of the next one.
	ejections                     atomic.Int64
	failures5xx, failuresGateway  atomic.Uint32
	failuresLocal, failedConnects atomic.Uint32
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
	return &Host{Endpoint: e, Pool: h.Pool, State: h.State, tls: h.tls}
}

// Usable reports whether requests should go there.
func (h *Host) Usable(now time.Time) bool {
	return h.Health == model.Healthy && !h.Ejected(now)
}

// Ejected reports whether outlier detection has taken the host out.
func (h *Host) Ejected(now time.Time) bool {
	until := h.ejected.Load()
	return until != 0 && now.UnixNano() < until
}

// Secured reports whether connections to it are encrypted.
func (h *Host) Secured() bool { return h.tls != nil }

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
		return counter.Add(1) >= limit && limit > 0 && enforce > 0
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
