package telemetry

import (
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
	// Overrides change metrics and their labels, in order.
	Overrides []Override
}

// Metrics makes an observer that counts Istio's standard metrics.
func (t *Telemetry) Metrics(cfg Metrics) (stream.Observer, error) {
	if cfg.TCPInterval == 0 {
		cfg.TCPInterval = 5 * time.Second
	}
	groups, err := grouped(cfg.Overrides)
	if err != nil {
		return nil, err
	}
	return &standard{Metrics: cfg, groups: groups, telemetry: t, open: map[*stream.TCP]*opened{}}, nil
}

// standard counts the requests and byte streams of a listener's chain.
type standard struct {
	Metrics
	groups    []*group // one where no override makes a difference
	telemetry *Telemetry

	mu   sync.Mutex
	open map[*stream.TCP]*opened // guarded by mu
}

// Request implements [stream.Observer].
func (m *standard) Request(req *stream.Request, resp *stream.Response) {
	k := m.key(req.Conn, req.Info)
	k.code, k.flags = req.Info.Status, req.Info.Flags
	if strings.HasPrefix(req.Header.Get("content-type"), "application/grpc") {
		k.protocol, k.grpc = grpc, stream.GRPCOutcome(resp, "grpc-status")
	}
	if k.service == nil && !m.NoHostFallback {
		k.host = req.Authority
	}
	for _, g := range m.groups {
		k.group, k.values = g.shape(), g.values(req, resp)
		in := g.metrics & forRequests
		if k.protocol == grpc {
			in |= g.metrics & forMessages
		}
		m.telemetry.find(k).request(in, req.Info)
	}
}

// request counts a request in some of the metrics.
func (s *series) request(in metrics, info *stream.Info) {
	s.show(in)
	if in&requestsTotal != 0 {
		s.requests.Add(1)
	}
	if in&requestDuration != 0 {
		s.duration.Observe(float64(info.End.Sub(info.Start)) / float64(time.Millisecond))
	}
	if in&requestBytes != 0 {
		s.requestSize.Observe(float64(info.HeadReceived + info.BytesReceived))
	}
	if in&responseBytes != 0 {
		s.reply.Observe(float64(info.HeadSent + info.BytesSent))
	}
	if in&requestMessages != 0 {
		s.messagesIn.Add(info.MessagesReceived)
	}
	if in&responseMessages != 0 {
		s.messagesOut.Add(info.MessagesSent)
	}
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
	at             []*series // by group; nil until it has been counted as opened
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
		o.at = m.find(tcp, 0)
		m.countOpened(o.at)
	}
	o.next = now.Add(m.TCPInterval)
	m.count(o, o.at)
}

// find gives the byte stream's series, by group.
func (m *standard) find(tcp *stream.TCP, flags stream.Flags) []*series {
	k := m.key(tcp.Conn, tcp.Info)
	k.protocol, k.flags = bytestream, flags
	told := tcp.Conn.Told
	if m.Source {
		told = tcp.Told
	}
	if told != nil {
		if peer := told(); peer != nil {
			k.peer = peer
		}
	}
	req := &stream.Request{Conn: tcp.Conn, Info: tcp.Info}
	found := make([]*series, len(m.groups))
	for i, g := range m.groups {
		k.group, k.values = g.shape(), g.values(req, nil)
		found[i] = m.telemetry.find(k)
		found[i].show(g.metrics & forStreams)
	}
	return found
}

func (m *standard) countOpened(at []*series) {
	for i, s := range at {
		if m.groups[i].metrics&connectionsOpened != 0 {
			s.opened.Add(1)
		}
	}
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
	at := m.find(tcp, tcp.Info.Flags)
	if o.at == nil {
		m.countOpened(at)
	}
	m.count(o, at)
	for i, s := range at {
		if m.groups[i].metrics&connectionsClosed != 0 {
			s.closed.Add(1)
		}
	}
}

// count adds the bytes since the last time.
func (m *standard) count(o *opened, at []*series) {
	for i, s := range at {
		if m.groups[i].metrics&receivedBytes != 0 {
			s.received.Add(o.received)
		}
		if m.groups[i].metrics&sentBytes != 0 {
			s.sent.Add(o.sent)
		}
	}
	o.received, o.sent = 0, 0
}
