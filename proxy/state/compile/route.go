package compile

import (
	"fmt"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Table compiles a route configuration for a connection manager with these
// filters: the chain of filters is part of each route.
func (c *Compiler) Table(m *routev3.RouteConfiguration, filters *Filters) (*route.Table, error) {
	if err := inPlace(m); err != nil {
		return nil, err
	}
	table, _, err := c.table(&Routes{Config: m}, filters, hosts{})
	return table, err
}

// inPlace refuses a route configuration that is written in place and has virtual hosts
// elsewhere.
func inPlace(m *routev3.RouteConfiguration) error {
	if m.GetVhds() != nil {
		return fieldcheck.Refuse("vhds", "is only possible for routes that are discovered themselves: write rds")
	}
	return nil
}

// hosts are virtual hosts that have been compiled.
type hosts struct {
	// config and filters are what they have been compiled with.
	config  *routev3.RouteConfiguration
	filters *Filters
	by      map[*routev3.VirtualHost]*route.VirtualHost
}

// table compiles a route configuration and its further virtual hosts, except those that
// have been compiled before. It gives them for the next time.
func (c *Compiler) table(r *Routes, filters *Filters, before hosts) (*route.Table, hosts, error) {
	m := r.Config
	if before.config != m || before.filters != filters {
		if err := Fields.Check(m); err != nil {
			return nil, hosts{}, err
		}
		before = hosts{}
	}
	config := route.Config{Name: m.GetName(), IgnorePort: m.GetIgnorePortInHostMatching(), IgnoreParameters: m.GetIgnorePathParametersInPathMatching(), SpecificLast: m.GetMostSpecificHeaderMutationsWins(), Ask: r.Ask}
	var err error
	if config.Mutations, err = c.mutations(m); err != nil {
		return nil, hosts{}, err
	}
	outer, err := c.overrides(m.GetTypedPerFilterConfig(), nil)
	if err != nil {
		return nil, hosts{}, err
	}
	after := hosts{m, filters, make(map[*routev3.VirtualHost]*route.VirtualHost, len(m.GetVirtualHosts())+len(r.Hosts))}
	add := func(vh *routev3.VirtualHost) (err error) {
		host := before.by[vh]
		if host == nil {
			host, err = c.virtualHost(around{m, vh}, filters, outer)
		}
		after.by[vh], config.Hosts = host, append(config.Hosts, host)
		return err
	}
	for i, vh := range m.GetVirtualHosts() {
		if err := add(vh); err != nil {
			return nil, hosts{}, fieldcheck.At(fmt.Sprintf("virtual_hosts[%d]", i), fieldcheck.At(strconv.Quote(vh.GetName()), err))
		}
	}
	for _, vh := range r.Hosts {
		if err := add(vh); err != nil {
			return nil, hosts{}, fmt.Errorf("virtual host %q: %w", vh.GetName(), err)
		}
	}
	table, err := route.New(config)
	return table, after, err
}

// maxDirectBody is how long the body of a direct response may be; 0 is without end.
func maxDirectBody(m *routev3.RouteConfiguration) int {
	if n := m.GetMaxDirectResponseBodySizeBytes(); n != nil {
		return int(n.GetValue())
	}
	return 4096
}

// around is what encloses a route.
type around struct {
	table *routev3.RouteConfiguration
	host  *routev3.VirtualHost
}

func (c *Compiler) virtualHost(in around, filters *Filters, outer overrides) (*route.VirtualHost, error) {
	m, maxBody := in.host, maxDirectBody(in.table)
	host := &route.VirtualHost{
		Name: m.GetName(), Domains: m.GetDomains(), AttemptCount: m.GetIncludeRequestAttemptCount(),
		RequireTLS: tlsNeeds[m.GetRequireTls()], Metadata: told(m.GetMetadata()),
	}
	var err error
	if host.Mutations, err = c.mutations(m); err != nil {
		return host, err
	}
	if outer, err = c.overrides(m.GetTypedPerFilterConfig(), outer); err != nil {
		return host, err
	}
	for i, r := range m.GetRoutes() {
		if err := bodyWithin(r.GetDirectResponse(), maxBody); err != nil {
			return host, fieldcheck.At(fmt.Sprintf("routes[%d].direct_response.body", i), err)
		}
		compiled, err := c.route(r, in, filters, outer)
		if err != nil {
			return host, fieldcheck.At(fmt.Sprintf("routes[%d]", i), err)
		}
		host.Routes = append(host.Routes, compiled)
	}
	return host, nil
}

var tlsNeeds = map[routev3.VirtualHost_TlsRequirementType]route.TLSNeed{
	routev3.VirtualHost_EXTERNAL_ONLY: route.ExternalTLS, routev3.VirtualHost_ALL: route.AllTLS,
}

// bodyWithin checks how long the body of a direct response is.
func bodyWithin(m *routev3.DirectResponseAction, limit int) error {
	if m == nil || limit == 0 {
		return nil
	}
	body, err := text(m.GetBody())
	if err == nil && len(body) > limit {
		err = fieldcheck.Refuse("", "has %d bytes and %d are allowed: set max_direct_response_body_size_bytes of the route configuration", len(body), limit)
	}
	return err
}

func (c *Compiler) route(m *routev3.Route, in around, filters *Filters, outer overrides) (*route.Route, error) {
	out := &route.Route{Name: m.GetName(), Operation: m.GetDecorator().GetOperation(), Metadata: told(m.GetMetadata())}
	out.OwnOperation = m.GetDecorator().GetPropagate() != nil && !m.GetDecorator().GetPropagate().GetValue()
	var err error
	if out.Tracing, err = c.routeTracing(m.GetTracing()); err != nil {
		return nil, fieldcheck.At("tracing", err)
	}
	if out.Match, err = c.match(m.GetMatch()); err != nil {
		return nil, fieldcheck.At("match", err)
	}
	if out.Mutations, err = c.mutations(m); err != nil {
		return nil, err
	}
	inner, err := c.overrides(m.GetTypedPerFilterConfig(), outer)
	if err != nil {
		return nil, err
	}
	last, on, err := c.action(m, in, filters, out.Match)
	if err != nil {
		return nil, err
	}
	if on.limits.host, err = c.limitRules(in.host.GetRateLimits(), "rate_limits"); err != nil {
		return nil, err
	}
	if on.forward != nil {
		out.Duration = on.forward.Duration
	}
	a := m.GetRoute()
	on.cors = corsBeside(a, in.host)
	if d := a.GetIdleTimeout(); d != nil {
		idle := d.AsDuration()
		out.Idle = &idle
	}
	if on.limits.route, err = c.limitRules(a.GetRateLimits(), "route.rate_limits"); err != nil {
		return nil, err
	}
	on.limits.both = a.GetIncludeVhRateLimits().GetValue() //nolint:staticcheck // still written
	if on.forward != nil && len(on.forward.Clusters) == 1 {
		out.Cluster = on.forward.Clusters[0].Cluster
	}
	for _, u := range a.GetUpgradeConfigs() {
		if out.Upgrades == nil {
			out.Upgrades = map[string]bool{}
		}
		out.Upgrades[strings.ToLower(u.GetUpgradeType())] = u.GetEnabled() == nil || u.GetEnabled().GetValue()
	}
	out.Handler, out.Behind, err = filters.chain(out.Mutating(last), inner, on)
	return out, err
}

// action is what answers behind the filters.
func (c *Compiler) action(m *routev3.Route, in around, filters *Filters, match route.Match) (stream.Handler, *spot, error) {
	switch a := m.GetAction().(type) {
	case *routev3.Route_Route:
		f, err := c.forward(a.Route, in, match)
		if err != nil {
			return nil, nil, fieldcheck.At("route", err)
		}
		if f.Redirects != nil {
			f.Redirects.Table = filters.table
		}
		return filters.router(*f), &spot{forward: f}, nil
	case *routev3.Route_Redirect:
		r, err := redirect(a.Redirect, match)
		if err != nil {
			return nil, nil, fieldcheck.At("redirect", err)
		}
		r.Refuses = filters.rewrites
		return route.RedirectHandler(*r), &spot{}, nil
	case *routev3.Route_DirectResponse:
		body, err := text(a.DirectResponse.GetBody())
		if err != nil {
			return nil, nil, fieldcheck.At("direct_response.body", err)
		}
		return route.DirectHandler(route.Direct{Status: int(a.DirectResponse.GetStatus()), Body: body, Refuses: filters.rewrites}), &spot{}, nil
	default:
		return nil, nil, fieldcheck.Refuse("", "has no action: write route, redirect or direct_response")
	}
}
