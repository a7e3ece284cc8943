package state

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/compile"
)

// hostSet are the virtual hosts that have been discovered for a route configuration,
// beside those that it has itself.
type hostSet struct {
	source string
	config *routev3.RouteConfiguration     // whose they are; it does not change
	by     map[string]*routev3.VirtualHost // by the name of the resource
	// patience is how long the first ones are waited for; 0 is for ever.
	patience time.Duration
	// settled is true when they have come, or have been waited for long enough.
	settled bool
	asked   map[string]*askedHost
}

// askedHost is a host that a request has asked for.
type askedHost struct {
	come    chan struct{} // closed when there is something new of it
	decided bool          // it is closed
}

func (a *askedHost) decide() {
	if !a.decided {
		a.decided = true
		close(a.come)
	}
}

// giveUp lets whoever waits go on.
func (h *hostSet) giveUp() {
	for _, a := range h.asked {
		a.decide()
	}
}

// hostsTime is how long the first virtual hosts are waited for where nothing is
// written.
const hostsTime = 15 * time.Second

// hostsFor are the further virtual hosts of a route configuration; nil where it has
// none.
func (s *State) hostsFor(name ads.Ref, m *routev3.RouteConfiguration) (*hostSet, error) {
	at := m.GetVhds().GetConfigSource()
	if at == nil {
		return nil, nil
	}
	next := &hostSet{by: map[string]*routev3.VirtualHost{}, asked: map[string]*askedHost{}, patience: hostsTime}
	if t := at.GetInitialFetchTimeout(); t != nil {
		next.patience = t.AsDuration()
	}
	if s.config.Locate != nil {
		var err error
		if next.source, err = s.config.Locate(at, ads.HostType); err != nil {
			return nil, fieldcheck.At("vhds.config_source", err)
		}
	}
	if before := s.hosts[name]; before != nil && before.source == next.source {
		return before, nil
	}
	return next, nil
}

// keepHosts notes what further virtual hosts a route configuration has.
func (s *State) keepHosts(name ads.Ref, set *hostSet) {
	before := s.hosts[name]
	if before == set {
		return
	}
	s.stale = true
	if before != nil {
		before.giveUp()
	}
	if set == nil {
		delete(s.hosts, name)
		return
	}
	s.hosts[name] = set
	s.settleLater(name, set)
}

// forgetHosts drops those of route configurations that nobody refers to any more;
// wanted is sorted.
func (s *State) forgetHosts(wanted []ads.Ref) {
	maps.DeleteFunc(s.hosts, func(name ads.Ref, set *hostSet) bool {
		if among(wanted, name) {
			return false
		}
		set.giveUp()
		return true
	})
}

// routesWith is a route configuration with its further virtual hosts, which may be nil.
func (s *State) routesWith(name ads.Ref, m *routev3.RouteConfiguration, set *hostSet) *compile.Routes {
	r := &compile.Routes{Config: m}
	if set != nil {
		r.Hosts = sortedHosts(set.by)
		r.Ask = func(host string) <-chan struct{} { return s.demandHost(name, host) }
	}
	return r
}

func sortedHosts(by map[string]*routev3.VirtualHost) []*routev3.VirtualHost {
	var all []*routev3.VirtualHost
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all = append(all, by[name])
	}
	return all
}

// updateHosts gives route configurations their virtual hosts: those of resources that
// are called after them. For each of them it takes all or nothing.
func (s *State) updateHosts(u ads.Update) error {
	tables := map[string][]ads.Ref{}
	for name, set := range s.hosts {
		if set.source == u.Source {
			tables[name.Name] = append(tables[name.Name], name)
		}
	}
	next := map[ads.Ref]map[string]*routev3.VirtualHost{}
	edit := func(resource string, m *routev3.VirtualHost) {
		for _, name := range tables[tableOf(resource)] {
			by := next[name]
			if by == nil {
				by = s.hosts[name].by
			}
			if proto.Equal(by[resource], m) {
				continue
			}
			if next[name] == nil {
				next[name] = maps.Clone(by)
			}
			if next[name][resource] = m; m == nil {
				delete(next[name], resource)
			}
		}
	}
	_, err := ads.Each(u, "virtual host", func(r ads.Resource, m *routev3.VirtualHost) error {
		if len(tables[tableOf(r.Name)]) == 0 {
			return nil // another's
		}
		if err := compile.Host(m); err != nil {
			return fmt.Errorf("virtual host %q: %w", r.Name, err)
		}
		edit(r.Name, m)
		return nil
	})
	failed := []error{err}
	for _, resource := range u.Removed {
		edit(resource, nil)
	}
	for _, names := range tables {
		for _, name := range names {
			failed = append(failed, s.setHosts(name, next[name]))
		}
	}
	err = errors.Join(failed...)
	for _, r := range u.Set {
		for _, resource := range append([]string{r.Name}, r.Aliases...) {
			s.decideHost(tables, resource, err == nil)
		}
	}
	for _, resource := range u.Removed {
		s.decideHost(tables, resource, false)
	}
	return errors.Join(err, s.warmListeners())
}

// tableOf is the name of the route configuration that a virtual host is for.
func tableOf(resource string) string { return resource[:max(0, strings.LastIndexByte(resource, '/'))] }

// setHosts puts the virtual hosts of a route configuration in force, nil for that they
// are as they were. They are known from then on, whatever they are.
func (s *State) setHosts(name ads.Ref, by map[string]*routev3.VirtualHost) error {
	set := s.hosts[name]
	if by == nil && set.settled {
		return nil
	}
	put := func(by map[string]*routev3.VirtualHost) error {
		routes := s.routesWith(name, set.config, set)
		routes.Hosts = sortedHosts(by)
		err := s.change(func(m *compile.Manager) bool { return m.Asks(name) }, func(m *compile.Manager) (func(), error) { return m.SetRoutes(name, routes) })
		if err != nil {
			return fmt.Errorf("route %q: %w", name.Name, err)
		}
		set.by, set.settled = by, true
		return nil
	}
	if by == nil {
		return put(set.by)
	}
	err := put(by)
	if err != nil && !set.settled {
		return errors.Join(err, put(set.by))
	}
	return err
}

// decideHost lets whoever waits for a host go on. One that there is stays asked for, so
// that its changes come; any other is asked for anew by the next request.
func (s *State) decideHost(tables map[string][]ads.Ref, resource string, there bool) {
	table := tableOf(resource)
	for _, name := range tables[table] {
		set, host := s.hosts[name], strings.TrimPrefix(resource[len(table):], "/")
		a := set.asked[host]
		if a == nil {
			continue
		}
		a.decide()
		if !there {
			delete(set.asked, host)
			s.stale = true
		}
	}
}

// demandHost asks for the virtual host of a request; nil when nothing new is to be
// expected of it, or too many have been asked for.
func (s *State) demandHost(name ads.Ref, host string) <-chan struct{} {
	host = strings.ToLower(host)
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.hosts[name]
	if set == nil || host == "" || strings.Contains(host, "/") {
		return nil
	}
	if a := set.asked[host]; a != nil {
		if a.decided {
			return nil
		}
		return a.come
	}
	if !s.mayDemand() {
		return nil
	}
	a := &askedHost{come: make(chan struct{})}
	set.asked[strings.Clone(host)] = a // it may lie in a connection's buffer
	s.askHosts()
	return a.come
}

// askHosts asks for all virtual hosts that sources have, and for those by name that
// requests have asked for.
func (s *State) askHosts() {
	var wanted []ads.Ref
	for name, set := range s.hosts {
		wanted = append(wanted, ads.Ref{Name: ads.Everything, Source: set.source})
		for host := range set.asked {
			wanted = append(wanted, ads.Ref{Name: name.Name + "/" + host, Source: set.source})
		}
	}
	s.ask(ads.HostType, set(wanted))
}

// settleLater lets a route configuration be used without virtual hosts of which nothing
// has been heard for too long: they may come on demand.
func (s *State) settleLater(name ads.Ref, set *hostSet) {
	if s.background == nil || set.settled || set.patience == 0 {
		return
	}
	ctx := s.background
	s.running.Go(func() {
		late := time.NewTimer(set.patience)
		defer late.Stop()
		select {
		case <-ctx.Done():
			return
		case <-late.C:
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.hosts[name] != set || set.settled {
			return
		}
		if err := errors.Join(s.setHosts(name, nil), s.warmListeners()); err != nil {
			s.config.Log.Error("routes not in force", "route", name.Name, "error", err)
		}
		s.settle()
	})
}

// merged is a route configuration as it is in force: with its further virtual hosts.
func (s *State) merged(name ads.Ref, r *raw) *anypb.Any {
	set := s.hosts[name]
	if set == nil || len(set.by) == 0 {
		return r.body
	}
	m := &routev3.RouteConfiguration{}
	if err := r.body.UnmarshalTo(m); err != nil {
		return r.body
	}
	m.VirtualHosts = append(m.VirtualHosts, sortedHosts(set.by)...)
	return staticRaw(proto.Message(m)).body
}
