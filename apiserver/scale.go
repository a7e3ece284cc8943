package apiserver

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

var scaleGVK = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

// scale serves the scale subresource: the replica counts of whatever has them.
func (s *Server) scale(w http.ResponseWriter, r *request) error {
	switch r.http.Method {
	case http.MethodGet:
		o, ok := s.store.Get(r.key())
		if !ok {
			return r.notFound()
		}
		sc, err := scaleOf(r.kind, o.Content())
		if err != nil {
			return err
		}
		return s.writeTyped(w, r, http.StatusOK, scaleGVK, sc)
	case http.MethodPut:
		wanted, err := decodeInto[autoscalingv1.Scale](r)
		if err != nil {
			return err
		}
		return s.rescale(w, r, func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error) { return wanted, nil })
	case http.MethodPatch:
		patch, err := readBody(r.http)
		if err != nil {
			return err
		}
		media, _, err := mime.ParseMediaType(r.http.Header.Get("Content-Type"))
		if err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		return s.rescale(w, r, func(was *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
			return patchScale(r, types.PatchType(media), patch, was)
		})
	}
	return r.methodNotAllowed()
}

func patchScale(r *request, media types.PatchType, patch []byte, was *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(was)
	if err != nil {
		return nil, err
	}
	if media == types.ApplyYAMLPatchType {
		media = types.MergePatchType // a Scale has one field to own
	}
	if doc, err = applyPatch(media, patch, doc, was); err != nil {
		return nil, patchError(r, err)
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	out := &autoscalingv1.Scale{}
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return out, nil
}

// rescale writes the replica count that next decides on.
func (s *Server) rescale(w http.ResponseWriter, r *request, next func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error)) error {
	whole := *r
	whole.subresource = "" // the object itself is written
	out, err := s.replace(r.http.Context(), &whole, func(old *store.Object) (map[string]any, error) {
		was, err := scaleOf(r.kind, old.Content())
		if err != nil {
			return nil, err
		}
		wanted, err := next(was.DeepCopy())
		if err != nil {
			return nil, err
		}
		if rv := wanted.ResourceVersion; rv != "" && rv != was.ResourceVersion {
			return nil, conflict(r)
		}
		if wanted.Spec.Replicas < 0 {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("spec.replicas: Invalid value: %d: must be greater than or equal to 0", wanted.Spec.Replicas))
		}
		obj := old.Copy()
		err = unstructured.SetNestedField(obj, int64(wanted.Spec.Replicas), strings.Split(r.kind.Scale.SpecReplicas, ".")...)
		return obj, err
	})
	if err != nil {
		return err
	}
	r.warnings = whole.warnings
	sc, err := scaleOf(r.kind, out)
	if err != nil {
		return err
	}
	return s.writeTyped(w, r, http.StatusOK, scaleGVK, sc)
}

// scaleOf reads the counts of an object in storage version.
func scaleOf(k *kind.Kind, obj map[string]any) (*autoscalingv1.Scale, error) {
	u := unstructured.Unstructured{Object: obj}
	sc := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{
		Name: u.GetName(), Namespace: u.GetNamespace(), UID: u.GetUID(),
		ResourceVersion: u.GetResourceVersion(), CreationTimestamp: u.GetCreationTimestamp(),
	}}
	sc.Spec.Replicas = int32At(obj, k.Scale.SpecReplicas)
	sc.Status.Replicas = int32At(obj, k.Scale.StatusReplicas)
	if k.Scale.Selector == "" {
		return sc, nil
	}
	value, _, _ := unstructured.NestedFieldNoCopy(obj, strings.Split(k.Scale.Selector, ".")...)
	switch v := value.(type) {
	case string:
		sc.Status.Selector = v
	case map[string]any:
		var ls metav1.LabelSelector
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(v, &ls); err != nil {
			return nil, fmt.Errorf("read selector of %s %s: %w", k.Kind, u.GetName(), err)
		}
		sel, err := metav1.LabelSelectorAsSelector(&ls)
		if err != nil {
			return nil, fmt.Errorf("read selector of %s %s: %w", k.Kind, u.GetName(), err)
		}
		sc.Status.Selector = sel.String()
	}
	return sc, nil
}

func int32At(obj map[string]any, path string) int32 {
	n, _, _ := unstructured.NestedInt64(obj, strings.Split(path, ".")...)
	return int32(n)
}
