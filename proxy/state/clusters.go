package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/compile"
)

// clusterEntry is one cluster: the one in force, and the one that waits to
// replace it.
type clusterEntry struct {
	told
	// pending waits for endpoints or secrets; nil when what came last is in
	// force.
	pending *compile.Cluster
	active  *compile.Cluster
	live    *cluster.Cluster
	stop    context.CancelFunc // ends the resolving of names; nil when there is none
	// probed is what becomes of pending while its endpoints answer their first
	// probes; stopProbed ends it. Both are nil when nothing waits for that.
	probed     *cluster.Cluster
	stopProbed context.CancelFunc
}

func (e *clusterEntry) versions() []*compile.Cluster { return versions(e.active, e.pending) }

func (s *State) updateClusters(u ads.Update) error {
	kept := map[string]bool{}
	whole, err := ads.Each(u, "cluster", func(r ads.Resource, m *clusterv3.Cluster) error {
		kept[m.GetName()] = true
		from := newRaw(r)
		from.source = u.Source
		return s.setCluster(m.GetName(), from, m)
	})
	for _, name := range gone(u, whole, s.clusters, kept) {
		s.removeCluster(u.Source, name)
	}
	s.refused(u.Source, u.Removed)
	return err
}

// setCluster compiles a cluster and puts it in force as soon as it is warm. One
// that came as it was stays, with its connections.
func (s *State) setCluster(name string, r *raw, m *clusterv3.Cluster) error {
	e := s.clusters[name]
	if e != nil && s.settled(&e.told, r) {
		return nil
	}
	name = strings.Clone(name) // it lies in the message
	compiled, err := s.compiler.Cluster(m)
	if err != nil {
		if e != nil {
			e.refuse(r, err)
		}
		return fmt.Errorf("cluster %s: %w", strconv.Quote(name), err)
	}
	if e == nil {
		e = &clusterEntry{told: told{kind: "cluster", name: name}}
		s.clusters[name] = e
	}
	e.giveUp()
	before := e.pending
	e.raw, e.problem, e.pending = r, nil, compiled
	s.leave(e, before)
	if compiled.EDS.Name != "" {
		if s.services[compiled.EDS] == nil {
			s.services[compiled.EDS] = map[*clusterEntry]bool{}
		}
		s.services[compiled.EDS][e] = true
	}
	s.warmCluster(e)
	return nil
}

// leave notes that a version of a cluster, if there was one, is none of it any more.
func (s *State) leave(e *clusterEntry, version *compile.Cluster) {
	if version == nil || slices.ContainsFunc(e.versions(), func(c *compile.Cluster) bool { return c.EDS == version.EDS }) {
		return
	}
	delete(s.services[version.EDS], e)
	if len(s.services[version.EDS]) == 0 {
		delete(s.services, version.EDS)
	}
}

// warmCluster puts a cluster in force when its endpoints and secrets are there.
func (s *State) warmCluster(e *clusterEntry) {
	c := e.pending
	if c == nil || !s.have(c.Secrets) {
		return
	}
	config := c.Config
	if c.EDS.Name != "" {
		assignment := s.endpoints[c.EDS]
		if assignment == nil {
			return
		}
		var err error
		config.Endpoints, config.Spread, err = endpointsOf(c, assignment.body)
		if err != nil {
			s.config.Log.Warn("endpoints refused", "cluster", e.name, "error", err)
			return
		}
	}
	if e.probed != nil {
		if c.EDS.Name != "" {
			e.probed.SetEndpoints(config.Endpoints, config.Spread)
		}
		return
	}
	live := cluster.New(config, s.config.Clusters)
	if c.Waits && s.background != nil {
		s.probeFirst(e, live)
		return
	}
	s.install(e, live)
	s.resolve(e)
}

// install puts what waited in force.
func (s *State) install(e *clusterEntry, live *cluster.Cluster) {
	if e.stop != nil {
		e.stop()
		e.stop = nil
	}
	old := s.reference(e.name, false).Store(live)
	before := e.active
	e.active, e.pending, e.live = e.pending, nil, live
	s.leave(e, before)
	s.stale = s.stale || before != nil
	if old != nil {
		old.Close()
	}
}

// probeFirst asks the endpoints of a new cluster before it is put in force: until
// then what it replaces goes on.
func (s *State) probeFirst(e *clusterEntry, live *cluster.Cluster) {
	ctx, stop := context.WithCancel(s.background)
	e.probed, e.stopProbed = live, stop
	s.running.Go(func() { _ = live.Run(ctx) }) // it only returns ctx's error
	s.running.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-live.Heard():
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if e.probed != live {
			return // another has come meanwhile
		}
		e.probed, e.stopProbed = nil, nil
		s.install(e, live)
		e.stop = stop
		s.settle()
	})
}

// Unheard lists what is closed as clusters of the start, which could not be asked
// before, have heard of their endpoints.
func (s *State) Unheard() []<-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []<-chan struct{}
	for _, e := range s.clusters {
		if e.live != nil && e.active.Waits {
			all = append(all, e.live.Heard())
		}
	}
	return all
}

// giveUp forgets a cluster whose endpoints are being asked.
func (e *clusterEntry) giveUp() {
	if e.probed != nil {
		e.stopProbed()
		e.probed.Close()
		e.probed, e.stopProbed = nil, nil
	}
}

func endpointsOf(c *compile.Cluster, body *anypb.Any) ([]cluster.Endpoint, cluster.Spread, error) {
	m := &endpointv3.ClusterLoadAssignment{}
	if body != nil {
		if err := body.UnmarshalTo(m); err != nil {
			return nil, cluster.Spread{}, err
		}
	}
	return c.Endpoints(m)
}

// resolve keeps a DNS cluster's names resolved, and asks endpoints that are to be
// asked.
func (s *State) resolve(e *clusterEntry) {
	if s.background == nil || e.live == nil || e.stop != nil {
		return
	}
	if e.live.Kind != cluster.StrictDNS && e.live.Kind != cluster.LogicalDNS && len(e.live.HealthChecks) == 0 {
		return
	}
	ctx, stop := context.WithCancel(s.background)
	e.stop = stop
	live := e.live
	s.running.Go(func() { _ = live.Run(ctx) }) // it only returns ctx's error
}

// removeCluster takes a cluster away that a source has given.
func (s *State) removeCluster(source, name string) {
	e := s.clusters[name]
	if e == nil || e.raw.static || e.raw.source != source {
		return
	}
	delete(s.clusters, name)
	e.giveUp()
	versions := e.versions()
	e.active, e.pending = nil, nil
	for _, c := range versions {
		s.leave(e, c)
	}
	if e.stop != nil {
		e.stop()
	}
	if old := s.reference(name, false).Store(nil); old != nil {
		old.Close()
	}
}

func (s *State) updateEndpoints(u ads.Update) error {
	_, err := ads.Each(u, "endpoints", func(r ads.Resource, m *endpointv3.ClusterLoadAssignment) error {
		return s.setEndpoints(ads.Ref{Name: m.GetClusterName(), Source: u.Source}, newRaw(r), m)
	})
	failed := []error{err}
	for _, name := range u.Removed {
		// Endpoints that are gone without their cluster leave the ones there
		// were; for a cluster that still waits there are none.
		ref := ads.Ref{Name: name, Source: u.Source}
		if s.endpoints[ref] == nil {
			failed = append(failed, s.setEndpoints(ref, &raw{updated: time.Now()}, &endpointv3.ClusterLoadAssignment{ClusterName: name}))
		}
	}
	return errors.Join(failed...)
}

// setEndpoints gives the clusters of a service their endpoints: only their
// pickers change.
func (s *State) setEndpoints(service ads.Ref, r *raw, m *endpointv3.ClusterLoadAssignment) error {
	if old := s.endpoints[service]; same(old, r) && old.body != nil {
		old.version = r.version
		return nil
	}
	type ready struct {
		live      *cluster.Cluster
		endpoints []cluster.Endpoint
		spread    cluster.Spread
	}
	var all []ready
	for e := range s.services[service] {
		for _, c := range e.versions() {
			if c.EDS != service {
				continue
			}
			endpoints, spread, err := c.Endpoints(m)
			if err != nil {
				return fmt.Errorf("endpoints %q: %w", service.Name, err)
			}
			if c == e.active {
				all = append(all, ready{e.live, endpoints, spread})
			}
		}
	}
	for _, each := range all {
		each.live.SetEndpoints(each.endpoints, each.spread)
	}
	s.endpoints[service] = r
	for e := range s.services[service] {
		if e.pending != nil && e.pending.EDS == service {
			s.warmCluster(e)
		}
	}
	return nil
}
