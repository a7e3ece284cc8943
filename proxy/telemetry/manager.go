package telemetry

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/internal/promtext"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Manager counts what a connection manager does, under Envoy's names. Managers with
// one prefix count together.
type Manager struct {
	stream.RequestsOnly

	connections, open          atomic.Int64
	begun, begun2, ended       atomic.Int64 // requests that were counted by Began, and of them by Request
	completed                  atomic.Int64
	class                      [6]atomic.Int64 // by the first digit of the status
	received, sent             atomic.Int64    // bytes
	noRoute, noCluster, direct atomic.Int64
	aborts, delays, tooLong    atomic.Int64
	// times are how long requests took, lengths how long connections lasted, in
	// milliseconds.
	times, lengths stream.Occasional
}

// counter is one of a filter.
type counter struct {
	stream.Counter
	family, labels string
}

// Counter gives the counter of a name; family is the name but for what labels tell.
func (t *Telemetry) Counter(name, family, labels string) *stream.Counter {
	return &t.counters.get(name, func() *counter { return &counter{family: family, labels: labels} }).Counter
}

// ManagerLabel is the label of a connection manager's metrics. A semicolon ends prefixes,
// for Istio's tags.
func ManagerLabel(prefix string) string {
	return promtext.Label("http_conn_manager_prefix", strings.TrimSuffix(prefix, ";"))
}

// Manager gives the counters of a prefix.
func (t *Telemetry) Manager(prefix string) *Manager {
	return t.managers.get(prefix, func() *Manager { return &Manager{} })
}

// Connected counts a connection.
func (m *Manager) Connected() {
	m.connections.Add(1)
	m.open.Add(1)
}

// Disconnected counts the end of a connection that began then.
func (m *Manager) Disconnected(began time.Time) {
	m.open.Add(-1)
	m.lengths.Observe(stream.Milliseconds(time.Since(began)))
}

// Began counts a request.
func (m *Manager) Began(req *stream.Request) {
	m.begun.Add(1)
	if req.Protocol == stream.HTTP2 {
		m.begun2.Add(1)
	}
	req.Info.Begun = true
}

// Request implements [stream.Observer].
func (m *Manager) Request(req *stream.Request, _ *stream.Response) {
	i := req.Info
	if i.Begun {
		m.ended.Add(1)
	}
	if class := i.Status / 100; class > 0 && class < len(m.class) {
		m.completed.Add(1)
		m.times.Observe(stream.Milliseconds(i.End.Sub(i.Start)))
		m.class[class].Add(1)
	}
	m.received.Add(i.HeadReceived + i.BytesReceived)
	m.sent.Add(i.HeadSent + i.BytesSent)
	if i.Details == "direct_response" {
		m.direct.Add(1)
	}
	if i.Flags == 0 {
		return
	}
	for _, each := range [...]struct {
		flag    stream.Flags
		counter *atomic.Int64
	}{
		{stream.NoRoute, &m.noRoute}, {stream.NoCluster, &m.noCluster}, {stream.FaultInjected, &m.aborts}, {stream.Delayed, &m.delays}, {stream.DurationTimeout, &m.tooLong},
	} {
		if i.Flags&each.flag != 0 {
			each.counter.Add(1)
		}
	}
}

// Statistics calls f with what connection managers and filters have counted.
func (t *Telemetry) Statistics(f func(stream.Statistic)) {
	for name, c := range t.counters.each() {
		f(stream.Statistic{Name: name, Family: c.family, Labels: c.labels, Value: c.Value()})
	}
	for prefix, m := range t.managers.each() {
		labels := ManagerLabel(prefix)
		statistic := func(name string) stream.Statistic {
			return stream.Statistic{Name: "http." + prefix + "." + name, Family: "http." + name, Labels: labels}
		}
		tell := func(name string, gauge bool, value int64) {
			x := statistic(name)
			x.Gauge, x.Value = gauge, value
			f(x)
		}
		for name, times := range map[string]*stream.Occasional{"downstream_rq_time": &m.times, "downstream_cx_length_ms": &m.lengths} {
			x, spread := statistic(name), times.Read()
			x.Spread = &spread
			f(x)
		}
		begun, begun2, ended := m.begun.Load(), m.begun2.Load(), m.ended.Load()
		tell("downstream_cx_total", false, m.connections.Load())
		tell("downstream_cx_active", true, m.open.Load())
		tell("downstream_cx_destroy", false, m.connections.Load()-m.open.Load())
		tell("downstream_cx_rx_bytes_total", false, m.received.Load())
		tell("downstream_cx_tx_bytes_total", false, m.sent.Load())
		tell("downstream_rq_total", false, begun)
		tell("downstream_rq_http1_total", false, begun-begun2)
		tell("downstream_rq_http2_total", false, begun2)
		tell("downstream_rq_active", true, max(0, begun-ended))
		tell("downstream_rq_completed", false, m.completed.Load())
		tell("downstream_rq_max_duration_reached", false, m.tooLong.Load())
		tell("no_route", false, m.noRoute.Load())
		tell("no_cluster", false, m.noCluster.Load())
		tell("rq_direct_response", false, m.direct.Load())
		tell("fault.aborts_injected", false, m.aborts.Load())
		tell("fault.delays_injected", false, m.delays.Load())
		for class := 1; class < len(m.class); class++ {
			tell("downstream_rq_"+strconv.Itoa(class)+"xx", false, m.class[class].Load())
		}
	}
}

var _ stream.Observer = (*Manager)(nil)
