package cluster

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/model"
)

// endpoints is one generation of a cluster's hosts, arranged for picking.
type endpoints struct {
	hosts    []*Host
	priority []level // most wanted first

	naming sync.Once
	byName map[string]*Host // set by naming

	subsets map[string]*endpoints // by the names of their labels; nil where there are none
}

// level is the hosts of one priority.
type level struct {
	hosts []*Host
	// healthy are those that requests go to, or all hosts while panicking; degraded
	// stand in for healthy ones that lack. Either is nil when it has no host. They may
	// be the same.
	healthy, degraded *group
	// load and degradedLoad are their shares of the requests, in percent of all.
	load, degradedLoad uint32
	share              uint32 // what its healthy hosts could take
	panicking          bool
	zones              *atomic.Pointer[zones] // only for zone-aware balancing
}

// group is hosts among which one is picked.
type group struct {
	hosts      []*Host
	localities []locality // only for locality-weighted balancing
	next       atomic.Uint64
	// schedule repeats hosts by their weights; nil when all weigh the same, or so
	// differently that it would be too long.
	schedule []*Host
	// turns is for weights that change or that there is no schedule for; nil when all
	// weigh the same for good. even is true when all weigh the same once none is new.
	turns *turns
	even  bool
	keyed *keyed // for consistent balancing
}

// locality is a part of a group with the weight that it has now.
type locality struct {
	weight float64
	*group
}

// Spread says how requests spread over priorities; the zero value is Envoy's
// default.
type Spread struct {
	// Overprovision is how many percent of a level's hosts do for all of them; 140
	// when zero.
	Overprovision uint32
	// Weighted lets a host count by its weight when it is asked how many are well.
	Weighted bool
}

func (s Spread) factor() uint32 {
	if s.Overprovision == 0 {
		return 140
	}
	return s.Overprovision
}

// compile arranges the cluster's hosts as they are at some moment. The caller
// holds mu.
func (c *Cluster) compile(hosts []*Host, now time.Time) *endpoints {
	e := c.arranged(hosts, now)
	if c.Subsets != nil {
		e.subsets = c.Subsets.part(hosts, func(some []*Host) *endpoints { return c.arranged(some, now) })
	}
	return e
}

// arranged arranges hosts by priority, health and locality.
func (c *Cluster) arranged(hosts []*Host, now time.Time) *endpoints {
	e := &endpoints{hosts: hosts}
	byPriority := map[uint32][]*Host{}
	for _, h := range hosts {
		byPriority[h.Priority] = append(byPriority[h.Priority], h)
	}
	priorities := make([]uint32, 0, len(byPriority))
	for p := range byPriority {
		priorities = append(priorities, p)
	}
	slices.Sort(priorities)
	counts := make([]census, len(priorities))
	for i, p := range priorities {
		e.priority = append(e.priority, level{hosts: byPriority[p]})
		counts[i] = c.count(byPriority[p], now)
	}
	c.spreadLoad(e.priority, counts)
	for i := range e.priority {
		c.fill(&e.priority[i], &counts[i])
	}
	if c.Zones != nil && c.deps.Near != nil && len(e.priority) > 0 && priorities[0] == 0 {
		e.priority[0].zones = new(atomic.Pointer[zones])
	}
	return e
}

// census is a level's hosts by how they are.
type census struct {
	healthy, degraded []*Host
	// known is how many hosts there are of whom one has heard; the others are not
	// reckoned with. The shares are by number or weight, in percent.
	known                         int
	healthyShare, degradedShare   uint32
	healthyNumber, degradedNumber float64
}

func (c *Cluster) count(hosts []*Host, now time.Time) census {
	var s census
	var all, well, poor uint64
	for _, h := range hosts {
		weight := uint64(1)
		if c.spread.Weighted {
			weight = uint64(h.weight())
		}
		if c.unknown(h) {
			continue
		}
		s.known++
		all += weight
		switch {
		case !h.Usable(now):
		case h.Degraded():
			s.degraded = append(s.degraded, h)
			poor += weight
		default:
			s.healthy = append(s.healthy, h)
			well += weight
		}
	}
	if len(s.healthy) == len(hosts) {
		s.healthy = hosts // one list does
	}
	if s.known > 0 {
		factor := uint64(c.spread.factor())
		s.healthyShare, s.degradedShare = uint32(min(100, factor*well/all)), uint32(min(100, factor*poor/all))
		s.healthyNumber, s.degradedNumber = 100*float64(len(s.healthy))/float64(s.known), 100*float64(len(s.degraded))/float64(s.known)
	}
	return s
}

// spreadLoad decides how much of the requests each level gets, and which levels
// have so few healthy hosts that all are used.
func (c *Cluster) spreadLoad(levels []level, counts []census) {
	available := uint32(0)
	for i := range counts {
		available += counts[i].healthyShare + counts[i].degradedShare
	}
	available = min(100, available)
	panicking := len(levels) > 0
	for i := range levels {
		levels[i].share = counts[i].healthyShare
		levels[i].panicking = available < 100 && counts[i].healthyNumber+counts[i].degradedNumber < c.Panic
		panicking = panicking && levels[i].panicking
	}
	if panicking {
		spreadByNumber(levels)
		return
	}
	if available == 0 {
		if len(levels) > 0 {
			levels[0].load = 100
		}
		return
	}
	left := uint32(100)
	take := func(share uint32) uint32 {
		load := min(left, share*100/available)
		left -= load
		return load
	}
	var first *uint32 // who can take something, healthy ones before degraded ones
	for i := range levels {
		levels[i].load = take(counts[i].healthyShare)
		if first == nil && counts[i].healthyShare > 0 {
			first = &levels[i].load
		}
	}
	for i := range levels {
		levels[i].degradedLoad = take(counts[i].degradedShare)
		if first == nil && counts[i].degradedShare > 0 {
			first = &levels[i].degradedLoad
		}
	}
	*first += left // by rounding
}

// spreadByNumber is for when no level is well: each gets what it has hosts for.
func spreadByNumber(levels []level) {
	total := 0
	for i := range levels {
		total += len(levels[i].hosts)
	}
	left := uint32(100)
	for i := range levels {
		levels[i].load = uint32(100 * len(levels[i].hosts) / total)
		left -= levels[i].load
	}
	levels[0].load += left
}

// fill makes a level's groups. While it panics, and where keys are kept on hosts, there
// is one for all that the level gets, as in Envoy.
func (c *Cluster) fill(l *level, s *census) {
	switch {
	case !l.panicking:
		l.healthy = c.groupByLocality(s.healthy, l.hosts)
	case c.Zones == nil || !c.Zones.FailOnPanic:
		l.healthy = c.group(l.hosts)
	}
	l.degraded = l.healthy
	if !l.panicking && !c.consistent() {
		l.degraded = c.groupByLocality(s.degraded, l.hosts)
	}
}

// groupByLocality makes a group of some of a level's hosts.
func (c *Cluster) groupByLocality(hosts, of []*Host) *group {
	if len(hosts) == 0 || !c.LocalityWeighted {
		return c.group(hosts)
	}
	some, all := byLocality(hosts), byLocality(of)
	order := localitiesOf(of)
	if c.consistent() {
		weights := map[model.Locality]uint32{}
		for at, group := range all {
			weights[at] = group[0].LocalityWeight
		}
		return c.keyedByLocality(hosts, some, order, weights)
	}
	g := c.group(hosts)
	for _, at := range order {
		weight := all[at][0].LocalityWeight
		if weight == 0 || len(some[at]) == 0 {
			continue
		}
		known := 0
		for _, h := range all[at] {
			if !c.unknown(h) {
				known++
			}
		}
		well := min(1, float64(len(some[at]))/float64(known)*float64(c.spread.factor())/100)
		g.localities = append(g.localities, locality{float64(weight) * well, c.group(some[at])})
	}
	return g
}

// keyedByLocality makes one ring or table in which localities have their weights'
// shares.
func (c *Cluster) keyedByLocality(hosts []*Host, some map[model.Locality][]*Host, order []model.Locality, weights map[model.Locality]uint32) *group {
	total := uint64(0)
	for _, at := range order {
		total += uint64(weights[at])
	}
	if total == 0 {
		return c.group(hosts)
	}
	var all []share
	for _, at := range order {
		if w := weights[at]; w > 0 && len(some[at]) > 0 {
			all = shares(all, some[at], float64(w)/float64(total))
		}
	}
	return &group{hosts: hosts, keyed: c.newKeyed(all)}
}

func byLocality(hosts []*Host) map[model.Locality][]*Host {
	by := map[model.Locality][]*Host{}
	for _, h := range hosts {
		by[h.Where()] = append(by[h.Where()], h)
	}
	return by
}

// localitiesOf are those of hosts, in order.
func localitiesOf(hosts []*Host) []model.Locality {
	var all []model.Locality
	for at := range byLocality(hosts) {
		all = append(all, at)
	}
	slices.SortFunc(all, compareLocalities)
	return all
}

func compareLocalities(a, b model.Locality) int {
	return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.SubZone, b.SubZone))
}

// group prepares picking among hosts; nil when there are none.
func (c *Cluster) group(hosts []*Host) *group {
	if len(hosts) == 0 {
		return nil
	}
	g := &group{hosts: hosts, even: equalWeights(hosts)}
	if c.consistent() {
		g.keyed = c.newKeyed(shares(nil, hosts, 1))
		return g
	}
	// Not every proxy starts with the same host.
	g.next.Store(rand.Uint64N(uint64(len(hosts))))
	if c.Policy == RoundRobin {
		g.schedule = newSchedule(hosts)
	}
	if c.SlowStart != nil || !g.even && (c.Policy == LeastRequest || c.Policy == RoundRobin && g.schedule == nil) {
		g.turns = &turns{}
	}
	return g
}

func equalWeights(hosts []*Host) bool {
	return !slices.ContainsFunc(hosts, func(h *Host) bool { return h.weight() != hosts[0].weight() })
}

// weight of a host; unset counts as 1.
func (h *Host) weight() uint32 { return max(1, h.Weight) }

// newSchedule interleaves hosts by weight, smoothly: after each pick the picked
// one waits its turn again. It is nil when all weigh the same, and when it would be
// too long.
func newSchedule(hosts []*Host) []*Host {
	total := uint64(0)
	divisor := uint32(0)
	for _, h := range hosts {
		divisor = gcd(divisor, h.weight())
		total += uint64(h.weight())
	}
	if divisor == 0 || total/uint64(divisor) == uint64(len(hosts)) || total/uint64(divisor) > 1<<16 {
		return nil
	}
	current := make([]int64, len(hosts))
	schedule := make([]*Host, 0, total/uint64(divisor))
	for len(schedule) < cap(schedule) {
		best := 0
		for i, h := range hosts {
			current[i] += int64(h.weight() / divisor)
			if current[i] > current[best] {
				best = i
			}
		}
		current[best] -= int64(total / uint64(divisor))
		schedule = append(schedule, hosts[best])
	}
	return schedule
}

func gcd[N uint32 | uint64](a, b N) N {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
