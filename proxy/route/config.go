// Package route matches a request to a route: the fourth step of a request.
package route

import (
	"net"
	"regexp"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Config is a route table before it is compiled by [New].
type Config struct {
	Name string
	// Hosts may be those of a table before this one, with equal settings around them:
	// then they are as they were.
	Hosts []*VirtualHost
	// IgnorePort matches hosts without their port.
	IgnorePort bool
	// IgnoreParameters compares paths without what stands behind ";" in their segments.
	IgnoreParameters bool
	Mutations        Mutations
	// Ask asks for the virtual host of a host that the table does not have. What it
	// gives is closed when there is something new of it; it is nil when nobody is
	// asked. Ask is nil where there are no further ones.
	Ask func(host string) <-chan struct{}
	// SpecificLast applies a route's own mutations last, so that they have the last
	// word, instead of first.
	SpecificLast bool
}

// VirtualHost is the routes of some hosts.
type VirtualHost struct {
	Name string
	// Domains are hosts: exact, "*.suffix", "prefix.*" or "*".
	Domains []string
	Routes  []*Route
	// RequireTLS says which plain-text requests are redirected to https.
	RequireTLS TLSNeed
	// AttemptCount tells upstreams the number of the try (x-envoy-attempt-count).
	AttemptCount bool
	Mutations    Mutations
	Metadata     stream.Metadata // for logs
}

// TLSNeed says which requests have to come by https.
type TLSNeed uint8

// The needs.
const (
	NoTLS       TLSNeed = iota
	ExternalTLS         // those from outside the mesh
	AllTLS
)

// Route is one rule: the first whose match holds answers.
type Route struct {
	Name  string
	Match Match
	// Handler is what answers: the filters that have something to do on this
	// route, then the router, a redirect, or a direct response.
	Handler stream.Handler
	// Behind are the tails of Handler from the places on where a request may come
	// over from another route, see [Again].
	Behind []stream.Handler
	// Cluster that requests go to when it is sure beforehand; nil otherwise. A
	// request that a filter refuses is noted as meant for it.
	Cluster *cluster.Handle
	// Operation names the request in traces, on both sides of a call unless
	// OwnOperation is set.
	Operation    string
	OwnOperation bool
	// Tracing is what else the route says of spans; nil is nothing.
	Tracing *stream.Tracing
	// Upgrades says which protocols, in lower case, may be changed to or not; what it
	// does not name is as everywhere.
	Upgrades  map[string]bool
	Mutations Mutations
	// Duration is how long its requests may take altogether; nil leaves that to the
	// listener.
	Duration *Duration
	// Idle is how long nothing may move on its requests, 0 without end; nil leaves that
	// to the listener.
	Idle     *time.Duration
	Metadata stream.Metadata // for logs

	// Set by New from what encloses the route.
	Host *VirtualHost
	all  []*Mutations // in the order of application
}

// PathKind is how a path is compared.
type PathKind uint8

// The ways to compare a path.
const (
	Prefix          PathKind = iota // plain string prefix
	Exact                           // the whole path
	SeparatedPrefix                 // prefix of whole segments
	Regex                           // RE2, the whole path
	AnyConnect                      // the method is CONNECT
)

// Match is when a route applies. All conditions must hold.
type Match struct {
	Path  PathKind
	Value string
	Regex *regexp.Regexp // anchored at both ends, for Regex
	// Template is true when Regex stands for a URI template: its groups are named
	// after the template's variables.
	Template bool
	FoldCase bool
	Headers  []HeaderMatch
	Query    []QueryMatch
	Cookies  []CookieMatch
	// GRPC is true when only gRPC requests match.
	GRPC bool
	// Certificate says whether the client has to have shown one, or none; nil is both.
	Certificate *bool
	// Metadata are conditions on what filters have left.
	Metadata []func(*stream.Metadata) bool
	// Share is that of the requests that match at all; nil is all.
	Share *runtime.Share
}

// Measured reports whether a path that matches begins with as many bytes as Value
// has, which are what a rewrite of the prefix replaces; otherwise it is all of the
// path.
func (m *Match) Measured() bool { return m.Path != Regex && m.Path != AnyConnect }

// StringKind is how a value is compared.
type StringKind uint8

// The ways to compare a value.
const (
	StringExact StringKind = iota
	StringPrefix
	StringSuffix
	StringContains
	StringRegex // RE2, the whole value
	Present
	Range // a decimal number in [Low, High)
)

// StringMatch compares a value.
type StringMatch struct {
	Kind      StringKind
	Value     string
	Regex     *regexp.Regexp
	FoldCase  bool
	Low, High int64
}

// HeaderMatch compares a header field, or ":method", ":authority", ":scheme",
// ":path".
type HeaderMatch struct {
	Name   string
	Match  StringMatch
	Invert bool
	// MissingAsEmpty compares an absent field as if it were empty.
	MissingAsEmpty bool
}

// QueryMatch compares a query parameter.
type QueryMatch struct {
	Name  string
	Match StringMatch
	// Absent matches requests without the parameter instead.
	Absent bool
}

// CookieMatch compares a cookie. An absent one fails, unless the result is inverted.
type CookieMatch struct {
	Name   string
	Match  StringMatch
	Invert bool
}

// Mutations change header fields.
type Mutations struct {
	Request, Response             []HeaderOp
	RemoveRequest, RemoveResponse []string
}

// HeaderOp adds a field.
type HeaderOp struct {
	Name   string
	Value  Value
	Append AppendAction
	// KeepEmpty adds a field without a value too, which is left out otherwise.
	KeepEmpty bool
}

// AppendAction says what happens to fields that are there already.
type AppendAction uint8

// The actions, after Envoy's.
const (
	AppendOrAdd AppendAction = iota
	AddIfAbsent
	OverwriteOrAdd
	OverwriteIfExists
)

// Value is a field's value: literal text, or text with operators of the access
// log's format language, compiled by whoever makes the configuration.
type Value struct {
	Literal string
	Format  func(*stream.Request, *stream.Response) string // nil: Literal
}

// Forward sends a request to a cluster: what the router works from.
type Forward struct {
	Clusters []Weighted // with one entry the weight does not matter; see [Forward.Draw]
	// ClusterHeader names the field that names the cluster, resolved by Lookup.
	ClusterHeader string
	Lookup        func(string) *cluster.Handle
	// Labels that endpoints have to have, where their cluster has subsets.
	Labels cluster.Labels
	// Terminate ends a CONNECT here: its bytes go to an endpoint as they are, instead
	// of the CONNECT going to another proxy.
	Terminate bool
	// TerminatePost does so with the content of a POST.
	TerminatePost bool
	// Introduce writes what the endpoint is told before a tunnel's bytes; nil is
	// nothing.
	Introduce func(net.Conn, *stream.Conn) error
	// NotFound is the status when the cluster does not exist; default 503.
	NotFound int

	// High gives requests the priority HIGH: their own circuit breaker.
	High bool

	Timeout      time.Duration // for the whole exchange; 0 is none
	GRPCTimeout  *GRPCTimeout  // nil: Timeout holds for gRPC too
	Duration     *Duration     // nil: the listener's limit holds
	Retry        *Retry
	Redirects    *Redirects // nil: redirects are the client's to follow
	Mirrors      []Mirror
	AttemptCount bool
	// AttemptCountInReply tells the client the number of tries.
	AttemptCountInReply bool

	// MatchedPrefix is what a rewrite replaces at the path's start.
	PrefixRewrite string
	MatchedPrefix string
	RegexRewrite  *regexp.Regexp
	Substitution  string // in Go's form: ${1}
	HostRewrite   string
	// HostHeader names the field that is the new host where it has a value; HostPattern
	// makes it of the path that came. Of the ways to rewrite the host one is set.
	HostHeader       string
	HostPattern      *regexp.Regexp
	HostSubstitution string // in Go's form
	// HostFromEndpoint uses the endpoint's name as host.
	HostFromEndpoint   bool
	AppendForwardedFor bool // x-forwarded-host on a host rewrite
	Hash               []HashPolicy
}

// GRPCTimeout lets gRPC calls take the time that their callers give them in
// grpc-timeout, instead of the route's timeout.
type GRPCTimeout struct {
	Max    time.Duration // 0 is no maximum
	Offset time.Duration // less than the caller says
}

// Weighted is one of several clusters.
type Weighted struct {
	Cluster     *cluster.Handle
	Weight      uint32
	Key         *runtime.Key // replaces the weight; nil never
	Mutations   Mutations
	HostRewrite string
	Labels      cluster.Labels // over the route's
}

// Mirror is a copy of the traffic whose answers nobody waits for.
type Mirror struct {
	Cluster *cluster.Handle
	// ClusterHeader names the field that names the cluster instead, resolved by Lookup.
	ClusterHeader string
	Lookup        func(string) *cluster.Handle
	Share         runtime.Share // of the requests that are copied
	// KeepHost leaves the host without the suffix "-shadow".
	KeepHost bool
}

// HashPolicy makes the key that consistent balancing needs. Exactly one of the
// names is set, or SourceIP.
type HashPolicy struct {
	Header, Query, Cookie string
	// Pattern and Substitution, in Go's form, change what the header has; nil does not.
	Pattern      *regexp.Regexp
	Substitution string
	CookieTTL    *time.Duration // a cookie is made when it is missing
	CookiePath   string
	Attributes   []stream.Field // of the cookie, further ones
	SourceIP     bool
	Terminal     bool
}

// RetryOn are conditions for a retry.
type RetryOn uint32

// The conditions, after Envoy's words.
const (
	On5xx RetryOn = 1 << iota
	OnGatewayError
	OnReset
	OnResetBeforeRequest
	OnConnectFailure
	OnRefusedStream
	OnRetriable4xx
	OnRetriableStatus
	OnRetriableHeaders
	OnEnvoyRatelimited
	OnHTTP3ConnectFailure
	OnGRPCCancelled
	OnGRPCDeadline
	OnGRPCInternal
	OnGRPCExhausted
	OnGRPCUnavailable
)

// The kinds of conditions: those of gRPC look at grpc-status.
const (
	OnGRPC = OnGRPCCancelled | OnGRPCDeadline | OnGRPCInternal | OnGRPCExhausted | OnGRPCUnavailable
	OnHTTP = OnGRPCCancelled - 1
)

// RetryWords are Envoy's words for the conditions.
var RetryWords = map[string]RetryOn{
	"5xx": On5xx, "gateway-error": OnGatewayError, "reset": OnReset, "reset-before-request": OnResetBeforeRequest,
	"connect-failure": OnConnectFailure, "refused-stream": OnRefusedStream, "retriable-4xx": OnRetriable4xx,
	"retriable-status-codes": OnRetriableStatus, "retriable-headers": OnRetriableHeaders,
	"envoy-ratelimited": OnEnvoyRatelimited, "http3-post-connect-failure": OnHTTP3ConnectFailure,
	"cancelled": OnGRPCCancelled, "deadline-exceeded": OnGRPCDeadline, "internal": OnGRPCInternal,
	"resource-exhausted": OnGRPCExhausted, "unavailable": OnGRPCUnavailable,
}

// Retry says when and how a request is tried again.
type Retry struct {
	On       RetryOn
	Statuses []int
	Headers  []HeaderMatch
	Max      uint32 // beside the first try
	PerTry   time.Duration
	// PerTryIdle ends a try of which nothing has come for so long, its response's
	// content included; 0 never.
	PerTryIdle time.Duration
	// Hedge lets a try that reaches one of these two limits go on, and begins another
	// one beside it: the first good answer is given.
	Hedge       bool
	BaseBackoff time.Duration // default 25 ms
	MaxBackoff  time.Duration // default 10 × base
	// Resets are fields of a reply that say when to come back, the first that can be
	// read and is not further off than MaxReset counts.
	Resets   []Reset
	MaxReset time.Duration
	// AvoidPrevious chooses an endpoint that was not tried, HostAttempts times
	// at most.
	AvoidPrevious bool
	HostAttempts  int
	Omit          *cluster.Omit // further endpoints that are not chosen again
	// OtherPriorities passes over the priorities of endpoints that were tried, found
	// out anew after each so many tries; 0 never.
	OtherPriorities int
}

// Reset is a field that says when to come back: in seconds from now, or as seconds
// of Unix time.
type Reset struct {
	Name string
	Unix bool
}

// Redirect answers with another address.
type Redirect struct {
	Scheme, Host  string
	Port          uint32 // 0 keeps it
	Path          string // replaces path and query's path
	Prefix        string // replaces MatchedPrefix
	MatchedPrefix string
	Regex         *regexp.Regexp
	Substitution  string
	Status        int // 301 by default
	StripQuery    bool
	// Refuses answers with a [stream.Refusal]: what is answered here may be rewritten.
	Refuses bool
}

// Direct answers by itself.
type Direct struct {
	Status int
	Body   string
	// Refuses is that of [Redirect].
	Refuses bool
}
