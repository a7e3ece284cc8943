// Package source turns objects of the registry (Services, Pods,
// EndpointSlices, ServiceEntries, Secrets) into the mesh's own words.
//
// It is the first half of the second stage of a config change, beside
// control/config, which does the same for rules. Every function is pure: one
// object in, one value out, with all that does not matter to the mesh left
// behind, so that a change of it is no change.
package source

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lateenmesh/lateen/model"
)

// exportTo is the annotation by which a Service says who may see it.
const exportTo = "networking.istio.io/exportTo"

// Service is a Kubernetes Service in the cluster's DNS domain.
func Service(s *corev1.Service, domain string) *model.Service {
	out := &model.Service{
		Host: model.Host(s.Name + "." + s.Namespace + ".svc." + domain), Name: s.Name, Namespace: s.Namespace,
		Created: s.CreationTimestamp.Time, Kubernetes: true, Labels: maps.Clone(s.Labels), Selector: maps.Clone(s.Spec.Selector),
	}
	for _, ip := range append([]string{s.Spec.ClusterIP}, s.Spec.ClusterIPs...) {
		if ip != "" && ip != corev1.ClusterIPNone && !slices.Contains(out.Addresses, ip) {
			out.Addresses = append(out.Addresses, ip)
		}
	}
	if out.Headless() {
		out.Resolution = model.ResolveNone
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		out.Alias, out.External = model.Host(strings.ToLower(strings.TrimSuffix(s.Spec.ExternalName, "."))), true
	}
	for _, ns := range strings.Split(s.Annotations[exportTo], ",") {
		if ns = strings.TrimSpace(ns); ns != "" {
			out.ExportTo = append(out.ExportTo, ns)
		}
	}
	for _, p := range s.Spec.Ports {
		out.Ports = append(out.Ports, port(p))
	}
	return out
}

func port(p corev1.ServicePort) model.Port {
	appProtocol := ""
	if p.AppProtocol != nil {
		appProtocol = *p.AppProtocol
	}
	out := model.Port{
		Name: p.Name, Number: uint32(p.Port), NodePort: uint32(p.NodePort), TargetName: p.TargetPort.StrVal,
		Protocol: model.PortProtocol(uint32(p.Port), p.Name, string(p.Protocol), appProtocol),
	}
	if out.TargetName == "" {
		out.Target = uint32(cmp.Or(p.TargetPort.IntVal, p.Port))
	}
	return out
}
