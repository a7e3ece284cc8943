package collection

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// world is a small graph with every form of dependency.
type world struct {
	g        *Graph
	services Input[int]    // "ns/name" -> size
	rules    Input[string] // host -> policy; hosts may be "*.ns" or "*"
	byNS     *Collection[[]int]
	policy   *Collection[string]
	rendered *Collection[string]
	total    *Collection[int]
	big      *Collection[string]
	table    *Collection[string]
}

func newWorld() *world {
	g := New()
	w := &world{g: g}
	w.services = NewInput(g, "services", Same[int])
	w.rules = NewInput(g, "rules", Same[string])
	ns := func(key string) string { return strings.SplitN(key, "/", 2)[0] }
	w.byNS = Group(w.services.Collection, "byNS", func(k string, _ int) []string { return []string{ns(k)} })
	// Exact keys, absence included, from the most specific to the least.
	w.policy = Derive(w.services.Collection, "policy", Same[string], func(ctx *Ctx, k string, _ int) (string, bool) {
		for _, h := range []string{k, "*." + ns(k), "*"} {
			if p, ok := Get(ctx, w.rules.Collection, h); ok {
				return p, true
			}
		}
		return "none", true
	})
	w.rendered = Demand(g, "rendered", Same[string], func(ctx *Ctx, k string) (string, bool) {
		p, ok := Get(ctx, w.policy, k)
		return "<" + k + ":" + p + ">", ok
	}).Heavy()
	w.total = Derive(w.byNS, "total", Same[int], func(_ *Ctx, _ string, sizes []int) (int, bool) {
		sum := 0
		for _, s := range sizes {
			sum += s
		}
		return sum, true
	})
	w.big = Derive(w.total, "big", Same[string], func(ctx *Ctx, k string, total int) (string, bool) {
		bigger := Select(ctx, w.services.Collection, func(_ string, size int) bool { return size > 7 })
		return fmt.Sprint(total, bigger), total%2 == 0
	}).Heavy()
	w.table = Derive(w.total, "table", Same[string], func(ctx *Ctx, k string, _ int) (string, bool) {
		var out []string
		for _, name := range []string{"a", "b", "c", "d"} {
			if r, ok := Get(ctx, w.rendered, k+"/"+name); ok {
				out = append(out, r)
			}
		}
		b, _ := Get(ctx, w.big, k)
		return strings.Join(out, "") + b, true
	}).Heavy()
	return w
}

func (w *world) dump() map[string]any {
	return map[string]any{
		"policy": w.policy.Snapshot(), "total": w.total.Snapshot(), "big": w.big.Snapshot(),
		"table": w.table.Snapshot(), "rendered": w.rendered.Snapshot(), "byNS": w.byNS.Snapshot(),
	}
}

// After every mutation the incremental state equals one built from scratch.
func TestIncrementalEqualsScratch(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		pick := func(s ...string) string { return s[rnd.IntN(len(s))] }
		w, services, rules := newWorld(), map[string]int{}, map[string]string{}
		for step := range 150 {
			w.g.Commit(func(tx *Tx) {
				for range 1 + rnd.IntN(3) {
					key := pick("n1", "n2", "n3") + "/" + pick("a", "b", "c", "d")
					switch rnd.IntN(4) {
					case 0:
						delete(services, key)
						w.services.Delete(tx, key)
					case 1, 2:
						services[key] = rnd.IntN(10)
						w.services.Set(tx, key, services[key])
					case 3:
						host := pick(key, "*."+key[:2], "*")
						if rnd.IntN(2) == 0 {
							delete(rules, host)
							w.rules.Delete(tx, host)
						} else {
							rules[host] = pick("p", "q")
							w.rules.Set(tx, host, rules[host])
						}
					}
				}
			})
			fresh := newWorld()
			fresh.g.Commit(func(tx *Tx) {
				for k, v := range services {
					fresh.services.Set(tx, k, v)
				}
				for k, v := range rules {
					fresh.rules.Set(tx, k, v)
				}
			})
			if diff := cmp.Diff(w.dump(), fresh.dump()); diff != "" {
				t.Fatalf("seed %d step %d: incremental (-) and scratch (+) differ:\n%s", seed, step, diff)
			}
		}
	}
}

// A diamond never shows a half-updated state, and costs one run.
func TestNoGlitch(t *testing.T) {
	g := New()
	in := NewInput(g, "in", Same[int])
	left := Derive(in.Collection, "left", Same[int], func(_ *Ctx, _ string, v int) (int, bool) { return v + 1, true })
	right := Derive(in.Collection, "right", Same[int], func(_ *Ctx, _ string, v int) (int, bool) { return v + 2, true })
	join := Derive(left, "join", Same[int], func(ctx *Ctx, k string, l int) (int, bool) {
		r, _ := Get(ctx, right, k)
		if r != l+1 {
			t.Errorf("join saw left %d and right %d of different epochs", l, r)
		}
		return l + r, true
	})
	for i := range 5 {
		g.Commit(func(tx *Tx) { in.Set(tx, "x", i) })
		if got := join.Runs(); got != uint64(i+1) {
			t.Fatalf("after %d commits join ran %d times", i+1, got)
		}
	}
}

// An equal row stops the change where it is.
func TestEarlyCutOff(t *testing.T) {
	g := New()
	in := NewInput(g, "in", Same[int])
	parity := Derive(in.Collection, "parity", Same[int], func(_ *Ctx, _ string, v int) (int, bool) { return v % 2, true })
	after := Derive(parity, "after", Same[int], func(_ *Ctx, _ string, v int) (int, bool) { return v, true })
	for _, v := range []int{1, 1, 3, 5} {
		g.Commit(func(tx *Tx) { in.Set(tx, "x", v) })
	}
	if parity.Runs() != 3 || after.Runs() != 1 {
		t.Errorf("parity ran %d times and after %d, want 3 and 1", parity.Runs(), after.Runs())
	}
	if n := len(after.Changes()); n != 0 {
		t.Errorf("%d changes in an epoch that changed nothing there", n)
	}
}

// A row that was read as absent is a dependency too.
func TestAbsenceIsADependency(t *testing.T) {
	w := newWorld()
	w.g.Commit(func(tx *Tx) { w.services.Set(tx, "n1/a", 1) })
	w.g.Commit(func(tx *Tx) { w.rules.Set(tx, "*", "strict") })
	if got, _ := w.policy.Get("n1/a"); got != "strict" {
		t.Errorf("got policy %q, want strict", got)
	}
}

// Rows made on demand go when nobody reads them.
func TestDemandedRowsGo(t *testing.T) {
	w := newWorld()
	w.g.Commit(func(tx *Tx) { w.services.Set(tx, "n1/a", 1) })
	w.g.Commit(func(tx *Tx) { w.services.Delete(tx, "n1/a") })
	if n := len(w.rendered.rows); n != 0 {
		t.Errorf("%d rows left, want none", n)
	}
	if n := len(w.policy.listeners); n != 0 {
		t.Errorf("%d rows are still listened to", n)
	}
}

// Reading what comes later in the graph is a mistake of the programmer.
func TestOrderIsHeld(t *testing.T) {
	g := New()
	in := NewInput(g, "in", Same[int])
	var later *Collection[int]
	Derive(in.Collection, "early", Same[int], func(ctx *Ctx, k string, _ int) (int, bool) { return Get(ctx, later, k) })
	later = Derive(in.Collection, "later", Same[int], func(_ *Ctx, _ string, v int) (int, bool) { return v, true })
	defer func() {
		if got, want := fmt.Sprint(recover()), "collection: early reads later, which is made after it"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}()
	g.Commit(func(tx *Tx) { in.Set(tx, "x", 1) })
}

func BenchmarkCommit10k(b *testing.B) {
	w := newWorld()
	w.g.Commit(func(tx *Tx) {
		for i := range 10_000 {
			w.services.Set(tx, fmt.Sprintf("n%d/s%d", i%200, i), i%7)
		}
	})
	if keys := slices.Collect(func(y func(string) bool) {
		for k := range w.policy.All() {
			if !y(k) {
				return
			}
		}
	}); len(keys) != 10_000 {
		b.Fatal(len(keys))
	}
	for b.Loop() {
		w.g.Commit(func(tx *Tx) { w.services.Set(tx, "n3/s3", b.N%7) })
		w.g.Commit(func(tx *Tx) { w.services.Set(tx, "n3/s3", 6) })
	}
}

func BenchmarkBuild10k(b *testing.B) {
	for b.Loop() {
		w := newWorld()
		w.g.Commit(func(tx *Tx) {
			for i := range 10_000 {
				w.services.Set(tx, fmt.Sprintf("n%d/s%d", i%200, i), i%7)
			}
		})
	}
}
