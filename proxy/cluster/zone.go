package cluster

import (
	"math/rand/v2"

	"github.com/lateenmesh/lateen/model"
)

// Zones keeps requests within the proxy's own locality, as far as the endpoints
// there can serve what the proxies there send.
type Zones struct {
	// Enabled is the percentage of requests for which it is done.
	Enabled float64
	// Least is the number of healthy endpoints below which it is not done.
	Least uint64
	// FailOnPanic fails requests instead of using endpoints that are not healthy.
	FailOnPanic bool
	// Force is the number of healthy endpoints in the proxy's own locality from which
	// on they get all requests; 0 never.
	Force uint32
	// Weighted counts hosts by their weights.
	Weighted bool
}

// zones is how a level's requests spread over localities, as seen from the proxies
// of the local cluster.
type zones struct {
	of     *endpoints // the local cluster's
	off    bool
	groups []*group // by locality, the proxy's own first; nil where nobody is healthy
	// own is how many of 10,000 requests stay in the proxy's own locality; the others
	// go to the localities that can take more than their own proxies send. spare adds
	// up what they can take.
	own   uint64
	spare []uint64
}

// zoned chooses the group of a locality.
func (c *Cluster) zoned(l *level) *group {
	local := c.local()
	if local == nil {
		return l.healthy
	}
	z := l.zones.Load()
	if z == nil || z.of != local {
		z = c.newZones(l, local)
		l.zones.Store(z)
	}
	if z.off || c.Zones.Enabled < 100 && rand.Float64()*100 >= c.Zones.Enabled {
		return l.healthy
	}
	if len(local.priority) > 0 && c.few(local) {
		if c.Zones.FailOnPanic {
			return nil
		}
		return l.healthy
	}
	if i := z.draw(); z.groups[i] != nil {
		return z.groups[i]
	}
	return l.healthy
}

// local is the cluster of the proxies that are like this one; nil when it is not
// known.
func (c *Cluster) local() *endpoints {
	if c.deps.Near == nil {
		return nil
	}
	local := c.deps.Near.Proxies.Load()
	if local == nil {
		return nil
	}
	return local.settled()
}

// few reports whether so few of the proxies are well that no conclusions are drawn
// from them.
func (c *Cluster) few(local *endpoints) bool {
	first := &local.priority[0]
	return first.panicking || first.healthy == nil && c.Panic > 0
}

func (z *zones) draw() int {
	if z.own == 10_000 || rand.Uint64N(10_000) < z.own {
		return 0
	}
	most := z.spare[len(z.spare)-1]
	if most == 0 {
		return rand.IntN(len(z.groups))
	}
	at := rand.Uint64N(most)
	for i, s := range z.spare {
		if at < s {
			return i
		}
	}
	return len(z.spare) - 1
}

// newZones compares where the proxies are with where the endpoints are.
func (c *Cluster) newZones(l *level, local *endpoints) *zones {
	z := &zones{of: local, off: true}
	own := c.deps.Near.Locality
	order := []model.Locality{own}
	for _, at := range localitiesOf(l.hosts) {
		if at != own {
			order = append(order, at)
		}
	}
	healthy := []*Host(nil)
	if l.healthy != nil {
		healthy = l.healthy.hosts
	}
	upstream := byLocality(healthy)
	var proxies []*Host
	if len(local.priority) > 0 && local.priority[0].healthy != nil && !local.priority[0].panicking {
		proxies = local.priority[0].healthy.hosts
	}
	near := byLocality(proxies)
	forced := c.Zones.Force > 0 && len(upstream[own]) > 0
	switch {
	case len(byLocality(l.hosts)) < 2, uint64(len(healthy)) < c.Zones.Least:
		return z
	case !forced && (len(near) < 2 || len(near[own]) == 0):
		return z
	}
	z.off = false
	for _, at := range order {
		z.groups = append(z.groups, c.group(upstream[at]))
	}
	theirs, ours := c.portions(upstream, healthy), c.portions(near, proxies)
	if t := theirs(own); t > 0 && t >= ours(own) || forced && len(upstream[own]) >= int(c.Zones.Force) {
		z.own = 10_000
		return z
	}
	if ours(own) > 0 {
		z.own = theirs(own) * 10_000 / ours(own)
	}
	total := uint64(0)
	for i, at := range order {
		if t, o := theirs(at), ours(at); i > 0 && t > o {
			total += t - o
		}
		z.spare = append(z.spare, total)
	}
	return z
}

// portions tells which part of all hosts a locality has, of 10,000.
func (c *Cluster) portions(by map[model.Locality][]*Host, all []*Host) func(model.Locality) uint64 {
	count := func(hosts []*Host) (n uint64) {
		for _, h := range hosts {
			if c.Zones.Weighted {
				n += uint64(h.weight())
			} else {
				n++
			}
		}
		return n
	}
	total := count(all)
	return func(at model.Locality) uint64 {
		if total == 0 {
			return 0
		}
		return 10_000 * count(by[at]) / total
	}
}
