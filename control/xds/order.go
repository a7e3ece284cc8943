package xds

import "github.com/lateenmesh/lateen/control/mesh"

// The order is make-before-break: "CDS updates (if any) must always be pushed
// first. EDS updates (if any) must arrive after CDS updates for the respective
// clusters. LDS updates must arrive after corresponding CDS/EDS updates. RDS
// updates related to the newly added listeners must arrive after CDS/EDS/LDS
// updates. […] Stale CDS clusters and related EDS endpoints (ones no longer
// being referenced) can then be removed."
//
// A later kind waits until the earlier ones are acknowledged, not merely sent,
// and until each new or changed cluster has its endpoints. Endpoints of other
// clusters never hold anything up.

// updatesHeld reports whether t must wait for an earlier kind.
func (p *Planner) updatesHeld(t *subscribed) bool {
	switch t.url {
	case mesh.ListenerType:
		return p.unsettled(mesh.ClusterType) || len(p.warming) > 0
	case mesh.RouteType:
		return p.unsettled(mesh.ClusterType) || len(p.warming) > 0 || p.unsettled(mesh.ListenerType)
	}
	return false
}

// removalsHeld reports whether something may still refer to what t would
// remove. A listener or route that the client refused counts: it serves with
// the one before, which may need the old cluster.
func (p *Planner) removalsHeld(t *subscribed) bool {
	switch t.url {
	case mesh.ClusterType:
		return p.returning || p.pending(mesh.ListenerType) || p.pending(mesh.RouteType)
	case mesh.EndpointType:
		return p.pending(mesh.ClusterType)
	}
	return false
}

// unsettled reports whether updates of a type are on their way or yet to go.
func (p *Planner) unsettled(url string) bool {
	t := p.typed(url)
	if t == nil {
		return false
	}
	d := t.difference(p.table(url))
	if len(d.changed) > 0 || t.flight != nil && len(t.flight.changed) > 0 {
		return true
	}
	if t.flight == nil {
		return false
	}
	for _, name := range t.flight.removed {
		if _, back := d.target.Get(name); back {
			return true // on its way out, and to be sent again
		}
	}
	return false
}

// pending reports whether the client does not hold exactly what it should of a
// type.
func (p *Planner) pending(url string) bool {
	t := p.typed(url)
	if t == nil {
		return false
	}
	d := t.difference(p.table(url))
	return t.flight != nil || len(d.changed)+len(d.removed) > 0 || t.stuck(p.table(url))
}

// warm notes clusters that were just sent: their endpoints follow even if they
// did not change. "Warming of Cluster is completed only when a new
// ClusterLoadAssignment response is supplied by management server even though
// there is no change in endpoints."
func (p *Planner) warm(clusters []*mesh.Resource) {
	eds := p.typed(mesh.EndpointType)
	for _, c := range clusters {
		if _, ok := p.table(mesh.EndpointType).Get(c.Name); !ok {
			continue
		}
		p.warming[c.Name] = p.nonce
		if eds != nil && eds.covers(c.Name) {
			eds.owed[c.Name] = true
			eds.stale = true
		}
	}
}

// forgetWarm drops clusters whose endpoints will not be sent: they are gone,
// or the client refused them.
func (p *Planner) forgetWarm() {
	eds := p.typed(mesh.EndpointType)
	for name := range p.warming {
		_, cluster := p.table(mesh.ClusterType).Get(name)
		eps, ok := p.table(mesh.EndpointType).Get(name)
		if !cluster || !ok || eds != nil && eds.refused[name] == eps.Version {
			delete(p.warming, name)
		}
	}
}

// Waiting reports whether something is held back until the client has spoken:
// listeners or routes until it asks for the endpoints of a new cluster, or the
// removal of clusters until a client that comes back has said what else it
// holds. Envoy does both at once; for a client that never does, call
// [Planner.StopWaiting].
func (p *Planner) Waiting() bool {
	if p.returning {
		return true
	}
	eds := p.typed(mesh.EndpointType)
	for name := range p.warming {
		if eds == nil || !eds.covers(name) {
			return true
		}
	}
	return false
}

// StopWaiting gives up on what the client did not say.
func (p *Planner) StopWaiting() {
	p.returning = false
	eds := p.typed(mesh.EndpointType)
	for name := range p.warming {
		if eds == nil || !eds.covers(name) {
			delete(p.warming, name)
		}
	}
}
