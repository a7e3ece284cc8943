package telemetry

import (
	"net/netip"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// Collector is where a log's entries are sent.
type Collector struct {
	Caller *upcall.Caller
	// Every is how long entries wait for more, Bytes how much of them is sent
	// before that; Envoy's defaults, 1 s and 16 KiB, when zero.
	Every time.Duration
	Bytes int
	// Failed is told why entries were lost.
	Failed func(error)
	// Filter chooses what is logged; nil is everything.
	Filter func(*stream.Request, *stream.Response) bool
}

const defaultBatch = 16 << 10

// reporterOf makes the queue of a collector's messages.
func reporterOf[M proto.Message](c *Collector, send func([]M) error) *upcall.Reporter[M] {
	most := c.Bytes
	if most == 0 {
		most = defaultBatch
	}
	return &upcall.Reporter[M]{Send: send, Failed: c.Failed, Every: c.Every, Most: most, Weigh: func(m M) int { return proto.Size(m) }}
}

// GRPCLog is a log that is kept by a service of Envoy's access log API.
type GRPCLog struct {
	Collector
	Name string
	Node *corev3.Node
	// Further fields that are told, in lower case.
	RequestHeaders, ResponseHeaders, ResponseTrailers []string
	FilterStates                                      []string // objects that filters left
	Tags                                              []stream.Tag
	// TCP logs connections; otherwise requests are logged.
	TCP bool
}

const logMethod = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"

// Observer makes what observes requests and connections.
func (l GRPCLog) Observer() stream.Observer {
	o := &grpcLog{GRPCLog: l}
	identifier := &alsv3.StreamAccessLogsMessage_Identifier{Node: l.Node, LogName: l.Name}
	send := func(m *alsv3.StreamAccessLogsMessage) error {
		m.Identifier = identifier
		return l.Caller.Unary(nil, logMethod, m, nil)
	}
	o.requests = reporterOf(&l.Collector, func(list []*datav3.HTTPAccessLogEntry) error {
		return send(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: list}}})
	})
	o.connections = reporterOf(&l.Collector, func(list []*datav3.TCPAccessLogEntry) error {
		return send(&alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_TcpLogs{TcpLogs: &alsv3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: list}}})
	})
	return &log{filter: l.Filter, entry: o.add}
}

type grpcLog struct {
	GRPCLog
	requests    *upcall.Reporter[*datav3.HTTPAccessLogEntry]
	connections *upcall.Reporter[*datav3.TCPAccessLogEntry]
}

// add makes an entry.
func (l *grpcLog) add(req *stream.Request, resp *stream.Response) {
	common := l.common(req, resp)
	if l.TCP {
		l.connections.Add(&datav3.TCPAccessLogEntry{CommonProperties: common, ConnectionProperties: l.bytes(req.Info)})
		return
	}
	entry := &datav3.HTTPAccessLogEntry{CommonProperties: common, Request: l.request(req), Response: l.response(req, resp)}
	if req.Method != "" { // not a byte stream
		entry.ProtocolVersion = versions[req.Protocol]
	}
	l.requests.Add(entry)
}

func (*grpcLog) bytes(i *stream.Info) *datav3.ConnectionProperties {
	return &datav3.ConnectionProperties{ReceivedBytes: uint64(i.BytesReceived), SentBytes: uint64(i.BytesSent)}
}

var versions = map[stream.Protocol]datav3.HTTPAccessLogEntry_HTTPVersion{
	stream.HTTP10: datav3.HTTPAccessLogEntry_HTTP10, stream.HTTP11: datav3.HTTPAccessLogEntry_HTTP11, stream.HTTP2: datav3.HTTPAccessLogEntry_HTTP2,
}

// common is what requests and connections have in common.
func (l *grpcLog) common(req *stream.Request, resp *stream.Response) *datav3.AccessLogCommon {
	i := req.Info
	since := func(t time.Time) *durationpb.Duration {
		if t.IsZero() || t.Before(i.Start) {
			return nil
		}
		return durationpb.New(t.Sub(i.Start))
	}
	direct := req.Conn.Direct().Remote
	remote := req.Conn.Remote
	if i.Client.IsValid() {
		remote = netip.AddrPortFrom(i.Client, 0)
	}
	out := &datav3.AccessLogCommon{
		DownstreamRemoteAddress: upcall.Address(remote, req.Conn.Path), DownstreamLocalAddress: upcall.Address(req.Conn.Local, req.Conn.Path), DownstreamDirectRemoteAddress: upcall.Address(direct, req.Conn.Path), TlsProperties: secured(req.Conn),
		StartTime: timestamppb.New(i.Start), TimeToLastRxByte: since(i.RequestDone), TimeToFirstUpstreamTxByte: since(i.UpstreamSent), TimeToLastUpstreamTxByte: since(i.UpstreamSent),
		TimeToFirstUpstreamRxByte: since(i.UpstreamRecv), TimeToFirstDownstreamTxByte: since(i.UpstreamRecv), TimeToLastDownstreamTxByte: since(i.End), Duration: since(i.End),
		UpstreamRemoteAddress: upcall.Address(i.Upstream, ""), UpstreamLocalAddress: upcall.Address(i.UpstreamLocal, ""), UpstreamCluster: valid(i.Cluster), RouteName: valid(i.Route),
		UpstreamTransportFailureReason: valid(i.UpstreamFailure), UpstreamRequestAttemptCount: uint32(i.Attempts), ConnectionTerminationDetails: valid(i.Termination),
		DownstreamWireBytesReceived: uint64(i.DownstreamBytes.Received), DownstreamWireBytesSent: uint64(i.DownstreamBytes.Sent),
		UpstreamWireBytesReceived: uint64(i.UpstreamBytes.Received), UpstreamWireBytesSent: uint64(i.UpstreamBytes.Sent),
		AccessLogType: datav3.AccessLogType_DownstreamEnd, ResponseFlags: flagsOf(i), Metadata: upcall.Metadata(&i.Metadata, nil), StreamId: valid(req.Header.Get("x-request-id")),
	}
	if i.UpstreamRecv.IsZero() {
		out.TimeToFirstDownstreamTxByte = since(i.End) // the reply is our own
	} else {
		out.TimeToLastUpstreamRxByte = since(i.End)
	}
	for _, name := range l.FilterStates {
		if value, found := req.State(name); found {
			if packed, err := anypb.New(wrapperspb.String(valid(value))); err == nil {
				put(&out.FilterStateObjects, name, packed)
			}
		}
	}
	for _, t := range l.Tags {
		if value := t.Value(req, resp); value != "" {
			put(&out.CustomTags, t.Name, valid(value))
		}
	}
	return out
}

func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

// valid is a text as protocol buffers take it. It is a copy.
func valid(s string) string { return strings.Clone(strings.ToValidUTF8(s, "?")) }

func (l *grpcLog) request(req *stream.Request) *datav3.HTTPRequestProperties {
	i := req.Info
	return &datav3.HTTPRequestProperties{
		RequestMethod: corev3.RequestMethod(corev3.RequestMethod_value[req.Method]), Scheme: valid(req.Scheme), Authority: valid(req.Authority), Path: valid(req.Path),
		UserAgent: valid(req.Header.Get("user-agent")), Referer: valid(req.Header.Get("referer")), ForwardedFor: valid(req.Header.Get("x-forwarded-for")),
		RequestId: valid(req.Header.Get("x-request-id")), OriginalPath: valid(req.Header.Get("x-envoy-original-path")),
		RequestHeadersBytes: uint64(req.HeadSize()), RequestBodyBytes: uint64(i.BytesReceived), DownstreamHeaderBytesReceived: uint64(i.DownstreamBytes.HeadReceived),
		UpstreamHeaderBytesSent: uint64(i.UpstreamBytes.HeadSent),
		RequestHeaders:          some(&req.Header, l.RequestHeaders),
	}
}

func (l *grpcLog) response(req *stream.Request, resp *stream.Response) *datav3.HTTPResponseProperties {
	i := req.Info
	out := &datav3.HTTPResponseProperties{
		ResponseCodeDetails: valid(i.Details), ResponseHeadersBytes: uint64(i.ReplyHead), ResponseBodyBytes: uint64(i.BytesSent), DownstreamHeaderBytesSent: uint64(i.DownstreamBytes.HeadSent),
		UpstreamHeaderBytesReceived: uint64(i.UpstreamBytes.HeadReceived),
	}
	if i.Status != 0 {
		out.ResponseCode = wrapperspb.UInt32(uint32(i.Status))
	}
	if resp != nil {
		out.ResponseHeaders = some(&resp.Header, l.ResponseHeaders)
		if resp.Body != nil {
			out.ResponseTrailers = some(resp.Body.Trailers(), l.ResponseTrailers)
		}
	}
	return out
}

// some are those fields of h that are asked for.
func some(h *stream.Header, names []string) map[string]string {
	if h == nil {
		return nil
	}
	var out map[string]string
	for _, name := range names {
		if value, found := h.Joined(name); found {
			put(&out, name, valid(value))
		}
	}
	return out
}

func secured(c *stream.Conn) *datav3.TLSProperties {
	t := c.TLS
	if t == nil {
		return nil
	}
	out := &datav3.TLSProperties{
		TlsSniHostname: valid(t.SNI), Ja3Fingerprint: c.JA3, TlsCipherSuite: wrapperspb.UInt32(uint32(t.Cipher)),
		LocalCertificateProperties: &datav3.TLSProperties_CertificateProperties{}, PeerCertificateProperties: &datav3.TLSProperties_CertificateProperties{},
	}
	switch t.Version {
	case 0x0303:
		out.TlsVersion = datav3.TLSProperties_TLSv1_2
	case 0x0304:
		out.TlsVersion = datav3.TLSProperties_TLSv1_3
	}
	name := func(to *datav3.TLSProperties_CertificateProperties, kind string, value string) {
		san := &datav3.TLSProperties_CertificateProperties_SubjectAltName{}
		switch kind {
		case "uri":
			san.San = &datav3.TLSProperties_CertificateProperties_SubjectAltName_Uri{Uri: valid(value)}
		default:
			san.San = &datav3.TLSProperties_CertificateProperties_SubjectAltName_Dns{Dns: valid(value)}
		}
		to.SubjectAltName = append(to.SubjectAltName, san)
	}
	if t.LocalURI != "" {
		name(out.LocalCertificateProperties, "uri", t.LocalURI)
	}
	for _, uri := range t.URISANs {
		name(out.PeerCertificateProperties, "uri", uri)
	}
	for _, dns := range t.DNSSANs {
		name(out.PeerCertificateProperties, "dns", dns)
	}
	out.PeerCertificateProperties.Subject = valid(t.Subject)
	return out
}

// flagsOf are the response flags, nil for none.
func flagsOf(i *stream.Info) *datav3.ResponseFlags {
	if i.Flags == 0 {
		return nil
	}
	has := func(f stream.Flags) bool { return i.Flags&f != 0 }
	out := &datav3.ResponseFlags{
		FailedLocalHealthcheck: has(stream.FailedHealthCheck), NoHealthyUpstream: has(stream.NoHealthyUpstream), UpstreamRequestTimeout: has(stream.UpstreamTimeout), LocalReset: has(stream.LocalReset),
		UpstreamRemoteReset: has(stream.UpstreamReset), UpstreamConnectionFailure: has(stream.UpstreamFailure), UpstreamConnectionTermination: has(stream.UpstreamTermination), UpstreamOverflow: has(stream.UpstreamOverflow),
		NoRouteFound: has(stream.NoRoute), DelayInjected: has(stream.Delayed), FaultInjected: has(stream.FaultInjected), RateLimited: has(stream.RateLimited), RateLimitServiceError: has(stream.RateLimitServiceError),
		DownstreamConnectionTermination: has(stream.DownstreamTermination), DownstreamRemoteReset: has(stream.DownstreamReset), UpstreamRetryLimitExceeded: has(stream.RetryLimit), StreamIdleTimeout: has(stream.StreamIdleTimeout),
		InvalidEnvoyRequestHeaders: has(stream.InvalidEnvoyHeaders), DownstreamProtocolError: has(stream.DownstreamProtocol), UpstreamMaxStreamDurationReached: has(stream.UpstreamMaxDuration),
		DurationTimeout: has(stream.DurationTimeout), UpstreamProtocolError: has(stream.UpstreamProtocol), NoClusterFound: has(stream.NoCluster), NoFilterConfigFound: has(stream.NoFilterConfig), OverloadManager: has(stream.OverloadManager), DnsResolutionFailure: has(stream.DNSFailure),
	}
	if has(stream.Unauthorized) {
		out.UnauthorizedDetails = &datav3.ResponseFlags_Unauthorized{Reason: datav3.ResponseFlags_Unauthorized_EXTERNAL_SERVICE}
	}
	return out
}
