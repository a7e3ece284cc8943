package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lateenmesh/lateen/apiserver/store"
)

func (s *Server) create(w http.ResponseWriter, r *request) error {
	obj, err := decodeBody(r)
	if err != nil {
		return err
	}
	o, err := s.createObject(r.http.Context(), r, obj)
	if err != nil {
		return err
	}
	return s.writeObject(w, r, http.StatusCreated, o)
}

// createObject stores a new object, given in storage version, and returns it as stored.
func (s *Server) createObject(ctx context.Context, r *request, obj map[string]any) (map[string]any, error) {
	if err := s.prepareCreate(r, obj); err != nil {
		return nil, err
	}
	obj, err := r.kind.Rules.Default(obj)
	if err != nil {
		return nil, err
	}
	if obj, err = s.mutate(ctx, r, admissionv1.Create, obj, nil); err != nil {
		return nil, err
	}
	if obj, err = s.complete(ctx, r, obj, nil); err != nil {
		return nil, err
	}
	if obj, err = s.manage(r, nil, obj); err != nil {
		return nil, err
	}
	release, err := s.allot(r, obj, nil)
	if err != nil {
		return nil, err
	}
	defer release()
	if errs := r.kind.Rules.Validate(ctx, obj, nil, ""); len(errs) > 0 {
		return nil, apierrors.NewInvalid(r.kind.GVK(r.version).GroupKind(), r.name, errs)
	}
	if err := s.admit(ctx, r, admissionv1.Create, obj, nil); err != nil {
		return nil, err
	}
	if r.dryRun {
		if _, exists := s.store.Get(r.key()); exists {
			return nil, apierrors.NewAlreadyExists(r.kind.GroupResource(), r.name)
		}
		return obj, nil
	}
	return s.storeNew(r, obj)
}

func (s *Server) storeNew(r *request, obj map[string]any) (map[string]any, error) {
	generated := len(r.generatePrefix(obj)) > 0
	for attempt := 0; ; attempt++ {
		o, err := s.store.Create(r.key(), obj)
		switch {
		case err == nil:
			s.committed(r, o)
			return o.Content(), nil
		case !errors.Is(err, store.ErrExists):
			return nil, err
		case !generated || attempt >= 8:
			return nil, apierrors.NewAlreadyExists(r.kind.GroupResource(), r.name)
		}
		r.name = r.generatePrefix(obj) + rand.String(5)
		obj["metadata"].(map[string]any)["name"] = r.name
	}
}

// generatePrefix is metadata.generateName when the name was made from it.
func (r *request) generatePrefix(obj map[string]any) string {
	u := unstructured.Unstructured{Object: obj}
	if !r.nameGenerated {
		return ""
	}
	return u.GetGenerateName()
}

// prepareCreate settles name and namespace, gives the object its identity, and
// drops what a creator may not say.
func (s *Server) prepareCreate(r *request, obj map[string]any) error {
	u := unstructured.Unstructured{Object: obj}
	if err := s.settleName(r, &u); err != nil {
		return err
	}
	if err := s.checkNamespace(r); err != nil {
		return err
	}
	if rv := u.GetResourceVersion(); rv != "" {
		return apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if uid := u.GetUID(); uid != "" && r.http != nil && r.http.Method == http.MethodPatch {
		return apierrors.NewConflict(r.kind.GroupResource(), r.name, fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	u.SetUID(uuid.NewUUID())
	u.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
	u.SetDeletionTimestamp(nil)
	u.SetDeletionGracePeriodSeconds(nil)
	u.SetSelfLink("")
	u.SetGeneration(0)
	if r.kind.Generation {
		u.SetGeneration(1)
	}
	if r.kind.Status {
		delete(obj, "status")
	}
	return checkMeta(r, &u)
}

func (s *Server) settleName(r *request, u *unstructured.Unstructured) error {
	if r.kind.Namespaced {
		if ns := u.GetNamespace(); ns != "" && ns != r.namespace {
			return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the provided object does not match the namespace sent on the request (%s, %s)", ns, r.namespace))
		}
		if r.namespace == "" {
			return apierrors.NewBadRequest("an empty namespace may not be set during creation")
		}
		u.SetNamespace(r.namespace)
	} else if u.GetNamespace() != "" {
		u.SetNamespace("")
	}
	if r.name == "" {
		r.name = u.GetName()
	}
	if name := u.GetName(); name != "" && name != r.name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", name, r.name))
	}
	if r.name == "" && u.GetGenerateName() != "" {
		prefix := u.GetGenerateName()
		if max := 63 - 5; len(prefix) > max {
			prefix = prefix[:max]
		}
		r.name = prefix + rand.String(5)
		r.nameGenerated = true
	}
	u.SetName(r.name)
	return nil
}

// checkNamespace refuses objects in a namespace that is not there or is going away.
func (s *Server) checkNamespace(r *request) error {
	if !r.kind.Namespaced {
		return nil
	}
	ns, ok := s.store.Get(store.Key{Resource: namespaces, Name: r.namespace})
	if !ok {
		return apierrors.NewNotFound(namespaces, r.namespace)
	}
	if ns.Unstructured().GetDeletionTimestamp() == nil {
		return nil
	}
	err := apierrors.NewForbidden(r.kind.GroupResource(), r.name,
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", r.namespace))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: "NamespaceTerminating", Message: fmt.Sprintf("namespace %s is being terminated", r.namespace), Field: "metadata.namespace"})
	return err
}

// checkMeta validates name, labels and the like.
func checkMeta(r *request, u *unstructured.Unstructured) error {
	acc, err := meta.Accessor(u)
	if err != nil {
		return err
	}
	errs := metaErrors(r.kind, acc, field.NewPath("metadata"))
	if len(errs) > 0 {
		return apierrors.NewInvalid(r.kind.GVK(r.version).GroupKind(), r.name, errs)
	}
	return nil
}
