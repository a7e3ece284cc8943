// Package collection is the incremental engine of the control plane: tables of
// keyed rows, and functions that derive tables from tables.
//
// It stands under every stage of a config change. Inputs are set inside a
// transaction; a commit then re-runs exactly the functions whose recorded
// reads changed, in topological order, so that each derived row is computed at
// most once per epoch and never from a half-updated state. A row that comes
// out equal stops the change there.
//
// The engine starts no goroutine of its own and has no lock that callers must
// know: one owner calls [Graph.Commit] and reads collections between commits.
// What other goroutines are to see, they get as a [Collection.Snapshot].
package collection

import (
	"maps"
	"slices"
	"sync"
)

// Graph is a set of collections that change together. Its order of creation is
// its topological order: a collection may only read those made before it.
type Graph struct {
	nodes []node
	epoch uint64
	busy  bool
}

// node is what the graph asks of a collection of any row type.
type node interface {
	// begin forgets the changes of the last epoch.
	begin()
	// settle brings the collection up to date with those before it.
	settle()
	// touch marks a derived row as in need of computing.
	touch(key string)
	// listen and unlisten add and remove a reader of one row.
	listen(key string, r reader)
	unlisten(key string, r reader)
	// watch and unwatch add and remove the filters of one reader.
	watch(r reader, filters []any)
	unwatch(r reader)
	// sweep drops rows that were made on demand and that nobody reads.
	sweep()
	title() string
}

// reader is one derived row that has read something.
type reader struct {
	node int
	key  string
}

// New makes an empty graph.
func New() *Graph { return &Graph{} }

// Epoch counts the commits that changed something.
func (g *Graph) Epoch() uint64 { return g.epoch }

// Commit applies what edit sets and deletes as one transaction and brings all
// derived rows up to date. It reports the epoch, and is not reentrant.
func (g *Graph) Commit(edit func(*Tx)) uint64 {
	if g.busy {
		panic("collection: Commit called inside a commit")
	}
	g.busy = true
	defer func() { g.busy = false }()
	for _, n := range g.nodes {
		n.begin()
	}
	tx := &Tx{graph: g}
	edit(tx)
	tx.done = true
	if !tx.used {
		return g.epoch
	}
	g.epoch++
	for _, n := range g.nodes {
		n.settle()
	}
	for _, n := range slices.Backward(g.nodes) {
		n.sweep()
	}
	return g.epoch
}

// Tx is one transaction; it is valid while the edit function runs.
type Tx struct {
	graph *Graph
	used  bool
	done  bool
}

func (tx *Tx) use(g *Graph) {
	if tx.done || tx.graph != g {
		panic("collection: a transaction is used outside of its commit")
	}
	tx.used = true
}

// Ctx records what one run of a deriving function reads.
type Ctx struct {
	graph *Graph
	self  reader
	reads map[reader]struct{} // {node read, key read}
	scans map[int][]any       // filters by node read
	// made collects the rows that came to be on demand during the run.
	made *demand
}

// demand gathers, from concurrent runs, the contexts of rows made on demand.
type demand struct {
	mu  sync.Mutex
	ctx []*Ctx // guarded by mu
}

func (g *Graph) ctx(self reader, made *demand) *Ctx {
	return &Ctx{graph: g, self: self, reads: map[reader]struct{}{}, made: made}
}

func (c *Ctx) check(id int, name string) {
	if id >= c.self.node {
		panic("collection: " + c.graph.nodes[c.self.node].title() + " reads " + name + ", which is made after it")
	}
}

// replace makes the graph's edges those of now instead of those of before;
// either may be nil.
func (g *Graph) replace(before, now *Ctx) {
	if before != nil {
		for r := range before.reads {
			if now != nil {
				if _, still := now.reads[r]; still {
					continue
				}
			}
			g.nodes[r.node].unlisten(r.key, before.self)
		}
		for id := range before.scans {
			g.nodes[id].unwatch(before.self)
		}
	}
	if now == nil {
		return
	}
	for r := range now.reads {
		g.nodes[r.node].listen(r.key, now.self)
	}
	for id, filters := range now.scans {
		g.nodes[id].watch(now.self, filters)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
