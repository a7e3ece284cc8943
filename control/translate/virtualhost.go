package translate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// maxDirectBody is the size of the longest direct response, in bytes.
const maxDirectBody = 1 << 20

// VirtualHost is a host's part of a route: what its VirtualService says, or
// one route to the service. It is nil when there is neither.
func VirtualHost(in HostInput) *route.VirtualHost {
	host := in.Host
	if in.Service != nil {
		host = in.Service.Host
	}
	routes := httpRoutes(routeInput{Audience: in.Audience, Port: in.Port, VirtualService: in.VirtualService, Destinations: in.Destinations})
	if len(routes) == 0 && in.Service == nil {
		return nil
	}
	if len(routes) == 0 {
		routes = []*route.Route{defaultRoute(in)}
	}
	return &route.VirtualHost{
		Name:                       fmt.Sprintf("%s:%d", host, in.Port),
		Domains:                    domains(in, host),
		Routes:                     routes,
		IncludeRequestAttemptCount: true,
	}
}

// defaultRoute sends everything to the service itself.
func defaultRoute(in HostInput) *route.Route {
	b := routeBuild{in: routeInput{Audience: in.Audience, Port: in.Port, Destinations: in.Destinations}}
	d := Destination{Service: in.Service}
	if known, ok := in.Destinations[in.Service.Host]; ok {
		d = known
	}
	cluster := OutboundName(in.Port, "", in.Service.Host)
	if in.Service.Alias != "" {
		cluster = OutboundName(in.Port, "", in.Service.Alias)
	}
	action := &route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: cluster}}
	b.timeout(action, nil)
	action.HashPolicy = hashPolicy(b.in.Mesh, d.Rule, "", in.Port)
	action.RetryPolicy = retryPolicy(in.Mesh, nil, len(action.HashPolicy) > 0)
	return &route.Route{
		Name:      "default",
		Match:     &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
		Action:    &route.Route_Route{Route: action},
		Decorator: &route.Decorator{Operation: fmt.Sprintf("%s:%d/*", in.Service.Host, in.Port)},
	}
}

// domains are the names under which clients call the host.
func domains(in HostInput, host model.Host) []string {
	if in.Service != nil && in.Route == SniffedRoute(host, in.Port) {
		return []string{"*"}
	}
	names := serviceNames(in, host)
	if in.Route != HTTPProxyRoute {
		return names
	}
	// Calls to any port meet in one route: the port tells them apart, and a
	// name without one means port 80.
	var out []string
	if in.Port == 80 {
		out = append(out, names...)
	}
	for _, n := range names {
		if n != "*" {
			out = append(out, fmt.Sprintf("%s:%d", n, in.Port))
		}
	}
	return out
}

// serviceNames are the host, the shorter names that resolvers complete from
// the client's namespace, and the virtual addresses.
func serviceNames(in HostInput, host model.Host) []string {
	out := []string{string(host)}
	s := in.Service
	if s == nil {
		return out
	}
	if s.Kubernetes {
		out = append(out, string(host)+".", s.Name+"."+s.Namespace+".svc", s.Name+"."+s.Namespace)
		if s.Namespace == in.Namespace {
			out = append(out, s.Name)
		}
		if s.Headless() {
			for _, n := range slices.Clone(out) {
				out = append(out, "*."+n)
			}
		}
	}
	for _, a := range s.Addresses {
		if ip, err := netip.ParseAddr(a); err == nil {
			if ip.Is6() {
				a = "[" + a + "]"
			}
			out = append(out, a)
		}
	}
	return out
}

// OutboundRoute assembles a sidecar's route. Of several hosts with one domain
// the first keeps it. Calls to other hosts pass or are refused, as the mesh's
// settings say.
func OutboundRoute(a Audience, name string, hosts []*route.VirtualHost) *route.RouteConfiguration {
	out := &route.RouteConfiguration{
		Name:                           name,
		ValidateClusters:               yes(false),
		MaxDirectResponseBodySizeBytes: u32(maxDirectBody),
		IgnorePortInHostMatching:       name != HTTPProxyRoute,
	}
	out.VirtualHosts = distinct(append(slices.Clone(hosts), fallbackHost(a)))
	return out
}

// distinct gives every domain to the first host that claims it, and sorts the
// hosts by name. The hosts themselves are not changed.
func distinct(hosts []*route.VirtualHost) []*route.VirtualHost {
	taken, names := map[string]bool{}, map[string]bool{}
	var out []*route.VirtualHost
	for _, h := range hosts {
		if h == nil || names[h.Name] {
			continue
		}
		var free []string
		for _, d := range h.Domains {
			if key := strings.ToLower(d); !taken[key] {
				taken[key] = true
				free = append(free, d)
			}
		}
		if len(free) == 0 {
			continue
		}
		names[h.Name] = true
		if len(free) != len(h.Domains) {
			h = &route.VirtualHost{Name: h.Name, Domains: free, Routes: h.Routes, RequireTls: h.RequireTls,
				IncludeRequestAttemptCount: h.IncludeRequestAttemptCount}
		}
		out = append(out, h)
	}
	slices.SortStableFunc(out, func(a, b *route.VirtualHost) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// fallbackHost takes the calls that no other host takes.
func fallbackHost(a Audience) *route.VirtualHost {
	host := &route.VirtualHost{Name: "allow_any", Domains: []string{"*"}, IncludeRequestAttemptCount: true}
	r := &route.Route{Name: "allow_any", Match: &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}}
	if registryOnly(a.Mesh) {
		host.Name, r.Name = "block_all", "block_all"
		r.Action = &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{Status: 502}}
	} else {
		r.Action = &route.Route_Route{Route: &route.RouteAction{
			ClusterSpecifier: &route.RouteAction_Cluster{Cluster: Passthrough},
			Timeout:          seconds(0), MaxGrpcTimeout: seconds(0), //nolint:staticcheck // see timeout
		}}
	}
	host.Routes = []*route.Route{r}
	return host
}

// registryOnly reports whether calls to hosts outside the registry are
// refused.
func registryOnly(m *mesh.Config) bool {
	p := m.GetOutboundTrafficPolicy()
	return p != nil && p.Mode == meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY
}

// DestinationHosts lists the hosts that a VirtualService sends to, sorted: the
// keys that its Destinations should hold.
func DestinationHosts(vs *mesh.VirtualService) []model.Host {
	var hosts []string
	add := func(d *networking.Destination) {
		if d != nil {
			hosts = append(hosts, string(plainHost(d.Host)))
		}
	}
	for _, h := range vs.Spec.GetHttp() {
		for _, r := range h.Route {
			add(r.Destination)
		}
		add(h.Mirror)
		for _, m := range h.Mirrors {
			add(m.Destination)
		}
	}
	for _, t := range vs.Spec.GetTls() {
		for _, r := range t.Route {
			add(r.Destination)
		}
	}
	for _, t := range vs.Spec.GetTcp() {
		for _, r := range t.Route {
			add(r.Destination)
		}
	}
	var out []model.Host
	for _, h := range sorted(hosts) {
		out = append(out, model.Host(h))
	}
	return out
}
