package compile

import (
	"fmt"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	globalv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/ratelimit"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// limits are the rate limits that a route and its virtual host name. both is set
// where the route asks for its host's beside its own.
type limits struct {
	route, host []ratelimit.Rule
	both        bool
}

// applied are those in force: the host's too where the route has none, or where
// it asks for them, unless they are to be ignored.
func (l limits) applied(host commonv3.VhRateLimitsOptions) []ratelimit.Rule {
	if l.both || host == commonv3.VhRateLimitsOptions_INCLUDE || host == commonv3.VhRateLimitsOptions_OVERRIDE && len(l.route) == 0 {
		return append(append([]ratelimit.Rule(nil), l.route...), l.host...)
	}
	return l.route
}

func localLimitFilter(c *Compiler, m *localv3.LocalRateLimit) (builder, error) {
	// Requests of all routes take from one bucket where nothing is overridden.
	shared, err := c.localLimit(m)
	if err != nil {
		return nil, err
	}
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		var f *ratelimit.Local
		host := m.GetVhRateLimits()
		if override == nil {
			copied := *shared
			f = &copied
		} else {
			own, err := as[*localv3.LocalRateLimit](override)
			if err != nil {
				return nil, err
			}
			if f, err = c.localLimit(own); err != nil {
				return nil, err
			}
			host = own.GetVhRateLimits()
		}
		if f.Enabled.Never() || f.Bucket == nil && len(f.Limits) == 0 {
			return nil, nil
		}
		if len(f.Rules) == 0 {
			f.Rules = on.limits.applied(host)
		}
		return f, nil
	}, nil
}

func (c *Compiler) localLimit(m *localv3.LocalRateLimit) (*ratelimit.Local, error) {
	count := func(name string) *stream.Counter {
		name = m.GetStatPrefix() + ".http_local_rate_limit." + name
		return c.Telemetry.Counter(name, name, "")
	}
	f := &ratelimit.Local{
		Looked: count("enabled"), OK: count("ok"), Limited: count("rate_limited"), Refused: count("enforced"),
		Stage: m.GetStage(), Always: m.GetAlwaysConsumeDefaultTokenBucket() == nil || m.GetAlwaysConsumeDefaultTokenBucket().GetValue(),
		Enabled: c.share(m.GetFilterEnabled()), Enforced: c.share(m.GetFilterEnforced()),
		Status: status(m.GetStatus()),
		Tell:   m.GetEnableXRatelimitHeaders() != commonv3.XRateLimitHeadersRFCVersion_OFF, Exhausted: m.GetRateLimitedAsResourceExhausted(),
	}
	var err error
	if f.Reply, err = c.operations(m.GetResponseHeadersToAdd()); err != nil {
		return nil, fieldcheck.At("response_headers_to_add", err)
	}
	if f.Marks, err = c.operations(m.GetRequestHeadersToAddWhenNotEnforced()); err != nil {
		return nil, fieldcheck.At("request_headers_to_add_when_not_enforced", err)
	}
	if b := m.GetTokenBucket(); b != nil {
		f.Bucket = bucket(b)()
	}
	if m.GetLocalClusterRateLimit() != nil {
		return nil, fieldcheck.Refuse("local_cluster_rate_limit", "is not supported: limits are each proxy's own, write the ratelimit filter for one of all")
	}
	most := 0
	if n := m.GetMaxDynamicDescriptors(); n != nil {
		if most = int(n.GetValue()); most == 0 {
			return nil, fieldcheck.Refuse("max_dynamic_descriptors", "must be 1 at least")
		}
	}
	for i, d := range m.GetDescriptors() {
		if d.GetTokenBucket() == nil {
			return nil, fieldcheck.Refuse(fmt.Sprintf("descriptors[%d].token_bucket", i), "is missing")
		}
		make := bucket(d.GetTokenBucket())
		l := &ratelimit.Limited{Bucket: make(), Like: make, Most: most}
		for _, e := range d.GetEntries() {
			l.Descriptor = append(l.Descriptor, ratelimit.Entry{Key: e.GetKey(), Value: e.GetValue()})
		}
		f.Limits = append(f.Limits, l)
	}
	if own := m.GetRateLimits(); len(own) > 0 {
		if f.Rules, err = c.limitRules(own, "rate_limits"); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func status(s *typev3.HttpStatus) int {
	if c := int(s.GetCode()); c >= 400 {
		return c
	}
	return 0
}

func bucket(b *typev3.TokenBucket) func() *ratelimit.Bucket {
	fill := uint32(1)
	if b.GetTokensPerFill() != nil {
		fill = b.GetTokensPerFill().GetValue()
	}
	return func() *ratelimit.Bucket {
		return ratelimit.NewBucket(b.GetMaxTokens(), fill, b.GetFillInterval().AsDuration())
	}
}

// serviceTime is how long a rate limit service may take where nothing is written.
const serviceTime = 20 * time.Millisecond

func globalLimitFilter(c *Compiler, m *globalv3.RateLimit) (builder, error) {
	timeout := serviceTime
	if d := m.GetTimeout(); d != nil {
		timeout = d.AsDuration()
	}
	caller, err := c.grpcCaller(m.GetRateLimitService().GetGrpcService(), timeout)
	if err != nil {
		return nil, fieldcheck.At("rate_limit_service.grpc_service", err)
	}
	base := ratelimit.Global{
		Caller: caller, Domain: m.GetDomain(), Stage: m.GetStage(), Only: ratelimit.Origin(m.GetRequestType()), Enabled: runtime.All, Enforced: runtime.All, FailClosed: m.GetFailureModeDeny(),
		Status: status(m.GetRateLimitedStatus()), OnError: int(m.GetStatusOnError().GetCode()),
		Tell: m.GetEnableXRatelimitHeaders() != globalv3.RateLimit_OFF, Unmarked: m.GetDisableXEnvoyRatelimitedHeader(), Exhausted: m.GetRateLimitedAsResourceExhausted(),
	}
	all := c.verdicts("ratelimit", m.GetStatPrefix(), "ok", "over_limit", "error", "failure_mode_allowed")
	if base.Reply, err = c.operations(m.GetResponseHeadersToAdd()); err != nil {
		return nil, fieldcheck.At("response_headers_to_add", err)
	}
	if p := m.GetFilterEnabled(); p != nil {
		base.Enabled = c.share(p)
	}
	if p := m.GetFilterEnforced(); p != nil {
		base.Enforced = c.share(p)
	}
	own, err := c.limitRules(m.GetRateLimits(), "rate_limits")
	if err != nil {
		return nil, err
	}
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		f, verdicts := base, all.on(on)
		f.Rules, f.Count, f.Charge = own, verdicts.tell, verdicts.charge
		host := commonv3.VhRateLimitsOptions_OVERRIDE
		if override != nil {
			per, err := as[*globalv3.RateLimitPerRoute](override)
			if err != nil {
				return nil, err
			}
			if per.GetDomain() != "" {
				f.Domain = per.GetDomain()
			}
			if f.Rules, err = c.limitRules(per.GetRateLimits(), "rate_limits"); err != nil {
				return nil, err
			}
			host = commonv3.VhRateLimitsOptions(per.GetVhRateLimits()) // the same numbers
		}
		if len(f.Rules) == 0 {
			f.Rules = on.limits.applied(host)
		}
		if len(f.Rules) == 0 {
			return nil, nil
		}
		return &f, nil
	}, nil
}

// limitRules compiles rate limits: what they make descriptors of.
func (c *Compiler) limitRules(list []*routev3.RateLimit, at string) ([]ratelimit.Rule, error) {
	var out []ratelimit.Rule
	for i, m := range list {
		r := ratelimit.Rule{Stage: m.GetStage().GetValue()}
		if key := m.GetDisableKey(); key != "" {
			r.Off = c.Runtime.Key("ratelimit." + key + ".http_filter_enabled")
		}
		for j, a := range m.GetActions() {
			action, err := c.limitAction(a)
			if err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("%s[%d].actions[%d]", at, i, j), err)
			}
			r.Actions = append(r.Actions, action)
		}
		out = append(out, r)
	}
	return out, nil
}

func (c *Compiler) limitAction(m *routev3.RateLimit_Action) (ratelimit.Action, error) {
	switch a := m.GetActionSpecifier().(type) {
	case *routev3.RateLimit_Action_DestinationCluster_:
		return ratelimit.Cluster{}, nil
	case *routev3.RateLimit_Action_SourceCluster_:
		return ratelimit.Fixed{Key: "source_cluster", Value: c.Service}, nil
	case *routev3.RateLimit_Action_RequestHeaders_:
		h := a.RequestHeaders
		return ratelimit.Field{Name: h.GetHeaderName(), Key: h.GetDescriptorKey(), Skip: h.GetSkipIfAbsent()}, nil
	case *routev3.RateLimit_Action_QueryParameters_:
		q := a.QueryParameters
		return ratelimit.Param{Name: q.GetQueryParameterName(), Key: q.GetDescriptorKey(), Skip: q.GetSkipIfAbsent()}, nil
	case *routev3.RateLimit_Action_RemoteAddress_:
		return ratelimit.Client{}, nil
	case *routev3.RateLimit_Action_MaskedRemoteAddress_:
		c := ratelimit.Client{Masked: true, V4: 32, V6: 128}
		if b := a.MaskedRemoteAddress.GetV4PrefixMaskLen(); b != nil {
			c.V4 = int(b.GetValue())
		}
		if b := a.MaskedRemoteAddress.GetV6PrefixMaskLen(); b != nil {
			c.V6 = int(b.GetValue())
		}
		return c, nil
	case *routev3.RateLimit_Action_GenericKey_:
		f := ratelimit.Fixed{Key: a.GenericKey.GetDescriptorKey(), Value: a.GenericKey.GetDescriptorValue()}
		if f.Key == "" {
			f.Key = "generic_key"
		}
		return f, nil
	case *routev3.RateLimit_Action_HeaderValueMatch_:
		return headerLimit(a.HeaderValueMatch)
	case *routev3.RateLimit_Action_QueryParameterValueMatch_:
		return paramLimit(a.QueryParameterValueMatch)
	case *routev3.RateLimit_Action_Metadata:
		d := a.Metadata
		if d.GetSource() != routev3.RateLimit_Action_MetaData_DYNAMIC {
			return nil, fieldcheck.Refuse("metadata.source", "is not supported, write DYNAMIC")
		}
		out := &ratelimit.Metadata{Key: d.GetDescriptorKey(), Namespace: d.GetMetadataKey().GetKey(), Default: d.GetDefaultValue(), Skip: d.GetSkipIfAbsent()}
		for _, s := range d.GetMetadataKey().GetPath() {
			out.Path = append(out.Path, s.GetKey())
		}
		return out, nil
	default:
		return nil, fieldcheck.Refuse("", "is of a kind that is not supported")
	}
}

func headerLimit(m *routev3.RateLimit_Action_HeaderValueMatch) (ratelimit.Action, error) {
	w := &ratelimit.When{Key: m.GetDescriptorKey(), Value: m.GetDescriptorValue(), Expect: m.GetExpectMatch() == nil || m.GetExpectMatch().GetValue()}
	if w.Key == "" {
		w.Key = "header_match"
	}
	var err error
	w.Headers, err = headerMatches(m.GetHeaders(), "header_value_match.headers")
	return w, err
}

func paramLimit(m *routev3.RateLimit_Action_QueryParameterValueMatch) (ratelimit.Action, error) {
	w := &ratelimit.When{Key: m.GetDescriptorKey(), Value: m.GetDescriptorValue(), Expect: m.GetExpectMatch() == nil || m.GetExpectMatch().GetValue()}
	if w.Key == "" {
		w.Key = "query_match"
	}
	var err error
	w.Query, err = queryMatches(m.GetQueryParameters(), "query_parameter_value_match.query_parameters")
	return w, err
}
