package ratelimit

import (
	"fmt"
	"strconv"

	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// Global asks a rate limit service (Envoy's API, version 3).
type Global struct {
	Caller *upcall.Caller
	Domain string
	Rules  []Rule
	Stage  uint32
	// Only counts requests from within alone, or from outside alone.
	Only Origin
	// Enabled and Enforced say how many requests are counted, and for how many of them
	// a limit holds.
	Enabled, Enforced runtime.Share
	// Status of a refusal; 429 when zero. OnError that when the service cannot be
	// asked; FailClosed refuses then, with 500 when OnError is zero.
	Status, OnError int
	FailClosed      bool
	Reply           []route.HeaderOp
	Tell            bool // put x-ratelimit-* on replies
	Unmarked        bool // leave x-envoy-ratelimited out
	Exhausted       bool // answer gRPC with RESOURCE_EXHAUSTED
	// Count counts an outcome ("ok", "over_limit", "error" or "failure_mode_allowed") of a
	// request to a cluster, Charge a refusal among the cluster's replies; nil counts
	// none.
	Count  func(cluster, outcome string)
	Charge func(cluster string, status int)
}

const method = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"

// Namespace is where the service's metadata is left.
const Namespace = "envoy.filters.http.ratelimit"

// Origin is where requests come from, by the names that Envoy's configuration has.
type Origin string

// Requests are internal by x-envoy-internal, which no client can set from outside.
// The empty origin is both.
const (
	Internal Origin = "internal"
	External Origin = "external"
)

func (o Origin) has(req *stream.Request) bool {
	internal := req.Header.Get("x-envoy-internal") == "true"
	return !(o == Internal && !internal) && !(o == External && internal)
}

// Handle implements [stream.Filter].
func (g *Global) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if !g.Only.has(req) || !g.Enabled.Drawn() {
		return next.Handle(req)
	}
	list := descriptors(g.Rules, g.Stage, req)
	if len(list) == 0 {
		return next.Handle(req)
	}
	var answer rlsv3.RateLimitResponse
	if err := g.Caller.Unary(req, method, g.question(list), &answer); err != nil {
		g.count(req, "error")
		if !g.FailClosed {
			g.count(req, "failure_mode_allowed")
			return next.Handle(req)
		}
		r := &stream.Refusal{Status: g.OnError, Flags: stream.RateLimitServiceError, Details: "rate_limiter_error", Cause: err}
		if r.Status == 0 {
			r.Status = 500
		}
		return nil, r
	}
	for key, value := range answer.GetDynamicMetadata().AsMap() {
		req.Info.Metadata.Set(Namespace, key, value)
	}
	if answer.GetOverallCode() == rlsv3.RateLimitResponse_OVER_LIMIT {
		if g.count(req, "over_limit"); g.Enforced.Drawn() {
			return nil, g.refuse(req, &answer)
		}
	} else {
		g.count(req, "ok")
	}
	req.Header.AddAll(fields(answer.GetRequestHeadersToAdd()))
	resp, err := next.Handle(req)
	return stream.OnHead(resp, err, func(resp *stream.Response) { resp.Header.AddAll(g.told(&answer)) })
}

func (g *Global) count(req *stream.Request, outcome string) {
	if g.Count != nil {
		g.Count(req.Info.Cluster, outcome)
	}
}

func (g *Global) question(list []Descriptor) *rlsv3.RateLimitRequest {
	out := &rlsv3.RateLimitRequest{Domain: g.Domain}
	for _, d := range list {
		told := &commonv3.RateLimitDescriptor{}
		for _, e := range d {
			told.Entries = append(told.Entries, &commonv3.RateLimitDescriptor_Entry{Key: e.Key, Value: e.Value})
		}
		out.Descriptors = append(out.Descriptors, told)
	}
	return out
}

func (g *Global) refuse(req *stream.Request, a *rlsv3.RateLimitResponse) error {
	r := &stream.Refusal{Status: g.Status, Flags: stream.RateLimited, Details: "request_rate_limited", Body: string(a.GetRawBody())}
	if r.Status == 0 {
		r.Status = 429
	}
	if !g.Unmarked {
		r.Header = append(r.Header, stream.Field{Name: "x-envoy-ratelimited", Value: "true"})
	}
	r.Header = append(append(r.Header, route.Made(g.Reply, req)...), g.told(a)...)
	if g.Exhausted {
		r.GRPC = 8
	}
	if g.Charge != nil {
		g.Charge(req.Info.Cluster, r.Status)
	}
	return r
}

// told are the fields that the service wants on the reply.
func (g *Global) told(a *rlsv3.RateLimitResponse) []stream.Field {
	out := fields(a.GetResponseHeadersToAdd())
	if !g.Tell {
		return out
	}
	var least *rlsv3.RateLimitResponse_DescriptorStatus
	for _, s := range a.GetStatuses() {
		if s.GetCurrentLimit() != nil && (least == nil || s.GetLimitRemaining() < least.GetLimitRemaining()) {
			least = s
		}
	}
	if least == nil {
		return out
	}
	limit := strconv.Itoa(int(least.GetCurrentLimit().GetRequestsPerUnit()))
	for _, s := range a.GetStatuses() {
		if l := s.GetCurrentLimit(); l != nil && units[l.GetUnit()] > 0 {
			limit += fmt.Sprintf(", %d;w=%d", l.GetRequestsPerUnit(), units[l.GetUnit()])
			if l.GetName() != "" {
				limit += fmt.Sprintf(";name=%q", l.GetName())
			}
		}
	}
	return append(out, stream.Field{Name: "x-ratelimit-limit", Value: limit}, field("x-ratelimit-remaining", uint64(least.GetLimitRemaining())),
		field("x-ratelimit-reset", uint64(least.GetDurationUntilReset().GetSeconds())))
}

// units are the seconds of a limit's unit.
var units = map[rlsv3.RateLimitResponse_RateLimit_Unit]int{
	rlsv3.RateLimitResponse_RateLimit_SECOND: 1, rlsv3.RateLimitResponse_RateLimit_MINUTE: 60, rlsv3.RateLimitResponse_RateLimit_HOUR: 3600,
	rlsv3.RateLimitResponse_RateLimit_DAY: 86400, rlsv3.RateLimitResponse_RateLimit_WEEK: 7 * 86400, rlsv3.RateLimitResponse_RateLimit_MONTH: 30 * 86400, rlsv3.RateLimitResponse_RateLimit_YEAR: 365 * 86400,
}

// fields are those that the service wants on a head, as far as they may be there.
func fields(list []*corev3.HeaderValue) []stream.Field {
	var out []stream.Field
	for _, h := range list {
		if f := (stream.Field{Name: h.GetKey(), Value: h.GetValue()}); f.Fit() {
			out = append(out, f)
		}
	}
	return out
}

var _ stream.Filter = (*Global)(nil)
