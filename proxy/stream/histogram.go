package stream

import (
	"math"
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of a histogram's buckets, Envoy's default.
var Bounds = [...]float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

// Histogram counts values by bucket.
type Histogram struct {
	counts [len(Bounds) + 1]atomic.Int64
	micro  atomic.Int64 // the sum, in millionths
}

// Observe counts a value.
func (h *Histogram) Observe(v float64) {
	i := 0
	for i < len(Bounds) && v > Bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.micro.Add(int64(v * 1e6))
}

// Milliseconds are a time as histograms count it, whole ones.
func Milliseconds(d time.Duration) float64 { return float64(d.Milliseconds()) }

// Read gives what has been counted. A nil histogram has counted nothing.
func (h *Histogram) Read() Distribution {
	var d Distribution
	if h == nil {
		return d
	}
	for i := range h.counts {
		d.Total += h.counts[i].Load()
		d.UpTo[i] = d.Total
	}
	d.Sum = float64(h.micro.Load()) / 1e6
	return d
}

// Distribution is what a histogram has counted.
type Distribution struct {
	// UpTo is how many values are within each of [Bounds], the last one all.
	UpTo  [len(Bounds) + 1]int64
	Total int64
	Sum   float64
}

// Quantile is a value that a share q of the values does not exceed, as far as the
// buckets tell: values are taken to lie evenly in theirs, those beyond the last bound
// at it. It is NaN where nothing was counted.
func (d *Distribution) Quantile(q float64) float64 {
	if d.Total == 0 {
		return math.NaN()
	}
	rank, below, from := q*float64(d.Total), int64(0), 0.0
	for i, bound := range Bounds {
		if n := d.UpTo[i] - below; n > 0 && float64(d.UpTo[i]) >= rank {
			return from + (bound-from)*max(0, rank-float64(below))/float64(n)
		}
		below, from = d.UpTo[i], bound
	}
	return from
}

// Occasional is a histogram that is made when it is needed: of ten thousand clusters
// few have one.
type Occasional struct{ made atomic.Pointer[Histogram] }

// Observe counts a value.
func (o *Occasional) Observe(v float64) {
	h := o.made.Load()
	if h == nil {
		h = &Histogram{}
		if !o.made.CompareAndSwap(nil, h) {
			h = o.made.Load()
		}
	}
	h.Observe(v)
}

// Read gives what has been counted.
func (o *Occasional) Read() Distribution { return o.made.Load().Read() }
