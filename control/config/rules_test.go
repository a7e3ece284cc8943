package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

func spec[M proto.Message](t *testing.T, text string, into M) M {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = protojson.Unmarshal(asJSON, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return into
}

// world is the rules over inputs that a test fills.
type world struct {
	graph *collection.Graph
	vs    collection.Input[*mesh.VirtualService]
	dr    collection.Input[*mesh.DestinationRule]
	gw    collection.Input[*mesh.Gateway]
	pa    collection.Input[*mesh.PeerAuthentication]
	ask   collection.Input[int]
	rules Rules
	asked *collection.Collection[string]
	say   func(*collection.Ctx) string
}

func newWorld() *world {
	g := collection.New()
	w := &world{
		graph: g,
		vs:    collection.NewInput(g, "vs", collection.Same[*mesh.VirtualService]),
		dr:    collection.NewInput(g, "dr", collection.Same[*mesh.DestinationRule]),
		gw:    collection.NewInput(g, "gw", collection.Same[*mesh.Gateway]),
		pa:    collection.NewInput(g, "pa", collection.Same[*mesh.PeerAuthentication]),
		ask:   collection.NewInput(g, "ask", collection.Same[int]),
	}
	services := collection.NewInput(g, "services", collection.Same[*model.Service])
	w.rules = New(g, Inputs{
		VirtualServices: w.vs.Collection, DestinationRules: w.dr.Collection, Gateways: w.gw.Collection, PeerAuthentications: w.pa.Collection,
		ServiceEntries: collection.NewInput(g, "se", collection.Same[*mesh.ServiceEntry]).Collection,
		Untranslated:   collection.NewInput(g, "others", collection.Deep[mesh.Meta]).Collection,
		Secrets:        collection.NewInput(g, "secrets", collection.Same[*mesh.Secret]).Collection,
		ServicesByHost: collection.Group(services.Collection, "byhost", func(_ string, s *model.Service) []string { return []string{string(s.Host)} }),
		Workloads:      collection.NewInput(g, "workloads", collection.Same[*model.Workload]).Collection,
		DomainSuffix:   "cluster.local", RootNamespace: "root",
	})
	w.asked = collection.Derive(w.ask.Collection, "asked", collection.Same[string],
		func(ctx *collection.Ctx, _ string, _ int) (string, bool) { return w.say(ctx), true })
	return w
}

// answer runs a question on the rules.
func (w *world) answer(say func(*collection.Ctx) string) string {
	w.say = say
	w.graph.Commit(func(tx *collection.Tx) { w.ask.Set(tx, "q", int(w.graph.Epoch())+1) })
	out, _ := w.asked.Get("q")
	return out
}

func named(kind, ns, name string, age int) mesh.Meta {
	return mesh.Meta{Kind: kind, Namespace: ns, Name: name, Created: time.Unix(int64(age), 0)}
}

func (w *world) virtualService(t *testing.T, ns, name string, age int, text string) {
	w.graph.Commit(func(tx *collection.Tx) {
		w.vs.Set(tx, ns+"/"+name, &mesh.VirtualService{Meta: named("VirtualService", ns, name, age), Spec: spec(t, text, &networking.VirtualService{})})
	})
}

func (w *world) destinationRule(t *testing.T, ns, name string, age int, text string) {
	w.graph.Commit(func(tx *collection.Tx) {
		w.dr.Set(tx, ns+"/"+name, &mesh.DestinationRule{Meta: named("DestinationRule", ns, name, age), Spec: spec(t, text, &networking.DestinationRule{})})
	})
}

func (w *world) peerAuthentication(t *testing.T, ns, name string, age int, text string) {
	w.graph.Commit(func(tx *collection.Tx) {
		w.pa.Set(tx, ns+"/"+name, &mesh.PeerAuthentication{Meta: named("PeerAuthentication", ns, name, age), Spec: spec(t, text, &security.PeerAuthentication{})})
	})
}

const toA = `route: [{destination: {host: a}}]`

// Names come out in full, whichever way they were written.
func TestNamesInFull(t *testing.T) {
	w := newWorld()
	w.virtualService(t, "shop", "x", 1, `{hosts: [reviews, a.b.c], gateways: [web, ./near, far/away, old.bank.svc.cluster.local, mesh], http: [{route: [{destination: {host: ratings}}], mirror: {host: logs}}]}`)
	vs, _ := w.rules.VirtualServices.Get("shop/x")
	if diff := cmp.Diff(vs.Hosts, []model.Host{"reviews.shop.svc.cluster.local", "a.b.c"}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(vs.Gateways, []string{"shop/web", "shop/near", "far/away", "bank/old", "mesh"}); diff != "" {
		t.Error(diff)
	}
	got := []string{vs.Spec.Http[0].Route[0].Destination.Host, vs.Spec.Http[0].Mirror.Host}
	if diff := cmp.Diff(got, []string{"ratings.shop.svc.cluster.local", "logs.shop.svc.cluster.local"}); diff != "" {
		t.Error(diff)
	}
}

// A more specific host goes before an older rule; of equal hosts the oldest
// counts; what is not exported does not.
func TestWhichVirtualService(t *testing.T) {
	w := newWorld()
	w.virtualService(t, "shop", "wide", 1, `{hosts: ["*.shop.svc.cluster.local"], http: [{`+toA+`}]}`)
	w.virtualService(t, "shop", "old", 2, `{hosts: [a], http: [{`+toA+`}]}`)
	w.virtualService(t, "shop", "new", 3, `{hosts: [a], http: [{`+toA+`}]}`)
	w.virtualService(t, "shop", "own", 1, `{hosts: [c], exportTo: ["."], http: [{`+toA+`}]}`)
	w.virtualService(t, "shop", "edge", 0, `{hosts: [d], gateways: [web], http: [{`+toA+`}]}`)
	for _, c := range []struct{ client, host, want string }{
		{"shop", "a", "old"}, {"bank", "a", "old"}, {"shop", "b", "wide"}, {"shop", "c", "own"}, {"bank", "c", "wide"}, {"shop", "d", "wide"},
	} {
		got := w.answer(func(ctx *collection.Ctx) string {
			if vs := w.rules.VirtualService(ctx, c.client, model.FQDN(c.host, "shop", "cluster.local")); vs != nil {
				return vs.Name
			}
			return ""
		})
		if got != c.want {
			t.Errorf("client in %s, host %s: got %s, want %s", c.client, c.host, got, c.want)
		}
	}
}

// A delegate's routes stand in the root's place, narrowed by it.
func TestDelegates(t *testing.T) {
	w := newWorld()
	w.virtualService(t, "shop", "root", 1, `{hosts: [a], http: [{name: r, match: [{uri: {prefix: /x}}], timeout: 3s, delegate: {name: part, namespace: team}}, {`+toA+`}]}`)
	w.virtualService(t, "team", "part", 1, `{http: [{name: p, match: [{uri: {prefix: /x/y}}], `+toA+`}, {match: [{uri: {prefix: /other}}], `+toA+`}, {timeout: 1s, `+toA+`}]}`)
	vs, _ := w.rules.VirtualServices.Get("shop/root")
	want := spec(t, `{http: [
		{name: r-p, match: [{uri: {prefix: /x/y}}], timeout: 3s, route: [{destination: {host: a.team.svc.cluster.local}}]},
		{name: r, match: [{uri: {prefix: /x}}], timeout: 1s, route: [{destination: {host: a.team.svc.cluster.local}}]},
		{route: [{destination: {host: a.shop.svc.cluster.local}}]}]}`, &networking.VirtualService{})
	if !proto.Equal(&networking.VirtualService{Http: vs.Spec.Http}, want) {
		t.Errorf("got  %v\nwant %v", vs.Spec.Http, want.Http)
	}
}

// Rules for one host of one namespace join: subsets by name, the first policy.
func TestDestinationRulesJoin(t *testing.T) {
	w := newWorld()
	w.destinationRule(t, "shop", "second", 2, `{host: a.shop.svc.cluster.local, trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1, labels: {late: x}}, {name: v2, labels: {v: "2"}}]}`)
	w.destinationRule(t, "shop", "first", 1, `{host: a, subsets: [{name: v1, labels: {v: "1"}}]}`)
	dr, _ := w.rules.DestinationRules.Get("shop/a.shop.svc.cluster.local")
	want := spec(t, `{host: a.shop.svc.cluster.local, trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1, labels: {v: "1"}}, {name: v2, labels: {v: "2"}}]}`, &networking.DestinationRule{})
	if dr.Name != "first" || !proto.Equal(dr.Spec, want) {
		t.Errorf("got  %s %v\nwant first %v", dr.Name, dr.Spec, want)
	}
}

// The client's namespace is asked first, then the service's, then the root's.
func TestWhichDestinationRule(t *testing.T) {
	w := newWorld()
	ask := func(client string) string {
		return w.answer(func(ctx *collection.Ctx) string {
			if dr := w.rules.DestinationRule(ctx, client, "shop", "a.shop.svc.cluster.local"); dr != nil {
				return dr.Namespace
			}
			return ""
		})
	}
	for _, c := range []struct{ ns, text, bank, shop string }{
		{"root", `{host: "*.cluster.local"}`, "root", "root"},
		{"shop", `{host: a.shop.svc.cluster.local, exportTo: ["."]}`, "root", "shop"},
		{"bank", `{host: "*.shop.svc.cluster.local"}`, "bank", "shop"},
	} {
		w.destinationRule(t, c.ns, "x", 1, c.text)
		if b, s := ask("bank"), ask("shop"); b != c.bank || s != c.shop {
			t.Errorf("after a rule in %s: bank obeys %q and shop %q, want %q and %q", c.ns, b, s, c.bank, c.shop)
		}
	}
}

// The port's mode goes before the workload's, the namespace's and the mesh's.
func TestWhichMTLS(t *testing.T) {
	w := newWorld()
	ask := func() (mode mesh.MTLS, port mesh.MTLS) {
		w.answer(func(ctx *collection.Ctx) string {
			m, ports := w.rules.MTLS(ctx, "shop", map[string]string{"app": "a"})
			mode, port = m, m
			if p, ok := ports[80]; ok {
				port = p
			}
			return ""
		})
		return mode, port
	}
	for _, c := range []struct {
		ns, name, text string
		mode, port     mesh.MTLS
	}{
		{"root", "mesh", `{mtls: {mode: STRICT}}`, mesh.Strict, mesh.Strict},
		{"root", "selective", `{selector: {matchLabels: {app: a}}, mtls: {mode: DISABLE}}`, mesh.Strict, mesh.Strict},
		{"shop", "ns", `{mtls: {mode: PERMISSIVE}}`, mesh.Permissive, mesh.Permissive},
		{"shop", "other", `{selector: {matchLabels: {app: b}}, mtls: {mode: DISABLE}}`, mesh.Permissive, mesh.Permissive},
		{"shop", "own", `{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {80: {mode: DISABLE}, 81: {mode: UNSET}}}`, mesh.Strict, mesh.Disable},
	} {
		w.peerAuthentication(t, c.ns, c.name, 1, c.text)
		if mode, port := ask(); mode != c.mode || port != c.port {
			t.Errorf("after %s/%s: got %v and %v on port 80, want %v and %v", c.ns, c.name, mode, port, c.mode, c.port)
		}
	}
}
