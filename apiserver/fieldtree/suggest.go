package fieldtree

import (
	"slices"
	"strconv"
	"strings"
)

// searchDepth bounds how far below a place a field of the same name is looked for.
const searchDepth = 6

// searchWidth bounds how many places of one depth are looked into.
const searchWidth = 4096

// Hint says what the writer of an unknown field may have meant: the right
// spelling here, or the right place for it. It is "" when nothing is near.
// path is a field path such as spec.http[0].retry.
func Hint(root Node, path string) string {
	steps := parse(path)
	if len(steps) == 0 {
		return ""
	}
	name := steps[len(steps)-1].name
	chain := walk(root, steps[:len(steps)-1])
	if chain == nil || name == "" {
		return ""
	}
	parent := chain[len(chain)-1]
	fields := parent.Fields()
	if near := nearest(name, fields, sameWord); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	if place := elsewhere(chain, steps, name, exact); place != "" {
		return "this field belongs at " + strconv.Quote(place)
	}
	if near := nearest(name, fields, similar); near != "" {
		return "did you mean " + strconv.Quote(near) + "?"
	}
	if place := elsewhere(chain, steps, name, similar); place != "" {
		return "did you mean " + strconv.Quote(place) + "?"
	}
	return ""
}

// step is one element of a path: a field, or an element of a list or map.
type step struct {
	name  string // "" for an element
	index string // as written, with brackets
}

// parse splits a field path into its steps.
func parse(path string) []step {
	var steps []step
	for path != "" {
		switch {
		case path[0] == '.':
			path = path[1:]
		case path[0] == '[':
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return nil
			}
			steps = append(steps, step{index: path[:end+1]})
			path = path[end+1:]
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			steps = append(steps, step{name: path[:end]})
			path = path[end:]
		}
	}
	return steps
}

func join(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		if s.name == "" {
			b.WriteString(s.index)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.name)
	}
	return b.String()
}

// walk returns the nodes on the way from root along steps, root included, or nil
// if the way leaves the tree.
func walk(root Node, steps []step) []Node {
	chain := []Node{root}
	for _, s := range steps {
		cur := chain[len(chain)-1]
		var next Node
		if s.name != "" {
			if next = cur.Field(s.name); next == nil {
				next = cur.Elem() // a map's key is written as a field
			}
		} else {
			next = cur.Elem()
		}
		if next == nil {
			return nil
		}
		chain = append(chain, next)
	}
	return chain
}

// match says how far apart two names are; negative is too far.
type match func(written, known string) int

func exact(written, known string) int {
	if written == known {
		return 0
	}
	return -1
}

// sameWord accepts what differs in case, punctuation or plural only.
func sameWord(written, known string) int {
	if fold(written) == fold(known) {
		return 0
	}
	return -1
}

func fold(s string) string {
	s = strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
	if stem, ok := strings.CutSuffix(s, "ies"); ok && len(stem) > 2 {
		return stem + "y"
	}
	if len(s) > 3 {
		s = strings.TrimSuffix(s, "s")
	}
	return s
}

// similar accepts misspellings: a third of the letters may differ, or a half
// when the words begin alike.
func similar(written, known string) int {
	a, b := strings.ToLower(written), strings.ToLower(known)
	d := distance(a, b)
	longest := max(len(a), len(b))
	allowed := max(1, longest/3)
	if len(a) >= 4 && len(b) >= 4 && a[:4] == b[:4] {
		allowed = longest / 2
	}
	if longest < 3 || d > allowed {
		return -1
	}
	return d
}

func nearest(name string, fields []string, near match) string {
	best, found := 0, ""
	for _, f := range slices.Sorted(slices.Values(fields)) {
		if d := near(name, f); d >= 0 && (found == "" || d < best) {
			best, found = d, f
		}
	}
	return found
}

// elsewhere looks for the field around the place where it was written: first one
// level further down, then in each enclosing object and what lies below it. It
// returns the path of the nearest place, or "" if there is none or no nearest one.
func elsewhere(chain []Node, steps []step, name string, near match) string {
	for up := len(chain) - 1; up >= 0; up-- {
		here := steps[:up]
		if up < len(chain)-1 {
			if f := nearest(name, chain[up].Fields(), near); f != "" {
				return join(append(slices.Clone(here), step{name: f}))
			}
		}
		below := search(chain[up], name, near, searchDepth)
		if len(below) == 0 {
			continue
		}
		place := plainest(below)
		if place == nil {
			return "" // several equally near places: a guess would mislead
		}
		return join(append(slices.Clone(here), place...))
	}
	return ""
}

// plainest picks among equally near places the one that the others are variants
// of, such as containers among initContainers and ephemeralContainers; nil if there is none.
func plainest(places [][]step) []step {
	for _, p := range places {
		if len(p) > len(places[0]) {
			continue
		}
		base := strings.ToLower(p[0].name)
		variant := func(o []step) bool {
			return len(o) > len(p) || strings.HasSuffix(strings.ToLower(o[0].name), base)
		}
		if !slices.ContainsFunc(places, func(o []step) bool { return !variant(o) }) {
			return p
		}
	}
	return nil
}

// search lists the ways from n down to fields of that name, the shortest first.
func search(n Node, name string, near match, depth int) [][]step {
	type visit struct {
		node Node
		path []step
	}
	var found [][]step
	level := []visit{{node: n}}
	for d := 0; d < depth && len(level) > 0 && len(found) == 0; d++ {
		var next []visit
		for _, v := range level {
			for _, f := range slices.Sorted(slices.Values(v.node.Fields())) {
				path := append(slices.Clone(v.path), step{name: f})
				child := v.node.Field(f)
				for child != nil && child.Elem() != nil {
					child = child.Elem()
					path = append(path, step{index: "[]"})
				}
				if child != nil {
					next = append(next, visit{child, path})
				}
			}
		}
		for _, v := range next {
			if near(name, lastName(v.path)) >= 0 {
				found = append(found, trimElem(v.path))
			}
		}
		if len(next) > searchWidth {
			break // recursive kinds never end
		}
		level = next
	}
	return found
}

func lastName(path []step) string {
	p := trimElem(path)
	return p[len(p)-1].name
}

func trimElem(path []step) []step {
	for len(path) > 0 && path[len(path)-1].name == "" {
		path = path[:len(path)-1]
	}
	return path
}

// distance is the number of letters to insert, drop, change or swap.
func distance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
