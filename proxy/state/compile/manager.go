package compile

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/filter/entry"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// Manager is a compiled connection manager: the listener's state gives it route
// tables, scopes, and the configuration of filters that is discovered. What a method
// gives as put is put in force by whoever has checked that all managers can serve it;
// the method itself changes nothing.
type Manager struct {
	// Scoping is how requests find their scope; nil where there is one table for all.
	Scoping *Scoping

	compiler *Compiler
	entry    *entry.Handler
	filters  *Filters // in force
	rds      ads.Ref  // its route configuration; empty when it has its own or scopes
	main     *slot    // the table where there is one for all
	scopes   *scopes  // in force; nil before the first
}

// slot is where a route table is, and what is in force there.
type slot struct {
	at *route.Current
	// routes are what the table was made of. They are only kept where the filters may
	// change, as are hosts where more of them come one by one.
	routes *Routes
	hosts  hosts
}

// set compiles routes for the slot.
func (s *slot) set(c *Compiler, r *Routes, filters *Filters) (put func(), err error) {
	table, compiled, err := c.table(r, filters, s.hosts)
	if err != nil {
		return nil, err
	}
	return func() {
		s.routes, s.hosts = nil, hosts{}
		if len(filters.discovered()) > 0 {
			s.routes = r
		}
		if r.Ask != nil {
			s.hosts = compiled
		}
		s.at.Store(table)
	}, nil
}

// fill puts routes into a slot that nobody uses yet; nil leaves it empty.
func (s *slot) fill(c *Compiler, r *Routes, filters *Filters) error {
	if r == nil {
		return nil
	}
	put, err := s.set(c, r, filters)
	if err != nil {
		return fmt.Errorf("route %q: %w", r.Config.GetName(), err)
	}
	put()
	return nil
}

// Routes is a route configuration that has been discovered.
type Routes struct {
	Config *routev3.RouteConfiguration
	// Hosts are further virtual hosts, which have been discovered by themselves, in
	// the order of their names.
	Hosts []*routev3.VirtualHost
	// Ask asks for more of them, as [route.Table] has it; nil where there are no more.
	Ask func(host string) <-chan struct{}
}

// Known gives a route configuration that has been discovered, nil while there is none.
type Known func(ads.Ref) (*Routes, error)

// Nothing is a [Known] for routes that are given later.
func Nothing(ads.Ref) (*Routes, error) { return nil, nil }

// Routes are the route configurations that the manager asks for.
func (m *Manager) Routes() []ads.Ref {
	if m.rds.Name != "" {
		return []ads.Ref{m.rds}
	}
	return m.scopes.refs()
}

// Asks reports whether a route configuration is among them.
func (m *Manager) Asks(name ads.Ref) bool {
	return m.rds.Name != "" && m.rds == name || m.scopes != nil && m.scopes.named[name] != nil
}

// SetRoutes compiles a route configuration that the manager asks for.
func (m *Manager) SetRoutes(name ads.Ref, r *Routes) (put func(), err error) {
	at := m.main
	if m.scopes != nil {
		at = m.scopes.named[name]
	}
	return at.set(m.compiler, r, m.filters)
}

// serve puts the manager's own route configuration in force.
func (m *Manager) serve(own *routev3.RouteConfiguration) error {
	if err := inPlace(own); err != nil {
		return err
	}
	put, err := m.main.set(m.compiler, &Routes{Config: own}, m.filters)
	if err == nil {
		put()
	}
	return err
}

// Current is where the tables in force are.
func (m *Manager) Current() *route.Current { return m.main.at }

// Extensions are the filters whose configuration is discovered.
func (m *Manager) Extensions() []ads.Ref {
	var names []ads.Ref
	for _, d := range m.filters.discovered() {
		names = append(names, d.ref)
	}
	return names
}

// Discovers reports whether the configuration of a filter is discovered.
func (m *Manager) Discovers(filter ads.Ref) bool {
	return slices.ContainsFunc(m.filters.discovered(), func(d *discovery) bool { return d.ref == filter })
}

// Secrets are those that discovered filters use.
func (m *Manager) Secrets() []ads.Ref {
	var names []ads.Ref
	for _, d := range m.filters.discovered() {
		names = append(names, d.secrets...)
	}
	return names
}

// Missing names what the manager waits for, empty when it can serve.
func (m *Manager) Missing() []string {
	var names []string
	for _, d := range m.filters.discovered() {
		if !d.settled {
			names = append(names, "filter configuration "+d.ref.Name)
		}
	}
	if m.rds.Name != "" && m.main.at.Load() == nil {
		names = append(names, "routes "+m.rds.Name)
	}
	if m.Scoping != nil && m.scopes == nil {
		names = append(names, "scopes of "+m.Scoping.Name)
	}
	for _, ref := range m.scopes.refs() {
		if m.scopes.named[ref].at.Load() == nil {
			names = append(names, "routes "+ref.Name)
		}
	}
	return names
}

// Configure compiles the manager, with the routes that are in force, with the
// configurations of filters; nil is for that there is none.
func (m *Manager) Configure(configs map[ads.Ref]*anypb.Any) (put func(), err error) {
	filters, err := m.compiler.configured(m.filters, configs)
	if err != nil {
		return nil, err
	}
	routing, err := filters.routing()
	if err != nil {
		return nil, err
	}
	main := &slot{at: filters.table}
	if err := main.fill(m.compiler, m.main.routes, filters); err != nil {
		return nil, err
	}
	var next *scopes
	if m.scopes != nil {
		if next, err = m.compile(m.scopes.configs, filters, nil, m.scopes.inForce); err != nil {
			return nil, err
		}
		filters.table.SetScopes(next.tables)
	}
	return func() {
		before := m.filters.table
		m.filters, m.main, m.scopes = filters, main, next
		m.entry.SetRouting(routing)
		before.Replace()
	}, nil
}

// Unsettled reports whether it is not known yet what a filter is to do.
func (m *Manager) Unsettled(filter ads.Ref) bool {
	return slices.ContainsFunc(m.filters.discovered(), func(d *discovery) bool { return d.ref == filter && !d.settled })
}
