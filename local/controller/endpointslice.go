package controller

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// addEndpointSlices lists the pods behind each Service that selects some.
func (s *Set) addEndpointSlices() {
	services := s.informers.Core().V1().Services()
	l := s.newLoop("endpointslice", s.syncEndpointSlice)
	watch(services.Informer(), func(o metav1.Object) { l.queue.Add(keyOf(o)) })
	watch(s.informers.Core().V1().Pods().Informer(), func(o metav1.Object) {
		all, _ := services.Lister().Services(o.GetNamespace()).List(labels.Everything())
		for _, svc := range all {
			if len(svc.Spec.Selector) > 0 && labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(o.GetLabels())) {
				l.queue.Add(keyOf(svc))
			}
		}
	})
}

func (s *Set) syncEndpointSlice(ctx context.Context, key string) error {
	namespace, name := split(key)
	svc, err := s.informers.Core().V1().Services().Lister().Services(namespace).Get(name)
	if err != nil || len(svc.Spec.Selector) == 0 {
		return gone(err) // its slices go with their owner
	}
	pods, err := s.informers.Core().V1().Pods().Lister().Pods(namespace).List(labels.SelectorFromSet(svc.Spec.Selector))
	if err != nil {
		return err
	}
	slices := s.Kube.DiscoveryV1().EndpointSlices(namespace)
	wanted := map[string]bool{}
	for _, want := range slicesFor(svc, pods) {
		wanted[want.Name] = true
		have, err := slices.Get(ctx, want.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			if _, err := slices.Create(ctx, want, metav1.CreateOptions{}); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && equality.Semantic.DeepEqual(have.Ports, want.Ports):
			continue
		}
		have = have.DeepCopy()
		have.Endpoints, have.Ports, have.Labels = want.Endpoints, want.Ports, want.Labels
		if _, err := slices.Update(ctx, have, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return s.deleteSlices(ctx, svc, wanted)
}

func (s *Set) deleteSlices(ctx context.Context, svc *corev1.Service, wanted map[string]bool) error {
	client := s.Kube.DiscoveryV1().EndpointSlices(svc.Namespace)
	list, err := client.List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + svc.Name + "," + discoveryv1.LabelManagedBy + "=" + manager})
	if err != nil {
		return err
	}
	for i := range list.Items {
		if !wanted[list.Items[i].Name] {
			if err := client.Delete(ctx, list.Items[i].Name, metav1.DeleteOptions{}); gone(err) != nil {
				return err
			}
		}
	}
	return nil
}

const manager = "endpointslice-controller.k8s.io"

// slicesFor lists the endpoints: one slice for each set of port numbers that the
// pods give the Service's ports, almost always one in all.
func slicesFor(svc *corev1.Service, pods []*corev1.Pod) []*discoveryv1.EndpointSlice {
	byPorts := map[string]*discoveryv1.EndpointSlice{}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range pods {
		if p.Status.PodIP == "" || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		ports, key := portsOf(svc, p)
		slice := byPorts[key]
		if slice == nil {
			slice = newSlice(svc, ports, key)
			byPorts[key] = slice
		}
		slice.Endpoints = append(slice.Endpoints, endpointOf(svc, p))
	}
	if len(byPorts) == 0 {
		ports, key := portsOf(svc, &corev1.Pod{})
		byPorts[key] = newSlice(svc, ports, key)
	}
	all := make([]*discoveryv1.EndpointSlice, 0, len(byPorts))
	for _, slice := range byPorts {
		all = append(all, slice)
	}
	slices.SortFunc(all, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func newSlice(svc *corev1.Service, ports []discoveryv1.EndpointPort, key string) *discoveryv1.EndpointSlice {
	labels := withLabel(svc.Labels, discoveryv1.LabelServiceName, svc.Name)
	labels[discoveryv1.LabelManagedBy] = manager
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: svc.Name + "-" + key, Namespace: svc.Namespace, Labels: labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(svc, corev1.SchemeGroupVersion.WithKind("Service"))},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       ports,
	}
}

// portsOf resolves the Service's ports on a pod. The key is the same for pods
// that resolve them to the same numbers.
func portsOf(svc *corev1.Service, p *corev1.Pod) ([]discoveryv1.EndpointPort, string) {
	var ports []discoveryv1.EndpointPort
	template := corev1.PodTemplateSpec{}
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		number, ok := targetPort(sp, p)
		if !ok {
			continue
		}
		name, protocol := sp.Name, sp.Protocol
		ports = append(ports, discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &number, AppProtocol: sp.AppProtocol})
		template.Spec.Containers = append(template.Spec.Containers, corev1.Container{Name: name, Ports: []corev1.ContainerPort{{ContainerPort: number, Protocol: protocol}}})
	}
	return ports, hashOf(template)
}

func targetPort(sp *corev1.ServicePort, p *corev1.Pod) (int32, bool) {
	if sp.TargetPort.Type == intstr.Int {
		if sp.TargetPort.IntVal == 0 {
			return sp.Port, true
		}
		return sp.TargetPort.IntVal, true
	}
	for _, c := range p.Spec.Containers {
		for _, cp := range c.Ports {
			if cp.Name == sp.TargetPort.StrVal {
				return cp.ContainerPort, true
			}
		}
	}
	return 0, false
}

func endpointOf(svc *corev1.Service, p *corev1.Pod) discoveryv1.Endpoint {
	serving := podReady(p)
	terminating := p.DeletionTimestamp != nil
	ready := serving && !terminating || svc.Spec.PublishNotReadyAddresses
	e := discoveryv1.Endpoint{
		Addresses:  []string{p.Status.PodIP},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
	}
	if p.Spec.NodeName != "" {
		e.NodeName = &p.Spec.NodeName
	}
	if p.Spec.Hostname != "" && p.Spec.Subdomain == svc.Name {
		e.Hostname = &p.Spec.Hostname
	}
	return e
}
