package state

import (
	"slices"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// mostDemanded bounds the clusters and virtual hosts that requests may ask for: their names may come
// from requests.
const mostDemanded = 10_000

// demand asks a source for a cluster that a request goes to; nil when too many have
// been asked for, or when the name means all of them.
func (s *State) demand(source, name string) *cluster.Handle {
	if name == ads.Everything {
		s.config.Log.Debug("cluster not asked for: the name means all clusters", "cluster", name)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, asked := slices.BinarySearch(s.demanded[source], name)
	if asked {
		return s.reference(name, false)
	}
	if !s.mayDemand() {
		return nil
	}
	h := s.reference(name, false)
	s.demanded[source] = slices.Insert(s.demanded[source], at, h.Name()) // name may lie in a connection's buffer
	s.config.Want(source, ads.ClusterType, s.demanded[source])
	return h
}

// mayDemand reports whether one more cluster or virtual host may be asked for.
func (s *State) mayDemand() bool {
	all := 0
	for _, names := range s.demanded {
		all += len(names)
	}
	for _, set := range s.hosts {
		all += len(set.asked)
	}
	if all >= mostDemanded && !s.full {
		s.config.Log.Warn("requests ask for too many clusters and virtual hosts, others are not asked for", "most", mostDemanded)
		s.full = true
	}
	return all < mostDemanded
}

// refused lets whoever waits for clusters know that a source does not have them. The
// next request asks again.
func (s *State) refused(source string, names []string) {
	gone := map[string]bool{}
	for _, name := range names {
		gone[name] = true
	}
	var decided []string
	s.demanded[source] = slices.DeleteFunc(s.demanded[source], func(name string) bool {
		if gone[name] {
			decided = append(decided, name)
		}
		return gone[name]
	})
	if len(decided) == 0 {
		return
	}
	for _, name := range decided {
		h := s.reference(name, false)
		s.release(h)
		h.Decide()
	}
	s.config.Want(source, ads.ClusterType, s.demanded[source])
}

// release forgets the reference to a cluster that only requests have named, which
// nobody asks for any more and which is not there.
func (s *State) release(h *cluster.Handle) {
	for _, names := range s.demanded {
		if _, asked := slices.BinarySearch(names, h.Name()); asked {
			return
		}
	}
	s.handlesMu.Lock()
	defer s.handlesMu.Unlock()
	if s.passing[h.Name()] && h.Load() == nil {
		delete(s.handles, h.Name())
		delete(s.passing, h.Name())
	}
}
