package xds

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/control/mesh"
)

// modelClient is a proxy as the protocol describes it. It answers responses
// late and in any order among types, refuses what is called bad, and checks
// after each response that traffic could flow.
type modelClient struct {
	t       *testing.T
	variant Variant
	planner *Planner
	rand    *rand.Rand

	held    map[string]map[string]string // type to name to version
	names   map[string][]string          // named subscriptions
	nonces  map[string]string            // type to the newest nonce that was received
	waiting []Response                   // received, not answered
	log     []string
}

func newModelClient(t *testing.T, v Variant, snap *mesh.Snapshot, r *rand.Rand) *modelClient {
	c := &modelClient{t: t, variant: v, rand: r, held: map[string]map[string]string{}, names: map[string][]string{}, nonces: map[string]string{}}
	for _, url := range urls {
		c.held[url] = map[string]string{}
	}
	c.connect(snap)
	return c
}

// connect opens a new stream, telling what is held from before.
func (c *modelClient) connect(snap *mesh.Snapshot) {
	c.planner, c.waiting = NewPlanner(c.variant, snap), nil
	for _, url := range []string{mesh.ClusterType, mesh.EndpointType, mesh.ListenerType, mesh.RouteType} {
		r := Request{Type: url, Subscribe: c.names[url], Names: c.names[url]}
		if c.variant == Delta {
			r.Have = maps.Clone(c.held[url])
		}
		c.request(r)
	}
}

func (c *modelClient) request(r Request) {
	c.planner.Request(r)
	c.drain()
}

func (c *modelClient) drain() {
	for {
		r, ok := c.planner.Next()
		if !ok {
			return
		}
		for _, w := range c.waiting {
			if w.Type == r.Type {
				c.t.Fatalf("two responses of type %s in flight", short(r.Type))
			}
		}
		c.waiting = append(c.waiting, r)
	}
}

// answer processes one response that waits, chosen at random among types (one
// type's are in order, as there is only one). On one stream responses arrive in
// order, so only the answers are late: content is applied in order.
func (c *modelClient) answer() bool {
	if len(c.waiting) == 0 {
		return false
	}
	r := c.waiting[0]
	c.waiting = c.waiting[1:]
	c.nonces[r.Type] = r.Nonce
	for _, res := range r.Resources {
		if strings.HasPrefix(res.Version, "bad") {
			text := "no"
			if c.rand.IntN(2) == 0 {
				text = fmt.Sprintf("resource %q is bad", res.Name)
			}
			c.log = append(c.log, "refuse "+show(r))
			c.request(Request{Type: r.Type, Nonce: r.Nonce, Nack: true, Error: text, Names: c.names[r.Type]})
			return true
		}
	}
	c.apply(r)
	c.log = append(c.log, "take "+show(r))
	c.check()
	c.request(Request{Type: r.Type, Nonce: r.Nonce, Names: c.names[r.Type]})
	c.follow(r.Type)
	return true
}

func (c *modelClient) apply(r Response) {
	held := c.held[r.Type]
	if c.variant == StateOfTheWorld && complete(r.Type) {
		clear(held)
	}
	for _, res := range r.Resources {
		// "The client will silently ignore any supplied resources that were not explicitly requested."
		if wildcards(r.Type) || slices.Contains(c.names[r.Type], res.Name) {
			held[res.Name] = res.Version
		}
	}
	for _, name := range r.Removed {
		delete(held, name)
	}
}

// follow asks for what clusters and listeners refer to: a cluster's endpoints
// have its name, a listener's routes too.
func (c *modelClient) follow(url string) {
	child := map[string]string{mesh.ClusterType: mesh.EndpointType, mesh.ListenerType: mesh.RouteType}[url]
	if child == "" {
		return
	}
	next := slices.Sorted(maps.Keys(c.held[url]))
	r := Request{Type: child, Names: next}
	for _, name := range next {
		if !slices.Contains(c.names[child], name) {
			r.Subscribe = append(r.Subscribe, name)
		}
	}
	for _, name := range c.names[child] {
		if !slices.Contains(next, name) {
			r.Unsubscribe = append(r.Unsubscribe, name)
			delete(c.held[child], name)
		}
	}
	if len(r.Subscribe)+len(r.Unsubscribe) == 0 {
		return
	}
	c.names[child] = next
	if c.variant == StateOfTheWorld {
		r.Nonce = c.nonces[child]
	}
	c.request(r)
}

// check holds the promise: a route in force always finds its cluster, and the
// cluster its endpoints. A route's version names the cluster that it needs.
func (c *modelClient) check() {
	for route, version := range c.held[mesh.RouteType] {
		_, need, _ := strings.Cut(version, ">")
		if _, ok := c.held[mesh.ClusterType][need]; !ok {
			c.t.Fatalf("route %s@%s has no cluster after\n%s", route, version, strings.Join(c.log, "\n"))
		}
		if _, ok := c.held[mesh.EndpointType][need]; !ok {
			c.t.Fatalf("route %s@%s has a cluster without endpoints after\n%s", route, version, strings.Join(c.log, "\n"))
		}
	}
}

// world makes a random consistent snapshot.
func world(r *rand.Rand, epoch uint64, bad bool) *mesh.Snapshot {
	cs := []string{"a", "b", "c", "d"}[r.IntN(3):]
	rs := map[string][]*mesh.Resource{}
	add := func(url, name, version string) {
		rs[url] = append(rs[url], &mesh.Resource{Name: name, Type: url, Version: version})
	}
	for _, name := range cs {
		version := fmt.Sprint(r.IntN(3))
		if bad && r.IntN(6) == 0 {
			version = "bad" + version
		}
		add(mesh.ClusterType, name, version)
		add(mesh.EndpointType, name, fmt.Sprint(r.IntN(3)))
	}
	for _, name := range []string{"80", "90", "http"} {
		if r.IntN(4) == 0 {
			continue
		}
		add(mesh.ListenerType, name, fmt.Sprint(r.IntN(2)))
		need := cs[r.IntN(len(cs))]
		if bad { // who knows whether a refused cluster is there
			need = "d"
		}
		add(mesh.RouteType, name, fmt.Sprintf("%d>%s", r.IntN(2), need))
	}
	snap := &mesh.Snapshot{Epoch: epoch, Tables: map[string]*mesh.Table{}}
	for _, url := range urls {
		snap.Tables[url] = mesh.NewTable(rs[url])
	}
	return snap
}

// Whatever changes when, and however late a client answers: traffic always
// finds its way, and in the end the client holds what it should.
func TestRandomChanges(t *testing.T) {
	for _, v := range []Variant{Delta, StateOfTheWorld} {
		for seed := range uint64(400) {
			r := rand.New(rand.NewPCG(seed, uint64(v)))
			snap := world(r, 0, false)
			c := newModelClient(t, v, snap, r)
			for step := range uint64(60) {
				switch k := r.IntN(10); {
				case k < 3:
					snap = world(r, step+1, false)
					c.planner.Snapshot(snap)
					c.drain()
				case k == 9 && v == Delta:
					c.connect(snap)
				default:
					c.answer()
				}
			}
			for c.answer() {
			}
			c.holds(snap)
		}
	}
}

// With resources that the client refuses, the rest still arrives and nothing
// is repeated for ever.
func TestRandomRefusals(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		snap := world(r, 0, false)
		c := newModelClient(t, Delta, snap, r)
		for step := range uint64(40) {
			if r.IntN(3) == 0 {
				snap = world(r, step+1, r.IntN(2) == 0)
				c.planner.Snapshot(snap)
				c.drain()
			}
			c.answer()
		}
		for answers := 0; c.answer(); answers++ {
			if answers > 100 {
				t.Fatalf("no end after\n%s", strings.Join(c.log, "\n"))
			}
		}
		for name, version := range c.held[mesh.EndpointType] {
			if res, ok := snap.Tables[mesh.EndpointType].Get(name); ok && res.Version != version {
				t.Fatalf("endpoints %s@%s did not arrive after\n%s", name, res.Version, strings.Join(c.log, "\n"))
			}
		}
		last := world(r, 99, false)
		c.planner.Snapshot(last)
		c.drain()
		for c.answer() {
		}
		c.holds(last)
	}
}

// holds checks that the client has what the snapshot says.
func (c *modelClient) holds(snap *mesh.Snapshot) {
	c.t.Helper()
	for word, url := range urls {
		want := map[string]string{}
		for r := range snap.Tables[url].All() {
			want[r.Name] = r.Version
		}
		if diff := cmp.Diff(c.held[url], want); diff != "" {
			c.t.Fatalf("%s in the end (-got +want):\n%s\nafter\n%s", word, diff, strings.Join(c.log, "\n"))
		}
	}
	if !c.planner.Quiet() {
		c.t.Fatal("the planner is not quiet in the end")
	}
}
