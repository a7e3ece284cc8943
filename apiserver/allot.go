package apiserver

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

var services = schema.GroupResource{Resource: "services"}

// allot gives a service its cluster IP and node ports. It changes obj in place
// and holds a lock until release is called, after obj was stored, so that no two
// services get the same.
func (s *Server) allot(r *request, obj, was map[string]any) (release func(), err error) {
	if r.kind.GroupResource() != services || r.subresource != "" || !s.cfg.ServiceCIDR.IsValid() {
		return func() {}, nil
	}
	s.allotMu.Lock()
	if err := s.allotService(r, obj, was); err != nil {
		s.allotMu.Unlock()
		return nil, err
	}
	return s.allotMu.Unlock, nil
}

func (s *Server) allotService(r *request, obj, was map[string]any) error {
	svc, err := kind.From[corev1.Service](obj)
	if err != nil {
		return err
	}
	var old *corev1.Service
	if was != nil {
		if old, err = kind.From[corev1.Service](was); err != nil {
			return err
		}
	}
	taken, err := s.allotted(r.key())
	if err != nil {
		return err
	}
	var errs field.ErrorList
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs = "", nil
	} else if e := s.allotIP(svc, old, taken); e != nil {
		errs = append(errs, e)
	}
	errs = append(errs, s.allotPorts(svc, old, taken)...)
	if len(errs) > 0 {
		return apierrors.NewInvalid(r.kind.GVK(r.version).GroupKind(), r.name, errs)
	}
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(svc)
	if err != nil {
		return err
	}
	obj["spec"] = out["spec"]
	return nil
}

// allotments are what the other services hold.
type allotments struct {
	ips   map[string]bool
	ports map[nodePort]bool
}

type nodePort struct {
	protocol corev1.Protocol
	port     int32
}

func (s *Server) allotted(except store.Key) (allotments, error) {
	a := allotments{ips: map[string]bool{}, ports: map[nodePort]bool{}}
	objects, _ := s.store.List(services, "")
	for _, o := range objects {
		if o.Key == except {
			continue
		}
		svc, err := kind.From[corev1.Service](o.Content())
		if err != nil {
			return a, err
		}
		a.ips[svc.Spec.ClusterIP] = true
		for _, p := range svc.Spec.Ports {
			if p.NodePort != 0 {
				a.ports[nodePort{p.Protocol, p.NodePort}] = true
			}
		}
		if p := svc.Spec.HealthCheckNodePort; p != 0 {
			a.ports[nodePort{corev1.ProtocolTCP, p}] = true
		}
	}
	return a, nil
}

func (s *Server) allotIP(svc, old *corev1.Service, taken allotments) *field.Error {
	path := field.NewPath("spec", "clusterIPs")
	spec := &svc.Spec
	if spec.ClusterIP == "" && len(spec.ClusterIPs) > 0 {
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	if spec.ClusterIP == "" && old != nil && old.Spec.Type != corev1.ServiceTypeExternalName {
		spec.ClusterIP = old.Spec.ClusterIP // left out in an update: keep it
	}
	switch {
	case spec.ClusterIP == corev1.ClusterIPNone:
	case spec.ClusterIP == "":
		ip, ok := s.freeIP(taken)
		if !ok {
			return field.InternalError(path, fmt.Errorf("all addresses of %s are taken", s.cfg.ServiceCIDR))
		}
		spec.ClusterIP = ip.String()
	case old != nil && old.Spec.ClusterIP == spec.ClusterIP:
	default:
		ip, err := netip.ParseAddr(spec.ClusterIP)
		if err != nil || !s.cfg.ServiceCIDR.Contains(ip) {
			return field.Invalid(path, []string{spec.ClusterIP}, fmt.Sprintf("failed to allocate IP %s: the provided IP is not in the valid range. The range of valid IPs is %s", spec.ClusterIP, s.cfg.ServiceCIDR))
		}
		if taken.ips[spec.ClusterIP] {
			return field.Invalid(path, []string{spec.ClusterIP}, fmt.Sprintf("failed to allocate IP %s: provided IP is already allocated", spec.ClusterIP))
		}
	}
	spec.ClusterIPs = []string{spec.ClusterIP}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if spec.IPFamilyPolicy == nil {
		single := corev1.IPFamilyPolicySingleStack
		spec.IPFamilyPolicy = &single
	}
	return nil
}

// freeIP is the lowest free address after the range's first eight, which are left
// for services with an address of their choice, such as the cluster's DNS.
func (s *Server) freeIP(taken allotments) (netip.Addr, bool) {
	ip := s.cfg.ServiceCIDR.Masked().Addr()
	for range 8 {
		ip = ip.Next()
	}
	for ip = ip.Next(); s.cfg.ServiceCIDR.Contains(ip); ip = ip.Next() {
		if last := ip.As16()[15]; last != 0 && last != 255 && !taken.ips[ip.String()] {
			return ip, true
		}
	}
	return ip, false
}

// allotPorts gives node ports to the types that have them, keeping those that the service had.
func (s *Server) allotPorts(svc, old *corev1.Service, taken allotments) field.ErrorList {
	wants := svc.Spec.Type == corev1.ServiceTypeNodePort ||
		svc.Spec.Type == corev1.ServiceTypeLoadBalancer && (svc.Spec.AllocateLoadBalancerNodePorts == nil || *svc.Spec.AllocateLoadBalancerNodePorts)
	var errs field.ErrorList
	ports := svc.Spec.Ports
	had := map[nodePort]bool{}
	kept := map[string]int32{}
	if old != nil {
		for _, p := range old.Spec.Ports {
			had[nodePort{p.Protocol, p.NodePort}] = true
			kept[fmt.Sprint(p.Protocol, p.Port)] = p.NodePort
		}
	}
	for i := range ports {
		p := &ports[i]
		if !wants {
			if old != nil && svc.Spec.Type == corev1.ServiceTypeClusterIP && had[nodePort{p.Protocol, p.NodePort}] {
				p.NodePort = 0 // the type was changed back
			}
			continue
		}
		if p.NodePort == 0 {
			if k := kept[fmt.Sprint(p.Protocol, p.Port)]; k != 0 && !taken.ports[nodePort{p.Protocol, k}] {
				p.NodePort = k
			} else {
				p.NodePort = s.freePort(p.Protocol, taken)
			}
		} else if e := s.checkPort(*p, had, taken, field.NewPath("spec", "ports").Index(i).Child("nodePort")); e != nil {
			errs = append(errs, e)
		}
		taken.ports[nodePort{p.Protocol, p.NodePort}] = true
	}
	return errs
}

func (s *Server) checkPort(p corev1.ServicePort, had map[nodePort]bool, taken allotments, path *field.Path) *field.Error {
	first, last := s.cfg.NodePorts[0], s.cfg.NodePorts[1]
	key := nodePort{p.Protocol, p.NodePort}
	switch {
	case had[key]:
		return nil
	case p.NodePort < first || p.NodePort > last:
		return field.Invalid(path, p.NodePort, fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", first, last))
	case taken.ports[key]:
		return field.Invalid(path, p.NodePort, "provided port is already allocated")
	}
	return nil
}

func (s *Server) freePort(protocol corev1.Protocol, taken allotments) int32 {
	first, last := s.cfg.NodePorts[0], s.cfg.NodePorts[1]
	start := s.cfg.NodePortStart
	if start < first || start > last {
		// Amid the range like Kubernetes' random choice, but the same in every run.
		start = first + (last-first)/3
	}
	for i := range last - first + 1 {
		candidate := first + (start-first+i)%(last-first+1)
		if !taken.ports[nodePort{protocol, candidate}] && (s.cfg.NodePortFree == nil || s.cfg.NodePortFree(candidate)) {
			return candidate
		}
	}
	return 0
}
