package trace

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// Config says which requests are traced and how.
type Config struct {
	// Client, Random and Overall are per million: of requests whose client asks for
	// it by x-client-trace-id, of those that nobody has decided about, and of all
	// that the others choose.
	Client, Random, Overall uint32
	Propagation             Propagation
	// Shared lets a server's span have the ID of the client's (Zipkin).
	Shared bool
	// Long makes trace IDs of 128 bits.
	Long bool
	// Server is true on the way in: the span is the server's side of a call.
	Server bool
	// MaxPath shortens the path that is reported; 256 when zero.
	MaxPath int
	// Silent tells the upstream nothing.
	Silent bool
	Tags   []stream.Tag
	// NodeID is the proxy's, for every span.
	NodeID   string
	Reporter *upcall.Reporter[Span]
}

// Tracer is what one listener does. It observes requests, too.
type Tracer struct {
	stream.RequestsOnly
	cfg Config
}

// New makes a tracer.
func New(c Config) *Tracer {
	if c.MaxPath == 0 {
		c.MaxPath = 256
	}
	return &Tracer{cfg: c}
}

// Start gives a request its span, and tells the upstream.
func (t *Tracer) Start(req *stream.Request) {
	c := &t.cfg
	in := c.Propagation.extract(&req.Header)
	span := stream.Trace{Span: randomSpan(), Sampled: t.sample(req, in)}
	switch {
	case !in.found:
		span.ID = randomTrace(c.Long || c.Propagation != B3)
		span.Short = c.Propagation == B3 && !c.Long
	case c.Shared && c.Server:
		span.ID, span.Span, span.Parent, span.Joined = in.trace, in.span, in.parent, true
	default:
		span.ID, span.Parent = in.trace, in.span
	}
	if in.found {
		span.Short = [8]byte(in.trace[:8]) == [8]byte{}
	}
	req.Info.Trace = span
	if !c.Silent {
		c.Propagation.inject(&req.Header, &span)
	}
}

// sample decides whether the trace is kept. What somebody has decided holds.
func (t *Tracer) sample(req *stream.Request, in incoming) bool {
	if in.decided {
		return in.sampled
	}
	c := &t.cfg
	chosen := stream.Chance(c.Random)
	if req.Header.Has("x-client-trace-id") {
		chosen = chosen || stream.Chance(c.Client)
	}
	return chosen && stream.Chance(c.Overall)
}

// Span is a request that is over, as it is reported.
type Span struct {
	stream.Trace
	Name       string
	Server     bool
	Start, End time.Time
	Remote     string // the peer's address
	Error      bool
	Tags       [][2]string
}

// Request implements [stream.Observer].
func (t *Tracer) Request(req *stream.Request, resp *stream.Response) {
	if !req.Info.Trace.Sampled {
		return
	}
	t.cfg.Reporter.Add(t.span(req, resp))
}

var _ stream.Observer = (*Tracer)(nil)

// span describes the request with the tags that Envoy gives.
func (t *Tracer) span(req *stream.Request, resp *stream.Response) Span {
	i := req.Info
	s := Span{Trace: i.Trace, Name: strings.Clone(i.Operation), Server: t.cfg.Server, Start: i.Start, End: i.End, Error: i.Status >= 500 || i.Status == 0}
	path := req.Path[:min(len(req.Path), t.cfg.MaxPath)]
	if s.Name == "" {
		s.Name = strings.Clone(req.Authority)
	}
	if s.Remote = i.Upstream.String(); t.cfg.Server || !i.Upstream.IsValid() {
		s.Remote = req.Conn.Remote.String()
	}
	tag := func(name, value string) {
		if value != "" {
			s.Tags = append(s.Tags, [2]string{name, strings.Clone(value)})
		}
	}
	tag("component", "proxy")
	tag("node_id", t.cfg.NodeID)
	tag("guid:x-request-id", req.Header.Get("x-request-id"))
	tag("http.url", req.Scheme+"://"+req.Authority+path)
	tag("http.method", req.Method)
	tag("http.protocol", req.Protocol.String())
	tag("downstream_cluster", req.Header.Get("x-envoy-downstream-service-cluster"))
	tag("user_agent", req.Header.Get("user-agent"))
	tag("peer.address", req.Conn.Remote.Addr().String())
	tag("request_size", strconv.FormatInt(i.BytesReceived, 10))
	tag("response_size", strconv.FormatInt(i.BytesSent, 10))
	tag("http.status_code", strconv.Itoa(i.Status))
	tag("response_flags", i.Flags.String())
	tag("upstream_cluster", i.Cluster)
	tag("upstream_cluster.name", i.Cluster)
	if stream.IsGRPC(&req.Header) {
		status := stream.GRPCOutcome(resp, "grpc-status")
		tag("grpc.path", path)
		tag("grpc.authority", req.Authority)
		tag("grpc.content_type", req.Header.Get("content-type"))
		tag("grpc.timeout", req.Header.Get("grpc-timeout"))
		tag("grpc.status_code", status)
		tag("grpc.message", stream.GRPCOutcome(resp, "grpc-message"))
		s.Error = s.Error || slices.Contains(grpcErrors, status)
	}
	if s.Error {
		tag("error", "true")
	}
	for _, more := range t.cfg.Tags {
		tag(more.Name, more.Value(req, resp))
	}
	return s
}

// grpcErrors are the statuses that are the upstream's fault, as Envoy has them:
// unknown, deadline exceeded, resource exhausted, unimplemented, internal,
// unavailable, data loss.
var grpcErrors = []string{"2", "4", "8", "12", "13", "14", "15"}
