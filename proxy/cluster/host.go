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
	outlier *record // nil where nobody looks for outliers
	// pool is made when the first request needs it, and stays: of many hosts few are
	// used.
	pool atomic.Pointer[pool.Pool]
	gone atomic.Bool // no more connections are kept
	// since is when the host took up its work, Unix nanoseconds.
	since  atomic.Int64
	checks atomic.Uint64 // what health checks have found; see failingAt
}

// MostChecks is how many health checks a cluster may have.
const MostChecks = 16

// Each health check has a bit for what it has found, and for that it has not yet;
// one says that the host is only kept because it is well.
const (
	everyCheck uint64 = 1<<MostChecks - 1
	failingAt         = 0
	degradedAt        = MostChecks
	unheardAt         = 2 * MostChecks

	removedBit uint64 = 1 << (3 * MostChecks)
)

func (s *State) noted(bits uint64) bool { return s.checks.Load()&bits != 0 }

// put sets or clears a bit and reports whether it was otherwise.
func (s *State) put(bit uint64, on bool) bool {
	if on {
		return s.checks.Or(bit)&bit == 0
	}
	return s.checks.And(^bit)&bit != 0
}

func (h *Host) id() string { return hostID(h.Endpoint) }

func hostID(e Endpoint) string {
	if path := e.Socket(); path != "" {
		return path
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
	p := pool.New(network, address, &c.Config.Pool, h.tls, c.deps.Dial, c.release)
	if !h.pool.CompareAndSwap(nil, p) {
		return h.pool.Load()
	}
	if h.gone.Load() {
		p.Shut()
	}
	return p
}

func (h *Host) dialAddress() (network, address string) {
	if path := h.Socket(); path != "" {
		return "unix", path
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

// renew lets go of the host's connections and lets it have others.
func (h *Host) renew() {
	if p := h.pool.Load(); p != nil {
		p.Renew()
	}
}

// Usable reports whether requests should go there.
func (h *Host) Usable(now time.Time) bool {
	return (h.Health == model.Healthy || h.Health == model.Degraded) && !h.Failing() && !h.Ejected(now)
}

// Degraded reports whether requests should go there only where better hosts lack.
func (h *Host) Degraded() bool { return h.Health == model.Degraded || h.noted(everyCheck<<degradedAt) }

// Failing reports whether health checks have found the host unwell, or have not
// heard of it yet.
func (h *Host) Failing() bool { return h.noted(everyCheck << failingAt) }

// unasked reports whether health checks leave the host out.
func (h *Host) unasked() bool { return h.probed().Off }

// Ejected reports whether outlier detection has taken the host out.
func (h *Host) Ejected(now time.Time) bool {
	if h.outlier == nil {
		return false
	}
	until := h.outlier.until.Load()
	return until != 0 && now.UnixNano() < until
}

// Secured reports whether connections to it are encrypted.
func (h *Host) Secured() bool { return pool.Secured(h.tls) }

// Text is the host as logs show it.
func (h *Host) Text() string { return strings.TrimPrefix(h.id(), "unix://") }
