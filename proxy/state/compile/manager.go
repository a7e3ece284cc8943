package compile

import (
	"cmp"
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
// gives as put is put in force by whoever has checked that all managers can serve it.
type Manager struct {
	// Scoping is how requests find their scope; nil where there is one table for all.
	Scoping *Scoping

	compiler *Compiler
	entry    *entry.Handler
	filters  *Filters                    // in force
	rds      ads.Ref                     // its route configuration; empty when it has its own or scopes
	own      *routev3.RouteConfiguration // kept where the filters may change; nil otherwise
	scopes   *scopes                     // in force; nil before the first
	hosts    map[ads.Ref]*hosts          // by route configuration
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
	before := &hosts{}
	if r.Ask != nil {
		if m.hosts == nil {
			m.hosts = map[ads.Ref]*hosts{}
		}
		before = cmp.Or(m.hosts[name], before)
		m.hosts[name] = before
	} else {
		delete(m.hosts, name)
	}
	table, err := m.compiler.discovered(r, m.filters, before)
	if err != nil {
		return nil, err
	}
	at := m.filters.table
	if m.scopes != nil {
		at = m.scopes.named[name]
	}
	return func() { at.Store(table) }, nil
}

// table compiles what is known of a route configuration, nil for nothing.
func (m *Manager) table(name ads.Ref, filters *Filters, known Known) (*route.Table, error) {
	r, err := known(name)
	if r == nil || err != nil {
		return nil, err
	}
	table, err := m.compiler.discovered(r, filters, &hosts{})
	if err != nil {
		err = fmt.Errorf("route %q: %w", name.Name, err)
	}
	return table, err
}

// Current is the route table in force for all requests, nil before the first.
func (m *Manager) Current() *route.Table { return m.entry.Table() }

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
	if m.rds.Name != "" && m.Current() == nil {
		names = append(names, "routes "+m.rds.Name)
	}
	if m.Scoping != nil && m.scopes == nil {
		names = append(names, "scopes of "+m.Scoping.Name)
	}
	for _, ref := range m.scopes.refs() {
		if m.scopes.named[ref].Load() == nil {
			names = append(names, "routes "+ref.Name)
		}
	}
	return names
}

// Configure compiles the manager with the configuration of a filter, nil for that
// there is none.
func (m *Manager) Configure(filter ads.Ref, config *anypb.Any, known Known) (put func(), err error) {
	filters, err := m.compiler.configured(m.filters, filter, config)
	if err != nil {
		return nil, err
	}
	routing := entry.Routing{Table: filters.table}
	if routing.NotFound, err = filters.notFound(); err != nil {
		return nil, err
	}
	var next *scopes
	if m.scopes != nil {
		if next, err = m.compile(m.scopes.configs, filters, nil, known); err != nil {
			return nil, err
		}
		filters.table.SetScopes(next.tables)
	}
	if m.own != nil {
		table, err := m.compiler.Table(m.own, filters)
		if err != nil {
			return nil, fmt.Errorf("route %q: %w", m.own.GetName(), err)
		}
		filters.table.Store(table)
	}
	if m.rds.Name != "" {
		table, err := m.table(m.rds, filters, known)
		if err != nil {
			return nil, err
		}
		filters.table.Store(table)
	}
	return func() {
		m.filters, m.scopes = filters, next
		m.entry.SetRouting(routing)
	}, nil
}

// Unsettled reports whether it is not known yet what a filter is to do, for which
// there is something to do instead.
func (m *Manager) Unsettled(filter ads.Ref) bool {
	return slices.ContainsFunc(m.filters.discovered(), func(d *discovery) bool { return d.ref == filter && !d.settled && d.instead != nil })
}
