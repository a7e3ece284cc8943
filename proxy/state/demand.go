package state

import (
	"slices"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// mostDemanded bounds the clusters, and the virtual hosts, that requests may ask for:
// their names may come from requests.
const mostDemanded = 10_000

// demands are the names that requests have asked sources for, of one type.
type demands struct {
	most    int                 // that there may be of them
	by      map[string][]string // by source, sorted
	total   int
	cleared time.Time // when room was made last
	warned  bool
}

func newDemands() demands { return demands{most: mostDemanded, by: map[string][]string{}} }

// has reports whether a source is asked for a name.
func (d *demands) has(source, name string) bool {
	_, asked := slices.BinarySearch(d.by[source], name)
	return asked
}

// add has a source asked for a name, which must not lie in a connection's buffer.
func (d *demands) add(source, name string) {
	if at, asked := slices.BinarySearch(d.by[source], name); !asked {
		d.by[source] = slices.Insert(d.by[source], at, name)
		d.total++
	}
}

// drop has a source not asked for names any more, and gives those that it was asked
// for.
func (d *demands) drop(source string, names ...string) (dropped []string) {
	for _, name := range names {
		if at, asked := slices.BinarySearch(d.by[source], name); asked {
			d.by[source] = slices.Delete(d.by[source], at, at+1)
			dropped = append(dropped, name)
			d.total--
		}
	}
	return dropped
}

// room reports whether one more may be asked for. When there are too many it calls
// clear, at most once a second, to drop those that nothing has been heard of.
func (s *State) room(d *demands, what string, clear func()) bool {
	if d.total < d.most {
		return true
	}
	if now := time.Now(); now.Sub(d.cleared) >= time.Second {
		d.cleared = now
		clear()
	}
	if d.total >= d.most && !d.warned {
		s.config.Log.Warn("requests ask for too many "+what+", others are not asked for", "most", d.most)
		d.warned = true
	}
	return d.total < d.most
}

// demand asks a source for a cluster that a request goes to; nil when too many have
// been asked for, or when the name means all of them.
func (s *State) demand(source, name string) *cluster.Handle {
	if name == ads.Everything {
		s.config.Log.Debug("cluster not asked for: the name means all clusters", "cluster", name)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.demanded.has(source, name) {
		return s.reference(name, false)
	}
	if !s.room(&s.demanded, "clusters", s.dropUnheard) {
		return nil
	}
	h := s.reference(name, false)
	s.demanded.add(source, h.Name())
	s.config.Want(source, ads.ClusterType, s.demanded.by[source])
	return h
}

// dropUnheard gives up the clusters that requests have asked for and that are not
// there.
func (s *State) dropUnheard() {
	for source, names := range s.demanded.by {
		s.refused(source, slices.DeleteFunc(slices.Clone(names), func(name string) bool { return s.Cluster(name) != nil }))
	}
}

// refused lets whoever waits for clusters know that a source does not have them. The
// next request asks again.
func (s *State) refused(source string, names []string) {
	decided := s.demanded.drop(source, names...)
	if len(decided) == 0 {
		return
	}
	for _, name := range decided {
		h := s.reference(name, false)
		s.release(h)
		h.Decide()
	}
	s.config.Want(source, ads.ClusterType, s.demanded.by[source])
}

// release forgets the reference to a cluster that only requests have named, which
// nobody asks for any more and which is not there.
func (s *State) release(h *cluster.Handle) {
	for source := range s.demanded.by {
		if s.demanded.has(source, h.Name()) {
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
