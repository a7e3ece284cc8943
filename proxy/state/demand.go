package state

import (
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// mostDemanded bounds the clusters that requests may ask for: their names may come
// from requests.
const mostDemanded = 10_000

// demand asks a source for a cluster that a request goes to; nil when too many have
// been asked for.
func (s *State) demand(source, name string) *cluster.Handle {
	name = strings.Clone(name) // it may lie in a connection's buffer
	h := s.handle(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	ref := ads.Ref{Name: name, Source: source}
	if s.demanded[ref] {
		return h
	}
	if len(s.demanded) >= mostDemanded || name == ads.Everything {
		s.config.Log.Warn("cluster not asked for: too many have been", "cluster", name)
		return nil
	}
	s.demanded[ref] = true
	s.askDemanded(source)
	return h
}

// askDemanded tells a source which clusters are wanted of it by name. The caller holds
// mu.
func (s *State) askDemanded(source string) {
	var names []string
	for each := range s.demanded {
		if each.Source == source {
			names = append(names, each.Name)
		}
	}
	slices.Sort(names)
	s.config.Want(source, ads.ClusterType, names)
}

// refused lets whoever waits for clusters know that a source does not have them. The
// next request asks again.
func (s *State) refused(source string, names []string) {
	some := false
	for _, name := range names {
		if ref := (ads.Ref{Name: name, Source: source}); s.demanded[ref] {
			delete(s.demanded, ref)
			s.handle(name).Decide()
			some = true
		}
	}
	if some {
		s.askDemanded(source)
	}
}
