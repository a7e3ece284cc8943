package source

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/lateenmesh/lateen/model"
)

func read[T any](t *testing.T, text string) *T {
	t.Helper()
	out := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestService(t *testing.T) {
	got := Service(read[corev1.Service](t, `
metadata: {name: reviews, namespace: shop, labels: {app: reviews}, annotations: {networking.istio.io/exportTo: "., other"}}
spec:
  clusterIP: 10.0.0.1
  clusterIPs: [10.0.0.1]
  selector: {app: reviews}
  ports:
  - {name: http, port: 9080, protocol: TCP, targetPort: web}
  - {name: db, port: 3306, protocol: TCP}
  - {name: x, port: 1, protocol: TCP, appProtocol: kubernetes.io/h2c, targetPort: 8081}
`), "cluster.local")
	want := &model.Service{
		Host: "reviews.shop.svc.cluster.local", Name: "reviews", Namespace: "shop", Kubernetes: true, Addresses: []string{"10.0.0.1"},
		Labels: map[string]string{"app": "reviews"}, Selector: map[string]string{"app": "reviews"}, ExportTo: []string{".", "other"},
		Ports: []model.Port{
			{Name: "http", Number: 9080, Protocol: model.HTTP, TargetName: "web"},
			{Name: "db", Number: 3306, Protocol: model.TCP, Target: 3306},
			{Name: "x", Number: 1, Protocol: model.HTTP2, Target: 8081},
		},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("service (-got +want):\n%s", diff)
	}
	if s := Service(read[corev1.Service](t, `{metadata: {name: a, namespace: b}, spec: {clusterIP: None}}`), "c"); s.Resolution != model.ResolveNone || !s.Headless() {
		t.Errorf("a headless service is %+v", s)
	}
	if s := Service(read[corev1.Service](t, `{metadata: {name: a, namespace: b}, spec: {type: ExternalName, externalName: Example.com.}}`), "c"); s.Alias != "example.com" {
		t.Errorf("an alias is %+v", s)
	}
}

const pod = `
metadata: {name: reviews-v1-5b-x, namespace: shop, labels: {app: reviews, version: v1, pod-template-hash: 5b, security.istio.io/tlsMode: istio},
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: reviews-v1-5b, uid: u, controller: true}]}
spec: {serviceAccountName: bookinfo, nodeName: node-1, containers: [{name: c, image: i, ports: [{name: web, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: "fd00::1"}], conditions: [{type: Ready, status: "True"}]}
`

func TestWorkload(t *testing.T) {
	got, ok := Workload(read[corev1.Pod](t, pod), model.Locality{Region: "r"})
	want := &model.Workload{
		Name: "reviews-v1-5b-x", Namespace: "shop", Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00::1")},
		Labels:         map[string]string{"app": "reviews", "version": "v1", "pod-template-hash": "5b", "security.istio.io/tlsMode": "istio"},
		ServiceAccount: "bookinfo", Node: "node-1", Locality: model.Locality{Region: "r"}, Owner: "reviews-v1",
		Ports: map[string]uint32{"web": 8080}, Ready: true, MTLS: true,
	}
	if diff := cmp.Diff(got, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || !ok {
		t.Errorf("workload (-got +want):\n%s", diff)
	}
	for _, text := range []string{`{status: {phase: Pending}}`, `{status: {phase: Succeeded, podIP: 10.0.0.1}}`} {
		if w, ok := Workload(read[corev1.Pod](t, text), model.Locality{}); ok {
			t.Errorf("%s is workload %+v", text, w)
		}
	}
}

// An endpoint is an address of a slice, with what its pod says.
func TestEndpoints(t *testing.T) {
	slice, ok := SliceOf(read[discovery.EndpointSlice](t, `
metadata: {name: reviews-1, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.1.0.2], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.1], conditions: {ready: true}, zone: z, targetRef: {kind: Pod, name: reviews-v1-5b-x}}
- {addresses: [10.1.0.3], conditions: {ready: false}}
`))
	if !ok {
		t.Fatal("the slice is not read")
	}
	w, _ := Workload(read[corev1.Pod](t, pod), model.Locality{})
	service := &model.Service{Ports: []model.Port{{Name: "http", Number: 9080}, {Name: "other", Number: 1}}}
	got := Endpoints(service, []*Slice{slice}, func(name string) (*model.Workload, bool) { return w, name == w.Name }, "td")
	want := map[uint32][]model.Endpoint{9080: {
		{Address: "10.1.0.1", Port: 8080, PortName: "http", Labels: w.Labels, MTLS: true, Namespace: "shop", Workload: "reviews-v1",
			Identity: model.Identity{TrustDomain: "td", Namespace: "shop", ServiceAccount: "bookinfo"}, Locality: model.Locality{Zone: "z"}},
		{Address: "10.1.0.2", Port: 8080, PortName: "http", Namespace: "shop", Health: model.Draining},
		{Address: "10.1.0.3", Port: 8080, PortName: "http", Namespace: "shop", Health: model.Unhealthy},
	}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("endpoints (-got +want):\n%s", diff)
	}
}

func TestEntry(t *testing.T) {
	e := EntryOf("shop", "ext", time.Time{}, &networking.ServiceEntry{
		Hosts: []string{"Example.com", "www.example.com"}, Addresses: []string{"10.9.0.1/32"}, Location: networking.ServiceEntry_MESH_EXTERNAL,
		Resolution: networking.ServiceEntry_DNS, Ports: []*networking.ServicePort{{Name: "https", Number: 443, Protocol: "TLS", TargetPort: 8443}},
	}, "td")
	if len(e.Services) != 2 || e.Services[0].Host != "example.com" || !e.Services[0].External || e.Services[0].Resolution != model.ResolveDNS ||
		e.Services[0].Addresses[0] != "10.9.0.1" || e.Services[0].Ports[0].Protocol != model.TLS {
		t.Errorf("services %+v", e.Services)
	}
	if eps := e.Endpoints[443]; len(eps) != 2 || eps[0].Address != "Example.com" || eps[0].Port != 8443 {
		t.Errorf("endpoints %+v, want the hosts themselves", eps)
	}
}

func TestSecret(t *testing.T) {
	if s, ok := Secret(read[corev1.Secret](t, `{metadata: {name: a}, type: kubernetes.io/tls, data: {tls.crt: YQ==, tls.key: Yg==, ca.crt: Yw==}}`)); !ok || string(s.Cert)+string(s.Key)+string(s.CA) != "abc" {
		t.Errorf("secret %+v", s)
	}
	if s, ok := Secret(read[corev1.Secret](t, `{metadata: {name: a}, data: {password: YQ==}}`)); ok {
		t.Errorf("a password is a credential: %+v", s)
	}
}

func TestMesh(t *testing.T) {
	m, err := Mesh("accessLogFile: /dev/stdout\ndefaultConfig: {concurrency: 2}\nsomeday: new\n")
	if err != nil || m.AccessLogFile != "/dev/stdout" || m.DefaultConfig.Concurrency.Value != 2 || m.DefaultConfig.StatusPort != 15020 || !m.EnableAutoMtls.Value {
		t.Errorf("settings %v, %v; want the text over the defaults", m, err)
	}
	if _, err := Mesh("a: ["); err == nil {
		t.Error("nonsense is read")
	}
}
