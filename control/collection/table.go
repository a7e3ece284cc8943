package collection

import (
	"cmp"
	"maps"
	"slices"
)

// Table holds inputs by key. Values are immutable: a change is a new value.
type Table[K cmp.Ordered, V any] struct {
	engine  *Engine
	equal   func(a, b V) bool
	rows    map[K]V
	cells   map[K]*cell // of keys that were read, present or not
	all     cell
	indexes []*Index[K, V]
}

// NewTable makes an empty table. Writing a value that is equal to the one that
// is there is no change.
func NewTable[K cmp.Ordered, V any](e *Engine, equal func(a, b V) bool) *Table[K, V] {
	return &Table[K, V]{engine: e, equal: equal, rows: map[K]V{}, cells: map[K]*cell{}}
}

// Set writes a row.
func (t *Table[K, V]) Set(key K, value V) {
	old, ok := t.rows[key]
	if ok && t.equal(old, value) {
		return
	}
	t.rows[key] = value
	for _, x := range t.indexes {
		if ok {
			x.move(key, x.of(old), x.of(value))
		} else {
			x.move(key, nil, x.of(value))
		}
	}
	t.touch(key)
}

// Delete removes a row.
func (t *Table[K, V]) Delete(key K) {
	old, ok := t.rows[key]
	if !ok {
		return
	}
	delete(t.rows, key)
	for _, x := range t.indexes {
		x.move(key, x.of(old), nil)
	}
	t.touch(key)
}

func (t *Table[K, V]) touch(key K) {
	if c, ok := t.cells[key]; ok {
		t.engine.touch(c)
	}
	t.engine.touch(&t.all)
}

// Get reads a row. That there is none is remembered like a value.
func (t *Table[K, V]) Get(key K) (V, bool) {
	c, ok := t.cells[key]
	if !ok {
		c = &cell{}
		t.cells[key] = c
	}
	t.engine.read(c)
	v, ok := t.rows[key]
	return v, ok
}

// All reads all rows in the order of their keys. Who does so depends on every
// one of them.
func (t *Table[K, V]) All() []V {
	t.engine.read(&t.all)
	return t.pick(slices.Sorted(maps.Keys(t.rows)))
}

func (t *Table[K, V]) pick(keys []K) []V {
	out := make([]V, 0, len(keys))
	for _, k := range keys {
		out = append(out, t.rows[k])
	}
	return out
}

// Index finds the rows of a table by a property of theirs. Who reads one
// bucket depends on its rows only.
type Index[K cmp.Ordered, V any] struct {
	table   *Table[K, V]
	of      func(V) []string
	buckets map[string]*bucket[K]
}

type bucket[K cmp.Ordered] struct {
	cell cell
	keys map[K]bool
}

// NewIndex indexes a table, which must be empty, by what of says of a value.
func NewIndex[K cmp.Ordered, V any](t *Table[K, V], of func(V) []string) *Index[K, V] {
	x := &Index[K, V]{table: t, of: of, buckets: map[string]*bucket[K]{}}
	t.indexes = append(t.indexes, x)
	return x
}

func (x *Index[K, V]) bucket(name string) *bucket[K] {
	b, ok := x.buckets[name]
	if !ok {
		b = &bucket[K]{keys: map[K]bool{}}
		x.buckets[name] = b
	}
	return b
}

// move updates the buckets that a changed row was in and is in.
func (x *Index[K, V]) move(key K, from, to []string) {
	for _, name := range from {
		delete(x.bucket(name).keys, key)
		x.table.engine.touch(&x.bucket(name).cell)
	}
	for _, name := range to {
		x.bucket(name).keys[key] = true
		x.table.engine.touch(&x.bucket(name).cell)
	}
}

// Get reads the rows of one bucket in the order of their keys.
func (x *Index[K, V]) Get(name string) []V {
	b := x.bucket(name)
	x.table.engine.read(&b.cell)
	return x.table.pick(slices.Sorted(maps.Keys(b.keys)))
}
