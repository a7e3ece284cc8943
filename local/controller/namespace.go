package controller

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
)

// addNamespaces gives every namespace its service account "default" and the API
// server's root certificate, and empties those that are being deleted.
func (s *Set) addNamespaces() {
	namespaces := s.informers.Core().V1().Namespaces()
	l := s.newLoop("namespace", func(ctx context.Context, key string) error {
		ns, err := namespaces.Lister().Get(key)
		if err != nil {
			return gone(err)
		}
		if ns.DeletionTimestamp != nil {
			return s.empty(ctx, ns)
		}
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: ns.Name}}
		if _, err := s.Kube.CoreV1().ServiceAccounts(ns.Name).Create(ctx, account, metav1.CreateOptions{}); there(err) != nil {
			return err
		}
		if len(s.CA) == 0 {
			return nil
		}
		root := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kube-root-ca.crt", Namespace: ns.Name}, Data: map[string]string{"ca.crt": string(s.CA)}}
		_, err = s.Kube.CoreV1().ConfigMaps(ns.Name).Create(ctx, root, metav1.CreateOptions{})
		return there(err)
	})
	watch(namespaces.Informer(), func(o metav1.Object) { l.queue.Add(keyOf(o)) })
	// A deleted default account comes back, and what leaves a namespace lets its
	// deletion go on.
	watch(s.informers.Core().V1().ServiceAccounts().Informer(), func(o metav1.Object) { l.queue.Add(o.GetNamespace()) })
	watch(s.informers.Core().V1().Pods().Informer(), func(o metav1.Object) {
		if o.GetDeletionTimestamp() != nil {
			l.queue.Add(o.GetNamespace())
		}
	})
}

// empty deletes everything in a namespace, and then lets go of it.
func (s *Set) empty(ctx context.Context, ns *corev1.Namespace) error {
	lists, err := s.Kube.Discovery().ServerPreferredNamespacedResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return err
	}
	left := false
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return err
		}
		for _, r := range list.APIResources {
			if r.Name == "events" || !slices.Contains(r.Verbs, "deletecollection") {
				continue
			}
			some, err := s.emptyOf(ctx, s.Dynamic.Resource(gv.WithResource(r.Name)).Namespace(ns.Name))
			if err != nil {
				return err
			}
			left = left || some
		}
	}
	if left {
		// Pods take their time. The end of each wakes this loop again.
		return errNotEmpty
	}
	done := ns.DeepCopy()
	done.Spec.Finalizers = nil
	_, err = s.Kube.CoreV1().Namespaces().Finalize(ctx, done, metav1.UpdateOptions{})
	return gone(err)
}

// emptyOf deletes all objects of one kind and reports whether some are left.
func (s *Set) emptyOf(ctx context.Context, resource dynamic.ResourceInterface) (left bool, err error) {
	objects, err := resource.List(ctx, metav1.ListOptions{})
	if err != nil || len(objects.Items) == 0 {
		return false, gone(err)
	}
	if err := resource.DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{}); gone(err) != nil {
		return true, err
	}
	objects, err = resource.List(ctx, metav1.ListOptions{})
	if err != nil {
		return true, err
	}
	return len(objects.Items) > 0, nil
}

// errNotEmpty asks for another round.
var errNotEmpty = apierrors.NewConflict(schema.GroupResource{Resource: "namespaces"}, "", errors.New("objects are left"))
