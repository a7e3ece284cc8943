// Package promtext counts things and writes them in Prometheus' text format
// (version 0.0.4). It is for a program's own few metrics: no registry, no
// globals; whoever owns a counter writes it.
package promtext

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// ContentType is the media type of the format.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Counter is a family of counters that differ in one label's value. The zero
// value is ready to use; its methods may be called from any goroutine.
type Counter struct {
	mu     sync.Mutex
	values map[string]float64 // guarded by mu
}

// Add adds n to the counter of a label value; "" is the counter without one.
func (c *Counter) Add(value string, n float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = map[string]float64{}
	}
	c.values[value] += n
}

// Inc adds one to the counter of a label value.
func (c *Counter) Inc(value string) { c.Add(value, 1) }

// Value is the counter of one label value.
func (c *Counter) Value(value string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.values[value]
}

// Write writes the family. label is the name of its label. A family that never
// counted is written as one zero, so that it can be seen to exist.
func (c *Counter) Write(w io.Writer, name, label, help string) {
	c.mu.Lock()
	values := maps.Clone(c.values)
	c.mu.Unlock()
	header(w, name, help, "counter")
	if len(values) == 0 && label == "" {
		sample(w, name, "", 0)
	}
	for _, v := range slices.Sorted(maps.Keys(values)) {
		sample(w, name, pair(label, v), values[v])
	}
}

// Gauge writes one value that goes up and down.
func Gauge(w io.Writer, name, help string, value float64) {
	header(w, name, help, "gauge")
	sample(w, name, "", value)
}

// Gauges writes a family of gauges, one for each value of a label.
func Gauges(w io.Writer, name, label, help string, values map[string]float64) {
	header(w, name, help, "gauge")
	for _, v := range slices.Sorted(maps.Keys(values)) {
		sample(w, name, pair(label, v), values[v])
	}
}

// Histogram counts observations in buckets. Its methods may be called from any
// goroutine.
type Histogram struct {
	bounds []float64 // upper bounds, ascending

	mu     sync.Mutex
	counts []uint64 // guarded by mu; one more than bounds
	sum    float64  // guarded by mu
}

// NewHistogram makes a histogram with these upper bounds, ascending.
func NewHistogram(bounds ...float64) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

// Observe counts one observation.
func (h *Histogram) Observe(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[i]++
	h.sum += v
}

// Write writes the histogram.
func (h *Histogram) Write(w io.Writer, name, help string) {
	h.mu.Lock()
	counts, sum := slices.Clone(h.counts), h.sum
	h.mu.Unlock()
	header(w, name, help, "histogram")
	var total uint64
	for i, n := range counts {
		total += n
		bound := "+Inf"
		if i < len(h.bounds) {
			bound = number(h.bounds[i])
		}
		sample(w, name+"_bucket", pair("le", bound), float64(total))
	}
	sample(w, name+"_sum", "", sum)
	sample(w, name+"_count", "", float64(total))
}

// Distribution is what somebody else's histogram has counted.
type Distribution struct {
	Bounds []float64 // ascending
	UpTo   []int64   // how many values are within each bound, and last of all
	Sum    float64
	Total  int64
}

// AppendHistogram appends the samples of a histogram, numbers without exponents; labels are those of the series, as
// they stand between braces, or empty.
func AppendHistogram(b []byte, name, labels string, d Distribution) []byte {
	whole, le := "", `{le="`
	if labels != "" {
		whole, le = "{"+labels+"}", "{"+labels+`,le="`
	}
	for i, n := range d.UpTo {
		b = append(append(append(b, name...), "_bucket"...), le...)
		if i < len(d.Bounds) {
			b = strconv.AppendFloat(b, d.Bounds[i], 'f', -1, 64)
		} else {
			b = append(b, "+Inf"...)
		}
		b = append(strconv.AppendInt(append(b, `"} `...), n, 10), '\n')
	}
	b = append(append(append(append(b, name...), "_sum"...), whole...), ' ')
	b = append(strconv.AppendFloat(b, d.Sum, 'f', -1, 64), '\n')
	b = append(append(append(append(b, name...), "_count"...), whole...), ' ')
	return append(strconv.AppendInt(b, d.Total, 10), '\n')
}

func header(w io.Writer, name, help, kind string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func sample(w io.Writer, name, labels string, value float64) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	fmt.Fprintf(w, "%s%s %s\n", name, labels, number(value))
}

func pair(label, value string) string {
	if label == "" {
		return ""
	}
	return Label(label, value)
}

// Label is a label with its value, as it stands between a sample's braces.
func Label(name, value string) string {
	return string(AppendQuoted(append([]byte(name), '='), value))
}

// AppendQuoted appends a label's value in quotes, with the three escapes that the
// format knows. What is no UTF-8 is replaced: a page with such a value is refused as a
// whole.
func AppendQuoted(b []byte, value string) []byte {
	b = append(b, '"')
	for _, r := range value {
		switch r {
		case '\\', '"':
			b = append(b, '\\', byte(r))
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
