package trace

import (
	"cmp"
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
	// Sampler must agree, and then the caller's decision is only the sampler's affair;
	// nil asks nobody.
	Sampler     Sampler
	Propagation Propagation
	// Shared lets a server's span have the ID of the client's (Zipkin).
	Shared bool
	// Long makes trace IDs of 128 bits.
	Long bool
	// Server is true when the span is the server's side of a call, Egress when the
	// listener is for what the workload calls.
	Server, Egress bool
	// Spawn gives the exchange with the upstream a span of its own.
	Spawn bool
	// MaxPath shortens the path that is reported; 256 when zero, nothing of it when negative.
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
	span := stream.Trace{Span: randomSpan()}
	switch {
	case !in.found:
		span.ID = randomTrace(c.Long || c.Propagation != B3)
		span.Short = c.Propagation == B3 && !c.Long
	case c.Shared && c.Server:
		span.ID, span.Span, span.Parent = in.trace, in.span, in.parent
	default:
		span.ID, span.Parent = in.trace, in.span
	}
	if in.found {
		span.Short = [8]byte(in.trace[:8]) == [8]byte{}
	}
	span.Joined = c.Shared && c.Server
	span.Sampled = t.sample(req, in, span.ID)
	told := span
	if c.Spawn {
		span.Child = randomSpan()
		told.Span, told.Parent = span.Child, span.Span
	}
	req.Info.Trace = span
	t.tellOperation(req)
	if !c.Silent {
		c.Propagation.inject(&req.Header, &told)
	}
}

// fieldOperation tells the other side of a call what it is called here: the caller
// names the request, the server the response.
const fieldOperation = "x-envoy-decorator-operation"

func (t *Tracer) tellOperation(req *stream.Request) {
	i := req.Info
	if t.cfg.Egress {
		if i.Operation != "" && !i.OwnOperation {
			req.Header.Set(fieldOperation, i.Operation)
		}
		return
	}
	if !req.Header.Has(fieldOperation) {
		return
	}
	if name := req.Header.Get(fieldOperation); name != "" {
		i.Operation, i.Trace.Named = strings.Clone(name), true
	}
	req.Header.Del(fieldOperation)
}

// Reply sees the head of the answer.
func (t *Tracer) Reply(req *stream.Request, h *stream.Header) {
	i := req.Info
	if !t.cfg.Egress {
		if i.Operation != "" && !i.OwnOperation && !i.Trace.Named {
			h.Set(fieldOperation, i.Operation)
		}
		return
	}
	if h.Has(fieldOperation) {
		if name := h.Get(fieldOperation); name != "" {
			i.Operation = strings.Clone(name)
		}
		h.Del(fieldOperation)
	}
}

// sample decides whether the trace is kept. What somebody has decided holds, unless
// there is a sampler: then the shares hold, of which it takes its part.
func (t *Tracer) sample(req *stream.Request, in incoming, id [16]byte) bool {
	switch {
	case t.cfg.Sampler != nil && !t.cfg.Sampler(id, Decision{Made: in.decided, Sampled: in.sampled}):
		return false
	case t.cfg.Sampler == nil && in.decided:
		return in.sampled
	}
	client, random, overall := t.cfg.Client, t.cfg.Random, t.cfg.Overall
	if r := req.Info.Tracing; r != nil {
		client, random, overall = r.Client, r.Random, r.Overall
	}
	chosen := stream.Chance(random)
	if req.Header.Has("x-client-trace-id") {
		chosen = chosen || stream.Chance(client)
	}
	return chosen && stream.Chance(overall)
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
	if req.Info.Trace.Child != [8]byte{} && req.Info.Upstream.IsValid() {
		t.cfg.Reporter.Add(t.child(req, resp))
	}
	t.cfg.Reporter.Add(t.span(req, resp))
}

// child describes the exchange with the upstream, the last one where there were
// several.
func (t *Tracer) child(req *stream.Request, resp *stream.Response) Span {
	i := req.Info
	s := Span{Trace: i.Trace, Name: "router " + i.Cluster + " egress", Start: i.UpstreamSent, End: i.End, Remote: i.Upstream.String(), Error: i.Status >= 500 || i.Status == 0}
	s.Span, s.Parent, s.Joined = i.Trace.Child, i.Trace.Span, false
	if s.Start.IsZero() {
		s.Start = i.Start
	}
	s.tag("component", "proxy")
	s.tag("upstream_address", s.Remote)
	s.tag("peer.address", s.Remote)
	status := i.Status
	if i.UpstreamRecv.IsZero() { // the status is our own
		s.Error, status = true, 0
		s.tag("http.protocol", "-")
		for flag, reason := range reasons {
			if i.Flags&flag != 0 {
				s.tag("error.reason", reason)
			}
		}
	} else {
		s.tag("http.protocol", cmp.Or(i.UpstreamProtocol, req.Protocol.String()))
	}
	t.outcome(&s, req, resp, status)
	return s
}

// reasons are why there was no response, in Envoy's words.
var reasons = map[stream.Flags]string{
	stream.UpstreamFailure: "remote connection failure", stream.UpstreamTermination: "connection termination", stream.UpstreamReset: "remote reset",
}

func (s *Span) tag(name, value string) {
	if value != "" {
		s.Tags = append(s.Tags, [2]string{name, strings.Clone(value)})
	}
}

// outcome adds the tags that spans of both sides have.
func (t *Tracer) outcome(s *Span, req *stream.Request, resp *stream.Response, code int) {
	i := req.Info
	s.tag("http.status_code", strconv.Itoa(code))
	s.tag("response_flags", i.Flags.String())
	s.tag("upstream_cluster", i.Cluster)
	s.tag("upstream_cluster.name", i.Cluster)
	if stream.IsGRPC(&req.Header) {
		status := stream.GRPCOutcome(resp, "grpc-status")
		s.tag("grpc.status_code", status)
		s.tag("grpc.message", stream.GRPCOutcome(resp, "grpc-message"))
		s.Error = s.Error || slices.Contains(grpcErrors, status)
	}
	if s.Error {
		s.tag("error", "true")
	}
	for _, more := range t.cfg.Tags {
		if i.Tracing == nil || !slices.ContainsFunc(i.Tracing.Tags, func(own stream.Tag) bool { return own.Name == more.Name }) {
			s.tag(more.Name, more.Value(req, resp))
		}
	}
	if i.Tracing != nil {
		for _, own := range i.Tracing.Tags {
			s.tag(own.Name, own.Value(req, resp))
		}
	}
}

var _ stream.Observer = (*Tracer)(nil)

// span describes the request with the tags that Envoy gives.
func (t *Tracer) span(req *stream.Request, resp *stream.Response) Span {
	i := req.Info
	s := Span{Trace: i.Trace, Name: strings.Clone(i.Operation), Server: t.cfg.Server, Start: i.Start, End: i.End, Error: i.Status >= 500 || i.Status == 0}
	path := req.Path[:min(len(req.Path), max(0, t.cfg.MaxPath))]
	if s.Name == "" {
		s.Name = strings.Clone(req.Authority)
	}
	if s.Remote = i.Upstream.String(); t.cfg.Server || !i.Upstream.IsValid() {
		s.Remote = req.Conn.Name(req.Conn.Remote)
	}
	s.tag("component", "proxy")
	s.tag("node_id", t.cfg.NodeID)
	s.tag("guid:x-request-id", req.Header.Get("x-request-id"))
	s.tag("http.url", req.Scheme+"://"+req.Authority+path)
	s.tag("http.method", req.Method)
	s.tag("http.protocol", req.Protocol.String())
	s.tag("downstream_cluster", cmp.Or(req.Header.Get("x-envoy-downstream-service-cluster"), "-"))
	s.tag("user_agent", cmp.Or(req.Header.Get("user-agent"), "-"))
	if from := req.Conn.Remote; from.IsValid() {
		s.tag("peer.address", from.Addr().String())
	} else {
		s.tag("peer.address", req.Conn.Path)
	}
	s.tag("request_size", strconv.FormatInt(i.BytesReceived, 10))
	s.tag("response_size", strconv.FormatInt(i.BytesSent, 10))
	if stream.IsGRPC(&req.Header) {
		s.tag("grpc.path", path)
		s.tag("grpc.authority", req.Authority)
		s.tag("grpc.content_type", req.Header.Get("content-type"))
		s.tag("grpc.timeout", req.Header.Get("grpc-timeout"))
	}
	t.outcome(&s, req, resp, i.Status)
	return s
}

// grpcErrors are the statuses that are the upstream's fault, as Envoy has them:
// unknown, deadline exceeded, resource exhausted, unimplemented, internal,
// unavailable, data loss.
var grpcErrors = []string{"2", "4", "8", "12", "13", "14", "15"}
