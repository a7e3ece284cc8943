package state

import (
	"maps"
	"slices"

	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// Waiting is a resource that is not in force yet, and what it waits for.
type Waiting struct {
	Name string
	For  []string
}

// Waiting lists what is not in force yet, by name: clusters, then listeners.
func (s *State) Waiting() []Waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Waiting
	for _, name := range slices.Sorted(maps.Keys(s.clusters)) {
		e := s.clusters[name]
		if e.pending == nil {
			continue
		}
		missing := s.missing(e.pending.Secrets)
		if eds := e.pending.EDS; eds.Name != "" && s.endpoints[eds] == nil {
			missing = append(missing, "endpoints "+eds.Name)
		}
		if e.probed != nil {
			missing = append(missing, "first health checks")
		}
		all = append(all, Waiting{"cluster " + name, missing})
	}
	for _, name := range slices.Sorted(maps.Keys(s.listeners)) {
		e := s.listeners[name]
		if e.pending == nil {
			continue
		}
		missing := s.missing(e.pending.Secrets)
		for _, m := range e.pending.Managers {
			missing = append(append(missing, s.missing(m.Secrets())...), m.Missing()...)
			for _, name := range m.Routes() {
				if set := s.hosts[name]; set != nil && !set.of.told {
					missing = append(missing, "virtual hosts of "+name.Name)
				}
			}
		}
		all = append(all, Waiting{"listener " + name, missing})
	}
	return all
}

// missing are the secrets that have not come.
func (s *State) missing(secrets []ads.Ref) (names []string) {
	for _, ref := range secrets {
		if !s.have([]ads.Ref{ref}) {
			names = append(names, "secret "+ref.Name)
		}
	}
	return names
}
