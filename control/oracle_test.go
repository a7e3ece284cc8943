package control

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	corev1 "k8s.io/api/core/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/control/source"
)

var oracleSteps = flag.Int("oracle.steps", 40, "mutations for each seed of the equality oracle")

// dice makes small configs; its alphabets are small so that things collide.
type dice struct{ *rand.Rand }

func (d dice) pick(s ...string) string { return s[d.IntN(len(s))] }
func (d dice) ns() string              { return d.pick("shop", "bank", "istio-system") }
func (d dice) app() string             { return d.pick("a", "b", "c") }
func (d dice) version() string         { return d.pick("v1", "v2") }

func (d dice) host(ns string) string {
	return d.pick(d.app(), d.app()+"."+d.ns()+".svc.cluster.local", "*."+ns+".svc.cluster.local", "ext.example.com", "*.example.com")
}

func (d dice) exportTo() []string {
	return [][]string{nil, nil, nil, {"."}, {"*"}, {d.ns()}}[d.IntN(6)]
}

// object rolls one object and its key.
func (d dice) object() (string, object) {
	ns, name := d.ns(), d.app()
	age := d.IntN(4)
	switch d.IntN(9) {
	case 0:
		ports := [][]corev1.ServicePort{{httpPort(80)}, {httpPort(9080)}, {httpPort(80), {Name: "tcp-x", Port: 6379}}, {{Name: "x", Port: 7000}}}
		return "Service:" + ns + "/" + name, kubeService(ns, name, age, ports[d.IntN(len(ports))]...)
	case 1:
		name += "-" + d.pick("1", "2")
		labels := map[string]string{"app": name[:1], "version": d.version()}
		return "Pod:" + ns + "/" + name, pod(ns, name, labels, fmt.Sprintf("10.1.%d.%d", len(ns), d.IntN(9)))
	case 2:
		pods := map[string]string{}
		for _, n := range []string{"-1", "-2"} {
			if d.IntN(3) > 0 {
				pods[name+n] = fmt.Sprintf("10.1.%d.%d", len(ns), d.IntN(9))
			}
		}
		return "Slice:" + ns + "/" + name, slice(ns, name, 8080, pods)
	case 3, 4:
		return "VirtualService:" + ns + "/" + name, virtualService(ns, name, age, d.virtualService(ns))
	case 5:
		return "DestinationRule:" + ns + "/" + name, destinationRule(ns, name, age, d.destinationRule(ns))
	case 6:
		servers := []*networking.Server{{Port: &networking.Port{Number: uint32(80 + d.IntN(2)), Name: "http", Protocol: "HTTP"}, Hosts: []string{d.pick("*", "ext.example.com", "./*", "shop/a.com")}}}
		return "Gateway:" + ns + "/" + name, gatewayObject(ns, name, age, &networking.Gateway{Selector: map[string]string{"istio": d.pick("ingressgateway", "other")}, Servers: servers})
	case 7:
		var selector map[string]string
		if d.IntN(2) == 0 {
			selector = map[string]string{"app": d.app()}
		}
		mode := security.PeerAuthentication_MutualTLS_Mode(d.IntN(4))
		return "PeerAuthentication:" + ns + "/" + name, peerAuthentication(ns, name, mode, selector)
	}
	spec := &networking.ServiceEntry{
		Hosts: []string{d.pick("ext.example.com", "a.shop.svc.cluster.local", "api.example.com")}, ExportTo: d.exportTo(),
		Ports:      []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}},
		Resolution: networking.ServiceEntry_Resolution(d.IntN(3)),
	}
	if spec.Resolution == networking.ServiceEntry_STATIC {
		spec.Endpoints = []*networking.WorkloadEntry{{Address: "192.0.2.1"}}
		if d.IntN(2) == 0 {
			spec.Endpoints, spec.WorkloadSelector = nil, &networking.WorkloadSelector{Labels: map[string]string{"app": d.app()}}
		}
	}
	return "ServiceEntry:" + ns + "/" + name, in(&mesh.ServiceEntry{Meta: meta("ServiceEntry", ns, name, age), Spec: spec},
		func(t source.Tables) collection.Input[*mesh.ServiceEntry] { return t.ServiceEntries })
}

func (d dice) virtualService(ns string) *networking.VirtualService {
	out := &networking.VirtualService{Hosts: []string{d.host(ns)}, ExportTo: d.exportTo()}
	switch d.IntN(4) {
	case 0:
		out.Gateways = []string{d.app(), "mesh"}
	case 1:
		out.Gateways = []string{d.ns() + "/" + d.app()}
	case 2:
		if d.IntN(2) == 0 {
			out.Hosts = nil // a delegate
		}
	}
	for range 1 + d.IntN(2) {
		r := &networking.HTTPRoute{Route: routeTo(d.host(ns) + ":" + d.pick("", "v1", "v2"))}
		if d.IntN(2) == 0 {
			r.Match = []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: d.pick("/", "/a", "/a/b")}}}}
			if d.IntN(2) == 0 {
				r.Match[0].SourceLabels = map[string]string{d.pick("version", "app"): d.version()}
			}
		}
		if d.IntN(3) == 0 {
			r.Timeout = durationpb.New(time.Second)
		}
		if d.IntN(5) == 0 && len(out.Hosts) > 0 {
			r.Route, r.Delegate = nil, &networking.Delegate{Name: d.app(), Namespace: d.ns()}
		}
		out.Http = append(out.Http, r)
	}
	return out
}

func (d dice) destinationRule(ns string) *networking.DestinationRule {
	out := &networking.DestinationRule{Host: d.host(ns), ExportTo: d.exportTo()}
	if d.IntN(2) == 0 {
		out.Subsets = []*networking.Subset{{Name: d.version(), Labels: map[string]string{"version": d.version()}}}
	}
	if d.IntN(2) == 0 {
		out.TrafficPolicy = &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_TLSmode([]int32{0, 3}[d.IntN(2)])}}
	}
	return out
}

// After every mutation the incremental control plane has for every proxy what
// a fresh one, built from the same objects, has; problems too.
func TestIncrementalEqualsFresh(t *testing.T) {
	proxies := []mesh.Proxy{sidecar("shop", "a-1"), sidecar("shop", "b-1"), sidecar("bank", "a-1"), ingress()}
	for seed := range uint64(6) {
		d := dice{rand.New(rand.NewPCG(seed, 7))}
		objects := map[string]object{}
		p := newPlane(objects, proxies...)
		for step := range *oracleSteps {
			var done []string
			p.do(func(tx *collection.Tx) {
				for range 1 + d.IntN(3) {
					key, o := d.object()
					if _, there := objects[key]; there && d.IntN(3) == 0 {
						delete(objects, key)
						o.delete(p.tables, tx, key)
						done = append(done, "delete "+key)
						continue
					}
					objects[key] = o
					o.set(p.tables, tx, key)
					done = append(done, "set "+key)
				}
			})
			fresh := newPlane(objects, proxies...)
			if diff := cmp.Diff(p.versions(), fresh.versions()); diff != "" {
				t.Fatalf("seed %d step %d (%v): incremental (-) and fresh (+) differ:\n%s", seed, step, done, diff)
			}
			if diff := cmp.Diff(p.rules.Problems.Snapshot(), fresh.rules.Problems.Snapshot()); diff != "" {
				t.Fatalf("seed %d step %d (%v): problems differ:\n%s", seed, step, done, diff)
			}
			if diff := cmp.Diff(p.stage.Problems.Snapshot(), fresh.stage.Problems.Snapshot()); diff != "" {
				t.Fatalf("seed %d step %d (%v): what is left out differs:\n%s", seed, step, done, diff)
			}
		}
	}
}
