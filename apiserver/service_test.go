package apiserver_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lateenmesh/lateen/apiserver"
)

func service(name string, kind corev1.ServiceType, ports ...int32) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Type: kind}}
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("p", p), Port: p})
	}
	return s
}

// Services get addresses of the range and node ports, each once, and keep them.
func TestServiceAllotment(t *testing.T) {
	cidr := netip.MustParsePrefix("127.64.128.0/17")
	s := newServer(t, func(c *apiserver.Config) { c.ServiceCIDR = cidr })
	services := clientset(t, s).CoreV1().Services("default")
	ctx := context.Background()
	ips, ports := map[string]bool{}, map[int32]bool{}
	for _, svc := range []*corev1.Service{
		service("a", "", 80, 443), service("b", corev1.ServiceTypeNodePort, 80), service("c", corev1.ServiceTypeLoadBalancer, 80, 81)} {
		made, err := services.Create(ctx, svc, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if ip, err := netip.ParseAddr(made.Spec.ClusterIP); err != nil || !cidr.Contains(ip) || ips[made.Spec.ClusterIP] {
			t.Errorf("%s: got cluster IP %q, want a fresh one of %s", svc.Name, made.Spec.ClusterIP, cidr)
		}
		ips[made.Spec.ClusterIP] = true
		for _, p := range made.Spec.Ports {
			if wants := svc.Name != "a"; wants != (p.NodePort >= 30000) || wants && ports[p.NodePort] {
				t.Errorf("%s: got node port %d", svc.Name, p.NodePort)
			}
			ports[p.NodePort] = true
			if p.TargetPort.IntVal != p.Port || p.Protocol != corev1.ProtocolTCP {
				t.Errorf("%s: got %+v, want the port as its target, TCP", svc.Name, p)
			}
		}
	}
	// An update that leaves the allotted out keeps it; one that contradicts is refused.
	b, err := services.Get(ctx, "b", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bare := service("b", corev1.ServiceTypeNodePort, 80)
	bare.ResourceVersion = b.ResourceVersion
	again, err := services.Update(ctx, bare, metav1.UpdateOptions{})
	if err != nil || again.Spec.ClusterIP != b.Spec.ClusterIP || again.Spec.Ports[0].NodePort != b.Spec.Ports[0].NodePort {
		t.Errorf("got %+v, %v; want what b had", again.Spec, err)
	}
	again.Spec.ClusterIP, again.Spec.ClusterIPs = "127.64.200.1", nil
	if _, err := services.Update(ctx, again, metav1.UpdateOptions{}); err == nil || !strings.Contains(err.Error(), "may not change once set") {
		t.Errorf("got %v, want the change refused", err)
	}
	headless := service("headless", "", 80)
	headless.Spec.ClusterIP = corev1.ClusterIPNone
	if made, err := services.Create(ctx, headless, metav1.CreateOptions{}); err != nil || made.Spec.ClusterIP != "None" {
		t.Errorf("headless: got %v, %v", made.Spec.ClusterIP, err)
	}
	taken := service("taken", "", 80)
	taken.Spec.ClusterIP = b.Spec.ClusterIP
	if _, err := services.Create(ctx, taken, metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "provided IP is already allocated") {
		t.Errorf("got %v, want the address refused", err)
	}
	outside := service("outside", corev1.ServiceTypeNodePort, 80)
	outside.Spec.Ports[0].NodePort = 80
	if _, err := services.Create(ctx, outside, metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "The range of valid ports is 30000-32767") {
		t.Errorf("got %v, want the port refused", err)
	}
	if k, err := services.Get(ctx, "kubernetes", metav1.GetOptions{}); err != nil || k.Spec.ClusterIP != "127.64.128.1" {
		t.Errorf("the API's own service: got %v, %v", k.Spec.ClusterIP, err)
	}
}

// The API's own service leads to where it listens.
func TestOwnEndpoints(t *testing.T) {
	s, _ := serve(t, t.TempDir(), apiserver.Config{ServiceCIDR: netip.MustParsePrefix("127.64.128.0/17")})
	slice, err := clientset(t, s).DiscoveryV1().EndpointSlices("default").Get(context.Background(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s:%d", slice.Endpoints[0].Addresses[0], *slice.Ports[0].Port)
	if got != s.Address() {
		t.Errorf("got %s, want %s", got, s.Address())
	}
}
