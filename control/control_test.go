package control

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"
	corev1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/control/source"
	"github.com/lateenmesh/lateen/model"
)

var birth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// plane is a control plane without a goroutine: tests commit by hand.
type plane struct {
	*Control
	feeds map[string]string // proxy name to key
}

func newPlane(objects map[string]object, proxies ...mesh.Proxy) *plane {
	p := &plane{Control: New(Config{}), feeds: map[string]string{}}
	p.do(func(tx *collection.Tx) {
		p.tables.MeshConfig.Set(tx, source.MeshKey, source.DefaultMesh())
		for _, x := range proxies {
			p.feeds[x.Name+"."+x.Namespace] = x.ID
			p.stage.Proxies.Set(tx, x.ID, x)
		}
		for k, o := range objects {
			o.set(p.tables, tx, k)
		}
	})
	return p
}

func (p *plane) do(edit func(*collection.Tx)) {
	p.submit(edit)
	p.commit()
}

// versions lists what each proxy has: "proxy type name" to version.
func (p *plane) versions() map[string]string {
	out := map[string]string{}
	for name, key := range p.feeds {
		class, _ := p.stage.Classes.Get(key)
		snap, _ := p.stage.Snapshots.Get(class.Key())
		for _, table := range snap.Tables {
			for r := range table.All() {
				out[name+" "+r.Type[strings.LastIndex(r.Type, ".")+1:]+" "+r.Name] = r.Version
			}
		}
	}
	return out
}

// object is something that can be put into the tables, by its key
// "Kind:namespace/name", and taken out again.
type object struct {
	set    func(source.Tables, *collection.Tx, string)
	delete func(source.Tables, *collection.Tx, string)
}

func in[V any](v V, table func(source.Tables) collection.Input[V]) object {
	return object{
		set: func(t source.Tables, tx *collection.Tx, k string) {
			_, k, _ = strings.Cut(k, ":")
			table(t).Set(tx, k, v)
		},
		delete: func(t source.Tables, tx *collection.Tx, k string) {
			_, k, _ = strings.Cut(k, ":")
			table(t).Delete(tx, k)
		},
	}
}

func kubeService(ns, name string, age int, ports ...corev1.ServicePort) object {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, CreationTimestamp: metav1.NewTime(birth.Add(time.Duration(age) * time.Second))},
		Spec:       corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.0.%d.%d", len(ns), name[0]), Selector: map[string]string{"app": name}, Ports: ports},
	}
	return in(source.Service(s, "cluster.local"), func(t source.Tables) collection.Input[*model.Service] { return t.Services })
}

func httpPort(number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: "http", Port: number, TargetPort: intstr.FromInt32(number)}
}

func pod(ns, name string, labels map[string]string, ip string) object {
	labels = maps.Clone(labels)
	labels["security.istio.io/tlsMode"] = "istio"
	w, _ := source.Workload(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: labels},
		Status:     corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		Spec:       corev1.PodSpec{ServiceAccountName: labels["app"]},
	}, model.Locality{})
	return in(w, func(t source.Tables) collection.Input[*model.Workload] { return t.Pods })
}

// slice lists pods ("name" to address) behind a service's port.
func slice(ns, service string, port int32, pods map[string]string) object {
	portName := "http"
	s := &discovery.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: ns, Name: service + "-1", Labels: map[string]string{discovery.LabelServiceName: service}},
		AddressType: discovery.AddressTypeIPv4, Ports: []discovery.EndpointPort{{Name: &portName, Port: &port}},
	}
	for name, ip := range pods {
		s.Endpoints = append(s.Endpoints, discovery.Endpoint{Addresses: []string{ip}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name}})
	}
	v, _ := source.SliceOf(s)
	return in(v, func(t source.Tables) collection.Input[*source.Slice] { return t.Slices })
}

func meta(kind, ns, name string, age int) mesh.Meta {
	return mesh.Meta{Kind: kind, Namespace: ns, Name: name, Created: birth.Add(time.Duration(age) * time.Second)}
}

func virtualService(ns, name string, age int, spec *networking.VirtualService) object {
	return in(&mesh.VirtualService{Meta: meta("VirtualService", ns, name, age), Spec: spec},
		func(t source.Tables) collection.Input[*mesh.VirtualService] { return t.VirtualServices })
}

func destinationRule(ns, name string, age int, spec *networking.DestinationRule) object {
	return in(&mesh.DestinationRule{Meta: meta("DestinationRule", ns, name, age), Spec: spec},
		func(t source.Tables) collection.Input[*mesh.DestinationRule] { return t.DestinationRules })
}

func gatewayObject(ns, name string, age int, spec *networking.Gateway) object {
	return in(&mesh.Gateway{Meta: meta("Gateway", ns, name, age), Spec: spec},
		func(t source.Tables) collection.Input[*mesh.Gateway] { return t.Gateways })
}

func peerAuthentication(ns, name string, mode security.PeerAuthentication_MutualTLS_Mode, selector map[string]string) object {
	spec := &security.PeerAuthentication{Mtls: &security.PeerAuthentication_MutualTLS{Mode: mode}}
	if selector != nil {
		spec.Selector = &typeapi.WorkloadSelector{MatchLabels: selector}
	}
	return in(&mesh.PeerAuthentication{Meta: meta("PeerAuthentication", ns, name, 0), Spec: spec},
		func(t source.Tables) collection.Input[*mesh.PeerAuthentication] { return t.PeerAuthentications })
}

func routeTo(to ...string) []*networking.HTTPRouteDestination {
	var out []*networking.HTTPRouteDestination
	for _, t := range to {
		host, subset, _ := strings.Cut(t, ":")
		out = append(out, &networking.HTTPRouteDestination{Destination: &networking.Destination{Host: host, Subset: subset}, Weight: int32(100 / len(to))})
	}
	return out
}

func sidecar(ns, name string) mesh.Proxy {
	return mesh.Proxy{Type: mesh.Sidecar, ID: "sidecar~" + name + "." + ns, Name: name, Namespace: ns, Istio: true}
}

func ingress() mesh.Proxy {
	return mesh.Proxy{
		Type: mesh.Router, ID: "router~gw.istio-system", Name: "gw", Namespace: "istio-system", Istio: true,
		Labels: map[string]string{"istio": "ingressgateway"},
	}
}

// bookinfo is a small mesh: two services, one with versions, behind a gateway.
func bookinfo() map[string]object {
	return map[string]object{
		"Service:shop/reviews":     kubeService("shop", "reviews", 1, httpPort(9080)),
		"Service:shop/productpage": kubeService("shop", "productpage", 2, httpPort(9080)),
		"Pod:shop/reviews-1":       pod("shop", "reviews-1", map[string]string{"app": "reviews", "version": "v1"}, "10.1.0.1"),
		"Pod:shop/reviews-2":       pod("shop", "reviews-2", map[string]string{"app": "reviews", "version": "v2"}, "10.1.0.2"),
		"Pod:shop/productpage-1":   pod("shop", "productpage-1", map[string]string{"app": "productpage"}, "10.1.0.3"),
		"Slice:shop/reviews-1":     slice("shop", "reviews", 9080, map[string]string{"reviews-1": "10.1.0.1", "reviews-2": "10.1.0.2"}),
		"Slice:shop/productpage-1": slice("shop", "productpage", 9080, map[string]string{"productpage-1": "10.1.0.3"}),
		"DestinationRule:shop/reviews": destinationRule("shop", "reviews", 1, &networking.DestinationRule{Host: "reviews", Subsets: []*networking.Subset{
			{Name: "v1", Labels: map[string]string{"version": "v1"}}, {Name: "v2", Labels: map[string]string{"version": "v2"}},
		}}),
		"VirtualService:shop/reviews": virtualService("shop", "reviews", 1, &networking.VirtualService{
			Hosts: []string{"reviews"}, Http: []*networking.HTTPRoute{{Route: routeTo("reviews:v1")}},
		}),
		"Gateway:shop/web": gatewayObject("shop", "web", 1, &networking.Gateway{
			Selector: map[string]string{"istio": "ingressgateway"},
			Servers:  []*networking.Server{{Port: &networking.Port{Number: 80, Name: "http", Protocol: "HTTP"}, Hosts: []string{"*"}}},
		}),
		"VirtualService:shop/web": virtualService("shop", "web", 2, &networking.VirtualService{
			Hosts: []string{"*"}, Gateways: []string{"web"}, Http: []*networking.HTTPRoute{{Route: routeTo("productpage")}},
		}),
	}
}

func bookinfoProxies() []mesh.Proxy {
	return []mesh.Proxy{sidecar("shop", "productpage-1"), sidecar("shop", "reviews-1"), sidecar("shop", "reviews-2"), sidecar("other", "x"), ingress()}
}

// Proxies get Istio's names.
func TestNames(t *testing.T) {
	p := newPlane(bookinfo(), bookinfoProxies()...)
	got := p.versions()
	for _, want := range []string{
		"productpage-1.shop Cluster outbound|9080|v1|reviews.shop.svc.cluster.local",
		"productpage-1.shop Cluster inbound|9080||",
		"productpage-1.shop Cluster BlackHoleCluster",
		"productpage-1.shop ClusterLoadAssignment outbound|9080|v2|reviews.shop.svc.cluster.local",
		"productpage-1.shop Listener virtualInbound",
		"productpage-1.shop Listener virtualOutbound",
		"productpage-1.shop Listener 0.0.0.0_9080",
		"productpage-1.shop RouteConfiguration 9080",
		"gw.istio-system Listener 0.0.0.0_80",
		"gw.istio-system RouteConfiguration http.80",
		"gw.istio-system Cluster outbound|9080||productpage.shop.svc.cluster.local",
	} {
		if _, ok := got[want]; !ok {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		for k := range got {
			t.Log(k)
		}
	}
}

// A restart gives the same versions, so nothing is sent again.
func TestRestartGivesSameVersions(t *testing.T) {
	first, second := newPlane(bookinfo(), bookinfoProxies()...), newPlane(bookinfo(), bookinfoProxies()...)
	if diff := cmp.Diff(first.versions(), second.versions()); diff != "" {
		t.Error(diff)
	}
}

// An endpoint that comes or goes touches load assignments only, and renders
// only those of its service.
func TestEndpointTouchesAssignmentsOnly(t *testing.T) {
	p := newPlane(bookinfo(), bookinfoProxies()...)
	before := p.versions()
	clusters, loads := p.stage.Renders()
	p.do(func(tx *collection.Tx) {
		slice("shop", "reviews", 9080, map[string]string{"reviews-1": "10.1.0.1"}).set(p.tables, tx, "Slice:shop/reviews-1")
	})
	for k, v := range p.versions() {
		if before[k] != v && !(strings.Contains(k, " ClusterLoadAssignment ") && strings.HasSuffix(k, "reviews.shop.svc.cluster.local")) {
			t.Errorf("%s changed too", k)
		}
	}
	// One service, under one rule, for two kinds of proxies.
	if c, l := p.stage.Renders(); c != clusters || l-loads > 4 || l == loads {
		t.Errorf("rendered clusters %d times and endpoints %d times, want 0 and 1 to 4", c-clusters, l-loads)
	}
}

// Noise changes nothing: an equal object is no change.
func TestEqualObjectPushesNothing(t *testing.T) {
	p := newPlane(bookinfo(), bookinfoProxies()...)
	class, _ := p.stage.Classes.Get("router~gw.istio-system")
	before, _ := p.stage.Snapshots.Get(class.Key())
	p.do(func(tx *collection.Tx) {
		for k, o := range bookinfo() {
			o.set(p.tables, tx, k)
		}
	})
	if after, _ := p.stage.Snapshots.Get(class.Key()); after != before {
		t.Error("the snapshot was made anew")
	}
	if n := len(p.stage.Snapshots.Changes()); n != 0 {
		t.Errorf("%d snapshots changed", n)
	}
}

// Proxies that must see the same thing are one class.
func TestReplicasShareAClass(t *testing.T) {
	p := newPlane(bookinfo(), bookinfoProxies()...)
	if n := p.stage.Snapshots.Len(); n != 4 {
		t.Errorf("%d classes, want 4: the two replicas of reviews share one", n)
	}
}

// What a gateway cannot be given is told on the object that loses, once.
func TestGatewayConflictIsTold(t *testing.T) {
	p := newPlane(bookinfo(), bookinfoProxies()...)
	var got []Verdict
	p.cfg.OnProblems = func(v []Verdict) { got = v }
	late := gatewayObject("shop", "late", 9, &networking.Gateway{
		Selector: map[string]string{"istio": "ingressgateway"},
		Servers:  []*networking.Server{{Port: &networking.Port{Number: 80, Name: "tcp", Protocol: "TCP"}, Hosts: []string{"*"}}},
	})
	p.do(func(tx *collection.Tx) { late.set(p.tables, tx, "Gateway:shop/late") })
	if len(got) != 1 || got[0].Object.Name != "late" || len(got[0].Problems) != 1 {
		t.Fatalf("got %v, want one problem of Gateway shop/late", got)
	}
	p.do(func(tx *collection.Tx) { late.delete(p.tables, tx, "Gateway:shop/late") })
	if len(got) != 1 || !got[0].Gone {
		t.Errorf("got %v, want that it is gone", got)
	}
}
