package collection

import (
	"maps"
	"slices"
	"sync"
)

// Input is a collection that is filled from outside.
type Input[V any] struct{ *Collection[V] }

// NewInput makes an empty input. Equal rows are no change.
func NewInput[V any](g *Graph, name string, equal func(a, b V) bool) Input[V] {
	c := add(g, name, equal)
	c.staged = map[string]staged[V]{}
	return Input[V]{c}
}

// Set stores a row when the transaction commits.
func (in Input[V]) Set(tx *Tx, key string, v V) {
	tx.use(in.graph)
	in.staged[key] = staged[V]{v, true}
}

// Delete removes a row when the transaction commits.
func (in Input[V]) Delete(tx *Tx, key string) {
	tx.use(in.graph)
	in.staged[key] = staged[V]{}
}

// Staged reports whether the running transaction has set or deleted the row.
func (in Input[V]) Staged(key string) bool {
	_, ok := in.staged[key]
	return ok
}

func (c *Collection[V]) settleInput() {
	for _, k := range sortedKeys(c.staged) {
		if s := c.staged[k]; s.ok {
			c.put(k, &row[V]{v: s.v, ok: true})
		} else {
			c.put(k, nil)
		}
	}
	clear(c.staged)
}

// Derive makes a collection with (at most) one row for each row of in: what fn
// gives for it. fn must be a function of its arguments and of what it reads
// through its context, and must not keep the context.
func Derive[V, W any](in *Collection[V], name string, equal func(a, b W) bool, fn func(ctx *Ctx, key string, v V) (W, bool)) *Collection[W] {
	in.readable(name)
	out := add(in.graph, name, equal)
	out.fn = func(ctx *Ctx, key string) (W, bool) {
		v, ok := in.Get(key)
		if !ok {
			var none W
			return none, false
		}
		return fn(ctx, key, v)
	}
	in.children = append(in.children, out.touch)
	return out
}

// Demand makes a collection whose rows come to be when a later collection's
// function first reads them and go when nobody reads them any more.
func Demand[W any](g *Graph, name string, equal func(a, b W) bool, fn func(ctx *Ctx, key string) (W, bool)) *Collection[W] {
	out := add(g, name, equal)
	out.fn, out.onDemand = fn, true
	return out
}

// Group makes an index: for every bucket that by names, the rows of in that
// belong there, in the order of their keys.
func Group[V any](in *Collection[V], name string, by func(key string, v V) []string) *Collection[[]V] {
	in.readable(name)
	out := add(in.graph, name, func([]V, []V) bool { return false })
	buckets := map[string]map[string]V{}
	out.settling = func() {
		touched := map[string]struct{}{}
		for _, ch := range in.changes {
			if ch.Had {
				for _, b := range by(ch.Key, ch.Old) {
					delete(buckets[b], ch.Key)
					touched[b] = struct{}{}
				}
			}
			if ch.Has {
				for _, b := range by(ch.Key, ch.New) {
					if buckets[b] == nil {
						buckets[b] = map[string]V{}
					}
					buckets[b][ch.Key] = ch.New
					touched[b] = struct{}{}
				}
			}
		}
		for _, b := range sortedKeys(touched) {
			out.runs.Add(1)
			if len(buckets[b]) == 0 {
				delete(buckets, b)
				out.put(b, nil)
				continue
			}
			list := make([]V, 0, len(buckets[b]))
			for _, k := range slices.Sorted(maps.Keys(buckets[b])) {
				list = append(list, buckets[b][k])
			}
			out.put(b, &row[[]V]{v: list, ok: true})
		}
	}
	return out
}

func (c *Collection[V]) readable(by string) {
	if c.onDemand {
		panic("collection: " + by + " is derived from " + c.name + ", whose rows come on demand")
	}
}

// Get reads one row, and records that: the reader runs again when the row
// changes, comes or goes.
func Get[V any](ctx *Ctx, c *Collection[V], key string) (V, bool) {
	ctx.check(c.id, c.name)
	ctx.reads[reader{c.id, key}] = struct{}{}
	if c.onDemand {
		return c.obtain(ctx, key)
	}
	return c.Get(key)
}

// obtain gives a row of a collection on demand, computing it if need be.
func (c *Collection[V]) obtain(ctx *Ctx, key string) (V, bool) {
	c.mu.Lock()
	r := c.rows[key]
	fresh := r == nil
	if fresh {
		r = &row[V]{}
		r.ctx = c.graph.ctx(reader{c.id, key}, ctx.made)
		c.rows[key] = r
		c.order.forget()
		c.snapshot = nil
	}
	c.mu.Unlock()
	if fresh {
		ctx.made.mu.Lock()
		ctx.made.ctx = append(ctx.made.ctx, r.ctx)
		ctx.made.mu.Unlock()
	}
	r.once.Do(func() {
		c.runs.Add(1)
		r.run(c.fn, r.ctx, key)
	})
	return r.v, r.ok
}

// Select reads all rows that match, in the order of their keys. The reader
// runs again when a row that matched or matches now has changed; match must be
// a function of its arguments.
func Select[V any](ctx *Ctx, c *Collection[V], match func(key string, v V) bool) []V {
	c.readable(c.graph.nodes[ctx.self.node].title())
	ctx.check(c.id, c.name)
	if ctx.scans == nil {
		ctx.scans = map[int][]any{}
	}
	ctx.scans[c.id] = append(ctx.scans[c.id], match)
	var out []V
	for _, k := range c.order.keys(c.present) {
		if v := c.rows[k].v; match(k, v) {
			out = append(out, v)
		}
	}
	return out
}

// All reads every row, in the order of the keys.
func All[V any](ctx *Ctx, c *Collection[V]) []V {
	return Select(ctx, c, func(string, V) bool { return true })
}

// keyOrder keeps the sorted keys of a collection until they change.
type keyOrder struct {
	mu     sync.Mutex
	known  bool     // guarded by mu
	sorted []string // guarded by mu
}

func (o *keyOrder) keys(seq func(func(string) bool)) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.known {
		o.sorted, o.known = slices.Sorted(seq), true
	}
	return o.sorted
}

func (o *keyOrder) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known = false
}
