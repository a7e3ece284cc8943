package state

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/socket/fromenvoy"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/compile"
)

// listenerEntry is one listener: the one in force, and the one that waits to
// replace it.
type listenerEntry struct {
	told
	pending *compile.Listener
	active  *compile.Listener
}

func (e *listenerEntry) versions() []*compile.Listener { return versions(e.active, e.pending) }

// managers are the connection managers of all listeners, those in force and those that
// wait.
func (s *State) managers() iter.Seq[*compile.Manager] {
	return func(yield func(*compile.Manager) bool) {
		for _, e := range s.listeners {
			for _, l := range e.versions() {
				for _, m := range l.Managers {
					if !yield(m) {
						return
					}
				}
			}
		}
	}
}

// change makes something of some managers, and only when all of them can serve it
// puts it in force.
func (s *State) change(of func(*compile.Manager) bool, do func(*compile.Manager) (put func(), err error)) error {
	var all []func()
	for m := range s.managers() {
		if !of(m) {
			continue
		}
		put, err := do(m)
		if err != nil {
			return err
		}
		all = append(all, put)
	}
	for _, put := range all {
		put()
	}
	return nil
}

func (s *State) updateListeners(u ads.Update) error {
	kept := map[string]bool{}
	whole, err := ads.Each(u, "listener", func(r ads.Resource, m *listenerv3.Listener) error {
		name := cmp.Or(r.Name, m.GetName())
		kept[name] = true
		return s.setListener(name, newRaw(r), m)
	})
	fewer := false
	for _, name := range gone(u, whole, s.listeners, kept) {
		if e := s.listeners[name]; e != nil && !e.raw.static {
			delete(s.listeners, name)
			fewer = true
		}
	}
	first := !s.serving
	s.serving = true
	failed := []error{err, s.warmListeners()}
	if fewer || first {
		failed = append(failed, s.applyListeners())
	}
	return errors.Join(failed...)
}

// named is a static listener with a name: one that has none is called by its address,
// which tells it from others.
func named(m *listenerv3.Listener) *listenerv3.Listener {
	if m.GetName() != "" {
		return m
	}
	m = proto.CloneOf(m)
	if at, err := fromenvoy.Address(m.GetAddress()); err == nil { // what is wrong is told when it is compiled
		m.Name = at.String()
	}
	return m
}

// setListener compiles a listener; warmListeners puts it in force.
func (s *State) setListener(name string, r *raw, m *listenerv3.Listener) error {
	e := s.listeners[name]
	if e != nil && s.settled(&e.told, r) {
		return nil
	}
	compiled, err := s.compiler.Listener(m)
	if err == nil && r.static { // what is discovered may come in any order
		err = compile.Missing(m, func(cluster string) bool { return s.clusters[cluster] != nil })
	}
	if err == nil {
		err = s.serveKnown(compiled)
	}
	if err != nil {
		if e != nil {
			e.refuse(r, err)
		}
		return fmt.Errorf("listener %q: %w", name, err)
	}
	if e == nil {
		e = &listenerEntry{told: told{kind: "listener", name: name}}
		s.listeners[name] = e
	}
	e.raw, e.problem, e.pending = r, nil, compiled
	s.fallBackLater(e)
	if r.static {
		return s.warmListeners()
	}
	return nil
}

// serveKnown gives a new listener's managers the routes, the scopes and the
// configuration of filters that are there already.
func (s *State) serveKnown(l *compile.Listener) error {
	for _, m := range l.Managers {
		if err := s.configureKnown(m); err != nil {
			return err
		}
		if err := s.scopeKnown(m); err != nil {
			return err
		}
		for _, name := range m.Routes() {
			rc, err := s.knownRoutes(name)
			if err != nil {
				return err
			}
			if rc == nil {
				continue
			}
			put, err := m.SetRoutes(name, rc)
			if err != nil {
				return fmt.Errorf("route %q: %w", name.Name, err)
			}
			put()
		}
	}
	return nil
}

// knownRoutes are the routes of a name, nil while they or their virtual hosts are not
// there.
func (s *State) knownRoutes(name ads.Ref) (*compile.Routes, error) {
	r, set := s.routes[name], s.hosts[name]
	if r == nil || set != nil && !set.of.told {
		return nil, nil
	}
	if set != nil {
		return s.routesWith(set.config, set), nil
	}
	rc := &routev3.RouteConfiguration{}
	if err := r.body.UnmarshalTo(rc); err != nil {
		return nil, err
	}
	return &compile.Routes{Config: rc}, nil
}

// warm reports whether a listener has all that it needs.
func (s *State) warm(l *compile.Listener) bool {
	for _, m := range l.Managers {
		if len(m.Missing()) > 0 || !s.have(m.Secrets()) {
			return false
		}
	}
	return s.have(l.Secrets)
}

// warmListeners puts in force the listeners that have become ready.
func (s *State) warmListeners() error {
	changed := false
	for _, e := range s.listeners {
		if e.pending != nil && s.warm(e.pending) {
			s.stale = s.stale || e.active != nil
			e.active, e.pending = e.pending, nil
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return s.applyListeners()
}

// applyListeners hands the listeners in force to whoever accepts connections.
// Those that did not change keep theirs.
func (s *State) applyListeners() error {
	if !s.serving {
		return nil
	}
	var configs []*listener.Config
	for _, name := range slices.Sorted(maps.Keys(s.listeners)) {
		if a := s.listeners[name].active; a != nil {
			configs = append(configs, &a.Config)
		}
	}
	var failed []error
	problems := s.config.Listeners.Update(configs)
	for _, name := range slices.Sorted(maps.Keys(problems)) {
		err := fmt.Errorf("listener %q: address: %w", name, problems[name])
		failed = append(failed, err)
		if e := s.listeners[name]; e != nil {
			e.refuse(e.raw, err)
		}
	}
	return errors.Join(failed...)
}

func (s *State) updateRoutes(u ads.Update) error {
	_, err := ads.Each(u, "route", func(r ads.Resource, m *routev3.RouteConfiguration) error {
		if err := s.setRoute(ads.Ref{Name: m.GetName(), Source: u.Source}, newRaw(r), m); err != nil {
			return fmt.Errorf("route %q: %w", m.GetName(), err)
		}
		return nil
	})
	// A route configuration that is gone stays in force as long as a listener
	// refers to it.
	return errors.Join(err, s.warmListeners())
}

// setRoute compiles a route configuration for every manager that asks for it,
// and only when all can serve it puts it in force: one atomic store each.
func (s *State) setRoute(name ads.Ref, r *raw, m *routev3.RouteConfiguration) error {
	if old := s.routes[name]; same(old, r) {
		old.version = r.version
		return nil
	}
	set, err := s.hostsFor(name, m)
	if err != nil {
		return err
	}
	known := s.routesWith(m, set)
	err = s.change(func(manager *compile.Manager) bool { return manager.Asks(name) }, func(manager *compile.Manager) (func(), error) {
		put, err := manager.SetRoutes(name, known)
		if set != nil && !set.of.told {
			put = func() {} // with its virtual hosts
		}
		return put, err
	})
	if err != nil {
		return err
	}
	s.keepHosts(name, set)
	s.routes[name] = r
	return nil
}
