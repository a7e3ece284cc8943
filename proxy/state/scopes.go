package state

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/compile"
)

// scopeSet are all scopes that a source has.
type scopeSet struct {
	version string
	updated time.Time
	by      map[string]*scopeEntry // by name
}

// scopeEntry is one scope; it does not change.
type scopeEntry struct {
	raw    *raw
	config *routev3.ScopedRouteConfiguration
}

// configs are the scopes by name, those last that are new: they are to blame when two
// do not go together.
func (s *scopeSet) configs(fresh map[string]bool) []*routev3.ScopedRouteConfiguration {
	var all, last []*routev3.ScopedRouteConfiguration
	for _, name := range slices.Sorted(maps.Keys(s.by)) {
		if fresh[name] {
			last = append(last, s.by[name].config)
		} else {
			all = append(all, s.by[name].config)
		}
	}
	return append(all, last...)
}

// updateScopes takes an update as a whole or not at all: a key may go over from one
// scope to another.
func (s *State) updateScopes(u ads.Update) error {
	next := &scopeSet{version: u.Version, updated: time.Now(), by: map[string]*scopeEntry{}}
	if before := s.scopes[u.Source]; before != nil {
		next.by = maps.Clone(before.by)
	}
	kept, fresh := map[string]bool{}, map[string]bool{}
	whole, err := ads.Each(u, "scope", func(r ads.Resource, m *routev3.ScopedRouteConfiguration) error {
		name := cmp.Or(r.Name, m.GetName())
		kept[name] = true
		entry := &scopeEntry{newRaw(r), m}
		if old := next.by[name]; old != nil && same(old.raw, entry.raw) {
			entry.config = old.config
		} else if err := compile.Scope(m); err != nil {
			return fmt.Errorf("scope %q: %w", name, err)
		} else {
			fresh[name] = true
		}
		next.by[name] = entry
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range gone(u, whole, next.by, kept) {
		delete(next.by, name)
	}
	configs := next.configs(fresh)
	err = s.change(func(m *compile.Manager) bool {
		return m.Scoping != nil && m.Scoping.Discovered && m.Scoping.Source == u.Source
	}, func(m *compile.Manager) (func(), error) { return m.SetScopes(configs, s.knownRoutes) })
	if err != nil {
		return err
	}
	s.scopes[u.Source] = next
	return s.warmListeners()
}

// scopeKnown gives a new manager the scopes that are there.
func (s *State) scopeKnown(m *compile.Manager) error {
	if m.Scoping == nil || !m.Scoping.Discovered || s.scopes[m.Scoping.Source] == nil {
		return nil
	}
	put, err := m.SetScopes(s.scopes[m.Scoping.Source].configs(nil), compile.Nothing)
	if err == nil {
		put()
	}
	return err
}

// ScopedRoutes are the scopes of a connection manager as the proxy was told them.
type ScopedRoutes struct {
	Name   string
	Static bool
	// Version and Updated are of the last change.
	Version string
	Updated time.Time
	Bodies  []*anypb.Any
}

// ScopedRoutes lists the scopes of connection managers, by the name of the list.
func (s *State) ScopedRoutes() []ScopedRoutes {
	s.mu.Lock()
	defer s.mu.Unlock()
	by := map[string]ScopedRoutes{}
	for _, e := range s.listeners {
		for _, l := range e.versions() {
			for _, m := range l.Managers {
				if m.Scoping == nil {
					continue
				}
				of := ScopedRoutes{Name: m.Scoping.Name, Static: !m.Scoping.Discovered, Updated: e.raw.updated}
				if set := s.scopes[m.Scoping.Source]; m.Scoping.Discovered && set != nil {
					of.Version, of.Updated = set.version, set.updated
				}
				byName := func(a, b *routev3.ScopedRouteConfiguration) int { return cmp.Compare(a.GetName(), b.GetName()) }
				for _, config := range slices.SortedFunc(slices.Values(m.Scopes()), byName) {
					of.Bodies = append(of.Bodies, staticRaw(config).body)
				}
				by[of.Name] = of
			}
		}
	}
	return slices.SortedFunc(maps.Values(by), func(a, b ScopedRoutes) int { return cmp.Compare(a.Name, b.Name) })
}
