package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Table is a compiled route table. Hosts are found by a map, paths by a tree:
// many routes cost what few cost.
type Table struct {
	Name string
	// Ask is as in [Config].
	Ask        func(host string) <-chan struct{}
	ignorePort bool
	// ignoreParameters compares paths without parameters.
	ignoreParameters bool
	exact            map[string]*host
	suffixes         []wildcard // "*.suffix", longest first
	prefixes         []wildcard // "prefix.*", longest first
	any              *host      // "*"
}

type wildcard struct {
	text string
	host *host
}

type host struct {
	*VirtualHost
	paths paths
}

// New compiles cfg, which it keeps. A domain that two virtual hosts claim is an
// error that names both.
func New(cfg Config) (*Table, error) {
	t := &Table{Name: cfg.Name, Ask: cfg.Ask, ignorePort: cfg.IgnorePort, ignoreParameters: cfg.IgnoreParameters, exact: map[string]*host{}}
	claimed := map[string]string{}
	for _, vh := range cfg.Hosts {
		for _, r := range vh.Routes {
			if r.Host != nil {
				continue // it may be in use
			}
			r.Host = vh
			if r.all = nonEmpty(&r.Mutations, &vh.Mutations, &cfg.Mutations); cfg.SpecificLast {
				slices.Reverse(r.all)
			}
		}
		h := &host{vh, newPaths(vh.Routes)}
		for _, d := range vh.Domains {
			d = strings.ToLower(d)
			if other, ok := claimed[d]; ok {
				return nil, fmt.Errorf("route %s: domain %q belongs to virtual hosts %s and %s", cfg.Name, d, other, vh.Name)
			}
			claimed[d] = vh.Name
			t.claim(d, h)
		}
	}
	longest := func(a, b wildcard) int {
		return cmp.Or(len(b.text)-len(a.text), cmp.Compare(a.text, b.text))
	}
	slices.SortFunc(t.suffixes, longest)
	slices.SortFunc(t.prefixes, longest)
	return t, nil
}

func (t *Table) claim(domain string, h *host) {
	switch {
	case domain == "*":
		t.any = h
	case strings.HasPrefix(domain, "*"):
		t.suffixes = append(t.suffixes, wildcard{domain[1:], h})
	case strings.HasSuffix(domain, "*"):
		t.prefixes = append(t.prefixes, wildcard{domain[:len(domain)-1], h})
	default:
		t.exact[domain] = h
	}
}

func nonEmpty(all ...*Mutations) []*Mutations {
	return slices.DeleteFunc(all, func(m *Mutations) bool {
		return len(m.Request)+len(m.Response)+len(m.RemoveRequest)+len(m.RemoveResponse) == 0
	})
}

// Match finds the route for a request, nil when there is none.
func (t *Table) Match(req *stream.Request) *Route {
	_, r := t.match(req)
	return r
}

// match finds the virtual host for a request, and in it the route; each is nil when
// there is none.
func (t *Table) match(req *stream.Request) (*VirtualHost, *Route) {
	h := t.hostOf(req.Authority)
	if h == nil {
		return nil, nil
	}
	path := req.PathOnly()
	if t.ignoreParameters && strings.IndexByte(path, ';') >= 0 {
		path = withoutParameters(path)
	}
	return h.VirtualHost, h.paths.find(req, path)
}

// Knows reports whether there is a virtual host for a request.
func (t *Table) Knows(req *stream.Request) bool { return t.hostOf(req.Authority) != nil }

// withoutParameters is a path without what stands behind ";" in each segment.
func withoutParameters(path string) string {
	var out strings.Builder
	for path != "" {
		var segment string
		segment, path, _ = strings.Cut(path, ";")
		out.WriteString(segment)
		if i := strings.IndexByte(path, '/'); i >= 0 {
			path = path[i:]
		} else {
			path = ""
		}
	}
	return out.String()
}

// hostOf finds the virtual host: an exact domain, else the longest suffix, else
// the longest prefix, else "*".
func (t *Table) hostOf(authority string) *host {
	name := authority
	if t.ignorePort {
		name = withoutPort(name)
	}
	var lower [128]byte
	name = fold(name, lower[:0])
	if h := t.exact[name]; h != nil {
		return h
	}
	for _, w := range t.suffixes {
		if len(name) > len(w.text) && strings.HasSuffix(name, w.text) {
			return w.host
		}
	}
	for _, w := range t.prefixes {
		if len(name) > len(w.text) && strings.HasPrefix(name, w.text) {
			return w.host
		}
	}
	return t.any
}

// fold is s in lower case, in buf when it has to change.
func fold(s string, buf []byte) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			for j := 0; j < len(s); j++ {
				c := s[j]
				if c >= 'A' && c <= 'Z' {
					c += 'a' - 'A'
				}
				buf = append(buf, c)
			}
			return string(buf)
		}
	}
	return s
}

func withoutPort(authority string) string {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.IndexByte(authority[i:], ']') >= 0 {
		return authority
	}
	return authority[:i]
}

// paths holds a virtual host's routes so that the first match in the order of
// the list is found without trying them all: each route has its place in the
// list, and candidates come from an exact map, a prefix tree, and the few that
// need a scan.
type paths struct {
	routes []*Route
	exact  map[string][]int32
	tree   *node
	scan   []int32 // regexes, connect, folded case
}

// node of the tree of prefixes, byte by byte in whole edges.
type node struct {
	edge     string
	children []*node
	routes   []int32 // that have the path to here as prefix
}

// small lists are scanned: that is faster than any index.
const small = 8

func newPaths(routes []*Route) paths {
	p := paths{routes: routes}
	if len(routes) <= small {
		return p
	}
	p.exact, p.tree = map[string][]int32{}, &node{}
	for i, r := range routes {
		place := int32(i)
		switch m := &r.Match; {
		case m.FoldCase || m.Path == Regex || m.Path == AnyConnect:
			p.scan = append(p.scan, place)
		case m.Path == Exact:
			p.exact[m.Value] = append(p.exact[m.Value], place)
		default:
			p.tree.insert(m.Value, place)
		}
	}
	return p
}

func (n *node) insert(value string, place int32) {
	for {
		if value == "" {
			n.routes = append(n.routes, place)
			return
		}
		child := n.child(value[0])
		if child == nil {
			n.children = append(n.children, &node{edge: value, routes: []int32{place}})
			return
		}
		shared := 0
		for shared < len(value) && shared < len(child.edge) && value[shared] == child.edge[shared] {
			shared++
		}
		if shared < len(child.edge) {
			lower := *child
			lower.edge = child.edge[shared:]
			*child = node{edge: child.edge[:shared], children: []*node{&lower}}
		}
		n, value = child, value[shared:]
	}
}

func (n *node) child(c byte) *node {
	for _, child := range n.children {
		if child.edge[0] == c {
			return child
		}
	}
	return nil
}

// find is the first route in the list that matches.
func (p *paths) find(req *stream.Request, path string) *Route {
	if p.tree == nil {
		for _, r := range p.routes {
			if r.Match.path(req, path) && r.Match.rest(req) {
				return r
			}
		}
		return nil
	}
	best := int32(len(p.routes))
	consider := func(places []int32) {
		for _, i := range places {
			if i >= best {
				return // places ascend
			}
			if m := &p.routes[i].Match; m.path(req, path) && m.rest(req) {
				best = i
				return
			}
		}
	}
	consider(p.exact[path])
	for n, rest := p.tree, path; n != nil; {
		consider(n.routes)
		if rest == "" {
			break
		}
		n = n.child(rest[0])
		if n == nil || !strings.HasPrefix(rest, n.edge) {
			break
		}
		rest = rest[len(n.edge):]
	}
	consider(p.scan)
	if best == int32(len(p.routes)) {
		return nil
	}
	return p.routes[best]
}
