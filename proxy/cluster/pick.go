package cluster

import (
	"cmp"
	"hash/maphash"
	"math"
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
	// share is how much of hosts is healthy while none is ejected.
	share      float64
	localities []locality // only for locality-weighted balancing
	next       *atomic.Uint64
	ring       []point // for RingHash
	table      []*Host // for Maglev
	// schedule repeats hosts by their weights; nil when all weigh the same.
	schedule []*Host
}

type locality struct {
	weight uint32
	level
}

type point struct {
	hash uint64
	host *Host
}

// overprovisioning is how much a priority may lack before the next takes over:
// Envoy's default of 140 %.
const overprovisioning = 1.4

func compile(cfg *Config, hosts []*Host) *endpoints {
	e := arrange(cfg, hosts)
	if cfg.Subsets != nil {
		e.subsets = cfg.Subsets.part(cfg, hosts)
	}
	return e
}

// arrange arranges hosts by priority and locality.
func arrange(cfg *Config, hosts []*Host) *endpoints {
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
	for _, p := range priorities {
		l := newLevel(cfg, byPriority[p])
		if cfg.LocalityWeighted {
			l.localities = splitLocalities(cfg, byPriority[p])
		}
		e.priority = append(e.priority, l)
	}
	return e
}

func newLevel(cfg *Config, hosts []*Host) level {
	l := level{hosts: hosts, share: healthyShare(hosts, time.Time{}), next: new(atomic.Uint64)}
	// Not every proxy starts with the same host.
	l.next.Store(rand.Uint64N(uint64(len(hosts)) + 1))
	switch cfg.Policy {
	case RingHash:
		l.ring = newRing(cfg, hosts)
	case Maglev:
		l.table = newTable(cfg, hosts)
	case RoundRobin:
		l.schedule = newSchedule(hosts)
	}
	return l
}

func splitLocalities(cfg *Config, hosts []*Host) []locality {
	by := map[model.Locality][]*Host{}
	for _, h := range hosts {
		by[h.Locality] = append(by[h.Locality], h)
	}
	var all []locality
	for _, group := range by {
		if w := group[0].LocalityWeight; w > 0 {
			all = append(all, locality{w, newLevel(cfg, group)})
		}
	}
	slices.SortFunc(all, func(a, b locality) int {
		return cmp.Compare(a.hosts[0].Locality.String(), b.hosts[0].Locality.String())
	})
	return all
}

// weight of a host; unset counts as 1.
func (h *Host) weight() uint32 { return max(1, h.Weight) }

// newSchedule interleaves hosts by weight, smoothly: after each pick the picked
// one waits its turn again.
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

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

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
	return o != nil && (o.Canaries && slices.Contains(h.Labels, canary) ||
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
	e := c.endpoints.Load()
	if c.Subsets != nil {
		e = c.Subsets.within(e, choice.Labels)
	}
	if len(e.hosts) == 0 {
		c.Stats.NoneHealthy.Add(1)
		return nil
	}
	now := time.Now()
	if choice.Wanted != "" {
		if h := e.named(choice.Wanted); h != nil && c.mayOverride(h, now) {
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
		if host = c.pickOnce(e, choice, now, uint64(i)); host == nil {
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

// mayOverride reports whether a host that is asked for may be taken.
func (c *Cluster) mayOverride(h *Host, now time.Time) bool {
	return h.Usable(now) || h.Health == model.Draining && c.OverrideDraining && !h.Failing() && !h.Ejected(now)
}

func (c *Cluster) pickOnce(e *endpoints, choice Choice, now time.Time, salt uint64) *Host {
	l, panicking := c.chooseLevel(e, choice.Skip, now)
	if l == nil {
		return nil
	}
	if len(l.localities) > 0 && !panicking {
		l = c.weightedLocality(l, now)
	}
	usable := func(h *Host) bool { return panicking || h.Usable(now) }
	switch c.Policy {
	case Random:
		draw := func() *Host { return scan(l.hosts, rand.Uint64N(uint64(len(l.hosts))), usable) }
		if c.slowing(now) {
			return c.gradually(draw, now)
		}
		return draw()
	case LeastRequest:
		return c.leastRequest(l, usable, now)
	case RingHash:
		if len(l.ring) > 0 {
			return l.onRing(hashOf(choice)+salt*0x9e3779b97f4a7c15, usable)
		}
	case Maglev:
		if len(l.table) > 0 {
			return scan(l.table, (hashOf(choice)+salt*0x9e3779b97f4a7c15)%uint64(len(l.table)), usable)
		}
	}
	hosts := l.hosts
	if l.schedule != nil {
		hosts = l.schedule
	}
	if c.slowing(now) {
		return c.gradually(func() *Host { return scan(hosts, l.next.Add(1)%uint64(len(hosts)), usable) }, now)
	}
	return scan(hosts, l.next.Add(1)%uint64(len(hosts)), usable)
}

func hashOf(choice Choice) uint64 {
	if choice.HasHash {
		return choice.Hash
	}
	return rand.Uint64()
}

// scan is the first usable host from i on, around the list.
func scan(hosts []*Host, i uint64, usable func(*Host) bool) *Host {
	n := uint64(len(hosts))
	for k := range n {
		if h := hosts[(i+k)%n]; usable(h) {
			return h
		}
	}
	return nil
}

// chooseLevel finds the priority to use. With everything healthy that is the
// first. It reports panic when so few hosts are healthy that all are used.
func (c *Cluster) chooseLevel(e *endpoints, skip uint64, now time.Time) (*level, bool) {
	if len(e.priority) == 1 {
		l := &e.priority[0]
		return l, c.panicking(c.healthy(l, now))
	}
	if skip != 0 {
		if l := c.otherLevel(e, skip, now); l != nil {
			return l, false
		}
	}
	left, total := 1.0, 0.0
	draw := rand.Float64()
	for i := range e.priority {
		share := c.healthy(&e.priority[i], now)
		total += share
		load := min(left, share*overprovisioning)
		if draw < load {
			return &e.priority[i], false
		}
		draw, left = draw-load, left-load
	}
	if total == 0 {
		return &e.priority[0], c.panicking(0)
	}
	// Not enough anywhere: the load is spread by what is healthy.
	draw = rand.Float64() * total
	for i := range e.priority {
		if draw -= c.healthy(&e.priority[i], now); draw < 0 {
			return &e.priority[i], false
		}
	}
	return &e.priority[len(e.priority)-1], false
}

// otherLevel finds the priority to use beside those that are passed over, nil when
// none of them has a healthy host.
func (c *Cluster) otherLevel(e *endpoints, skip uint64, now time.Time) *level {
	share := func(l *level) float64 {
		if l.hosts[0].PriorityBit()&skip != 0 {
			return 0
		}
		return min(1, c.healthy(l, now)*overprovisioning)
	}
	total := 0.0
	for i := range e.priority {
		total += share(&e.priority[i])
	}
	draw := rand.Float64() * min(1, total)
	for i := range e.priority {
		s := share(&e.priority[i])
		if draw < s {
			return &e.priority[i]
		}
		draw -= s
	}
	return nil
}

func (c *Cluster) panicking(share float64) bool { return share*100 < c.Panic }

// healthy is the share of a level's hosts that are usable. It looks at them only
// while one is ejected.
func (c *Cluster) healthy(l *level, now time.Time) float64 {
	if c.ejectedUntil.Load() <= now.UnixNano() {
		return l.share
	}
	return healthyShare(l.hosts, now)
}

func healthyShare(hosts []*Host, now time.Time) float64 {
	healthy := 0
	for _, h := range hosts {
		if h.Usable(now) {
			healthy++
		}
	}
	return float64(healthy) / math.Max(1, float64(len(hosts)))
}

func (c *Cluster) weightedLocality(l *level, now time.Time) *level {
	total := 0.0
	var few [16]float64 // more localities than that have to be allocated for
	weights := append(few[:0], make([]float64, len(l.localities))...)
	for i := range l.localities {
		weights[i] = float64(l.localities[i].weight) * min(1, c.healthy(&l.localities[i].level, now)*overprovisioning)
		total += weights[i]
	}
	draw := rand.Float64() * total
	for i := range weights {
		if draw -= weights[i]; draw < 0 {
			return &l.localities[i].level
		}
	}
	return l
}

// leastRequest compares some hosts drawn at random by how busy they are for
// their weight.
func (c *Cluster) leastRequest(l *level, usable func(*Host) bool, now time.Time) *Host {
	var best *Host
	slow := c.slowing(now)
	load := func(h *Host) float64 {
		busy := float64(h.Active.Load()+1) / float64(h.weight())
		if slow {
			busy /= c.SlowStart.share(h, now)
		}
		return busy
	}
	for range max(2, c.Choices) {
		h := scan(l.hosts, rand.Uint64N(uint64(len(l.hosts))), usable)
		if h == nil {
			return nil
		}
		if best == nil || load(h) < load(best) {
			best = h
		}
	}
	return best
}

// seed makes hashes of names the same in one process.
var seed = maphash.MakeSeed()

// HashString is the hash by which requests are kept on one host.
func HashString(s string) uint64 { return maphash.String(seed, s) }

func newRing(cfg *Config, hosts []*Host) []point {
	if len(hosts) == 0 {
		return nil
	}
	total := uint64(0)
	for _, h := range hosts {
		total += uint64(h.weight())
	}
	size := max(cmp.Or(cfg.RingMin, 1024), uint64(len(hosts)))
	size = min(size, cmp.Or(cfg.RingMax, 8<<20))
	var ring []point
	for _, h := range hosts {
		n := max(1, size*uint64(h.weight())/total)
		for i := range n {
			ring = append(ring, point{mix(HashString(h.id()), i), h})
		}
	}
	slices.SortFunc(ring, func(a, b point) int { return cmp.Compare(a.hash, b.hash) })
	return ring
}

func (l *level) onRing(hash uint64, usable func(*Host) bool) *Host {
	i, _ := slices.BinarySearchFunc(l.ring, hash, func(p point, h uint64) int { return cmp.Compare(p.hash, h) })
	for k := range l.ring {
		if h := l.ring[(i+k)%len(l.ring)].host; usable(h) {
			return h
		}
	}
	return nil
}

// newTable fills Maglev's table: each host takes the next free slot of its own
// permutation in turn.
func newTable(cfg *Config, hosts []*Host) []*Host {
	if len(hosts) == 0 {
		return nil
	}
	size := cmp.Or(cfg.TableSize, 65537)
	table := make([]*Host, size)
	next := make([]uint64, len(hosts))
	for filled := uint64(0); filled < size; {
		for i, h := range hosts {
			offset, skip := mix(HashString(h.id()), 1)%size, mix(HashString(h.id()), 2)%(size-1)+1
			for range h.weight() {
				slot := (offset + next[i]*skip) % size
				for table[slot] != nil {
					next[i]++
					slot = (offset + next[i]*skip) % size
				}
				table[slot] = h
				if filled++; filled == size {
					return table
				}
			}
		}
	}
	return table
}

// mix spreads a pair of numbers over all bits.
func mix(a, b uint64) uint64 {
	x := a ^ (b+0x9e3779b97f4a7c15)*0xbf58476d1ce4e5b9
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
