package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Flags are Envoy's response flags: why a response is not simply the
// upstream's.
type Flags uint32

// The flags, with the letters that logs and metrics show.
const (
	NoHealthyUpstream     Flags = 1 << iota // UH
	UpstreamFailure                         // UF: could not connect
	UpstreamOverflow                        // UO: circuit breaker
	NoRoute                                 // NR
	RetryLimit                              // URX
	NoCluster                               // NC
	DurationTimeout                         // DT
	DownstreamTermination                   // DC
	LocalReset                              // LR
	UpstreamReset                           // UR
	UpstreamTermination                     // UC
	UpstreamTimeout                         // UT
	StreamIdleTimeout                       // SI
	Delayed                                 // DI
	FaultInjected                           // FI
	RateLimited                             // RL
	Unauthorized                            // UAEX
	DownstreamProtocol                      // DPE
	UpstreamProtocol                        // UPE
	UpstreamMaxDuration                     // UMSDR
	OverloadManager                         // OM
	DNSFailure                              // DF
	RateLimitServiceError                   // RLSE
	InvalidEnvoyHeaders                     // IH
	FailedHealthCheck                       // LH
	NoFilterConfig                          // NFCF
	DownstreamReset                         // DR

	// RequestTimeout is none of them: only a reason to give a request up.
	RequestTimeout
)

// Gone reports whether a reason to give a request up is that nobody is there any more
// to be answered.
func (f Flags) Gone() bool {
	return f == DownstreamTermination || f == DownstreamReset || f == DownstreamProtocol
}

// flagNames has for each flag its names, and its number among Envoy's.
var flagNames = [...]struct {
	short, long string
	envoy       uint8
}{
	{"UH", "NoHealthyUpstream", 1}, {"UF", "UpstreamConnectionFailure", 5}, {"UO", "UpstreamOverflow", 7}, {"NR", "NoRouteFound", 8},
	{"URX", "UpstreamRetryLimitExceeded", 15}, {"NC", "NoClusterFound", 24}, {"DT", "DurationTimeout", 22}, {"DC", "DownstreamConnectionTermination", 14},
	{"LR", "LocalReset", 3}, {"UR", "UpstreamRemoteReset", 4}, {"UC", "UpstreamConnectionTermination", 6}, {"UT", "UpstreamRequestTimeout", 2},
	{"SI", "StreamIdleTimeout", 16}, {"DI", "DelayInjected", 9}, {"FI", "FaultInjected", 10}, {"RL", "RateLimited", 11}, {"UAEX", "UnauthorizedExternalService", 12},
	{"DPE", "DownstreamProtocolError", 18}, {"UPE", "UpstreamProtocolError", 23}, {"UMSDR", "UpstreamMaxStreamDurationReached", 19}, {"OM", "OverloadManagerTerminated", 25},
	{"DF", "DnsResolutionFailed", 26}, {"RLSE", "RateLimitServiceError", 13}, {"IH", "InvalidEnvoyRequestHeaders", 17}, {"LH", "FailedLocalHealthCheck", 0},
	{"NFCF", "NoFilterConfigFound", 21}, {"DR", "DownstreamRemoteReset", 28},
}

// Envoy is the flags as Envoy's own number, a bit for each.
func (f Flags) Envoy() uint64 {
	var n uint64
	for i := range flagNames {
		if f&(1<<i) != 0 {
			n |= 1 << flagNames[i].envoy
		}
	}
	return n
}

// String gives the short names joined by ",", "-" for none. A single flag does
// not allocate.
func (f Flags) String() string { return f.join(func(i int) string { return flagNames[i].short }) }

// Long gives the long names.
func (f Flags) Long() string { return f.join(func(i int) string { return flagNames[i].long }) }

func (f Flags) join(name func(int) string) string {
	if f == 0 {
		return "-"
	}
	var names []string
	for i := range flagNames {
		if bit := Flags(1) << i; f&bit != 0 {
			if f == bit {
				return name(i)
			}
			names = append(names, name(i))
		}
	}
	return strings.Join(names, ",")
}

// Info is what is noted about one request while it is handled, for the access
// log and the metrics. It belongs to the connection and is reset between
// requests.
type Info struct {
	Start        time.Time // the request's first byte was seen
	RequestDone  time.Time // its last byte was read; zero when it was not
	UpstreamSent time.Time // the last try's request was written
	UpstreamRecv time.Time // the last try's response head was read
	End          time.Time

	BytesReceived, BytesSent int64 // of bodies
	HeadReceived, HeadSent   int64 // of heads, as they were on the wire
	// ReplyHead is how long the names and values of the response's head are together,
	// :status among them.
	ReplyHead int64
	// DownstreamBytes and UpstreamBytes are all bytes on both sides, those of tries
	// that came to nothing too.
	DownstreamBytes, UpstreamBytes Meter
	// MessagesReceived and MessagesSent are gRPC's, where somebody counts them.
	MessagesReceived, MessagesSent int64

	// Client is the address that counts as the client's where it is not the
	// socket's peer: what trusted hops have told.
	Client netip.Addr
	// OriginalPath is the path before a rewrite, empty when it was not rewritten.
	OriginalPath string
	Status       int // 0 when nothing was sent
	Flags        Flags
	Details      string // response code details, such as "via_upstream"
	// Termination says why the connection was ended, empty when it was not.
	Termination string

	// Matched is the route in force, nil before and without one. Who chooses routes
	// knows its type.
	Matched         any
	Route           string // its name
	Operation       string // the decorator's
	OwnOperation    bool   // the operation is not for the other side of the call
	Cluster         string
	VirtualHost     string
	Upstream        netip.AddrPort
	UpstreamLocal   netip.AddrPort
	UpstreamFailure string // transport failure reason
	// UpstreamProtocol is the version of HTTP that was spoken; empty before.
	UpstreamProtocol string
	UpstreamURI      string // the peer's SPIFFE ID
	// UpstreamTLS is the connection's, nil in plain text; UpstreamName the endpoint's
	// host name, and UpstreamConnection the connection's number.
	UpstreamTLS        *tls.ConnectionState
	UpstreamShown      *x509.Certificate // that we showed, or would have shown; nil for none
	UpstreamName       string
	UpstreamConnection uint64
	UpstreamMTLS       bool
	// UpstreamAsked is true once the last try has asked for a connection, and
	// UpstreamWait is how long it took to get one or to fail.
	UpstreamAsked bool
	UpstreamWait  time.Duration
	Attempts      int

	// Limit is how long the request may take altogether, Idle how long nothing may move
	// on it; 0 is without end.
	Limit, Idle time.Duration

	// Hops are the redirects that were followed for the request.
	Hops []Hop

	// Begun is true when the request's beginning has been counted.
	Begun bool

	// HealthCheck is true for a request that only asks whether the proxy is well.
	HealthCheck bool

	// Wanted is the endpoint that the request should go to; the zero value leaves it
	// to the balancer.
	Wanted Wanted

	// Reached is how many of the filters that change replies the request has come to.
	Reached int
	// Lot is what the choice among weighted clusters has drawn; 0 before.
	Lot uint64

	// Trace is the request's span; the zero value when requests are not traced.
	Trace Trace
	// Tracing is what the route says of spans, nil when it says nothing.
	Tracing *Tracing

	// Metadata is what filters left for others, State what they left for the log
	// by name (Envoy's filter state); nil is none.
	Metadata Metadata
	State    map[string]string
	// Shared is what of State is for upstream connections that are opened, and
	// UpstreamState what was so when the one that carried the request was opened.
	Shared, UpstreamState map[string]string

	// Described is what the route and the upstream say of themselves.
	Described Described

	// Downstream and UpstreamPeer are who is at the other ends, as Istio's peer
	// metadata told; nil when unknown.
	DownstreamPeer, UpstreamPeer *Peer
	// Destination is the service that the cluster stands for.
	Destination *Service
}

// CutOff notes why a response was not delivered: the request was given up, for a
// reason of [Abandoned], or is 0 when it was not; else err ended the transfer, a
// [Refusal] in it says why.
func (i *Info) CutOff(why Flags, err error) {
	var reset *ResetError
	var refused *Refusal
	switch {
	case why != 0 || !IsSource(err):
		r := Abandoned(why, true)
		i.Flags |= r.Flags
		i.Details = r.Details
	case errors.As(err, &refused):
		i.Flags |= refused.Flags
		i.Details = refused.Details
	case errors.Is(err, os.ErrDeadlineExceeded):
		i.Flags |= UpstreamTimeout
		i.Details = "response_timeout"
	case IsSyntax(err):
		i.Flags |= UpstreamProtocol
		i.Details = "upstream_reset_after_response_started{protocol_error}"
	case errors.As(err, &reset):
		i.Flags |= UpstreamReset
		i.Details = "upstream_reset_after_response_started{remote_reset}"
	default:
		i.Flags |= UpstreamTermination
		i.Details = "upstream_reset_after_response_started{connection_termination}"
	}
}

// NextTry forgets the connection of the try before: Envoy tells of the last one alone.
func (i *Info) NextTry() {
	i.Upstream, i.UpstreamLocal, i.UpstreamName, i.UpstreamConnection = netip.AddrPort{}, netip.AddrPort{}, "", 0
	i.UpstreamTLS, i.UpstreamShown, i.UpstreamURI, i.UpstreamProtocol, i.UpstreamFailure = nil, nil, "", "", ""
	i.UpstreamAsked, i.UpstreamWait, i.UpstreamSent, i.UpstreamRecv = false, 0, time.Time{}, time.Time{}
	i.Described.Endpoint, i.UpstreamState = nil, nil
}

// Passed notes how much a byte stream has carried each way.
func (i *Info) Passed(received, sent int64) {
	i.BytesReceived, i.BytesSent = received, sent
	i.DownstreamBytes = Meter{Received: received, Sent: sent}
	i.UpstreamBytes = Meter{Received: sent, Sent: received}
}

// Reset clears the note for the next request.
func (i *Info) Reset() { *i = Info{} }

// Again prepares the record for the request that an upstream's redirect has made of
// this one: what is known of its client stays.
func (i *Info) Again() {
	*i = Info{
		Start: i.Start, Limit: i.Limit, Idle: i.Idle, RequestDone: i.RequestDone, HeadReceived: i.HeadReceived, BytesReceived: i.BytesReceived,
		DownstreamBytes: i.DownstreamBytes,
		Client:          i.Client, State: i.State, Shared: i.Shared, DownstreamPeer: i.DownstreamPeer, Hops: i.Hops,
	}
}

// Hop is a redirect that was followed, from one route to another, by their names.
type Hop struct{ From, To string }

// Peer is a workload as its proxy described it.
type Peer struct {
	Name, Namespace, Workload, OwnerKind, KubeCluster string
	CanonicalName, CanonicalRevision, App, Version    string
}

// Trace is where a request stands in a trace.
type Trace struct {
	ID           [16]byte
	Span, Parent [8]byte // Parent is zero at the root
	Sampled      bool
	// Joined is true when the span is the caller's own, seen from the other side.
	Joined bool
	// Short is true for an ID of 64 bits.
	Short bool
	// Child is the span of the exchange with the upstream, where that has its own.
	Child [8]byte
	// Named is true when the caller has named the span.
	Named bool
}

// Tracing is what a route says of its requests' spans.
type Tracing struct {
	// Client, Random and Overall are shares per million, as the listener has them.
	Client, Random, Overall uint32
	Tags                    []Tag
}

// Service is what a cluster stands for, from its metadata.
type Service struct{ Host, Name, Namespace string }

// Wanted is an endpoint by its address. If it is not well, another one is chosen,
// unless Only is set: then the request is answered by Status (503 when zero).
type Wanted struct {
	Endpoint string
	Only     bool
	Status   int
}

// Tag is one further fact about a request, for spans and logs.
type Tag struct {
	Name string
	// Value gives it; empty leaves it out.
	Value func(*Request, *Response) string
}

// Observer is told what happened. Its methods must not keep what they get.
type Observer interface {
	// Request is called when a request has been answered, or has failed to be.
	Request(req *Request, resp *Response)
	// Opened, Progress and Closed follow a TCP connection; bytes are those since
	// the last call. Both directions tell of their progress, at the same time.
	// Closed comes once, last.
	Opened(tcp *TCP)
	Progress(tcp *TCP, received, sent int64)
	Closed(tcp *TCP)
}

// TCP is what is noted about one proxied byte stream.
type TCP struct {
	Conn *Conn
	Info *Info
	// Told is who the upstream's proxy said that it stands for, as Conn's is for the
	// downstream's.
	Told func() *Peer
}
