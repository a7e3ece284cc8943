package translate

import (
	"fmt"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// routeInput is a VirtualService as one audience sees it on one port.
type routeInput struct {
	Audience
	Port           uint32
	VirtualService *mesh.VirtualService // may be nil
	Destinations   Destinations
}

// routeBuild is the work on one http rule.
type routeBuild struct {
	in   routeInput
	rule *networking.HTTPRoute
}

// httpRoutes translates http rules: one route per match entry, in the order
// in which they are written. What follows a route that takes everything could
// never match and is left out.
func httpRoutes(in routeInput) []*route.Route {
	if in.VirtualService == nil {
		return nil
	}
	var out []*route.Route
	for _, rule := range in.VirtualService.Spec.GetHttp() {
		b := routeBuild{in: in, rule: rule}
		matches := rule.Match
		if len(matches) == 0 {
			matches = []*networking.HTTPMatchRequest{nil}
		}
		for _, m := range matches {
			if !in.applies(m) {
				continue
			}
			r := b.route(m)
			out = append(out, r)
			if catchAll(r.Match) {
				return out
			}
		}
	}
	return out
}

// applies reports whether a match is for this audience and port at all.
func (in routeInput) applies(m *networking.HTTPMatchRequest) bool {
	if m == nil {
		return true
	}
	if m.Port != 0 && m.Port != in.Port {
		return false
	}
	return in.Audience.applies(m.Gateways, m.SourceLabels, m.SourceNamespace, in.VirtualService.Namespace)
}

// applies reports whether conditions on the source hold for the audience. A
// gateway without a namespace is in that of the VirtualService.
func (a Audience) applies(gateways []string, labels map[string]string, namespace, home string) bool {
	found := len(gateways) == 0
	for _, g := range gateways {
		if g != "mesh" && !strings.Contains(g, "/") {
			g = home + "/" + g
		}
		found = found || g == a.gatewayKey()
	}
	return found && hasLabels(a.Labels, labels) && (namespace == "" || namespace == a.Namespace)
}

// route translates one rule for one match (nil matches everything).
func (b routeBuild) route(m *networking.HTTPMatchRequest) *route.Route {
	vs := b.in.VirtualService
	r := &route.Route{
		Name:     b.rule.Name,
		Match:    routeMatch(m),
		Metadata: istioMetadata(map[string]*structpb.Value{"config": text(configPath("virtual-service", vs.Namespace, vs.Name))}),
	}
	if m.GetName() != "" {
		r.Name = strings.TrimPrefix(b.rule.Name+"."+m.Name, ".")
	}
	r.StatPrefix = m.GetStatPrefix()
	edit := headerEdit(b.rule.Headers)
	edit.onRoute(r)
	switch {
	case b.rule.Redirect != nil:
		r.Action = redirect(b.rule.Redirect, b.in.Port)
	case b.rule.DirectResponse != nil:
		r.Action = directResponse(b.rule.DirectResponse)
	default:
		b.forward(r, edit.host)
	}
	r.TypedPerFilterConfig = b.filterConfig()
	r.Decorator = &route.Decorator{Operation: b.operation(r)}
	return r
}

// filterConfig is what the rule asks of filters.
func (b routeBuild) filterConfig() map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	if f := fault(b.rule.Fault); f != nil {
		out[faultFilter] = packed(f)
	}
	if c := b.rule.CorsPolicy; c != nil {
		out[corsFilter] = packed(cors(c))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// forward writes the action of a rule with destinations.
func (b routeBuild) forward(r *route.Route, host string) {
	action := &route.RouteAction{}
	b.timeout(action, b.rule.Timeout)
	if host != "" {
		action.HostRewriteSpecifier = &route.RouteAction_HostRewriteLiteral{HostRewriteLiteral: host}
	}
	rewrite(action, b.rule.Rewrite)
	b.destinations(r, action)
	action.RetryPolicy = retryPolicy(b.in.Mesh, b.rule.Retries, len(action.HashPolicy) > 0)
	action.RequestMirrorPolicies = b.mirrors()
	if r.Action == nil {
		r.Action = &route.Route_Route{Route: action}
	}
}

// timeout limits the whole request, 0 meaning no limit; a gRPC client's own
// deadline counts only up to it.
func (b routeBuild) timeout(action *route.RouteAction, t *durationpb.Duration) {
	if t == nil {
		t = seconds(0)
	}
	action.Timeout = t
	action.MaxGrpcTimeout = t //nolint:staticcheck // its successor differs in what it measures
}

// destinations chooses the cluster, or several by weight. Header edits of a
// single destination go on the route, of several on the weights.
func (b routeBuild) destinations(r *route.Route, action *route.RouteAction) {
	dests := b.rule.Route
	if len(dests) == 1 {
		d := dests[0]
		action.ClusterSpecifier = &route.RouteAction_Cluster{Cluster: b.in.cluster(d.Destination)}
		edit := headerEdit(d.Headers)
		edit.onRoute(r)
		if edit.host != "" {
			action.HostRewriteSpecifier = &route.RouteAction_HostRewriteLiteral{HostRewriteLiteral: edit.host}
		}
		action.HashPolicy = b.in.hash(d.Destination)
		return
	}
	weighted := &route.WeightedCluster{}
	for _, d := range dests {
		if d.Weight == 0 {
			continue
		}
		w := &route.WeightedCluster_ClusterWeight{Name: b.in.cluster(d.Destination), Weight: u32(uint32(d.Weight))}
		headerEdit(d.Headers).onWeight(w)
		weighted.Clusters = append(weighted.Clusters, w)
		if action.HashPolicy == nil {
			action.HashPolicy = b.in.hash(d.Destination)
		}
	}
	if len(weighted.Clusters) == 0 {
		// Nowhere to go: say so rather than pick one that was given nothing.
		r.Action = &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{Status: 503}}
		return
	}
	action.ClusterSpecifier = &route.RouteAction_WeightedClusters{WeightedClusters: weighted}
}

// cluster is the name of the cluster for a destination.
func (in routeInput) cluster(d *networking.Destination) string {
	host, port := in.resolve(d)
	return OutboundName(port, d.GetSubset(), host)
}

// resolve finds a destination's host and port. Without a port it is the
// service's only one, else the port of the listener.
func (in routeInput) resolve(d *networking.Destination) (model.Host, uint32) {
	host := plainHost(d.GetHost())
	s := in.Destinations[host].Service
	if s != nil && s.Alias != "" {
		host = s.Alias
	}
	if n := d.GetPort().GetNumber(); n != 0 {
		return host, n
	}
	if s != nil && len(s.Ports) == 1 {
		return host, s.Ports[0].Number
	}
	return host, in.Port
}

// hash is how requests to a destination are hashed, if its rule wants that.
func (in routeInput) hash(d *networking.Destination) []*route.RouteAction_HashPolicy {
	_, port := in.resolve(d)
	return hashPolicy(in.Mesh, in.Destinations[plainHost(d.GetHost())].Rule, d.GetSubset(), port)
}

// operation names the route's spans: the destination if there is one, else
// the VirtualService, with the matched path.
func (b routeBuild) operation(r *route.Route) string {
	path := "/*"
	switch p := r.Match.PathSpecifier.(type) {
	case *route.RouteMatch_Prefix:
		path = p.Prefix + "*"
	case *route.RouteMatch_Path:
		path = p.Path
	case *route.RouteMatch_SafeRegex:
		path = p.SafeRegex.Regex
	}
	if len(b.rule.Route) == 1 && r.GetRoute().GetCluster() != "" {
		host, port := b.in.resolve(b.rule.Route[0].Destination)
		return fmt.Sprintf("%s:%d%s", host, port, path)
	}
	return fmt.Sprintf("%s:%d%s", b.in.VirtualService.Name, b.in.Port, path)
}

// rewrite changes path and authority on the way upstream.
func rewrite(action *route.RouteAction, w *networking.HTTPRewrite) {
	if w == nil {
		return
	}
	if re := w.UriRegexRewrite; re != nil {
		action.RegexRewrite = &matcher.RegexMatchAndSubstitute{Pattern: regex(re.Match), Substitution: re.Rewrite}
	} else {
		action.PrefixRewrite = w.Uri
	}
	if w.Authority != "" {
		action.HostRewriteSpecifier = &route.RouteAction_HostRewriteLiteral{HostRewriteLiteral: w.Authority}
	}
}

// directResponse answers without calling anyone.
func directResponse(d *networking.HTTPDirectResponse) *route.Route_DirectResponse {
	out := &route.DirectResponseAction{Status: d.Status}
	switch body := d.GetBody().GetSpecifier().(type) {
	case *networking.HTTPBody_String_:
		out.Body = &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: body.String_}}
	case *networking.HTTPBody_Bytes:
		out.Body = &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: body.Bytes}}
	}
	return &route.Route_DirectResponse{DirectResponse: out}
}
