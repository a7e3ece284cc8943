package cluster

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lateenmesh/lateen/model"
)

// Choice is what a request brings to the choice of a host.
type Choice struct {
	Hash    uint64 // for consistent balancing
	HasHash bool
	Avoid   []*Host // hosts that were tried; avoided while there are others
	// Omit are further hosts to avoid; nil for none.
	Omit *Omit
	// Attempts is how often avoiding is given a chance; default 1.
	Attempts int
	// Skip are priorities that are passed over, as bits, while there are others.
	Skip uint64
	// Wanted is the address of the host that is taken if it is well; empty for any.
	// Only takes no other.
	Wanted string
	Only   bool
	// Labels that the host has to have, where the cluster has subsets.
	Labels Labels
}

// Omit says which hosts to avoid by what they are.
type Omit struct {
	Canaries bool
	// Labels avoids hosts that have all labels of one of these.
	Labels []Labels
}

// canary is the label of one.
var canary = Label{Key: "canary", Value: "true"}

func (o *Omit) has(h *Host) bool {
	return o != nil && (o.Canaries && slices.Contains(h.labels(), canary) ||
		slices.ContainsFunc(o.Labels, func(l Labels) bool { return h.has(l) }))
}

// avoids reports whether another host would be better.
func (c *Choice) avoids(h *Host) bool {
	return slices.ContainsFunc(c.Avoid, func(tried *Host) bool { return tried.State == h.State }) || c.Omit.has(h)
}

// PriorityBit is a host's priority in [Choice.Skip].
func (h *Host) PriorityBit() uint64 { return 1 << min(h.Priority, 63) }

// named finds a host by its address; nil when there is none.
func (e *endpoints) named(address string) *Host {
	e.naming.Do(func() {
		e.byName = make(map[string]*Host, len(e.hosts))
		for _, h := range e.hosts {
			e.byName[h.id()] = h
		}
	})
	return e.byName[address]
}

// Pick chooses a host, nil when there is none to choose.
func (c *Cluster) Pick(choice Choice) *Host {
	e := c.settled()
	if c.Subsets != nil {
		e = c.Subsets.within(e, choice.Labels)
	}
	if len(e.hosts) == 0 {
		c.Stats.NoneHealthy.Add(1)
		return nil
	}
	if choice.Wanted != "" {
		if h := e.named(choice.Wanted); h != nil && c.mayOverride(h, time.Now()) {
			return h
		}
		if choice.Only {
			return nil
		}
	}
	attempts := 1
	if len(choice.Avoid) > 0 || choice.Omit != nil {
		attempts += max(1, choice.Attempts)
	}
	var host *Host
	for i := range attempts {
		if host = c.pickOnce(e, choice, uint64(i)); host == nil {
			break
		}
		if !choice.avoids(host) {
			break
		}
	}
	if host == nil {
		c.Stats.NoneHealthy.Add(1)
	}
	return host
}

// settled are the endpoints, with those back whose ejection has ended.
func (c *Cluster) settled() *endpoints {
	if until := c.returning.Load(); until != 0 && time.Now().UnixNano() >= until && c.returning.CompareAndSwap(until, 0) {
		c.arrange()
	}
	return c.endpoints.Load()
}

// mayOverride reports whether a host that is asked for may be taken.
func (c *Cluster) mayOverride(h *Host, now time.Time) bool {
	return h.Usable(now) || h.Health == model.Draining && c.OverrideDraining && !h.Failing() && !h.Ejected(now)
}

func (c *Cluster) pickOnce(e *endpoints, choice Choice, attempt uint64) *Host {
	hash := choice.Hash
	if !choice.HasHash || !c.consistent() {
		hash = rand.Uint64()
	}
	l, g := e.other(choice.Skip, hash)
	if g == nil {
		l, g = e.choose(hash)
	}
	if g == nil {
		return nil
	}
	if c.consistent() {
		if g.keyed == nil {
			return nil
		}
		return c.onKey(g.keyed, hash, attempt)
	}
	switch {
	case len(g.localities) > 0:
		g = weighted(g)
	case l.zones != nil && !l.panicking && g == l.healthy:
		if g = c.zoned(l); g == nil {
			return nil
		}
	}
	return c.among(g)
}

// choose finds the level and the group to pick from: healthy ones first, then
// degraded ones, each by its share of the load.
func (e *endpoints) choose(hash uint64) (*level, *group) {
	if first := &e.priority[0]; first.load == 100 {
		return first, first.healthy
	}
	draw := uint32(hash % 100)
	for i := range e.priority {
		if l := &e.priority[i]; draw < l.load {
			return l, l.healthy
		} else {
			draw -= l.load
		}
	}
	for i := range e.priority {
		if l := &e.priority[i]; draw < l.degradedLoad {
			return l, l.degraded
		} else {
			draw -= l.degradedLoad
		}
	}
	return nil, nil
}

// other finds the level to pick from beside those that are passed over, nil when
// none of them has a healthy host.
func (e *endpoints) other(skip, hash uint64) (*level, *group) {
	if skip == 0 || len(e.priority) == 1 {
		return nil, nil
	}
	total := uint32(0)
	for i := range e.priority {
		total += e.priority[i].shareBeside(skip)
	}
	if total == 0 {
		return nil, nil
	}
	draw := uint32(hash % uint64(min(100, total)))
	for i := range e.priority {
		l := &e.priority[i]
		share := l.shareBeside(skip)
		if draw < share {
			return l, l.healthy
		}
		draw -= share
	}
	return nil, nil
}

// shareBeside is what a level can take when some levels are passed over.
func (l *level) shareBeside(skip uint64) uint32 {
	if l.hosts[0].PriorityBit()&skip != 0 || l.panicking {
		return 0
	}
	return l.share
}

// weighted draws a locality by its weight.
func weighted(g *group) *group {
	total := 0.0
	for i := range g.localities {
		total += g.localities[i].weight
	}
	draw := rand.Float64() * total
	for i := range g.localities {
		if draw -= g.localities[i].weight; draw < 0 {
			return g.localities[i].group
		}
	}
	return g.localities[len(g.localities)-1].group
}

// among picks one of a group's hosts.
func (c *Cluster) among(g *group) *Host {
	n := uint64(len(g.hosts))
	switch c.Policy {
	case Random:
		return g.hosts[rand.Uint64N(n)]
	case LeastRequest:
		if g.turns != nil && (!g.even || c.slowing(time.Now())) {
			return g.turns.take(g.hosts, c.leastRequestWeight)
		}
		return c.leastRequest(g)
	}
	if g.turns != nil && (g.schedule == nil && !g.even || c.slowing(time.Now())) {
		return g.turns.take(g.hosts, c.slowWeight)
	}
	if g.schedule != nil {
		return g.schedule[g.next.Add(1)%uint64(len(g.schedule))]
	}
	return g.hosts[g.next.Add(1)%n]
}

// leastRequest compares hosts of the same weight by how busy they are: some drawn
// at random, or all.
func (c *Cluster) leastRequest(g *group) *Host {
	var best *Host
	least, tied := int64(0), uint64(0)
	if c.FullScan {
		for _, h := range g.hosts {
			active := h.Active.Load()
			if best != nil && active > least {
				continue
			}
			if best == nil || active < least {
				tied = 0
			}
			// Of those that are tied each is as likely.
			if tied++; rand.Uint64N(tied) == 0 {
				best = h
			}
			least = active
		}
		return best
	}
	for range max(2, c.Choices) {
		h := g.hosts[rand.Uint64N(uint64(len(g.hosts)))]
		if active := h.Active.Load(); best == nil || active < least {
			best, least = h, active
		}
	}
	return best
}
