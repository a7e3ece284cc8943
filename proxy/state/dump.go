package state

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/credential"
)

// Resource is one resource as the proxy was told it, for people and tools.
type Resource struct {
	Name    string
	Version string // empty for static ones
	Updated time.Time
	Static  bool
	// Warming is true while it waits for something it needs.
	Warming bool
	// Problem is why the last version was refused; nil when it was not.
	Problem *Problem
	// Body is the message; nil for secrets.
	Body *anypb.Any
}

// Resources lists what the proxy has of a type, by name.
func (s *State) Resources(typeURL string) []Resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Resource
	switch typeURL {
	case ads.ClusterType:
		for _, name := range slices.Sorted(maps.Keys(s.clusters)) {
			e := s.clusters[name]
			out = append(out, resource(name, e.raw, e.pending != nil, e.problem))
		}
	case ads.ListenerType:
		for _, name := range slices.Sorted(maps.Keys(s.listeners)) {
			e := s.listeners[name]
			out = append(out, resource(name, e.raw, e.pending != nil, e.problem))
		}
	case ads.EndpointType:
		out = raws(s.endpoints)
	case ads.RouteType:
		for _, ref := range slices.SortedFunc(maps.Keys(s.routes), ads.Ref.Compare) {
			r := resource(ref.Name, s.routes[ref], false, nil)
			r.Body = s.merged(ref, s.routes[ref])
			out = append(out, r)
		}
	case ads.ExtensionType:
		out = raws(s.extensions)
	case ads.SecretType:
		out = raws(s.bodies)
	}
	return out
}

func raws(have map[ads.Ref]*raw) []Resource {
	var out []Resource
	for _, ref := range slices.SortedFunc(maps.Keys(have), ads.Ref.Compare) {
		out = append(out, resource(ref.Name, have[ref], false, nil))
	}
	return out
}

func resource(name string, r *raw, warming bool, p *Problem) Resource {
	return Resource{Name: name, Version: r.version, Updated: r.updated, Static: r.static, Warming: warming, Problem: p, Body: r.body}
}

// Clusters lists the clusters in force, by name.
func (s *State) Clusters() []*cluster.Cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*cluster.Cluster
	for _, name := range slices.Sorted(maps.Keys(s.clusters)) {
		if live := s.clusters[name].live; live != nil {
			out = append(out, live)
		}
	}
	return out
}

// Listeners lists the listeners in force, by name.
func (s *State) Listeners() []*listener.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*listener.Config
	for _, name := range slices.Sorted(maps.Keys(s.listeners)) {
		if a := s.listeners[name].active; a != nil {
			out = append(out, &a.Config)
		}
	}
	return out
}

// Certificates calls f with each secret and when it was last set, in no order.
func (s *State) Certificates(f func(name string, m *credential.Material, updated time.Time)) {
	s.secrets.Each(func(r ads.Ref, m *credential.Material, updated time.Time) { f(r.Name, m, updated) })
}
