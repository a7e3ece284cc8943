package compile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// Scoping is how a manager's requests find their scope, and where the scopes come
// from.
type Scoping struct {
	Name string
	// Discovered is true when the scopes come from Source.
	Discovered bool
	Source     string

	key    []route.KeyPart
	routes *ads.Ref // whose source has the route configurations that scopes name; nil when that is not told
}

// scopes are those of a manager. It is not changed once it is in force, except that
// tables come.
type scopes struct {
	configs []*routev3.ScopedRouteConfiguration
	tables  *route.Scopes
	named   map[ads.Ref]*slot
	own     map[*routev3.ScopedRouteConfiguration]*route.Current // of those that have their routes themselves
}

// refs are the route configurations that scopes name, in order.
func (s *scopes) refs() []ads.Ref {
	if s == nil {
		return nil
	}
	return slices.SortedFunc(maps.Keys(s.named), ads.Ref.Compare)
}

// inForce are the routes of a name that scopes serve, nil for none.
func (s *scopes) inForce(name ads.Ref) (*Routes, error) { return s.named[name].routes, nil }

// Scopes are the manager's, by their configurations.
func (m *Manager) Scopes() []*routev3.ScopedRouteConfiguration {
	if m.scopes == nil {
		return nil
	}
	return m.scopes.configs
}

// SetScopes compiles the manager's scopes: all that there are. One whose
// configuration is the same message as before keeps its table.
func (m *Manager) SetScopes(all []*routev3.ScopedRouteConfiguration, known Known) (put func(), err error) {
	next, err := m.compile(all, m.filters, m.scopes, known)
	if err != nil {
		return nil, err
	}
	return func() {
		m.scopes = next
		m.filters.table.SetScopes(next.tables)
	}, nil
}

// compile makes tables for scopes, of before as far as they can stay.
func (m *Manager) compile(all []*routev3.ScopedRouteConfiguration, filters *Filters, before *scopes, known Known) (*scopes, error) {
	if before == nil {
		before = &scopes{}
	}
	next := &scopes{
		configs: all, tables: &route.Scopes{Key: m.Scoping.key, Tables: make(map[string]*route.Current, len(all))},
		named: map[ads.Ref]*slot{}, own: map[*routev3.ScopedRouteConfiguration]*route.Current{},
	}
	claimed := map[string]string{}
	for _, config := range all {
		key := scopeKey(config)
		if other, taken := claimed[key]; taken {
			return nil, fmt.Errorf("scope %q: key: belongs to scope %q, too", config.GetName(), other)
		}
		claimed[key] = config.GetName()
		at, err := m.scope(config, filters, before, next, known)
		if err != nil {
			return nil, fmt.Errorf("scope %q: %w", config.GetName(), err)
		}
		next.tables.Tables[key] = at
	}
	return next, nil
}

// scope is where the table of a scope is.
func (m *Manager) scope(config *routev3.ScopedRouteConfiguration, filters *Filters, before, next *scopes, known Known) (*route.Current, error) {
	if own := config.GetRouteConfiguration(); own != nil {
		at := before.own[config]
		if at == nil {
			table, err := m.compiler.Table(own, filters)
			if err != nil {
				return nil, fieldcheck.At("route_configuration", err)
			}
			at = &route.Current{}
			at.Store(table)
		}
		next.own[config] = at
		return at, nil
	}
	if m.Scoping.routes == nil {
		return nil, fieldcheck.Refuse("route_configuration_name", "names routes, and scoped_routes has no rds_config_source")
	}
	ref := ads.Ref{Name: config.GetRouteConfigurationName(), Source: m.Scoping.routes.Source}
	named := cmp.Or(next.named[ref], before.named[ref])
	if named == nil {
		named = &slot{at: &route.Current{}}
		r, err := known(ref)
		if err == nil {
			err = named.fill(m.compiler, r, filters)
		}
		if err != nil {
			return nil, err
		}
	}
	next.named[ref] = named
	return named.at, nil
}

func scopeKey(config *routev3.ScopedRouteConfiguration) string {
	var parts []string
	for _, f := range config.GetKey().GetFragments() {
		parts = append(parts, f.GetStringKey())
	}
	return route.ScopeKey(parts)
}

// Host checks the configuration of a virtual host as far as that is possible without
// knowing whose it is.
func Host(m *routev3.VirtualHost) error { return Fields.Check(m) }

// Scope checks the configuration of a scope as far as that is possible without
// knowing who has it.
func Scope(m *routev3.ScopedRouteConfiguration) error {
	if err := Fields.Check(m); err != nil {
		return err
	}
	if named := m.GetRouteConfigurationName() != ""; named == (m.GetRouteConfiguration() != nil) {
		return fieldcheck.Refuse("", "write either route_configuration_name or route_configuration")
	}
	return nil
}

// scoped compiles how a manager finds its scopes, and those that it has itself.
func (c *Compiler) scoped(manager *Manager, m *hcmv3.ScopedRoutes) error {
	s := &Scoping{Name: m.GetName()}
	manager.Scoping = s
	for i, f := range m.GetScopeKeyBuilder().GetFragments() {
		part, err := keyPart(f.GetHeaderValueExtractor())
		if err != nil {
			return fieldcheck.At(fmt.Sprintf("scope_key_builder.fragments[%d].header_value_extractor", i), err)
		}
		s.key = append(s.key, part)
	}
	if from := m.GetRdsConfigSource(); from != nil {
		ref, err := c.locate(from, ads.RouteType, "")
		if err != nil {
			return fieldcheck.At("rds_config_source", err)
		}
		s.routes = &ref
	}
	if from := m.GetScopedRds(); from != nil {
		ref, err := c.locate(from.GetScopedRdsConfigSource(), ads.ScopeType, "")
		s.Discovered, s.Source = true, ref.Source
		return fieldcheck.At("scoped_rds.scoped_rds_config_source", err)
	}
	list := m.GetScopedRouteConfigurationsList().GetScopedRouteConfigurations()
	for i, each := range list {
		if err := Scope(each); err != nil {
			return fieldcheck.At(fmt.Sprintf("scoped_route_configurations_list.scoped_route_configurations[%d]", i), err)
		}
	}
	put, err := manager.SetScopes(list, Nothing)
	if err != nil {
		return fieldcheck.At("scoped_route_configurations_list", err)
	}
	put()
	return nil
}

func keyPart(m *hcmv3.ScopedRoutes_ScopeKeyBuilder_FragmentBuilder_HeaderValueExtractor) (route.KeyPart, error) {
	part := route.KeyPart{Name: m.GetName(), Separator: m.GetElementSeparator(), Index: int(m.GetIndex())}
	if e := m.GetElement(); e != nil {
		part.By = &route.Keyed{Key: e.GetKey(), Separator: e.GetSeparator()}
	} else if part.Index > 0 && part.Separator == "" {
		return part, fieldcheck.Refuse("index", "%d of a field without an element_separator", part.Index)
	}
	return part, nil
}
