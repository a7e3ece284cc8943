package compile

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// defaultTimeout is Envoy's when a route says nothing.
const defaultTimeout = 15 * time.Second

func (c *Compiler) forward(a *routev3.RouteAction, in around, match route.Match) (*route.Forward, error) {
	vh := in.host
	f := &route.Forward{
		Timeout:             defaultTimeout,
		AttemptCount:        vh.GetIncludeRequestAttemptCount(),
		AttemptCountInReply: vh.GetIncludeAttemptCountInResponse(),
		HostRewrite:         a.GetHostRewriteLiteral(),
		HostHeader:          strings.ToLower(a.GetHostRewriteHeader()),
		HostFromEndpoint:    a.GetAutoHostRewrite().GetValue(),
		AppendForwardedFor:  a.GetAppendXForwardedHost(),
		PrefixRewrite:       a.GetPrefixRewrite(),
		MatchedPrefix:       match.Value,
		High:                a.GetPriority() == corev3.RoutingPriority_HIGH,
		NotFound:            503,
	}
	if a.GetClusterNotFoundResponseCode() == routev3.RouteAction_NOT_FOUND {
		f.NotFound = 404
	} else if a.GetClusterNotFoundResponseCode() == routev3.RouteAction_INTERNAL_SERVER_ERROR {
		f.NotFound = 500
	}
	if a.GetTimeout() != nil {
		f.Timeout = a.GetTimeout().AsDuration()
	}
	if f.Duration = duration(a.GetMaxStreamDuration()); f.Duration != nil {
		f.Timeout = 0 // Envoy knows one or the other
	} else {
		f.GRPCTimeout = grpcTimeout(a)
	}
	f.Labels = labels(a.GetMetadataMatch())
	for i, u := range a.GetUpgradeConfigs() {
		if m := u.GetConnectConfig(); m != nil && strings.EqualFold(u.GetUpgradeType(), stream.Connect) {
			if err := tunnelEnd(f, m); err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("upgrade_configs[%d].connect_config", i), err)
			}
		}
	}
	if f.PrefixRewrite != "" && !match.Measured() {
		f.RegexRewrite, f.Substitution, f.PrefixRewrite = wholePath, literal(f.PrefixRewrite), ""
	}
	for _, step := range []func(*route.Forward, *routev3.RouteAction) error{c.targets, rewrite, hashing, redirects} {
		if err := step(f, a); err != nil {
			return nil, err
		}
	}
	var err error
	if f.Mirrors, err = c.mirrors(mirrorsOf(a, in.host, in.table)); err != nil {
		return nil, err
	}
	if m := a.GetPathRewritePolicy(); m != nil {
		if err := templateRewrite(f, &match, m); err != nil {
			return nil, fieldcheck.At("path_rewrite_policy", err)
		}
	}
	policy := a.GetRetryPolicy()
	if policy == nil {
		policy = vh.GetRetryPolicy()
	}
	if f.Retry, err = retry(policy); err != nil {
		return nil, fieldcheck.At("retry_policy", err)
	}
	return f, fieldcheck.At("hedge_policy", hedge(f, cmp.Or(a.GetHedgePolicy(), vh.GetHedgePolicy())))
}

func duration(m *routev3.RouteAction_MaxStreamDuration) *route.Duration {
	if m == nil {
		return nil
	}
	return &route.Duration{
		Max: m.GetMaxStreamDuration().AsDuration(), Set: m.GetMaxStreamDuration() != nil,
		GRPC: m.GetGrpcTimeoutHeaderMax() != nil, GRPCMax: m.GetGrpcTimeoutHeaderMax().AsDuration(), Offset: m.GetGrpcTimeoutHeaderOffset().AsDuration(),
	}
}

//nolint:staticcheck // Istio writes the deprecated form
func grpcTimeout(a *routev3.RouteAction) *route.GRPCTimeout {
	if m := a.GetMaxGrpcTimeout(); m != nil {
		return &route.GRPCTimeout{Max: m.AsDuration(), Offset: a.GetGrpcTimeoutOffset().AsDuration()}
	}
	return nil
}

func (c *Compiler) targets(f *route.Forward, a *routev3.RouteAction) error {
	switch t := a.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		f.Clusters = []route.Weighted{{Cluster: c.Handle(t.Cluster), Weight: 1}}
	case *routev3.RouteAction_ClusterHeader:
		f.ClusterHeader = t.ClusterHeader
		f.Lookup = c.Lookup
	case *routev3.RouteAction_WeightedClusters:
		for i, w := range t.WeightedClusters.GetClusters() {
			m, err := c.mutations(w)
			if err != nil {
				return fieldcheck.At(fmt.Sprintf("weighted_clusters.clusters[%d]", i), err)
			}
			key := ""
			if prefix := t.WeightedClusters.GetRuntimeKeyPrefix(); prefix != "" {
				key = prefix + "." + w.GetName()
			}
			f.Clusters = append(f.Clusters, route.Weighted{
				Cluster: c.Handle(w.GetName()), Weight: w.GetWeight().GetValue(), Key: c.Runtime.Key(key), Mutations: m, HostRewrite: w.GetHostRewriteLiteral(), Labels: labels(w.GetMetadataMatch()),
			})
		}
		if total(f.Clusters) == 0 {
			return fieldcheck.Refuse("weighted_clusters.clusters", "have no weight: one at least must be greater than 0")
		}
	default:
		return fieldcheck.Refuse("", "names no cluster: write cluster, weighted_clusters or cluster_header")
	}
	return nil
}

func total(clusters []route.Weighted) (weight uint64) {
	for i := range clusters {
		weight += uint64(clusters[i].Weight)
	}
	return weight
}

func (c *Compiler) mirrors(list []*routev3.RouteAction_RequestMirrorPolicy) ([]route.Mirror, error) {
	var out []route.Mirror
	for i, m := range list {
		share := runtime.All
		if r := m.GetRuntimeFraction(); r != nil {
			share = c.share(r)
		}
		to := route.Mirror{Share: share, KeepHost: m.GetDisableShadowHostSuffixAppend()}
		switch name, header := m.GetCluster(), m.GetClusterHeader(); {
		case (name == "") == (header == ""):
			return nil, fieldcheck.Refuse(fmt.Sprintf("request_mirror_policies[%d]", i), "has to name one of cluster and cluster_header")
		case header != "":
			to.ClusterHeader, to.Lookup = header, c.Lookup
		default:
			to.Cluster = c.Handle(name)
		}
		out = append(out, to)
	}
	return out, nil
}

// wholePath is what a rewrite of the prefix replaces where the match has none.
var wholePath = regexp.MustCompile(`(?s)^.*$`)

// literal is a replacement that stands for itself.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

func rewrite(f *route.Forward, a *routev3.RouteAction) error {
	rewrites := 0
	for _, set := range []bool{a.GetPrefixRewrite() != "", a.GetRegexRewrite() != nil, a.GetPathRewritePolicy() != nil} {
		if set {
			rewrites++
		}
	}
	if rewrites > 1 {
		return fieldcheck.Refuse("", "rewrites the path twice: write one of prefix_rewrite, regex_rewrite and path_rewrite_policy")
	}
	var err error
	if m := a.GetHostRewritePathRegex(); m != nil {
		if f.HostPattern, f.HostSubstitution, err = substitute(m); err != nil {
			return fieldcheck.At("host_rewrite_path_regex", err)
		}
	}
	if a.GetRegexRewrite() == nil {
		return nil
	}
	f.RegexRewrite, f.Substitution, err = substitute(a.GetRegexRewrite())
	return fieldcheck.At("regex_rewrite", err)
}

// substitute compiles a pattern and its replacement; \1 becomes ${1}.
func substitute(m *matcherv3.RegexMatchAndSubstitute) (*regexp.Regexp, string, error) {
	re, err := regexp.Compile(m.GetPattern().GetRegex())
	if err != nil {
		return nil, "", fieldcheck.Refuse("pattern.regex", "%v", err)
	}
	var out strings.Builder
	for s := m.GetSubstitution(); s != ""; {
		switch {
		case s[0] == '\\' && len(s) > 1 && s[1] >= '0' && s[1] <= '9':
			out.WriteString("${" + s[1:2] + "}")
			s = s[2:]
		case s[0] == '\\' && len(s) > 1:
			out.WriteByte(s[1])
			s = s[2:]
		case s[0] == '$':
			out.WriteString("$$")
			s = s[1:]
		default:
			out.WriteByte(s[0])
			s = s[1:]
		}
	}
	return re, out.String(), nil
}

func hashing(f *route.Forward, a *routev3.RouteAction) error {
	for i, h := range a.GetHashPolicy() {
		p := route.HashPolicy{Terminal: h.GetTerminal()}
		switch s := h.GetPolicySpecifier().(type) {
		case *routev3.RouteAction_HashPolicy_Header_:
			p.Header = s.Header.GetHeaderName()
			if m := s.Header.GetRegexRewrite(); m != nil {
				var err error
				if p.Pattern, p.Substitution, err = substitute(m); err != nil {
					return fieldcheck.At(fmt.Sprintf("hash_policy[%d].header.regex_rewrite", i), err)
				}
			}
		case *routev3.RouteAction_HashPolicy_QueryParameter_:
			p.Query = s.QueryParameter.GetName()
		case *routev3.RouteAction_HashPolicy_ConnectionProperties_:
			p.SourceIP = s.ConnectionProperties.GetSourceIp()
		case *routev3.RouteAction_HashPolicy_Cookie_:
			p.Cookie, p.CookiePath = s.Cookie.GetName(), s.Cookie.GetPath()
			if s.Cookie.GetTtl() != nil {
				ttl := s.Cookie.GetTtl().AsDuration()
				p.CookieTTL = &ttl
			}
			for _, a := range s.Cookie.GetAttributes() {
				p.Attributes = append(p.Attributes, stream.Field{Name: a.GetName(), Value: a.GetValue()})
			}
		default:
			return fieldcheck.Refuse(fmt.Sprintf("hash_policy[%d]", i), "is of a kind that is not supported")
		}
		f.Hash = append(f.Hash, p)
	}
	return nil
}

func redirect(m *routev3.RedirectAction, match route.Match) (*route.Redirect, error) {
	r := &route.Redirect{
		Scheme: m.GetSchemeRedirect(), Host: m.GetHostRedirect(), Port: m.GetPortRedirect(),
		Path: m.GetPathRedirect(), Prefix: m.GetPrefixRewrite(), MatchedPrefix: match.Value, StripQuery: m.GetStripQuery(),
	}
	if m.GetHttpsRedirect() {
		r.Scheme = "https"
	}
	if r.Prefix != "" && !match.Measured() {
		r.Regex, r.Substitution, r.Prefix = wholePath, literal(r.Prefix), ""
	}
	r.Status = map[routev3.RedirectAction_RedirectResponseCode]int{
		routev3.RedirectAction_MOVED_PERMANENTLY: 301, routev3.RedirectAction_FOUND: 302, routev3.RedirectAction_SEE_OTHER: 303,
		routev3.RedirectAction_TEMPORARY_REDIRECT: 307, routev3.RedirectAction_PERMANENT_REDIRECT: 308,
	}[m.GetResponseCode()]
	if m.GetRegexRewrite() != nil {
		var err error
		if r.Regex, r.Substitution, err = substitute(m.GetRegexRewrite()); err != nil {
			return nil, fieldcheck.At("regex_rewrite", err)
		}
	}
	return r, nil
}
