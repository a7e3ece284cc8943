package apiserver

import (
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

// connect leads to the subresources that are more than a part of the object.
func (s *Server) connect(w http.ResponseWriter, r *request, sub kind.Subresource) error {
	switch r.kind.Plural + "/" + sub.Name {
	case "serviceaccounts/token":
		if err := r.allows(http.MethodPost); err != nil {
			return err
		}
		return s.token(w, r)
	case "namespaces/finalize":
		if err := r.allows(http.MethodPut); err != nil {
			return err
		}
		return s.finalizeNamespace(w, r)
	case "pods/binding":
		if err := r.allows(http.MethodPost); err != nil {
			return err
		}
		return s.bindPod(w, r)
	case "pods/eviction":
		if err := r.allows(http.MethodPost); err != nil {
			return err
		}
		return s.evict(w, r)
	case "pods/log":
		if err := r.allows(http.MethodGet); err != nil {
			return err
		}
		return s.logs(w, r)
	case "pods/exec", "pods/attach", "pods/portforward":
		if err := r.allows(http.MethodPost, http.MethodGet); err != nil {
			return err
		}
		return s.stream(w, r)
	}
	return unknownPath()
}

// finalizeNamespace replaces the finalizers in a namespace's spec. The last one to
// go takes the namespace with it.
func (s *Server) finalizeNamespace(w http.ResponseWriter, r *request) error {
	wanted, err := decodeInto[corev1.Namespace](r)
	if err != nil {
		return err
	}
	for {
		old, ok := s.store.Get(r.key())
		if !ok {
			return r.notFound()
		}
		u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{
			"uid": string(wanted.UID), "resourceVersion": wanted.ResourceVersion}}}
		if err := sameObject(r, u, old); err != nil {
			return err
		}
		obj := old.Copy()
		finalizers := make([]any, len(wanted.Spec.Finalizers))
		for i, f := range wanted.Spec.Finalizers {
			finalizers[i] = string(f)
		}
		if err := unstructured.SetNestedSlice(obj, finalizers, "spec", "finalizers"); err != nil {
			return err
		}
		var last *store.Object
		if finished(r.kind, obj) {
			last, err = s.store.Delete(old)
		} else {
			last, err = s.store.Update(old, obj)
		}
		if isConflict(err) {
			continue
		}
		if err != nil {
			return err
		}
		return s.writeObject(w, r, http.StatusOK, last.Content())
	}
}

// bindPod puts a pod on a node, as a scheduler does.
func (s *Server) bindPod(w http.ResponseWriter, r *request) error {
	binding, err := decodeInto[corev1.Binding](r)
	if err != nil {
		return err
	}
	whole := *r
	whole.subresource = ""
	_, err = s.replace(r.http.Context(), &whole, func(old *store.Object) (map[string]any, error) {
		obj := old.Copy()
		if node, _, _ := unstructured.NestedString(obj, "spec", "nodeName"); node != "" {
			return nil, apierrors.NewConflict(r.kind.GroupResource(), r.name, fmt.Errorf("pod %s is already assigned to node %q", r.name, node))
		}
		return obj, unstructured.SetNestedField(obj, binding.Target.Name, "spec", "nodeName")
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, success(http.StatusCreated))
	return nil
}

// evict deletes a pod. Disruption budgets are stored, not enforced.
func (s *Server) evict(w http.ResponseWriter, r *request) error {
	eviction, err := decodeInto[policyv1.Eviction](r)
	if err != nil {
		return err
	}
	opts := eviction.DeleteOptions
	if opts == nil {
		opts = &metav1.DeleteOptions{}
	}
	whole := *r
	whole.subresource = ""
	if _, _, err := s.deleteObject(r.http.Context(), &whole, opts); err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, success(http.StatusCreated))
	return nil
}

func success(code int32) metav1.Status {
	return metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess, Code: code}
}

// streamIdle is how long a silent stream stays open.
const streamIdle = 4 * time.Hour
