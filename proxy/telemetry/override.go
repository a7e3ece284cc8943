package telemetry

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/proxy/expr"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Override changes standard metrics: a Telemetry resource's overrides, as Istio's
// stats filter is told of them.
type Override struct {
	// Metric is a standard metric's name without "istio_"; empty is all.
	Metric string
	// Labels are set to what an expression gives, or added; Remove are left out.
	Labels map[string]string
	Remove []string
	// Drop does not count the metric at all.
	Drop bool
}

// metrics is a set of the standard metrics.
type metrics uint16

// The standard metrics.
const (
	requestsTotal metrics = 1 << iota
	requestDuration
	requestBytes
	responseBytes
	requestMessages
	responseMessages
	connectionsOpened
	connectionsClosed
	receivedBytes
	sentBytes

	forRequests = requestsTotal | requestDuration | requestBytes | responseBytes
	forMessages = requestMessages | responseMessages
	forStreams  = connectionsOpened | connectionsClosed | receivedBytes | sentBytes
)

// metricNames without "istio_", in their order.
var metricNames = []string{
	"requests_total", "request_duration_milliseconds", "request_bytes", "response_bytes", "request_messages_total", "response_messages_total",
	"tcp_connections_opened_total", "tcp_connections_closed_total", "tcp_received_bytes_total", "tcp_sent_bytes_total",
}

// group is metrics that have the same labels.
type group struct {
	metrics metrics
	labels  []label // in the order of their names
	remove  []string
}

// label is one that an expression gives.
type label struct {
	name, text string
	value      *expr.Program
}

// grouped sorts the standard metrics by the labels that overrides leave them. The
// later of two overrides of one metric wins.
func grouped(overrides []Override) ([]*group, error) {
	of := make([]Override, len(metricNames)) // what holds for each
	for i := range of {
		of[i].Labels = map[string]string{}
	}
	for i, o := range overrides {
		known := o.Metric == ""
		for j, name := range metricNames {
			if o.Metric != "" && o.Metric != name {
				continue
			}
			known = true
			of[j].Drop = of[j].Drop || o.Drop
			of[j].Remove = append(of[j].Remove, o.Remove...)
			maps.Copy(of[j].Labels, o.Labels)
		}
		if !known {
			return nil, fmt.Errorf("override %d: %q is no standard metric, write one of %s", i, o.Metric, strings.Join(metricNames, ", "))
		}
	}
	var groups []*group
	by := map[string]*group{}
	for j, o := range of {
		if o.Drop {
			continue
		}
		slices.Sort(o.Remove)
		signature := fmt.Sprint(o.Labels, slices.Compact(o.Remove)) // maps are printed in order
		g := by[signature]
		if g == nil {
			g = &group{remove: o.Remove}
			for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
				program, err := expr.Compile(o.Labels[name])
				if err != nil {
					return nil, fmt.Errorf("label %s: %w", name, err)
				}
				g.labels = append(g.labels, label{name, o.Labels[name], program})
			}
			by[signature] = g
			groups = append(groups, g)
		}
		g.metrics |= 1 << j
	}
	return groups, nil
}

// shape is how labels are changed; nil not at all.
func (g *group) shape() *group {
	if len(g.labels) == 0 && len(g.remove) == 0 {
		return nil
	}
	return g
}

// separator stands between the values of a group's labels.
const separator = "\xff"

// values are the values of the group's own labels.
func (g *group) values(req *stream.Request, resp *stream.Response) string {
	if len(g.labels) == 0 {
		return ""
	}
	values := make([]string, len(g.labels))
	for i := range g.labels {
		if text, found := g.labels[i].value.Text(req, resp); found {
			values[i] = text
		} else {
			values[i] = "unknown"
		}
	}
	return strings.Join(values, separator)
}

// change applies the group's changes to labels that are written one after the
// other: it wraps what adds one, and gives what adds the group's own at the end.
func (g *group) change(values string, add func(name, value, missing string)) (wrapped func(name, value, missing string), rest func()) {
	if g == nil {
		return add, func() {}
	}
	own := strings.Split(values, separator)
	written := make([]bool, len(g.labels))
	put := func(i int) {
		written[i] = true
		value := ""
		if i < len(own) {
			value = own[i]
		}
		add(g.labels[i].name, value, "unknown")
	}
	wrapped = func(name, value, missing string) {
		if i := slices.IndexFunc(g.labels, func(l label) bool { return l.name == name }); i >= 0 {
			put(i)
			return
		}
		if !slices.Contains(g.remove, name) {
			add(name, value, missing)
		}
	}
	return wrapped, func() {
		for i := range g.labels {
			if !written[i] {
				put(i)
			}
		}
	}
}
