package nodeproxy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// Services keeps a proxy and the answers about names in step with the API.
type Services struct {
	kube     kubernetes.Interface
	proxy    *Proxy
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	factory  informers.SharedInformerFactory
	synced   []cache.InformerSynced
}

// NewServices watches Services for proxy. It starts nothing.
func NewServices(kube kubernetes.Interface, proxy *Proxy) *Services {
	f := informers.NewSharedInformerFactory(kube, 0)
	s := &Services{kube: kube, proxy: proxy, factory: f,
		services: f.Core().V1().Services().Lister(), slices: f.Discovery().V1().EndpointSlices().Lister()}
	s.synced = []cache.InformerSynced{f.Core().V1().Services().Informer().HasSynced, f.Discovery().V1().EndpointSlices().Informer().HasSynced}
	return s
}

// Run follows the API until ctx ends.
func (s *Services) Run(ctx context.Context) error {
	dirty := make(chan struct{}, 1)
	mark := func(any) {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: mark, UpdateFunc: func(_, o any) { mark(o) }, DeleteFunc: mark}
	for _, i := range []cache.SharedIndexInformer{s.factory.Core().V1().Services().Informer(), s.factory.Discovery().V1().EndpointSlices().Informer()} {
		if _, err := i.AddEventHandler(handler); err != nil {
			return err
		}
	}
	s.factory.Start(ctx.Done())
	defer s.factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), s.synced...) {
		return nil
	}
	for {
		s.update(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-dirty:
		}
	}
}

func (s *Services) update(ctx context.Context) {
	all, _ := s.services.List(labels.Everything())
	slices.SortFunc(all, func(a, b *corev1.Service) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	var ports []Port
	for _, svc := range all {
		ports = append(ports, s.portsOf(svc)...)
	}
	s.proxy.Set(ports)
	for _, svc := range all {
		s.report(ctx, svc)
	}
}

var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// publicShift is added to a load balancer's port below 1024 that may not be
// bound: port 80 becomes 8080.
const publicShift = 8000

func (s *Services) portsOf(svc *corev1.Service) []Port {
	vip, err := netip.ParseAddr(svc.Spec.ClusterIP)
	if err != nil {
		return nil // headless
	}
	var ports []Port
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if sp.Protocol == corev1.ProtocolUDP || sp.Protocol == corev1.ProtocolSCTP {
			continue
		}
		p := Port{Name: fmt.Sprintf("%s/%s:%d", svc.Namespace, svc.Name, sp.Port), Endpoints: s.endpoints(svc, sp.Name)}
		p.Listen = append(p.Listen, netip.AddrPortFrom(vip, uint16(sp.Port)))
		if sp.NodePort != 0 {
			p.Listen = append(p.Listen, netip.AddrPortFrom(localhost, uint16(sp.NodePort)))
		}
		if svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
			p.Listen = append(p.Listen, publicAddress(uint16(sp.Port), s.proxy.cfg.LowPorts != 0))
		}
		ports = append(ports, p)
	}
	return ports
}

func publicAddress(port uint16, unprivileged bool) netip.AddrPort {
	if port < 1024 && unprivileged {
		port += publicShift
	}
	return netip.AddrPortFrom(localhost, port)
}

// endpoints are the ready ones of a Service's port.
func (s *Services) endpoints(svc *corev1.Service, port string) []netip.AddrPort {
	found, _ := s.slices.EndpointSlices(svc.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: svc.Name}))
	var eps []netip.AddrPort
	for _, slice := range found {
		for _, p := range slice.Ports {
			if p.Port == nil || p.Name != nil && *p.Name != port {
				continue
			}
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready {
					continue
				}
				for _, a := range e.Addresses {
					if ip, err := netip.ParseAddr(a); err == nil {
						eps = append(eps, netip.AddrPortFrom(ip, uint16(*p.Port)))
					}
				}
			}
		}
	}
	return eps
}

// report writes where a load balancer is to be reached.
func (s *Services) report(ctx context.Context, svc *corev1.Service) {
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer || len(svc.Status.LoadBalancer.Ingress) > 0 {
		return
	}
	changed := svc.DeepCopy()
	changed.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: localhost.String()}}
	// A conflict means that the Service has changed: its event comes here.
	_, _ = s.kube.CoreV1().Services(svc.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
}

// Addresses answers for a Service's name: its virtual IP, or its endpoints' for a
// headless one.
func (s *Services) Addresses(namespace, name string) ([]netip.Addr, bool) {
	svc, err := s.services.Services(namespace).Get(name)
	if err != nil {
		return nil, false
	}
	if vip, err := netip.ParseAddr(svc.Spec.ClusterIP); err == nil {
		return []netip.Addr{vip}, true
	}
	var addrs []netip.Addr
	for i := range svc.Spec.Ports {
		for _, e := range s.endpoints(svc, svc.Spec.Ports[i].Name) {
			if !slices.Contains(addrs, e.Addr()) {
				addrs = append(addrs, e.Addr())
			}
		}
	}
	return addrs, true
}

// Resolve finds the Service that a pod in namespace means by name: the name as it
// is, then by Kubernetes' search list.
func (s *Services) Resolve(namespace, name string) (netip.Addr, bool) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	name = strings.TrimSuffix(name, ".cluster.local")
	name = strings.TrimSuffix(name, ".svc")
	service, in, qualified := strings.Cut(name, ".")
	if !qualified {
		in = namespace
	}
	addrs, ok := s.Addresses(in, service)
	if !ok || len(addrs) == 0 {
		return netip.Addr{}, false
	}
	return addrs[0], true
}
