package cluster

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Hashing says how endpoints are found by a key. Rings and tables are laid out as
// Envoy does it, so that both find the same endpoint by the same key.
type Hashing struct {
	// RingMin and RingMax bound a hash ring's size (1024 and 8 Mi by default);
	// TableSize is Maglev's (65537).
	RingMin, RingMax, TableSize uint64
	// Murmur places a ring's points by MurmurHash2 instead of xxHash.
	Murmur bool
	// ByHostname places endpoints by their host names instead of their addresses.
	ByHostname bool
	// Balance is how many percent of the average an endpoint may be busy; 0 is any.
	Balance uint32
}

// keyed finds hosts by keys: by a ring of points or by a table.
type keyed struct {
	ring   []point
	table  []*Host
	shares []share
	index  map[*State]int // of shares; only where their load is bounded
}

type point struct {
	hash uint64
	host *Host
}

// share is a host's part of the keys.
type share struct {
	host *Host
	part float64
}

func (c *Cluster) consistent() bool { return c.Policy == RingHash || c.Policy == Maglev }

// HashString is the hash by which requests are kept on one host.
func HashString(s string) uint64 { return xxhash.Sum64String(s) }

// shares adds the shares of hosts that have part of all keys together.
func shares(to []share, hosts []*Host, part float64) []share {
	total := uint64(0)
	for _, h := range hosts {
		total += uint64(h.weight())
	}
	for _, h := range hosts {
		to = append(to, share{h, part * (float64(h.weight()) / float64(total))})
	}
	return to
}

func (c *Cluster) newKeyed(of []share) *keyed {
	if len(of) == 0 {
		return nil
	}
	k := &keyed{shares: of}
	if c.Policy == Maglev {
		k.table = c.Hashing.newTable(of)
	} else {
		k.ring = c.Hashing.newRing(of)
	}
	if c.Hashing.Balance == 0 {
		k.shares = nil
		return k
	}
	k.index = make(map[*State]int, len(of))
	for i, s := range of {
		k.index[s.host.State] = i
	}
	return k
}

// name is what a host is placed by.
func (a *Hashing) name(h *Host) string {
	if h.Rare != nil && h.Rare.HashKey != "" {
		return h.Rare.HashKey
	}
	if a.ByHostname {
		return h.Name
	}
	return h.id()
}

// newRing gives each host as many points as its share is of the ring, which is so
// large that the host with the least has a whole number.
func (a *Hashing) newRing(of []share) []point {
	least := of[0].part
	for _, s := range of {
		least = min(least, s.part)
	}
	scale := min(math.Ceil(least*float64(cmp.Or(a.RingMin, 1024)))/least, float64(cmp.Or(a.RingMax, 8<<20)))
	ring := make([]point, 0, int(math.Ceil(scale)))
	target := 0.0
	var text []byte
	for _, s := range of {
		target += scale * s.part
		text = append(append(text[:0], a.name(s.host)...), '_')
		stem := len(text)
		for i := int64(0); float64(len(ring)) < target; i++ {
			text = strconv.AppendInt(text[:stem], i, 10)
			hash := xxhash.Sum64(text)
			if a.Murmur {
				hash = murmur2(text)
			}
			ring = append(ring, point{hash, s.host})
		}
	}
	slices.SortStableFunc(ring, func(a, b point) int { return cmp.Compare(a.hash, b.hash) })
	return ring
}

// newTable fills Maglev's table: each host takes the next free slot of its own
// permutation in turn, those with less weight not each time.
func (a *Hashing) newTable(of []share) []*Host {
	size := cmp.Or(a.TableSize, 65537)
	table := make([]*Host, size)
	type entry struct {
		offset, skip, next uint64
		target             float64
	}
	// The order of the hosts' names, so that it does not matter how they are listed.
	of = slices.Clone(of)
	slices.SortStableFunc(of, func(x, y share) int { return cmp.Compare(a.name(x.host), a.name(y.host)) })
	entries := make([]entry, len(of))
	most := 0.0
	for i, s := range of {
		name := a.name(s.host)
		seeded := xxhash.NewWithSeed(1)
		_, _ = seeded.WriteString(name) // never fails
		entries[i] = entry{offset: HashString(name) % size, skip: seeded.Sum64()%(size-1) + 1}
		most = max(most, s.part)
	}
	filled := uint64(0)
	for round := 1; filled < size; round++ {
		for i := range entries {
			e := &entries[i]
			if filled == size {
				break
			}
			if float64(round)*of[i].part < e.target {
				continue
			}
			e.target += most
			slot := (e.offset + e.skip*e.next) % size
			for table[slot] != nil {
				e.next++
				slot = (e.offset + e.skip*e.next) % size
			}
			table[slot] = of[i].host
			e.next++
			filled++
		}
	}
	return table
}

// onKey finds the host of a key. Further attempts find others.
func (c *Cluster) onKey(k *keyed, hash, attempt uint64) *Host {
	h := k.find(hash, attempt)
	if c.Hashing.Balance == 0 || c.fullness(h, k) <= 1 {
		return h
	}
	return c.elsewhere(k, h, hash)
}

func (k *keyed) find(hash, attempt uint64) *Host {
	if k.table != nil {
		if attempt > 0 {
			hash ^= -attempt
		}
		return k.table[hash%uint64(len(k.table))]
	}
	i, _ := slices.BinarySearchFunc(k.ring, hash, func(p point, h uint64) int { return cmp.Compare(p.hash, h) })
	return k.ring[(uint64(i)+attempt)%uint64(len(k.ring))].host
}

// fullness is how busy a host is, where 1 is as much as it may be.
func (c *Cluster) fullness(h *Host, k *keyed) float64 {
	slots := (uint64(c.Requests()+1)*uint64(c.Hashing.Balance) + 99) / 100
	own := max(1, math.Ceil(float64(slots)*k.shares[k.index[h.State]].part))
	return float64(h.Active.Load()) / own
}

// elsewhere finds a host that is not full, in an order that is each key's own; the
// least busy one when all are full.
func (c *Cluster) elsewhere(k *keyed, full *Host, hash uint64) *Host {
	n := uint64(len(k.shares))
	best, least := full, c.fullness(full, k)
	step := uint64(1)
	if n > 2 {
		for step = hash>>32%(n-1) + 1; gcd(step, n) != 1; {
			step = step%(n-1) + 1
		}
	}
	for i := range n {
		h := k.shares[(hash+i*step)%n].host
		switch f := c.fullness(h, k); {
		case h == full:
		case f <= 1:
			return h
		case f < least:
			best, least = h, f
		}
	}
	return best
}

// murmur2 is MurmurHash2 for 64 bits, with the seed of libstdc++.
func murmur2(b []byte) uint64 {
	const mul = 0xc6a4a7935bd1e995
	mix := func(v uint64) uint64 { return v ^ v>>47 }
	h := 0xc70f6907 ^ uint64(len(b))*mul
	for ; len(b) >= 8; b = b[8:] {
		v := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h = (h ^ mix(v*mul)*mul) * mul
	}
	if len(b) > 0 {
		v := uint64(0)
		for i := len(b) - 1; i >= 0; i-- {
			v = v<<8 | uint64(b[i])
		}
		h = (h ^ v) * mul
	}
	return mix(mix(h) * mul)
}
