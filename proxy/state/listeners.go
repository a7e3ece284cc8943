package state

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/compile"
)

// listenerEntry is one listener: the one in force, and the one that waits to
// replace it.
type listenerEntry struct {
	name    string
	raw     *raw
	problem *Problem
	pending *compile.Listener
	active  *compile.Listener
}

func (e *listenerEntry) versions() []*compile.Listener {
	var all []*compile.Listener
	if e.active != nil {
		all = append(all, e.active)
	}
	if e.pending != nil {
		all = append(all, e.pending)
	}
	return all
}

func routeNames(l *compile.Listener) []ads.Ref {
	var names []ads.Ref
	for _, m := range l.Managers {
		if m.RDS.Name != "" {
			names = append(names, m.RDS)
		}
	}
	return names
}

func (s *State) updateListeners(u ads.Update) error {
	var failed []error
	kept := map[string]bool{}
	for _, r := range u.Set {
		m := &listenerv3.Listener{}
		if err := r.Body.UnmarshalTo(m); err != nil {
			failed = append(failed, fmt.Errorf("listener %q: %w", r.Name, err))
			continue
		}
		name := r.Name
		if name == "" {
			name = m.GetName()
		}
		kept[name] = true
		failed = append(failed, s.setListener(name, newRaw(r), m))
	}
	gone := false
	remove := func(name string) {
		if e := s.listeners[name]; e != nil && !e.raw.static {
			delete(s.listeners, name)
			gone = true
		}
	}
	for _, name := range u.Removed {
		remove(name)
	}
	if u.Full {
		for name := range s.listeners {
			if !kept[name] {
				remove(name)
			}
		}
	}
	first := !s.serving
	s.serving = true
	failed = append(failed, s.warmListeners())
	if gone || first {
		failed = append(failed, s.applyListeners())
	}
	return errors.Join(failed...)
}

// setListener compiles a listener; warmListeners puts it in force.
func (s *State) setListener(name string, r *raw, m *listenerv3.Listener) error {
	e := s.listeners[name]
	if e != nil && same(e.raw, r) {
		e.raw.version, e.problem = r.version, nil
		return nil
	}
	if e != nil && e.raw.static && !r.static {
		return fmt.Errorf("listener %q: is in the bootstrap, which wins", name)
	}
	compiled, err := s.compiler.Listener(m)
	if err == nil {
		err = s.serveKnown(compiled)
	}
	if err != nil {
		if e != nil {
			e.problem = &Problem{r.version, err.Error(), time.Now()}
		}
		return fmt.Errorf("listener %q: %w", name, err)
	}
	if e == nil {
		e = &listenerEntry{name: name}
		s.listeners[name] = e
	}
	e.raw, e.problem, e.pending = r, nil, compiled
	if r.static {
		return s.warmListeners()
	}
	return nil
}

// serveKnown gives a new listener's managers the routes that are there already.
func (s *State) serveKnown(l *compile.Listener) error {
	for _, m := range l.Managers {
		r := s.routes[m.RDS]
		if m.RDS.Name == "" || r == nil {
			continue
		}
		rc := &routev3.RouteConfiguration{}
		if err := r.body.UnmarshalTo(rc); err != nil {
			return err
		}
		table, err := m.Table(rc)
		if err != nil {
			return fmt.Errorf("route %q: %w", m.RDS.Name, err)
		}
		m.Entry.SetTable(table)
	}
	return nil
}

// warm reports whether a listener has all that it needs.
func (s *State) warm(l *compile.Listener) bool {
	for _, m := range l.Managers {
		if m.RDS.Name != "" && m.Entry.Table() == nil {
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
			e.problem = &Problem{e.raw.version, err.Error(), time.Now()}
		}
	}
	return errors.Join(failed...)
}

func (s *State) updateRoutes(u ads.Update) error {
	var failed []error
	for _, r := range u.Set {
		m := &routev3.RouteConfiguration{}
		if err := r.Body.UnmarshalTo(m); err != nil {
			failed = append(failed, fmt.Errorf("route %q: %w", r.Name, err))
			continue
		}
		if err := s.setRoute(ads.Ref{Name: m.GetName(), Source: u.Source}, newRaw(r), m); err != nil {
			failed = append(failed, fmt.Errorf("route %q: %w", m.GetName(), err))
		}
	}
	// A route configuration that is gone stays in force as long as a listener
	// refers to it.
	failed = append(failed, s.warmListeners())
	return errors.Join(failed...)
}

// setRoute compiles a route configuration for every manager that asks for it,
// and only when all can serve it puts it in force: one atomic store each.
func (s *State) setRoute(name ads.Ref, r *raw, m *routev3.RouteConfiguration) error {
	if old := s.routes[name]; same(old, r) {
		old.version = r.version
		return nil
	}
	type ready struct {
		manager *compile.Manager
		table   *route.Table
	}
	var all []ready
	for _, e := range s.listeners {
		for _, l := range e.versions() {
			for _, manager := range l.Managers {
				if manager.RDS != name {
					continue
				}
				table, err := manager.Table(m)
				if err != nil {
					return err
				}
				all = append(all, ready{manager, table})
			}
		}
	}
	for _, each := range all {
		each.manager.Entry.SetTable(each.table)
	}
	s.routes[name] = r
	return nil
}
