package cluster

import (
	"github.com/lateenmesh/lateen/proxy/pool"
	"math"
	"sync/atomic"
)

// Unlimited is a limit that is never reached, None one that lets nothing pass.
const (
	Unlimited = 1<<32 - 1
	None      = 1<<32 - 2
)

// Limits are a circuit breaker's. The zero value of one is Envoy's default:
// 1024, and 3 retries.
type Limits struct {
	Connections, Pending, Requests, Retries uint32
	// RetryPercent, when it is set, replaces Retries: so many percent of the
	// requests under way, but at least RetryMin.
	RetryPercent float64
	RetryMin     uint32
	// Track tells in the statistics what remains.
	Track bool
}

func (l Limits) withDefaults() Limits {
	for field, value := range map[*uint32]uint32{&l.Connections: 1024, &l.Pending: 1024, &l.Requests: 1024, &l.Retries: 3} {
		switch *field {
		case 0:
			*field = value
		case None:
			*field = 0
		}
	}
	return l
}

// Breaker counts what requests of one priority take of a cluster, against limits.
// Connections serve both priorities: those of HIGH may open as many more as their
// own limit says.
type Breaker struct {
	limits                     *Limits
	beneath                    uint32 // connections that the other priority may open
	stats                      *Stats
	requests, pending, retries atomic.Int64
}

// acquire counts one more of what is limited, if it may be.
func acquire(n *atomic.Int64, limit uint32) bool {
	if n.Add(1) > int64(limit) && limit != Unlimited {
		n.Add(-1)
		return false
	}
	return true
}

// AcquireRequest counts a request. It reports false when the limit is reached.
func (b *Breaker) AcquireRequest() bool {
	if !acquire(&b.requests, b.limits.Requests) {
		b.stats.RqPendingOverflow.Add(1)
		return false
	}
	return true
}

// ReleaseRequest ends what AcquireRequest began.
func (b *Breaker) ReleaseRequest() { b.requests.Add(-1) }

// AcquireConnection counts a connection, as AcquireRequest does a request. Its end is
// told by [Cluster.ReleaseConnection].
func (b *Breaker) AcquireConnection() bool {
	limit := uint32(min(uint64(b.limits.Connections)+uint64(b.beneath), Unlimited))
	if !acquire(&b.stats.CxActive, limit) {
		b.stats.CxOverflow.Add(1)
		return false
	}
	b.stats.CxTotal.Add(1)
	return true
}

// AcquireConnectionTo counts a connection to a host, here and in the host's pool,
// which it returns; nil when there may be no more. The first one to a host is allowed
// over the limit, because nothing else would let the host serve.
func (b *Breaker) AcquireConnectionTo(h *Host) *pool.Pool {
	h.cluster.opening.Lock()
	defer h.cluster.opening.Unlock()
	p := h.Pool()
	open := p.Open()
	switch {
	case !h.full(open) && b.AcquireConnection():
	case open == 0:
		b.stats.CxActive.Add(1)
		b.stats.CxTotal.Add(1)
	default:
		return nil
	}
	p.Reserve()
	return p
}

// AcquirePending counts a request that waits for a connection.
func (b *Breaker) AcquirePending() bool {
	if !acquire(&b.pending, b.limits.Pending) {
		b.stats.RqPendingOverflow.Add(1)
		return false
	}
	return true
}

// ReleasePending ends what AcquirePending began.
func (b *Breaker) ReleasePending() { b.pending.Add(-1) }

// AcquireRetry counts a retry that is under way.
func (b *Breaker) AcquireRetry() bool {
	if n := b.retries.Add(1); n > b.retryLimit() {
		b.retries.Add(-1)
		b.stats.RqRetryOverflow.Add(1)
		return false
	}
	return true
}

// retryLimit is how many retries may be under way now.
func (b *Breaker) retryLimit() int64 {
	switch {
	case b.limits.RetryPercent > 0:
		return max(int64(b.limits.RetryMin), int64(float64(b.requests.Load())*b.limits.RetryPercent/100))
	case b.limits.Retries == Unlimited:
		return math.MaxInt64
	}
	return int64(b.limits.Retries)
}

// ReleaseRetry ends what AcquireRetry began.
func (b *Breaker) ReleaseRetry() { b.retries.Add(-1) }

// Remaining is what a circuit breaker still allows.
type Remaining struct{ Connections, Pending, Requests, Retries int64 }

// Remaining tells what is still allowed now; ok is false where nobody wants to know.
func (b *Breaker) Remaining() (r Remaining, ok bool) {
	left := func(limit uint32, used int64) int64 { return max(0, int64(limit)-used) }
	l := b.limits
	return Remaining{
		Connections: left(l.Connections, b.stats.CxActive.Load()), Pending: left(l.Pending, b.pending.Load()),
		Requests: left(l.Requests, b.requests.Load()), Retries: max(0, b.retryLimit()-b.retries.Load()),
	}, l.Track
}
