package control

import (
	"slices"
	"testing"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/control/source"
	"github.com/lateenmesh/lateen/model"
)

// asked lists the routes that listeners refer to.
func asked(t *testing.T, ls []*listener.Listener) []string {
	t.Helper()
	var names []string
	for _, l := range ls {
		chains := l.FilterChains
		if l.DefaultFilterChain != nil {
			chains = append(chains, l.DefaultFilterChain)
		}
		for _, c := range chains {
			for _, f := range c.Filters {
				m := &hcm.HttpConnectionManager{}
				if f.GetTypedConfig().UnmarshalTo(m) == nil && m.GetRds() != nil {
					names = append(names, m.GetRds().RouteConfigName)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func service(name, address string, ports ...model.Port) *model.Service {
	return &model.Service{
		Host: model.Host(name + ".shop.svc.cluster.local"), Name: name, Namespace: "shop", Kubernetes: true, Addresses: []string{address}, Ports: ports,
	}
}

// Every route that a listener asks for is there, and no other; every HTTP
// service has a virtual host in it.
func TestRoutesAreThere(t *testing.T) {
	reviews := service("reviews", "10.0.0.1", model.Port{Name: "http", Number: 9080, Protocol: model.HTTP})
	ratings := service("ratings", "10.0.0.2", model.Port{Name: "http", Number: 9080, Protocol: model.HTTP})
	redis := service("redis", "10.0.0.3", model.Port{Name: "tcp", Number: 6379, Protocol: model.TCP})
	guess := service("guess", "10.0.0.4", model.Port{Name: "x", Number: 7000})
	all := []*model.Service{reviews, ratings, redis, guess}
	vs := &mesh.VirtualService{Meta: mesh.Meta{Name: "reviews", Namespace: "shop"}, Hosts: []model.Host{reviews.Host, "stranger.example.com"}, Gateways: []string{"mesh"},
		Spec: &networking.VirtualService{Http: []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{
			Destination: &networking.Destination{Host: string(ratings.Host)}}}}}}}
	in := mesh.OutboundInput{
		Mesh: source.DefaultMesh(), Client: mesh.Client{Type: mesh.Sidecar, Namespace: "shop", Istio: true, HTTPProxyPort: 15080},
		Hosts: []*mesh.VirtualService{vs},
		Lookup: mesh.Lookup{
			Service: func(h model.Host) *model.Service {
				for _, s := range all {
					if s.Host == h {
						return s
					}
				}
				return nil
			},
			Rule: func(model.Host) *mesh.DestinationRule { return nil },
		},
	}
	for _, s := range all {
		r := mesh.Routed{Service: s}
		if s == reviews {
			r.VirtualService = vs
		}
		in.Services = append(in.Services, r)
	}
	x := translation()
	routes := map[string][]string{}
	var names []string
	for _, r := range x.OutboundRoutes(in) {
		names = append(names, r.Name)
		for _, h := range r.VirtualHosts {
			routes[r.Name] = append(routes[r.Name], h.Name)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, asked(t, x.OutboundListeners(in))); diff != "" {
		t.Errorf("routes that are there, and that listeners ask for (-there +asked):\n%s", diff)
	}
	for route, hosts := range map[string][]string{
		"9080":                              {"reviews.shop.svc.cluster.local:9080", "ratings.shop.svc.cluster.local:9080"},
		"guess.shop.svc.cluster.local:7000": {"guess.shop.svc.cluster.local:7000"},
		"http_proxy":                        {"reviews.shop.svc.cluster.local:9080", "guess.shop.svc.cluster.local:7000", "stranger.example.com:80"},
	} {
		for _, h := range hosts {
			if !slices.Contains(routes[route], h) {
				t.Errorf("route %s has %v, want %s in it", route, routes[route], h)
			}
		}
	}
}
