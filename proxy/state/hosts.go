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

// hostTable are the virtual hosts that a source has for the route configurations of a
// name, whether or not there is one yet: a source says everything once.
type hostTable struct {
	ref   ads.Ref                 // the name, and the source of the virtual hosts
	hosts map[string]*virtualHost // by the name of the resource
	// told is true when something has been said of them, or has been waited for long
	// enough. Until then whoever needs them waits.
	told  bool
	users map[ads.Ref]*hostSet // the route configurations that are there
	asked map[string]*askedHost
}

// virtualHost is one that has been told. It does not change.
type virtualHost struct {
	config *routev3.VirtualHost
	names  []string // of resources by which requests may have asked for it
}

// hostSet is what a route configuration has beside its own virtual hosts.
type hostSet struct {
	of       *hostTable
	config   *routev3.RouteConfiguration // it does not change
	patience time.Duration               // how long the first ones are waited for; 0 is for ever
}

// askedHost is a host that a request has asked for.
type askedHost struct {
	come    chan struct{} // closed when something has been said of it
	decided bool          // it is closed
}

func (a *askedHost) decide() {
	if !a.decided {
		a.decided = true
		close(a.come)
	}
}

// hostTable is where the virtual hosts of a source for a name are. It is kept when
// there is something to keep.
func (s *State) hostTable(ref ads.Ref) *hostTable {
	if t := s.tables[ref]; t != nil {
		return t
	}
	return &hostTable{ref: ref, hosts: map[string]*virtualHost{}, users: map[ads.Ref]*hostSet{}, asked: map[string]*askedHost{}}
}

// hostsFor are the further virtual hosts of a route configuration; nil where it has
// none.
func (s *State) hostsFor(name ads.Ref, m *routev3.RouteConfiguration) (*hostSet, error) {
	at := m.GetVhds().GetConfigSource()
	if at == nil {
		return nil, nil
	}
	ref := ads.Ref{Name: name.Name}
	if s.config.Locate != nil {
		var err error
		if ref.Source, err = s.config.Locate(at, ads.HostType); err != nil {
			return nil, fieldcheck.At("vhds.config_source", err)
		}
	}
	return &hostSet{s.hostTable(ref), m, compile.FetchTimeout(at)}, nil
}

// keepHosts notes what further virtual hosts a route configuration has.
func (s *State) keepHosts(name ads.Ref, set *hostSet) {
	before := s.hosts[name]
	if before != nil && (set == nil || set.of != before.of) {
		s.leaveHosts(name, before)
	}
	if set == nil {
		return
	}
	s.hosts[name], s.tables[set.of.ref], set.of.users[name] = set, set.of, set
	if before == nil || before.of != set.of {
		s.stale = true
		s.settleLater(name, set)
	}
}

// leaveHosts drops what a route configuration has had. What nobody else has is not
// asked for by name any more.
func (s *State) leaveHosts(name ads.Ref, set *hostSet) {
	s.stale = true
	t := set.of
	delete(s.hosts, name)
	delete(t.users, name)
	if len(t.users) > 0 {
		return
	}
	maps.DeleteFunc(t.hosts, func(_ string, vh *virtualHost) bool {
		return slices.ContainsFunc(vh.names, func(name string) bool { return t.asked[t.host(name)] != nil })
	})
	for host := range t.asked {
		s.decideHost(t, host, false)
	}
}

// forgetHosts drops those of route configurations that nobody refers to any more, and
// of sources that nobody asks; wanted is sorted.
func (s *State) forgetHosts(wanted []ads.Ref) {
	for name, set := range s.hosts {
		if !among(wanted, name) {
			s.leaveHosts(name, set)
		}
	}
	asked := s.hostSources()
	maps.DeleteFunc(s.tables, func(ref ads.Ref, _ *hostTable) bool { return !asked[ref.Source] })
}

// hostSources are the sources that are asked for virtual hosts.
func (s *State) hostSources() map[string]bool {
	all := map[string]bool{}
	for _, set := range s.hosts {
		all[set.of.ref.Source] = true
	}
	return all
}

// routesWith is a route configuration with its further virtual hosts, which may be nil.
func (s *State) routesWith(m *routev3.RouteConfiguration, set *hostSet) *compile.Routes {
	if set == nil {
		return &compile.Routes{Config: m}
	}
	t := set.of.ref
	return &compile.Routes{Config: m, Hosts: sortedHosts(set.of.hosts), Ask: func(host string) <-chan struct{} { return s.demandHost(t, host) }}
}

func sortedHosts(by map[string]*virtualHost) []*routev3.VirtualHost {
	var all []*routev3.VirtualHost
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all = append(all, by[name].config)
	}
	return all
}

// updateHosts takes virtual hosts: those of each route configuration, after which they
// are called, all or not at all.
func (s *State) updateHosts(u ads.Update) error {
	mentions := s.mentions(u)
	edits, err := s.editHosts(u)
	failed := []error{err}
	if len(u.Set)+len(u.Removed) == 0 {
		for ref, t := range s.tables {
			if ref.Source == u.Source && !t.told {
				edits[ref] = t.hosts
			}
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(edits), ads.Ref.Compare) {
		failed = append(failed, s.setHosts(s.hostTable(ref), edits[ref]))
	}
	before := s.demandedHosts.total
	for _, m := range mentions {
		t := s.hostTable(m.ref)
		for _, name := range m.names {
			s.decideHost(t, t.host(name), t.hosts[m.resource] != nil)
		}
	}
	if s.demandedHosts.total != before {
		s.wantHosts(u.Source)
	}
	return errors.Join(append(failed, s.warmListeners())...)
}

// editHosts are the virtual hosts that the tables are to have of which an update says
// something. One that it cannot have keeps those that it has.
func (s *State) editHosts(u ads.Update) (map[ads.Ref]map[string]*virtualHost, error) {
	edits, refused := map[ads.Ref]map[string]*virtualHost{}, map[ads.Ref]bool{}
	at := func(resource string) (ads.Ref, map[string]*virtualHost) {
		ref := ads.Ref{Name: tableOf(resource), Source: u.Source}
		if edits[ref] == nil {
			edits[ref] = maps.Clone(s.hostTable(ref).hosts)
		}
		return ref, edits[ref]
	}
	_, err := ads.Each(u, "virtual host", func(r ads.Resource, m *routev3.VirtualHost) error {
		ref, hosts := at(r.Name)
		if err := compile.Host(m); err != nil {
			refused[ref] = true
			return fmt.Errorf("virtual host %q: %w", r.Name, err)
		}
		if old := hosts[r.Name]; old != nil && proto.Equal(old.config, m) {
			m = old.config
		}
		hosts[r.Name] = &virtualHost{m, append([]string{r.Name}, r.Aliases...)}
		return nil
	})
	for _, resource := range u.Removed {
		_, hosts := at(resource)
		delete(hosts, resource)
	}
	for ref := range refused {
		edits[ref] = s.hostTable(ref).hosts
	}
	return edits, err
}

// mention is a virtual host of which an update says something, with the names by which
// requests may have asked for it.
type mention struct {
	ref      ads.Ref
	resource string
	names    []string
}

func (s *State) mentions(u ads.Update) []mention {
	var all []mention
	for _, r := range u.Set {
		all = append(all, mention{ads.Ref{Name: tableOf(r.Name), Source: u.Source}, r.Name, append([]string{r.Name}, r.Aliases...)})
	}
	for _, resource := range u.Removed {
		m := mention{ads.Ref{Name: tableOf(resource), Source: u.Source}, resource, []string{resource}}
		if vh := s.hostTable(m.ref).hosts[resource]; vh != nil {
			m.names = append(m.names, vh.names...)
		}
		all = append(all, m)
	}
	return all
}

// tableOf is the name of the route configuration that a virtual host is for.
func tableOf(resource string) string { return resource[:max(0, strings.LastIndexByte(resource, '/'))] }

// host is the host that a name of the table's resources is for.
func (t *hostTable) host(resource string) string {
	host, _ := strings.CutPrefix(resource, t.ref.Name+"/")
	return host
}

// setHosts gives a table its virtual hosts; when they cannot be served those that there
// are stay. They are known from then on, whatever they are.
func (s *State) setHosts(t *hostTable, hosts map[string]*virtualHost) error {
	if len(hosts) > 0 {
		s.tables[t.ref] = t
	}
	before, told := t.hosts, t.told
	alike := maps.EqualFunc(before, hosts, func(a, b *virtualHost) bool { return a.config == b.config })
	t.hosts, t.told = hosts, true
	if told && alike {
		return nil
	}
	err := s.serveHosts(t)
	if err == nil {
		return nil
	}
	if t.hosts = before; !told && !alike {
		err = errors.Join(err, s.serveHosts(t))
	}
	return err
}

// serveHosts puts a table's virtual hosts in force.
func (s *State) serveHosts(t *hostTable) error {
	users := slices.SortedFunc(maps.Keys(t.users), ads.Ref.Compare)
	return s.change(func(m *compile.Manager) bool { return slices.ContainsFunc(users, m.Asks) }, func(m *compile.Manager) (func(), error) {
		var all []func()
		for _, name := range users {
			if !m.Asks(name) {
				continue
			}
			put, err := m.SetRoutes(name, s.routesWith(t.users[name].config, t.users[name]))
			if err != nil {
				return nil, fmt.Errorf("route %q: %w", name.Name, err)
			}
			all = append(all, put)
		}
		return func() {
			for _, put := range all {
				put()
			}
		}, nil
	})
}

// decideHost lets whoever waits for a host go on. One that there is stays asked for, so
// that its changes come; any other is asked for anew by the next request.
func (s *State) decideHost(t *hostTable, host string, there bool) {
	a := t.asked[host]
	if a == nil {
		return
	}
	a.decide()
	if !there {
		delete(t.asked, host)
		s.demandedHosts.drop(t.ref.Source, t.ref.Name+"/"+host)
	}
}

// demandHost asks for the virtual host of a request; nil when nothing new is to be
// expected of it, or too many have been asked for.
func (s *State) demandHost(ref ads.Ref, host string) <-chan struct{} {
	host = strings.ToLower(host)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.hostTable(ref)
	if len(t.users) == 0 || host == "" || strings.Contains(host, "/") {
		return nil
	}
	if a := t.asked[host]; a != nil {
		if a.decided {
			return nil
		}
		return a.come
	}
	if !s.room(&s.demandedHosts, "virtual hosts", s.dropUnheardHosts) {
		return nil
	}
	a := &askedHost{come: make(chan struct{})}
	t.asked[strings.Clone(host)] = a // it may lie in a connection's buffer
	s.demandedHosts.add(ref.Source, ref.Name+"/"+host)
	s.wantHosts(ref.Source)
	return a.come
}

// dropUnheardHosts gives up the hosts that requests have asked for and of which nothing
// has been said.
func (s *State) dropUnheardHosts() {
	for _, t := range s.tables {
		for host, a := range t.asked {
			if !a.decided {
				s.decideHost(t, host, false)
			}
		}
	}
	for source := range s.hostSources() {
		s.wantHosts(source)
	}
}

// wantHosts asks a source for all virtual hosts that it has, and for those by name that
// requests have asked for.
func (s *State) wantHosts(source string) {
	if s.asked[ads.HostType][source] {
		s.config.Want(source, ads.HostType, s.hostNames(source))
	}
}

func (s *State) hostNames(source string) []string {
	return append([]string{ads.Everything}, s.demandedHosts.by[source]...)
}

// hostRefs are the virtual hosts that all sources are asked for.
func (s *State) hostRefs() []ads.Ref {
	var all []ads.Ref
	for source := range s.hostSources() {
		for _, name := range s.hostNames(source) {
			all = append(all, ads.Ref{Name: name, Source: source})
		}
	}
	return all
}

// settleLater lets a route configuration be used without virtual hosts of which nothing
// has been heard for too long: they may come on demand.
func (s *State) settleLater(name ads.Ref, set *hostSet) {
	if set.of.told {
		return
	}
	s.later(set.patience, func() error {
		if now := s.hosts[name]; now == nil || now.of != set.of || set.of.told {
			return nil
		}
		return s.setHosts(set.of, set.of.hosts)
	})
}

// merged is a route configuration as it is in force: with its further virtual hosts.
func (s *State) merged(name ads.Ref, r *raw) *anypb.Any {
	set := s.hosts[name]
	if set == nil || len(set.of.hosts) == 0 {
		return r.body
	}
	m := proto.CloneOf(set.config)
	m.VirtualHosts = append(m.VirtualHosts, sortedHosts(set.of.hosts)...)
	return staticRaw(m).body
}
