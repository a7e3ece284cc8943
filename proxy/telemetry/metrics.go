package telemetry

import (
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Metrics says whose standard metrics are counted.
type Metrics struct {
	// Source is true where the proxy is the caller's, false where it is the
	// server's.
	Source bool
	// NoHostFallback does not take the destination's name from the request's
	// host.
	NoHostFallback bool
	// TCPInterval is how often bytes of open connections are counted; 0 counts
	// them as they pass.
	TCPInterval time.Duration
}

// labels are what tells series apart. Peers are interned by whoever decodes
// them, so that pointers stand for their content.
type labels struct {
	source, tcp                            bool
	from, to                               *stream.Peer
	fromPrincipal, toPrincipal             string
	service, serviceName, serviceNamespace string
	protocol                               string
	code                                   int
	grpc                                   string
	flags                                  stream.Flags
	mutual                                 bool
}

// series is what is counted under one set of labels.
type series struct {
	labels
	requests                       atomic.Int64
	duration, requestSize, reply   histogram
	opened, closed, received, sent atomic.Int64
}

// Metrics makes an observer that counts Istio's standard metrics.
func (t *Telemetry) Metrics(cfg Metrics) stream.Observer { return &standard{cfg, t, &t.cfg.Local} }

type standard struct {
	Metrics
	telemetry *Telemetry
	local     *stream.Peer
}

// Request implements [stream.Observer].
func (m *standard) Request(req *stream.Request, resp *stream.Response) {
	key := m.labels(req.Conn, req.Info)
	key.protocol, key.code = "http", req.Info.Status
	if strings.HasPrefix(req.Header.Get("content-type"), "application/grpc") {
		key.protocol, key.grpc = "grpc", grpcStatus(req, resp)
	}
	if key.service == "" && !m.NoHostFallback {
		key.service = req.Authority
		key.serviceName = req.Authority
	}
	s := m.telemetry.find(key)
	s.requests.Add(1)
	s.duration.observe(float64(req.Info.End.Sub(req.Info.Start)) / float64(time.Millisecond))
	s.requestSize.observe(float64(req.Info.HeadReceived + req.Info.BytesReceived))
	s.reply.observe(float64(req.Info.HeadSent + req.Info.BytesSent))
}

func grpcStatus(req *stream.Request, resp *stream.Response) string {
	if req.Info.GRPCStatus != "" {
		return req.Info.GRPCStatus
	}
	if resp == nil {
		return ""
	}
	if s := resp.Header.Get("grpc-status"); s != "" {
		return s
	}
	return trailerField(&record{req, resp}, "grpc-status")
}

// Opened implements [stream.Observer].
func (m *standard) Opened(*stream.TCP) {}

// Progress implements [stream.Observer].
func (m *standard) Progress(*stream.TCP, int64, int64) {}

// Closed implements [stream.Observer]. A connection is counted with its bytes
// when it ends: only then all of its labels are known.
func (m *standard) Closed(tcp *stream.TCP) {
	key := m.labels(tcp.Conn, tcp.Info)
	key.protocol, key.tcp = "tcp", true
	s := m.telemetry.find(key)
	s.opened.Add(1)
	s.closed.Add(1)
	s.received.Add(tcp.Info.BytesReceived)
	s.sent.Add(tcp.Info.BytesSent)
}

// labels are those that requests and byte streams share.
func (m *standard) labels(conn *stream.Conn, info *stream.Info) labels {
	key := labels{source: m.Source, flags: info.Flags}
	if d := info.Destination; d != nil {
		key.service, key.serviceName, key.serviceNamespace = d.Host, d.Name, d.Namespace
	}
	if m.Source {
		key.from, key.to = m.local, info.UpstreamPeer
		if info.UpstreamURI != "" {
			key.fromPrincipal, key.toPrincipal = m.telemetry.cfg.Principal, info.UpstreamURI
		}
		return key
	}
	key.from, key.to = info.DownstreamPeer, m.local
	if conn.TLS.Mutual() {
		key.mutual = true
		key.fromPrincipal, key.toPrincipal = conn.TLS.Principal(), m.telemetry.cfg.Principal
	}
	return key
}

// maxSeries bounds what hosts and peers from outside can make us keep.
const maxSeries = 10_000

// find gets the series for a set of labels, or makes it.
func (t *Telemetry) find(key labels) *series {
	if s := (*t.series.Load())[key]; s != nil {
		return s
	}
	t.grow.Lock()
	defer t.grow.Unlock()
	old := *t.series.Load()
	if s := old[key]; s != nil {
		return s
	}
	// The strings may point into a connection's buffer.
	for _, s := range []*string{&key.fromPrincipal, &key.toPrincipal, &key.service, &key.serviceName, &key.serviceNamespace, &key.protocol, &key.grpc} {
		*s = strings.Clone(*s)
	}
	grown := make(map[labels]*series, len(old)+1)
	if len(old) < maxSeries {
		maps.Copy(grown, old)
	}
	s := &series{labels: key}
	grown[key] = s
	t.series.Store(&grown)
	return s
}

// bounds are Envoy's default histogram buckets.
var bounds = [...]float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

type histogram struct {
	counts [len(bounds) + 1]atomic.Int64
	micro  atomic.Int64 // the sum, in millionths
}

func (h *histogram) observe(v float64) {
	i := 0
	for i < len(bounds) && v > bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.micro.Add(int64(v * 1e6))
}
