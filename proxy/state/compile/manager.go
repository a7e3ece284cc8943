package compile

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/filter/entry"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// Manager is a compiled connection manager: the listener's state gives it route
// tables, and the configuration of filters that is discovered.
type Manager struct {
	// RDS is the name of its route configuration; empty when it has its own.
	RDS ads.Ref

	compiler *Compiler
	entry    *entry.Handler
	filters  *Filters                    // in force
	own      *routev3.RouteConfiguration // kept where the filters may change; nil otherwise
}

// Table compiles a route configuration for the manager. Whoever has checked
// that all managers can serve it puts it in force with SetTable.
func (m *Manager) Table(rc *routev3.RouteConfiguration) (*route.Table, error) {
	return m.compiler.Table(rc, m.filters)
}

// SetTable replaces the route table for the requests to come.
func (m *Manager) SetTable(t *route.Table) { m.entry.SetTable(t) }

// Current is the route table in force, nil before the first.
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
	if m.RDS.Name != "" && m.Current() == nil {
		names = append(names, "routes "+m.RDS.Name)
	}
	return names
}

// Configure compiles the manager with the configuration of a filter, nil for that
// there is none. routes are those in force if they have been discovered. Whoever has
// checked that all managers can serve it puts it in force.
func (m *Manager) Configure(filter ads.Ref, config *anypb.Any, routes *routev3.RouteConfiguration) (put func(), err error) {
	filters, err := m.compiler.configured(m.filters, filter, config)
	if err != nil {
		return nil, err
	}
	routing := entry.Routing{Table: filters.table}
	if routing.NotFound, err = filters.notFound(); err != nil {
		return nil, err
	}
	if m.own != nil {
		routes = m.own
	}
	if routes != nil {
		table, err := m.compiler.Table(routes, filters)
		if err != nil {
			return nil, err
		}
		routing.Table.Store(table)
	}
	return func() {
		m.filters = filters
		m.entry.SetRouting(routing)
	}, nil
}

// Unsettled reports whether it is not known yet what a filter is to do, for which
// there is something to do instead.
func (m *Manager) Unsettled(filter ads.Ref) bool {
	return slices.ContainsFunc(m.filters.discovered(), func(d *discovery) bool { return d.ref == filter && !d.settled && d.instead != nil })
}
