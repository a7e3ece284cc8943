package ratelimit

import (
	"cmp"
	"container/list"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Bucket holds tokens that requests take. It fills steadily.
type Bucket struct {
	max float64
	// every is the time for one token, in nanoseconds.
	every float64
	// origin is the moment, Unix nanoseconds, at which the bucket would have been
	// empty had nobody taken anything since.
	origin atomic.Int64
}

// NewBucket makes a full bucket that gains fill tokens in each interval.
func NewBucket(most, fill uint32, interval time.Duration) *Bucket {
	b := &Bucket{max: float64(most), every: float64(interval) / float64(max(1, fill))}
	b.origin.Store(math.MinInt64)
	return b
}

// Take takes a token, and reports whether there was one. left is how many there
// are then, wait how long it takes until there is one if there is none.
func (b *Bucket) Take(now time.Time) (taken bool, left uint64, wait time.Duration) {
	for {
		at, origin := now.UnixNano(), b.origin.Load()
		earliest := at - int64(b.max*b.every)
		from := max(origin, earliest)
		tokens := float64(at-from) / b.every
		if tokens < 1 {
			return false, 0, time.Duration((1 - tokens) * b.every)
		}
		if b.origin.CompareAndSwap(origin, from+int64(b.every)) {
			if left = uint64(tokens - 1); left == 0 {
				wait = time.Duration((2 - tokens) * b.every)
			}
			return true, left, wait
		}
	}
}

// Limited is a bucket for the requests of one descriptor. An entry whose value is
// empty is any value, and each has a bucket of its own then.
type Limited struct {
	Descriptor
	Bucket *Bucket
	// Like makes the buckets of a descriptor with free values, Most how many of them
	// there are (20 when zero): the one that has not been asked for longest goes.
	Like func() *Bucket
	Most int

	mu   sync.Mutex
	each map[string]*list.Element // guarded by mu: of used, by descriptor
	used list.List                // guarded by mu: of valued, the latest first
}

// valued is a bucket of one value.
type valued struct {
	key string
	*Bucket
}

const defaultMost = 20

// of is the bucket for a descriptor, nil when it is not this one's.
func (l *Limited) of(d Descriptor) *Bucket {
	if len(d) != len(l.Descriptor) {
		return nil
	}
	free := false
	for i, e := range l.Descriptor {
		if e.Key != d[i].Key || e.Value != "" && e.Value != d[i].Value {
			return nil
		}
		free = free || e.Value == ""
	}
	if !free {
		return l.Bucket
	}
	key := d.key()
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.each[key]; e != nil {
		l.used.MoveToFront(e)
		return e.Value.(valued).Bucket
	}
	if l.each == nil {
		l.each = map[string]*list.Element{}
	}
	if len(l.each) >= cmp.Or(l.Most, defaultMost) {
		delete(l.each, l.used.Remove(l.used.Back()).(valued).key)
	}
	b := l.Like()
	l.each[key] = l.used.PushFront(valued{key, b})
	return b
}

// Local limits requests by buckets of this proxy.
type Local struct {
	Bucket *Bucket // of requests that no descriptor limits; nil does not limit
	// Rules make descriptors, Limits are set on them.
	Rules  []Rule
	Stage  uint32
	Limits []*Limited
	// Always takes from Bucket too when a descriptor has taken.
	Always bool
	// Enabled and Enforced say how many requests are counted, and of
	// those that are over the limit how many are refused.
	Enabled, Enforced runtime.Share
	Status            int // 429 when zero
	Reply             []route.HeaderOp
	// Marks are set on requests over the limit that are let through.
	Marks []route.HeaderOp
	// Tell puts x-ratelimit-* on replies, RetryAfter when to come again.
	Tell, RetryAfter bool
	// Exhausted answers gRPC with RESOURCE_EXHAUSTED.
	Exhausted bool
	// The counters: of requests that were looked at, that were within the limit, that
	// were over it, and that were refused.
	Looked, OK, Limited, Refused *stream.Counter
}

// Handle implements [stream.Filter].
func (l *Local) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if !l.Enabled.Drawn() {
		return next.Handle(req)
	}
	l.Looked.Count()
	b, over, left, wait := l.take(req, time.Now())
	if !over {
		l.OK.Count()
		resp, err := next.Handle(req)
		if !l.Tell || b == nil {
			return resp, err
		}
		return stream.OnHead(resp, err, func(resp *stream.Response) { resp.Header.AddAll(b.tell(left, wait)) })
	}
	l.Limited.Count()
	if !l.Enforced.Drawn() {
		for i := range l.Marks {
			l.Marks[i].Apply(&req.Header, req, nil)
		}
		return next.Handle(req)
	}
	l.Refused.Count()
	r := &stream.Refusal{Status: l.Status, Flags: stream.RateLimited, Details: "local_rate_limited", Body: "local_rate_limited"}
	if r.Status == 0 {
		r.Status = 429
	}
	r.Header = append(r.Header, route.Made(l.Reply, req)...)
	if l.Tell {
		r.Header = append(r.Header, b.tell(left, wait)...)
	}
	if l.RetryAfter {
		r.Header = append(r.Header, field("retry-after", uint64(math.Ceil(wait.Seconds()))))
	}
	if l.Exhausted {
		r.GRPC = 8
	}
	return nil, r
}

// take takes from the buckets that the request belongs to.
func (l *Local) take(req *stream.Request, now time.Time) (b *Bucket, over bool, left uint64, wait time.Duration) {
	found := false
	for _, d := range descriptors(l.Rules, l.Stage, req) {
		for _, limit := range l.Limits {
			bucket := limit.of(d)
			if bucket == nil {
				continue
			}
			found = true
			taken, remaining, until := bucket.Take(now)
			if !taken {
				return bucket, true, 0, until
			}
			b, left, wait = bucket, remaining, until
			break
		}
	}
	if l.Bucket != nil && (!found || l.Always) {
		taken, remaining, until := l.Bucket.Take(now)
		if !taken {
			return l.Bucket, true, 0, until
		}
		if b == nil {
			b, left, wait = l.Bucket, remaining, until
		}
	}
	return b, false, left, wait
}

// tell is what a client learns of its limit (draft-polli-ratelimit-headers-03).
func (b *Bucket) tell(left uint64, wait time.Duration) []stream.Field {
	return []stream.Field{field("x-ratelimit-limit", uint64(b.max)), field("x-ratelimit-remaining", left), field("x-ratelimit-reset", uint64(math.Ceil(wait.Seconds())))}
}

var _ stream.Filter = (*Local)(nil)
