package table

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Service prints services.
var Service = Printer[corev1.Service]{
	Columns: columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"),
	Row: func(s *corev1.Service) []any {
		return []any{s.Name, string(s.Spec.Type), orNone(s.Spec.ClusterIP), externalIP(s), servicePorts(s.Spec.Ports),
			Age(s.CreationTimestamp), labelMap(s.Spec.Selector)}
	},
}

func externalIP(s *corev1.Service) string {
	switch s.Spec.Type {
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		var ips []string
		for _, in := range s.Status.LoadBalancer.Ingress {
			if in.IP != "" {
				ips = append(ips, in.IP)
			} else if in.Hostname != "" {
				ips = append(ips, in.Hostname)
			}
		}
		ips = append(ips, s.Spec.ExternalIPs...)
		if len(ips) == 0 {
			return "<pending>"
		}
		return strings.Join(ips, ",")
	default:
		return orNone(strings.Join(s.Spec.ExternalIPs, ","))
	}
}

func servicePorts(ports []corev1.ServicePort) string {
	var list []string
	for _, p := range ports {
		if p.NodePort != 0 {
			list = append(list, fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol))
		} else {
			list = append(list, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
	}
	return orNone(strings.Join(list, ","))
}

// Endpoints prints endpoints.
var Endpoints = Printer[corev1.Endpoints]{
	Columns: columns("Name", "Endpoints", "Age"),
	Row: func(e *corev1.Endpoints) []any {
		var list []string
		for _, s := range e.Subsets {
			for _, a := range s.Addresses {
				if len(s.Ports) == 0 {
					list = append(list, a.IP)
				}
				for _, p := range s.Ports {
					list = append(list, fmt.Sprintf("%s:%d", a.IP, p.Port))
				}
			}
		}
		return []any{e.Name, firstThree(list), Age(e.CreationTimestamp)}
	},
}

// EndpointSlice prints endpoint slices.
var EndpointSlice = Printer[discoveryv1.EndpointSlice]{
	Columns: columns("Name", "AddressType", "Ports", "Endpoints", "Age"),
	Row: func(e *discoveryv1.EndpointSlice) []any {
		var ports, addresses []string
		for _, p := range e.Ports {
			switch {
			case p.Port != nil:
				ports = append(ports, fmt.Sprint(*p.Port))
			default:
				ports = append(ports, "*")
			}
		}
		for _, ep := range e.Endpoints {
			addresses = append(addresses, ep.Addresses...)
		}
		portText := "<unset>"
		if len(ports) > 0 {
			portText = firstThree(ports)
		}
		addressText := "<unset>"
		if len(addresses) > 0 {
			addressText = firstThree(addresses)
		}
		return []any{e.Name, string(e.AddressType), portText, addressText, Age(e.CreationTimestamp)}
	},
}

func firstThree(list []string) string {
	switch {
	case len(list) == 0:
		return none
	case len(list) <= 3:
		return strings.Join(list, ",")
	default:
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:3], ","), len(list)-3)
	}
}

// Ingress prints ingresses.
var Ingress = Printer[networkingv1.Ingress]{
	Columns: columns("Name", "Class", "Hosts", "Address", "Ports", "Age"),
	Row: func(i *networkingv1.Ingress) []any {
		var hosts, addresses []string
		for _, r := range i.Spec.Rules {
			if r.Host != "" {
				hosts = append(hosts, r.Host)
			}
		}
		hostText := "*"
		if len(hosts) > 0 {
			hostText = firstThree(hosts)
		}
		for _, in := range i.Status.LoadBalancer.Ingress {
			if in.IP != "" {
				addresses = append(addresses, in.IP)
			} else {
				addresses = append(addresses, in.Hostname)
			}
		}
		ports := "80"
		if len(i.Spec.TLS) > 0 {
			ports = "80, 443"
		}
		return []any{i.Name, deref(i.Spec.IngressClassName, none), hostText, strings.Join(addresses, ","), ports, Age(i.CreationTimestamp)}
	},
}

// IngressClass prints ingress classes.
var IngressClass = Printer[networkingv1.IngressClass]{
	Columns: columns("Name", "Controller", "Parameters", "Age"),
	Row: func(i *networkingv1.IngressClass) []any {
		params := none
		if p := i.Spec.Parameters; p != nil {
			params = p.Kind + "/" + p.Name
		}
		return []any{i.Name, i.Spec.Controller, params, Age(i.CreationTimestamp)}
	},
}

// NetworkPolicy prints network policies.
var NetworkPolicy = Printer[networkingv1.NetworkPolicy]{
	Columns: columns("Name", "Pod-Selector", "Age"),
	Row: func(n *networkingv1.NetworkPolicy) []any {
		return []any{n.Name, selector(&n.Spec.PodSelector), Age(n.CreationTimestamp)}
	},
}
