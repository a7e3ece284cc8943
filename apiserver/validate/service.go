package validate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Service checks a service. Its cluster IP may not change.
func Service(s, old *corev1.Service) field.ErrorList {
	errs := oneOf(s.Spec.Type, spec.Child("type"), corev1.ServiceTypeClusterIP,
		corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)
	headless := s.Spec.ClusterIP == corev1.ClusterIPNone
	external := s.Spec.Type == corev1.ServiceTypeExternalName
	if len(s.Spec.Ports) == 0 && !headless && !external {
		errs = append(errs, field.Required(spec.Child("ports"), ""))
	}
	if headless && (s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer) {
		errs = append(errs, field.Invalid(spec.Child("clusterIPs").Index(0), s.Spec.ClusterIP, fmt.Sprintf("may not be set to 'None' for %s services", s.Spec.Type)))
	}
	if external {
		if s.Spec.ExternalName == "" {
			errs = append(errs, field.Required(spec.Child("externalName"), ""))
		} else {
			errs = append(errs, wrong(s.Spec.ExternalName, validation.IsDNS1123Subdomain(s.Spec.ExternalName), spec.Child("externalName"))...)
		}
	}
	errs = append(errs, metav1validation.ValidateLabels(s.Spec.Selector, spec.Child("selector"))...)
	errs = append(errs, oneOf(s.Spec.SessionAffinity, spec.Child("sessionAffinity"), corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)...)
	errs = append(errs, servicePorts(s.Spec.Ports)...)
	return append(errs, serviceUpdate(s, old)...)
}

func servicePorts(ports []corev1.ServicePort) field.ErrorList {
	var errs field.ErrorList
	names, numbers := sets.New[string](), sets.New[string]()
	for i, p := range ports {
		at := spec.Child("ports").Index(i)
		switch {
		case p.Name == "" && len(ports) > 1:
			errs = append(errs, field.Required(at.Child("name"), ""))
		case p.Name != "" && names.Has(p.Name):
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		case p.Name != "":
			errs = append(errs, wrong(p.Name, validation.IsDNS1123Label(p.Name), at.Child("name"))...)
		}
		names.Insert(p.Name)
		errs = append(errs, port(p.Port, at.Child("port"))...)
		errs = append(errs, oneOf(p.Protocol, at.Child("protocol"), corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)...)
		if p.TargetPort.Type == intstr.Int {
			errs = append(errs, port(p.TargetPort.IntVal, at.Child("targetPort"))...)
		} else {
			errs = append(errs, wrong(p.TargetPort.StrVal, validation.IsValidPortName(p.TargetPort.StrVal), at.Child("targetPort"))...)
		}
		key := fmt.Sprint(p.Protocol, "/", p.Port)
		if numbers.Has(key) {
			errs = append(errs, field.Duplicate(at, corev1.ServicePort{Port: p.Port, Protocol: p.Protocol}))
		}
		numbers.Insert(key)
	}
	return errs
}

func serviceUpdate(s, old *corev1.Service) field.ErrorList {
	if old == nil || old.Spec.Type == corev1.ServiceTypeExternalName || s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	if old.Spec.ClusterIP != "" && s.Spec.ClusterIP != old.Spec.ClusterIP {
		return field.ErrorList{field.Invalid(spec.Child("clusterIPs").Index(0), s.Spec.ClusterIP, "may not change once set")}
	}
	return nil
}

// EndpointSlice checks an endpoint slice. Its address type may not change.
func EndpointSlice(e, old *discoveryv1.EndpointSlice) field.ErrorList {
	errs := oneOf(e.AddressType, field.NewPath("addressType"), discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)
	for i, ep := range e.Endpoints {
		if len(ep.Addresses) == 0 {
			errs = append(errs, field.Required(field.NewPath("endpoints").Index(i).Child("addresses"), "must contain at least 1 address"))
		}
	}
	if old != nil {
		errs = append(errs, unchanged(e.AddressType, old.AddressType, field.NewPath("addressType"))...)
	}
	return errs
}

// Ingress checks an ingress.
func Ingress(i, _ *networkingv1.Ingress) field.ErrorList {
	var errs field.ErrorList
	if len(i.Spec.Rules) == 0 && i.Spec.DefaultBackend == nil {
		errs = append(errs, field.Invalid(spec, i.Spec.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	for n, r := range i.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for m, p := range r.HTTP.Paths {
			at := spec.Child("rules").Index(n).Child("http", "paths").Index(m)
			if p.PathType == nil {
				errs = append(errs, field.Required(at.Child("pathType"), "pathType must be specified"))
			}
			if p.Backend.Service == nil && p.Backend.Resource == nil {
				errs = append(errs, field.Required(at.Child("backend"), "resource or service backend is required"))
			}
		}
	}
	return errs
}
