package telemetry

import (
	"cmp"
	"strings"
	"sync"
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
	// TCPInterval is how often bytes of open connections are counted; default
	// 5 s.
	TCPInterval time.Duration
}

// Metrics makes an observer that counts Istio's standard metrics.
func (t *Telemetry) Metrics(cfg Metrics) stream.Observer {
	if cfg.TCPInterval == 0 {
		cfg.TCPInterval = 5 * time.Second
	}
	return &standard{Metrics: cfg, telemetry: t, open: map[*stream.TCP]*opened{}}
}

// standard counts the requests and byte streams of a listener's chain.
type standard struct {
	Metrics
	telemetry *Telemetry

	mu   sync.Mutex
	open map[*stream.TCP]*opened // guarded by mu
}

// Request implements [stream.Observer].
func (m *standard) Request(req *stream.Request, resp *stream.Response) {
	k := m.key(req.Conn, req.Info)
	k.code, k.flags = req.Info.Status, req.Info.Flags
	if strings.HasPrefix(req.Header.Get("content-type"), "application/grpc") {
		k.protocol, k.grpc = grpc, grpcStatus(&record{req, resp})
	}
	if k.service == nil && !m.NoHostFallback {
		k.host = req.Authority
	}
	s := m.telemetry.find(k)
	s.requests.Add(1)
	s.duration.observe(float64(req.Info.End.Sub(req.Info.Start)) / float64(time.Millisecond))
	s.requestSize.observe(float64(req.Info.HeadReceived + req.Info.BytesReceived))
	s.reply.observe(float64(req.Info.HeadSent + req.Info.BytesSent))
}

// grpcStatus is the number that the answer's trailers tell, or, when there was
// no body, its header.
func grpcStatus(r *record) string {
	if r.req.Info.GRPCStatus != "" || r.resp == nil {
		return r.req.Info.GRPCStatus
	}
	return cmp.Or(r.resp.Header.Get("grpc-status"), trailerField(r, "grpc-status"))
}

// key is what requests and byte streams share.
func (m *standard) key(conn *stream.Conn, info *stream.Info) key {
	k := key{source: m.Source, service: info.Destination}
	if m.Source {
		k.peer, k.principal = info.UpstreamPeer, info.UpstreamURI
	} else {
		k.peer = info.DownstreamPeer
		if conn.TLS.Mutual() {
			k.mutual, k.principal = true, conn.TLS.Principal()
		}
	}
	if k.service == nil && namesItself(info.Cluster) {
		k.cluster = info.Cluster
	}
	return k
}

// namesItself reports whether a cluster stands for no service and is known in
// the metrics by its own name.
func namesItself(cluster string) bool {
	return cluster == "BlackHoleCluster" || strings.HasSuffix(cluster, "PassthroughCluster")
}

// opened is what is known of a byte stream that goes on.
type opened struct {
	at             *series   // nil until it has been counted as opened
	next           time.Time // when bytes are counted again
	received, sent int64     // since then
}

// Opened implements [stream.Observer].
func (m *standard) Opened(tcp *stream.TCP) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[tcp] = &opened{}
}

// Progress implements [stream.Observer]. With the first bytes the upstream is
// known, and so are the labels; the response flags only at the end.
func (m *standard) Progress(tcp *stream.TCP, received, sent int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.open[tcp]
	if o == nil {
		return
	}
	o.received += received
	o.sent += sent
	now := time.Now()
	if now.Before(o.next) {
		return
	}
	if o.at == nil {
		k := m.key(tcp.Conn, tcp.Info)
		k.protocol = bytestream
		o.at = m.telemetry.find(k)
		o.at.opened.Add(1)
	}
	o.next = now.Add(m.TCPInterval)
	o.count(o.at)
}

// Closed implements [stream.Observer].
func (m *standard) Closed(tcp *stream.TCP) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.open[tcp]
	if o == nil {
		return
	}
	delete(m.open, tcp)
	k := m.key(tcp.Conn, tcp.Info)
	k.protocol, k.flags = bytestream, tcp.Info.Flags
	s := m.telemetry.find(k)
	if o.at == nil {
		s.opened.Add(1)
	}
	o.count(s)
	s.closed.Add(1)
}

// count adds the bytes since the last time.
func (o *opened) count(s *series) {
	s.received.Add(o.received)
	s.sent.Add(o.sent)
	o.received, o.sent = 0, 0
}
