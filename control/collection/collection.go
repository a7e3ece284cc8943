package collection

import (
	"iter"
	"maps"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
)

// Collection is a table of rows of one type by key. Rows are immutable once
// they are in. Its methods belong to the graph's owner, between commits;
// deriving functions read with [Get], [Select] and [All] instead.
type Collection[V any] struct {
	graph *Graph
	id    int
	name  string
	equal func(a, b V) bool

	rows    map[string]*row[V]
	order   keyOrder
	changes []Change[V]
	dirty   map[string]struct{}

	// fn computes a derived row; nil for inputs.
	fn       func(ctx *Ctx, key string) (V, bool)
	settling func() // nil: the way of inputs or of derived rows
	staged   map[string]staged[V]
	onDemand bool
	heavy    bool
	mu       sync.Mutex // guards rows while functions run side by side, if onDemand
	runs     atomic.Uint64

	listeners map[string]map[reader]struct{}
	watchers  map[reader][]any // of func(key string, v V) bool
	idle      map[string]struct{}
	// children hear of every changed key.
	children []func(key string)
	snapshot map[string]V // nil when it is out of date
}

type row[V any] struct {
	v    V
	ok   bool
	ctx  *Ctx // what it read; nil for inputs
	once sync.Once
}

// run fills the row with what fn gives, which is nothing if it says so.
func (r *row[V]) run(fn func(*Ctx, string) (V, bool), ctx *Ctx, key string) {
	if v, ok := fn(ctx, key); ok {
		r.v, r.ok = v, true
	}
}

type staged[V any] struct {
	v  V
	ok bool
}

// Change is what became of one row in an epoch.
type Change[V any] struct {
	Key      string
	Old, New V
	// Had and Has say whether there was a row before and is one now.
	Had, Has bool
}

// Same compares rows by ==.
func Same[V comparable](a, b V) bool { return a == b }

// Deep compares rows by [reflect.DeepEqual].
func Deep[V any](a, b V) bool { return reflect.DeepEqual(a, b) }

func add[V any](g *Graph, name string, equal func(a, b V) bool) *Collection[V] {
	if g.busy {
		panic("collection: " + name + " is made inside a commit")
	}
	c := &Collection[V]{
		graph: g, id: len(g.nodes), name: name, equal: equal,
		rows: map[string]*row[V]{}, dirty: map[string]struct{}{}, idle: map[string]struct{}{},
		listeners: map[string]map[reader]struct{}{}, watchers: map[reader][]any{},
	}
	g.nodes = append(g.nodes, c)
	return c
}

// Heavy lets the collection's function run for several rows at a time. What it
// reads and what comes out stay the same.
func (c *Collection[V]) Heavy() *Collection[V] {
	c.heavy = true
	return c
}

// Get gives the row of key.
func (c *Collection[V]) Get(key string) (V, bool) {
	if r := c.rows[key]; r != nil {
		return r.v, r.ok
	}
	var none V
	return none, false
}

// Len is the number of rows.
func (c *Collection[V]) Len() int { return len(c.order.keys(c.present)) }

// All yields the rows in the order of their keys.
func (c *Collection[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range c.order.keys(c.present) {
			if !yield(k, c.rows[k].v) {
				return
			}
		}
	}
}

// Changes lists what the last commit changed, in the order of the keys.
func (c *Collection[V]) Changes() []Change[V] { return c.changes }

// Snapshot is the whole table as it is now; it never changes and any goroutine
// may read it. Nobody may write to it.
func (c *Collection[V]) Snapshot() map[string]V {
	if c.snapshot == nil {
		c.snapshot = maps.Collect(c.All())
	}
	return c.snapshot
}

// Runs counts how often the collection's function has run.
func (c *Collection[V]) Runs() uint64 { return c.runs.Load() }

func (c *Collection[V]) title() string { return c.name }

// present yields the keys of the rows that there are.
func (c *Collection[V]) present(yield func(string) bool) {
	for k, r := range c.rows {
		if r.ok && !yield(k) {
			return
		}
	}
}

func (c *Collection[V]) begin() { c.changes = nil }

func (c *Collection[V]) touch(key string) { c.dirty[key] = struct{}{} }

func (c *Collection[V]) settle() {
	switch {
	case c.settling != nil:
		c.settling()
	case c.fn == nil:
		c.settleInput()
	default:
		c.settleDerived()
	}
}

// settleDerived computes the dirty rows: first all of them, from collections
// that stand still, then puts them in one by one in the order of their keys.
func (c *Collection[V]) settleDerived() {
	if c.onDemand {
		for k := range c.dirty {
			if c.rows[k] == nil || len(c.listeners[k]) == 0 {
				delete(c.dirty, k)
				c.drop(k)
			}
		}
	}
	keys := sortedKeys(c.dirty)
	clear(c.dirty)
	made := &demand{}
	fresh := make([]*row[V], len(keys))
	compute := func(i int) { fresh[i] = c.compute(keys[i], made) }
	c.each(len(keys), compute)
	for i, k := range keys {
		var before *Ctx
		if old := c.rows[k]; old != nil {
			before = old.ctx
		}
		c.graph.replace(before, fresh[i].ctx)
		fresh[i].ctx.made = nil
		if fresh[i].ok || c.onDemand || len(fresh[i].ctx.reads) > 0 || len(fresh[i].ctx.scans) > 0 {
			c.put(k, fresh[i])
		} else {
			c.put(k, nil)
		}
	}
	for _, ctx := range made.ctx {
		c.graph.replace(nil, ctx)
		ctx.made = nil
	}
}

func (c *Collection[V]) compute(key string, made *demand) *row[V] {
	c.runs.Add(1)
	ctx := c.graph.ctx(reader{c.id, key}, made)
	r := &row[V]{ctx: ctx}
	r.once.Do(func() { r.run(c.fn, ctx, key) })
	return r
}

// each calls f for 0..n-1, side by side if the function is heavy.
func (c *Collection[V]) each(n int, f func(int)) {
	workers := min(runtime.GOMAXPROCS(0), n/8)
	if !c.heavy || workers < 2 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// put stores a row (nil: none) and tells everyone who read the old one, unless
// the two are equal.
func (c *Collection[V]) put(key string, now *row[V]) {
	old := c.rows[key]
	if now == nil {
		delete(c.rows, key)
	} else {
		c.rows[key] = now
	}
	ch := Change[V]{Key: key}
	if old != nil && old.ok {
		ch.Old, ch.Had = old.v, true
	}
	if now != nil && now.ok {
		ch.New, ch.Has = now.v, true
	}
	if !ch.Had && !ch.Has {
		return
	}
	if ch.Had && ch.Has && c.equal(ch.Old, ch.New) {
		now.v = old.v // keep the value that others already share
		return
	}
	if ch.Had != ch.Has {
		c.order.forget()
	}
	c.snapshot = nil
	c.changes = append(c.changes, ch)
	c.tell(ch)
}

func (c *Collection[V]) tell(ch Change[V]) {
	for r := range c.listeners[ch.Key] {
		c.graph.nodes[r.node].touch(r.key)
	}
	for r, filters := range c.watchers {
		if matchesAny(filters, ch) {
			c.graph.nodes[r.node].touch(r.key)
		}
	}
	for _, child := range c.children {
		child(ch.Key)
	}
}

func matchesAny[V any](filters []any, ch Change[V]) bool {
	for _, f := range filters {
		match := f.(func(string, V) bool)
		if ch.Had && match(ch.Key, ch.Old) || ch.Has && match(ch.Key, ch.New) {
			return true
		}
	}
	return false
}

func (c *Collection[V]) listen(key string, r reader) {
	set := c.listeners[key]
	if set == nil {
		set = map[reader]struct{}{}
		c.listeners[key] = set
	}
	set[r] = struct{}{}
}

func (c *Collection[V]) unlisten(key string, r reader) {
	delete(c.listeners[key], r)
	if len(c.listeners[key]) == 0 {
		delete(c.listeners, key)
		c.idle[key] = struct{}{}
	}
}

func (c *Collection[V]) watch(r reader, filters []any) { c.watchers[r] = filters }
func (c *Collection[V]) unwatch(r reader)              { delete(c.watchers, r) }

func (c *Collection[V]) sweep() {
	if c.onDemand {
		for k := range c.idle {
			if len(c.listeners[k]) == 0 {
				c.drop(k)
			}
		}
	}
	clear(c.idle)
}

// drop forgets a row made on demand.
func (c *Collection[V]) drop(key string) {
	r := c.rows[key]
	if r == nil {
		return
	}
	c.graph.replace(r.ctx, nil)
	delete(c.rows, key)
	c.order.forget()
	c.snapshot = nil
}
