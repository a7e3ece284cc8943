package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lateenmesh/lateen/apiserver/codec"
	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

func (s *Server) delete(w http.ResponseWriter, r *request) error {
	opts, err := deleteOptions(r)
	if err != nil {
		return err
	}
	obj, gone, err := s.deleteObject(r.http.Context(), r, opts)
	if err != nil {
		return err
	}
	if !gone {
		return s.writeObject(w, r, http.StatusOK, obj)
	}
	u := unstructured.Unstructured{Object: obj}
	r.sendWarnings(w)
	writeJSON(w, http.StatusOK, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusSuccess,
		Details:  &metav1.StatusDetails{Name: u.GetName(), Group: r.kind.Group, Kind: r.kind.Plural, UID: u.GetUID()},
	})
	return nil
}

// deleteOptions come in the body, or in the query.
func deleteOptions(r *request) (*metav1.DeleteOptions, error) {
	opts := &metav1.DeleteOptions{}
	body, err := readBody(r.http)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		b, err := codec.Decode(kind.Scheme(), codec.MediaOf(r.http.Header.Get("Content-Type")), body)
		if err != nil {
			return nil, apierrors.NewBadRequest("read delete options: " + err.Error())
		}
		if err := json.Unmarshal(b.Raw, opts); err != nil {
			return nil, apierrors.NewBadRequest("read delete options: " + err.Error())
		}
	}
	if r.query.Has("gracePeriodSeconds") {
		n, err := queryInt(r, "gracePeriodSeconds")
		if err != nil {
			return nil, err
		}
		opts.GracePeriodSeconds = &n
	}
	if p := r.query.Get("propagationPolicy"); p != "" {
		policy := metav1.DeletionPropagation(p)
		opts.PropagationPolicy = &policy
	}
	if slices.Contains(opts.DryRun, metav1.DryRunAll) {
		r.dryRun = true
	}
	return opts, nil
}

// deleteObject removes an object, or marks it when someone has to act first: a
// finalizer, or the kubelet of a pod. It reports whether the object is gone.
func (s *Server) deleteObject(ctx context.Context, r *request, opts *metav1.DeleteOptions) (obj map[string]any, gone bool, err error) {
	for {
		old, ok := s.store.Get(r.key())
		if !ok {
			return nil, false, r.notFound()
		}
		obj, gone, err := s.deleteOnce(ctx, r, old, opts)
		if !errors.Is(err, store.ErrConflict) {
			return obj, gone, err
		}
	}
}

func (s *Server) deleteOnce(ctx context.Context, r *request, old *store.Object, opts *metav1.DeleteOptions) (map[string]any, bool, error) {
	if err := preconditions(r, old, opts.Preconditions); err != nil {
		return nil, false, err
	}
	if err := s.admit(ctx, r, admissionv1.Delete, nil, old.Content()); err != nil {
		return nil, false, err
	}
	obj := old.Copy()
	changed, err := markDeleted(r.kind, obj, opts)
	if err != nil {
		return nil, false, apierrors.NewBadRequest(err.Error())
	}
	done := finished(r.kind, obj)
	switch {
	case r.dryRun:
		return obj, done, nil
	case done:
		last, err := s.finish(r, old, nil)
		return last, true, err
	case !changed:
		return obj, false, nil
	}
	o, err := s.store.Update(old, obj)
	if err != nil {
		return nil, false, err
	}
	s.committed(r, o)
	return o.Content(), false, nil
}

func preconditions(r *request, old *store.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	u := old.Unstructured()
	if p.UID != nil && *p.UID != u.GetUID() {
		return apierrors.NewConflict(r.kind.GroupResource(), r.name,
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, u.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != u.GetResourceVersion() {
		return apierrors.NewConflict(r.kind.GroupResource(), r.name,
			fmt.Errorf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *p.ResourceVersion, u.GetResourceVersion()))
	}
	return nil
}

// markDeleted sets the finalizer of the propagation policy, the deletion time and
// the grace period. It reports whether obj changed.
func markDeleted(k *kind.Kind, obj map[string]any, opts *metav1.DeleteOptions) (bool, error) {
	u := unstructured.Unstructured{Object: obj}
	changed, err := propagate(&u, opts)
	if err != nil {
		return false, err
	}
	grace := gracePeriod(k, obj, opts)
	if u.GetDeletionTimestamp() == nil {
		at := metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second).Truncate(time.Second))
		u.SetDeletionTimestamp(&at)
		u.SetDeletionGracePeriodSeconds(&grace)
		if u.GetGeneration() > 0 {
			u.SetGeneration(u.GetGeneration() + 1)
		}
		if k.Kind == "Namespace" && k.Group == "" {
			return true, unstructured.SetNestedField(obj, "Terminating", "status", "phase")
		}
		return true, nil
	}
	if was := u.GetDeletionGracePeriodSeconds(); was != nil && grace < *was { // only ever shorter
		at := metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second).Truncate(time.Second))
		u.SetDeletionTimestamp(&at)
		u.SetDeletionGracePeriodSeconds(&grace)
		changed = true
	}
	return changed, nil
}

// propagate records what shall become of the object's dependents as a finalizer,
// which the garbage collector acts on and removes.
func propagate(u *unstructured.Unstructured, opts *metav1.DeleteOptions) (bool, error) {
	want := ""
	switch {
	case opts.OrphanDependents != nil && opts.PropagationPolicy != nil:
		return false, errors.New("orphanDependents and deletionPropagation cannot be both set")
	case opts.OrphanDependents != nil && *opts.OrphanDependents:
		want = metav1.FinalizerOrphanDependents
	case opts.PropagationPolicy != nil:
		switch *opts.PropagationPolicy {
		case metav1.DeletePropagationOrphan:
			want = metav1.FinalizerOrphanDependents
		case metav1.DeletePropagationForeground:
			want = metav1.FinalizerDeleteDependents
		case metav1.DeletePropagationBackground:
		default:
			return false, fmt.Errorf("invalid deletion propagation policy %q", *opts.PropagationPolicy)
		}
	default:
		return false, nil
	}
	before := u.GetFinalizers()
	after := slices.DeleteFunc(slices.Clone(before), func(f string) bool {
		return f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents
	})
	if want != "" {
		after = append(after, want)
	}
	if slices.Equal(before, after) {
		return false, nil
	}
	u.SetFinalizers(after)
	return true, nil
}

// gracePeriod is how many seconds a running pod gets to end; all else ends at once.
func gracePeriod(k *kind.Kind, obj map[string]any, opts *metav1.DeleteOptions) int64 {
	if k.Kind != "Pod" || k.Group != "" {
		return 0
	}
	node, _, _ := unstructured.NestedString(obj, "spec", "nodeName")
	phase, _, _ := unstructured.NestedString(obj, "status", "phase")
	if node == "" || phase == "Succeeded" || phase == "Failed" {
		return 0
	}
	if opts.GracePeriodSeconds != nil {
		return max(0, *opts.GracePeriodSeconds)
	}
	grace, ok, _ := unstructured.NestedInt64(obj, "spec", "terminationGracePeriodSeconds")
	if !ok {
		return 30
	}
	return grace
}

// finished reports whether an object that is being deleted has nothing left to wait for.
func finished(k *kind.Kind, obj map[string]any) bool {
	u := unstructured.Unstructured{Object: obj}
	if u.GetDeletionTimestamp() == nil || len(u.GetFinalizers()) > 0 {
		return false
	}
	if grace := u.GetDeletionGracePeriodSeconds(); grace != nil && *grace > 0 {
		return false
	}
	if k.Kind == "Namespace" && k.Group == "" {
		left, _, _ := unstructured.NestedSlice(obj, "spec", "finalizers")
		return len(left) == 0
	}
	return true
}

// finish removes an object for good. last is its final state if that differs from old.
func (s *Server) finish(r *request, old *store.Object, last map[string]any) (map[string]any, error) {
	gone, err := s.store.Delete(old)
	if err != nil {
		return nil, err
	}
	s.committed(r, gone)
	if last != nil {
		return last, nil
	}
	return gone.Content(), nil
}

func (s *Server) deleteCollection(w http.ResponseWriter, r *request) error {
	opts, err := deleteOptions(r)
	if err != nil {
		return err
	}
	sel, err := newSelection(r)
	if err != nil {
		return err
	}
	objects, _ := s.store.List(r.kind.StorageResource(), r.namespace)
	for _, o := range objects {
		if !sel.matches(o) {
			continue
		}
		one := *r
		one.name, one.namespace = o.Key.Name, o.Key.Namespace
		if _, _, err := s.deleteObject(r.http.Context(), &one, opts); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	writeJSON(w, http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess})
	return nil
}
