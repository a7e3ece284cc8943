package apiserver

import (
	"context"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lateenmesh/lateen/apiserver/crd"
	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

var definitions = schema.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}

// complete fills in what only the server can say, for the kinds that need it.
// It runs after mutation, so that nobody can say otherwise.
func (s *Server) complete(_ context.Context, r *request, obj, was map[string]any) (map[string]any, error) {
	switch r.kind.GroupResource() {
	case namespaces:
		return obj, completeNamespace(r.name, obj, was)
	case schema.GroupResource{Resource: "pods"}:
		if was == nil {
			return obj, unstructured.SetNestedField(obj, "Pending", "status", "phase")
		}
	case definitions:
		return s.completeDefinition(r, obj, was)
	}
	return obj, nil
}

// completeNamespace gives a namespace its label, its phase and the finalizer that
// the namespace controller removes when all contents are gone.
func completeNamespace(name string, obj, was map[string]any) error {
	u := unstructured.Unstructured{Object: obj}
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels["kubernetes.io/metadata.name"] = name
	u.SetLabels(labels)
	if was != nil {
		// Finalizers in the spec change through the finalize subresource only.
		finalizers, _, err := unstructured.NestedSlice(was, "spec", "finalizers")
		if err != nil || len(finalizers) == 0 {
			return err
		}
		return unstructured.SetNestedSlice(obj, finalizers, "spec", "finalizers")
	}
	if err := unstructured.SetNestedSlice(obj, []any{"kubernetes"}, "spec", "finalizers"); err != nil {
		return err
	}
	return unstructured.SetNestedField(obj, "Active", "status", "phase")
}

// completeDefinition checks a definition and marks it as served.
func (s *Server) completeDefinition(r *request, obj, was map[string]any) (map[string]any, error) {
	def, err := kind.From[apiextensionsv1.CustomResourceDefinition](obj)
	if err != nil {
		return nil, err
	}
	var old *apiextensionsv1.CustomResourceDefinition
	if was != nil {
		if !specChanged(obj, was) {
			return obj, nil
		}
		if old, err = kind.From[apiextensionsv1.CustomResourceDefinition](was); err != nil {
			return nil, err
		}
	}
	if errs := crd.Validate(def, old); len(errs) > 0 {
		return nil, apierrors.NewInvalid(r.kind.GVK(r.version).GroupKind(), r.name, errs)
	}
	crd.Complete(def)
	return runtime.DefaultUnstructuredConverter.ToUnstructured(def)
}

// committed reacts to a write: a changed definition changes what is served.
func (s *Server) committed(r *request, o *store.Object) {
	if r.kind.GroupResource() != definitions {
		return
	}
	if _, exists := s.store.Get(o.Key); !exists {
		s.dropInstances(o)
	}
	if err := s.refresh(); err != nil {
		s.log.Error("cannot serve custom resource definition", "name", o.Key.Name, "error", err)
	}
}

// dropInstances removes the objects of a definition that is gone.
func (s *Server) dropInstances(o *store.Object) {
	def, err := kind.From[apiextensionsv1.CustomResourceDefinition](o.Content())
	if err != nil {
		s.log.Error("read custom resource definition", "name", o.Key.Name, "error", err)
		return
	}
	instances, _ := s.store.List(crd.GroupResource(def), "")
	for _, instance := range instances {
		if _, err := s.store.Delete(instance); err != nil {
			s.log.Error("remove object of a removed definition", "object", instance.Key.String(), "error", err)
		}
	}
}

// refresh serves the definitions that are stored now.
func (s *Server) refresh() error {
	s.catalogMu.Lock()
	defer s.catalogMu.Unlock()
	old := s.catalog.Load()
	kinds := kind.Builtin()
	stored, _ := s.store.List(definitions, "")
	served := make(map[string]definition, len(stored))
	var failed error
	for _, o := range stored {
		d, ok := old.definitions[o.Key.Name]
		if !ok || d.revision != o.Revision {
			def, err := kind.From[apiextensionsv1.CustomResourceDefinition](o.Content())
			if err == nil {
				d.kind, err = crd.Kind(def)
			}
			if err != nil {
				failed = err
				continue
			}
			d.revision = o.Revision
		}
		served[o.Key.Name] = d
		kinds = append(kinds, d.kind)
	}
	next := newCatalog(kinds)
	next.definitions = served
	s.catalog.Store(next)
	return failed
}
