package collection

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func same[T comparable](a, b T) bool { return a == b }

// words is a small pipeline: rows have a letter; sum joins the rows of one
// letter, report joins all sums of a list of letters that is itself a row.
type words struct {
	engine *Engine
	rows   *Table[int, string]
	lists  *Table[string, string]
	sum    *Func[string, string]
	length *Func[string, int]
	report *Func[string, string]
}

func newWords() *words {
	e := &Engine{}
	w := &words{engine: e, rows: NewTable[int](e, same[string]), lists: NewTable[string](e, same[string])}
	byLetter := NewIndex(w.rows, func(s string) []string { return []string{s[:1]} })
	w.sum = NewFunc(e, same[string], func(letter string) string { return strings.Join(byLetter.Get(letter), "+") })
	w.length = NewFunc(e, same[int], func(letter string) int { return len(w.sum.Get(letter)) })
	w.report = NewFunc(e, same[string], func(name string) string {
		list, ok := w.lists.Get(name)
		if !ok {
			return "none"
		}
		var b strings.Builder
		for _, letter := range strings.Split(list, "") {
			fmt.Fprintf(&b, "%s=%d ", letter, w.length.Get(letter))
		}
		return b.String()
	})
	return w
}

// A change runs what it can reach, and stops where a value stays equal.
func TestWhatAChangeCosts(t *testing.T) {
	w := newWords()
	check := func(what string, change func(), want string, runs uint64) {
		t.Helper()
		before := w.engine.Runs
		var got string
		w.engine.Do(func() { change(); got = w.report.Get("r") })
		if got != want || w.engine.Runs-before != runs {
			t.Errorf("%s: got %q after %d runs, want %q after %d", what, got, w.engine.Runs-before, want, runs)
		}
	}
	check("nothing there", func() {}, "none", 1)
	check("still nothing", func() {}, "none", 0)
	check("an absence ends", func() { w.lists.Set("r", "ab") }, "a=0 b=0 ", 5)
	check("a row comes", func() { w.rows.Set(1, "ax") }, "a=2 b=0 ", 3)
	check("an equal row", func() { w.rows.Set(1, "ax") }, "a=2 b=0 ", 0)
	check("a row that does not matter", func() { w.rows.Set(2, "zz") }, "a=2 b=0 ", 0)
	check("the length stays", func() { w.rows.Set(1, "ay") }, "a=2 b=0 ", 2)
	check("a row moves", func() { w.rows.Set(1, "by") }, "a=0 b=2 ", 5)
	check("back and forth", func() { w.rows.Delete(1); w.rows.Set(1, "by") }, "a=0 b=2 ", 1)
	check("the list changes", func() { w.lists.Set("r", "b") }, "b=2 ", 1)
	check("what is not listed", func() { w.rows.Set(3, "aa") }, "b=2 ", 0)
}

// After any sequence of changes the incremental result equals one from scratch.
func TestEqualsFromScratch(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWords()
		rows, lists := map[int]string{}, map[string]string{}
		for range 40 {
			switch k := r.IntN(8); r.IntN(4) {
			case 0:
				delete(rows, k)
				w.engine.Do(func() { w.rows.Delete(k) })
			case 1:
				lists["r"] = []string{"a", "ab", "abc", "cb"}[r.IntN(4)]
				w.engine.Do(func() { w.lists.Set("r", lists["r"]) })
			default:
				rows[k] = string(rune('a'+r.IntN(3))) + strings.Repeat("x", r.IntN(3))
				w.engine.Do(func() { w.rows.Set(k, rows[k]) })
			}
			if r.IntN(3) == 0 {
				continue // several changes, one read
			}
			fresh := newWords()
			var got, want string
			w.engine.Do(func() { got = w.report.Get("r") })
			fresh.engine.Do(func() {
				for k, v := range rows {
					fresh.rows.Set(k, v)
				}
				for k, v := range lists {
					fresh.lists.Set(k, v)
				}
				want = fresh.report.Get("r")
			})
			if got != want {
				t.Fatalf("seed %d: incremental %q, from scratch %q", seed, got, want)
			}
		}
	}
}

// What nobody reads any more is dropped, and made again when asked for.
func TestForget(t *testing.T) {
	w := newWords()
	w.engine.Do(func() {
		w.lists.Set("r", "a")
		w.report.Get("r")
		w.report.Forget(func(string) bool { return false })
		w.length.Forget(func(string) bool { return false })
		if len(w.report.made)+len(w.length.made) != 0 {
			t.Error("something is kept")
		}
		if got := w.report.Get("r"); got != "a=0 " {
			t.Errorf("made again: %q", got)
		}
	})
}
