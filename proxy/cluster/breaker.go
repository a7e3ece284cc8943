package cluster

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Unlimited is a limit so high that it is never reached, None one that lets nothing
// pass.
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

// acquire counts one more of what is limited, if it may be, and over if it may not.
func acquire(n *atomic.Int64, limit int64, over *atomic.Int64) bool {
	if n.Add(1) > limit {
		n.Add(-1)
		over.Add(1)
		return false
	}
	return true
}

// AcquireRequest counts a request. It reports false when the limit is reached.
func (b *Breaker) AcquireRequest() bool {
	return acquire(&b.requests, int64(b.limits.Requests), &b.stats.RqPendingOverflow)
}

// ReleaseRequest ends what AcquireRequest began.
func (b *Breaker) ReleaseRequest() { b.requests.Add(-1) }

// connectionLimit is how many connections there may be.
func (b *Breaker) connectionLimit() int64 {
	return min(int64(b.limits.Connections)+int64(b.beneath), Unlimited)
}

// AcquireConnectionTo counts a connection to a host, here and in the host's pool,
// which it returns for [Cluster.Connect]; nil when there may be no more. The first one
// to a host is allowed over the limit, because nothing else would let the host serve.
func (b *Breaker) AcquireConnectionTo(h *Host) *pool.Pool { return b.acquireTo(h, true) }

// AcquireStreamTo does the same for the connection of one byte stream. None is allowed
// over the limit: it would not serve others.
func (b *Breaker) AcquireStreamTo(h *Host) *pool.Pool { return b.acquireTo(h, false) }

func (b *Breaker) acquireTo(h *Host, first bool) *pool.Pool {
	h.cluster.opening.Lock()
	defer h.cluster.opening.Unlock()
	p := h.Pool()
	open := p.Open()
	switch {
	case !h.full(open) && acquire(&b.stats.CxActive, b.connectionLimit(), &b.stats.CxOverflow):
	case first && open == 0:
		b.stats.CxActive.Add(1)
	default:
		return nil
	}
	b.stats.CxTotal.Add(1)
	p.Reserve()
	return p
}

// Connect opens a connection that a breaker has counted in a host's pool.
func (c *Cluster) Connect(ctx context.Context, p *pool.Pool, ask pool.TLSRequest) (*pool.Conn, error) {
	start := time.Now()
	conn, err := p.ConnectReserved(ctx, ask)
	if err != nil {
		c.Stats.CxConnectFail.Add(1)
		return nil, err
	}
	c.Stats.CxConnect.Observe(stream.Milliseconds(time.Since(start)))
	return conn, nil
}

// AcquirePending counts a request that waits for a connection.
func (b *Breaker) AcquirePending() bool {
	return acquire(&b.pending, int64(b.limits.Pending), &b.stats.RqPendingOverflow)
}

// ReleasePending ends what AcquirePending began.
func (b *Breaker) ReleasePending() { b.pending.Add(-1) }

// AcquireRetry counts a retry that is under way.
func (b *Breaker) AcquireRetry() bool {
	return acquire(&b.retries, b.retryLimit(), &b.stats.RqRetryOverflow)
}

// retryLimit is how many retries may be under way now.
func (b *Breaker) retryLimit() int64 {
	if b.limits.RetryPercent > 0 {
		return max(int64(b.limits.RetryMin), int64(float64(b.requests.Load())*b.limits.RetryPercent/100))
	}
	return int64(b.limits.Retries)
}

// ReleaseRetry ends what AcquireRetry began.
func (b *Breaker) ReleaseRetry() { b.retries.Add(-1) }

// Remaining is what a circuit breaker still allows.
type Remaining struct{ Connections, Pending, Requests, Retries int64 }

// Remaining tells what is still allowed now; ok is false where nobody wants to know.
func (b *Breaker) Remaining() (r Remaining, ok bool) {
	left := func(limit int64, used *atomic.Int64) int64 { return max(0, limit-used.Load()) }
	l := b.limits
	return Remaining{
		Connections: left(b.connectionLimit(), &b.stats.CxActive), Pending: left(int64(l.Pending), &b.pending),
		Requests: left(int64(l.Requests), &b.requests), Retries: left(b.retryLimit(), &b.retries),
	}, l.Track
}
