package cluster

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Outlier says when an endpoint is taken out for misbehaving: for failures in a
// row, or for failing more often than the others or than it may. Enforce is the
// percentage of detections by which an endpoint is taken out; 0 switches a
// detector off.
type Outlier struct {
	Consecutive5xx, ConsecutiveGateway, ConsecutiveLocal uint32
	Enforce5xx, EnforceGateway, EnforceLocal             uint32
	// SuccessRate and FailurePercentage compare endpoints each Interval, by answers;
	// LocalRate and LocalPercentage by failures of our own, where those are apart.
	SuccessRate, LocalRate             Rate
	FailurePercentage, LocalPercentage Rate
	Interval                           time.Duration
	// BaseEjection is how long an endpoint is out the first time, MaxEjection the most
	// however often it has been, and Jitter a random addition.
	BaseEjection, MaxEjection, Jitter time.Duration
	// MaxEjectionPercent of the endpoints are out at a time; AlwaysOne lets one be,
	// whatever the percentage says.
	MaxEjectionPercent uint32
	AlwaysOne          bool
	SplitLocal         bool // count failures to connect apart
	// HealthUnejects takes an endpoint back in when a health check finds it well.
	HealthUnejects bool
}

// Rate is a detector that compares endpoints by their share of successes.
type Rate struct {
	Enforce uint32 // percent; 0 is off
	// Hosts with at least Volume requests in the interval are compared, if there are
	// as many of them as Hosts.
	Hosts, Volume uint32
	// Deviation is how many standard deviations below the mean an endpoint may be, or
	// Threshold the percentage of failures that it may not reach; the other is 0.
	Deviation float64
	Threshold uint32
}

// rates reports whether some detector compares.
func (o *Outlier) rates() bool {
	return o.SuccessRate.Enforce|o.LocalRate.Enforce|o.FailurePercentage.Enforce|o.LocalPercentage.Enforce != 0
}

// Outcome is how an exchange with a host went.
type Outcome uint8

// The outcomes that outlier detection counts.
const (
	Unknown Outcome = iota // the client left, or was too slow: nobody knows what would have come
	OK
	ServerError  // a 5xx
	GatewayError // 502, 503 or 504
	LocalFailure // no connection, a timeout, a reset
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

// record is what outlier detection knows of a host.
type record struct {
	until     atomic.Int64  // it is out until then, Unix nanoseconds; 0 before the first time
	ejections atomic.Uint32 // multiplies the time of the next ejection

	in5xx, inGateway, inLocal atomic.Uint32 // failures in a row
	answers, local            tally         // in this interval
}

// tally counts outcomes.
type tally struct{ all, good atomic.Uint32 }

func (t *tally) add(good bool) {
	t.all.Add(1)
	if good {
		t.good.Add(1)
	}
}

// Report tells how an exchange went, and ejects the host when it has failed too
// often.
func (c *Cluster) Report(h *Host, outcome Outcome, now func() time.Time) {
	switch outcome {
	case Unknown:
		return
	case OK:
	default:
		h.Errors.Add(1)
	}
	o, r := c.Outlier, h.outlier
	if o == nil {
		return
	}
	apart := outcome == LocalFailure && o.SplitLocal
	if o.rates() {
		if !apart {
			r.answers.add(outcome == OK)
		}
		if o.SplitLocal {
			r.local.add(!apart)
		}
		c.sweep(now())
	}
	if outcome == OK {
		r.clear()
		return
	}
	reached := func(row *atomic.Uint32, limit, enforce uint32) bool {
		if row.Add(1) < limit || limit == 0 {
			return false
		}
		row.Store(0)
		return stream.Chance(enforce * 10_000)
	}
	eject := false
	if apart {
		eject = reached(&r.inLocal, o.ConsecutiveLocal, o.EnforceLocal)
	} else {
		r.inLocal.Store(0)
		eject = reached(&r.in5xx, o.Consecutive5xx, o.Enforce5xx)
		if outcome == ServerError {
			r.inGateway.Store(0)
		} else if reached(&r.inGateway, o.ConsecutiveGateway, o.EnforceGateway) {
			eject = true
		}
	}
	if eject {
		c.eject(h, now())
	}
}

// Ejected is how many hosts are out.
func (c *Cluster) Ejected(now time.Time) int {
	out := 0
	for _, h := range c.Hosts() {
		if h.Ejected(now) {
			out++
		}
	}
	return out
}

// eject takes a host out, unless too many are out already.
func (c *Cluster) eject(h *Host, now time.Time) {
	if c.condemn(h, now) {
		c.cut(h)
		c.arrange()
	}
}

// condemn decides whether a host is taken out, and for how long.
func (c *Cluster) condemn(h *Host, now time.Time) bool {
	c.mu.Lock() // or several are taken out where one may be
	defer c.mu.Unlock()
	if h.Ejected(now) {
		return false
	}
	o, out := c.Outlier, c.Ejected(now)
	if (out+1)*100 > int(o.MaxEjectionPercent)*len(c.Hosts()) && !(o.AlwaysOne && out == 0) {
		c.Stats.EjectionsOverflow.Add(1)
		return false
	}
	r := h.outlier
	// Each interval that went well takes one ejection off the count.
	times := int64(r.ejections.Load())
	if well := now.Sub(time.Unix(0, r.until.Load())); times > 0 && o.Interval > 0 {
		times = max(0, times-int64(well/o.Interval))
	}
	r.ejections.Store(uint32(times + 1))
	d := min(o.BaseEjection*time.Duration(times+1), max(o.MaxEjection, o.BaseEjection))
	if o.Jitter > 0 {
		d += time.Duration(rand.Int64N(int64(o.Jitter)))
	}
	r.until.Store(now.Add(d).UnixNano())
	r.clear()
	c.Stats.EjectionsTotal.Add(1)
	return true
}

// clear forgets failures in a row.
func (r *record) clear() {
	r.in5xx.Store(0)
	r.inGateway.Store(0)
	r.inLocal.Store(0)
}

// sweep compares the hosts when an interval is over. Where nothing is reported
// nothing needs to be compared.
func (c *Cluster) sweep(now time.Time) {
	last := c.swept.Load()
	if last != 0 && now.Sub(time.Unix(0, last)) < c.Outlier.Interval || !c.swept.CompareAndSwap(last, now.UnixNano()) || last == 0 {
		return
	}
	o := c.Outlier
	c.compare(now, func(r *record) *tally { return &r.answers }, o.SuccessRate, o.FailurePercentage)
	if o.SplitLocal {
		c.compare(now, func(r *record) *tally { return &r.local }, o.LocalRate, o.LocalPercentage)
	}
}

// compare looks for hosts that have failed more than others, or more than they
// may, and begins to count anew.
func (c *Cluster) compare(now time.Time, of func(*record) *tally, byDeviation, byThreshold Rate) {
	type host struct {
		*Host
		rate   float64 // of successes, in percent
		volume uint32
	}
	var hosts []host
	for _, h := range c.Hosts() {
		t := of(h.outlier)
		all, good := t.all.Swap(0), t.good.Swap(0)
		if all > 0 && !h.Ejected(now) {
			hosts = append(hosts, host{h, 100 * float64(min(good, all)) / float64(all), all})
		}
	}
	for _, d := range []Rate{byDeviation, byThreshold} {
		var busy []host
		var sum float64
		for _, h := range hosts {
			if h.volume >= d.Volume {
				busy, sum = append(busy, h), sum+h.rate
			}
		}
		if d.Enforce == 0 || len(busy) == 0 || len(busy) < int(d.Hosts) {
			continue
		}
		least := 100 - float64(d.Threshold) // that is not enough
		if d.Threshold == 0 {
			mean, variance := sum/float64(len(busy)), 0.0
			for _, h := range busy {
				variance += (h.rate - mean) * (h.rate - mean)
			}
			least = mean - d.Deviation*math.Sqrt(variance/float64(len(busy)))
		}
		for _, h := range busy {
			if (h.rate < least || d.Threshold > 0 && h.rate == least) && stream.Chance(d.Enforce*10_000) {
				c.eject(h.Host, now)
			}
		}
	}
}
