package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lateenmesh/lateen/apiserver/store"
)

func (s *Server) update(w http.ResponseWriter, r *request) error {
	obj, err := decodeBody(r)
	if err != nil {
		return err
	}
	u := unstructured.Unstructured{Object: obj}
	if name := u.GetName(); name != "" && name != r.name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", name, r.name))
	}
	if ns := u.GetNamespace(); ns != "" && ns != r.namespace {
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the object (%s) does not match the namespace on the request (%s)", ns, r.namespace))
	}
	u.SetName(r.name)
	u.SetNamespace(r.namespace)
	out, err := s.replace(r.http.Context(), r, func(old *store.Object) (map[string]any, error) {
		if err := sameObject(r, &u, old); err != nil {
			return nil, err
		}
		return (&unstructured.Unstructured{Object: obj}).DeepCopy().Object, nil
	})
	if err != nil {
		return err
	}
	return s.writeObject(w, r, http.StatusOK, out)
}

// sameObject checks that an update means the object that is stored, by uid and revision.
func sameObject(r *request, u *unstructured.Unstructured, old *store.Object) error {
	was := old.Unstructured()
	if uid := u.GetUID(); uid != "" && uid != was.GetUID() {
		return apierrors.NewConflict(r.kind.GroupResource(), r.name,
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, was.GetUID()))
	}
	if rv := u.GetResourceVersion(); rv != "" && rv != was.GetResourceVersion() {
		return conflict(r)
	}
	return nil
}

// isConflict reports whether a write lost a race in the store.
func isConflict(err error) bool { return errors.Is(err, store.ErrConflict) }

func conflict(r *request) error {
	return apierrors.NewConflict(r.kind.GroupResource(), r.name,
		errors.New("the object has been modified; please apply your changes to the latest version and try again"))
}

// replace changes the stored object to what next makes of it, in storage version.
// When someone else writes in between it begins anew: next decides, from the
// revision that it is given, whether its change still stands.
func (s *Server) replace(ctx context.Context, r *request, next func(old *store.Object) (map[string]any, error)) (map[string]any, error) {
	for {
		old, ok := s.store.Get(r.key())
		if !ok {
			return nil, r.notFound()
		}
		warned := len(r.warnings)
		obj, err := next(old)
		if err != nil {
			return nil, err
		}
		out, err := s.replaceOnce(ctx, r, old, obj)
		if !errors.Is(err, store.ErrConflict) {
			return out, err
		}
		r.warnings = r.warnings[:warned]
		if err := ctx.Err(); err != nil {
			return nil, apierrors.NewTimeoutError("update "+r.key().String()+": "+err.Error(), 1)
		}
	}
}

// replaceOnce takes obj through all rules and stores it in place of old. It
// fails with [store.ErrConflict] if old is no longer current.
func (s *Server) replaceOnce(ctx context.Context, r *request, old *store.Object, obj map[string]any) (map[string]any, error) {
	was := old.Content()
	keepMeta(obj, was)
	obj = s.scope(r, obj, was)
	obj, err := r.kind.Rules.Default(obj)
	if err != nil {
		return nil, err
	}
	if obj, err = s.mutate(ctx, r, admissionv1.Update, obj, was); err != nil {
		return nil, err
	}
	if obj, err = s.complete(ctx, r, obj, was); err != nil {
		return nil, err
	}
	if obj, err = s.manage(r, was, obj); err != nil {
		return nil, err
	}
	release, err := s.allot(r, obj, was)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.checkUpdate(ctx, r, obj, was); err != nil {
		return nil, err
	}
	if err := s.admit(ctx, r, admissionv1.Update, obj, was); err != nil {
		return nil, err
	}
	if r.dryRun || reflect.DeepEqual(obj, was) {
		return obj, nil
	}
	if finished(r.kind, obj) {
		return s.finish(r, old, obj)
	}
	o, err := s.store.Update(old, obj)
	if err != nil {
		return nil, err
	}
	s.committed(r, o)
	return o.Content(), nil
}

// scope keeps the part of the object that the request is not about: the status
// when the object is written, all else when its status is.
func (s *Server) scope(r *request, obj, was map[string]any) map[string]any {
	switch {
	case r.subresource == "status":
		out := (&unstructured.Unstructured{Object: was}).DeepCopy().Object
		if status, ok := obj["status"]; ok {
			out["status"] = status
		} else {
			delete(out, "status")
		}
		copyManaged(out, obj)
		return out
	case r.kind.Status:
		if status, ok := was["status"]; ok {
			obj["status"] = status
		} else {
			delete(obj, "status")
		}
	}
	if r.kind.Generation && specChanged(obj, was) {
		u := unstructured.Unstructured{Object: obj}
		u.SetGeneration(u.GetGeneration() + 1)
	}
	return obj
}

func copyManaged(to, from map[string]any) {
	if managed, ok, _ := unstructured.NestedFieldNoCopy(from, "metadata", "managedFields"); ok {
		to["metadata"].(map[string]any)["managedFields"] = managed
	}
}

func (s *Server) checkUpdate(ctx context.Context, r *request, obj, was map[string]any) error {
	u, old := &unstructured.Unstructured{Object: obj}, &unstructured.Unstructured{Object: was}
	path := field.NewPath("metadata")
	errs := metaErrors(r.kind, u, path)
	errs = append(errs, apivalidation.ValidateObjectMetaAccessorUpdate(u, old, path)...)
	errs = append(errs, r.kind.Rules.Validate(ctx, obj, was, r.subresource)...)
	if len(errs) > 0 {
		return apierrors.NewInvalid(r.kind.GVK(r.version).GroupKind(), r.name, errs)
	}
	return nil
}
