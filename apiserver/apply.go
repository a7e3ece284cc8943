package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/yaml"

	"github.com/lateenmesh/lateen/apiserver/codec"
	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

// apply is server-side apply: the body is what one manager wants, and the API
// remembers which fields that manager owns.
func (s *Server) apply(w http.ResponseWriter, r *request, body []byte) error {
	if r.manager = r.query.Get("fieldManager"); r.manager == "" {
		return apierrors.NewBadRequest("fieldManager is required for apply patch")
	}
	wanted, err := applyBody(r, body)
	if err != nil {
		return err
	}
	r.applied = true
	force := isTrue(r.query.Get("force"))
	ctx := r.http.Context()
	out, code, err := s.applyObject(ctx, r, wanted, force)
	if err != nil {
		return err
	}
	return s.writeObject(w, r, code, out)
}

// applyBody decodes an applied configuration as it is: completing it would make
// its writer the owner of what others said.
func applyBody(r *request, body []byte) (*unstructured.Unstructured, error) {
	b, err := codec.Decode(kind.Scheme(), codec.YAML, body)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
	}
	var copied map[string]any
	if err := yaml.Unmarshal(body, &copied); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
	}
	if _, err := normalize(r, codec.Body{Object: copied, Raw: b.Raw, Duplicates: b.Duplicates}); err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: b.Object}
	if u.GetAPIVersion() == "" || u.GetKind() == "" {
		return nil, apierrors.NewBadRequest("an applied configuration needs apiVersion and kind")
	}
	if name := u.GetName(); name != "" && name != r.name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", name, r.name))
	}
	u.SetName(r.name)
	u.SetNamespace(r.namespace)
	return u, nil
}

func (s *Server) applyObject(ctx context.Context, r *request, wanted *unstructured.Unstructured, force bool) (map[string]any, int, error) {
	for {
		if _, ok := s.store.Get(r.key()); ok {
			out, err := s.replace(ctx, r, func(old *store.Object) (map[string]any, error) {
				if err := sameObject(r, wanted, old); err != nil {
					return nil, err
				}
				return applied(r, old.Copy(), wanted, force)
			})
			return out, http.StatusOK, err
		}
		if r.subresource != "" {
			return nil, 0, r.notFound()
		}
		empty := map[string]any{"apiVersion": r.kind.StorageVersion().String(), "kind": r.kind.Kind}
		obj, err := applied(r, empty, wanted, force)
		if err != nil {
			return nil, 0, err
		}
		out, err := s.createObject(ctx, r, obj)
		if apierrors.IsAlreadyExists(err) && !r.dryRun {
			continue // someone was faster: merge with theirs
		}
		return out, http.StatusCreated, err
	}
}

// applied merges a configuration into a live object, in storage version.
func applied(r *request, live map[string]any, wanted *unstructured.Unstructured, force bool) (map[string]any, error) {
	fm, err := fieldManager(r)
	if err != nil {
		return nil, err
	}
	out, err := fm.Apply(&unstructured.Unstructured{Object: live}, wanted.DeepCopy(), r.manager, force)
	if err != nil {
		var status apierrors.APIStatus
		if errors.As(err, &status) {
			return nil, err // a conflict with other managers
		}
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return storedForm(r, out)
}

// manage keeps the record of who owns which field, once someone has applied the
// object: before that it costs much and tells nothing.
func (s *Server) manage(r *request, was, obj map[string]any) (map[string]any, error) {
	if r.applied {
		return obj, nil
	}
	if was == nil {
		unstructured.RemoveNestedField(obj, "metadata", "managedFields")
		return obj, nil
	}
	live := unstructured.Unstructured{Object: was}
	if len(live.GetManagedFields()) == 0 {
		unstructured.RemoveNestedField(obj, "metadata", "managedFields")
		return obj, nil
	}
	fm, err := fieldManager(r)
	if err != nil {
		return nil, err
	}
	out, err := fm.Update(live.DeepCopy(), &unstructured.Unstructured{Object: obj}, r.manager)
	if err != nil {
		return nil, fmt.Errorf("record field managers of %s: %w", r.key(), err)
	}
	return out.(*unstructured.Unstructured).Object, nil
}

// storedForm brings the result of a merge back to stored form: numbers and empty
// fields as a decoded body has them.
func storedForm(r *request, obj runtime.Object) (map[string]any, error) {
	content := obj.(*unstructured.Unstructured).Object
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	out, _, err := r.kind.Rules.Normalize(r.kind.Storage, content, raw)
	if err != nil {
		return nil, notHandled(r, err.Error())
	}
	out["apiVersion"], out["kind"] = r.kind.StorageVersion().String(), r.kind.Kind
	return out, nil
}

func fieldManager(r *request) (*managedfields.FieldManager, error) {
	objects := versions{r.kind}
	gvk := r.kind.GVK(r.version)
	hub := r.kind.StorageVersion()
	make := managedfields.NewDefaultFieldManager
	if r.kind.Rules.New(r.version) == nil {
		make = managedfields.NewDefaultCRDFieldManager
	}
	return make(r.kind.Rules.TypeConverter(), objects, objects, objects, gvk, hub, r.subresource, nil)
}

// versions converts the objects of a kind between its versions, for the field manager.
type versions struct{ kind *kind.Kind }

func (v versions) ConvertToVersion(in runtime.Object, gv runtime.GroupVersioner) (runtime.Object, error) {
	target, ok := gv.KindForGroupVersionKinds([]schema.GroupVersionKind{in.GetObjectKind().GroupVersionKind()})
	if want, is := gv.(schema.GroupVersion); is {
		target, ok = want.WithKind(v.kind.Kind), true
	}
	if !ok {
		return nil, fmt.Errorf("convert %s to %s: no such version", v.kind.Kind, gv)
	}
	u := in.(*unstructured.Unstructured)
	if u.GroupVersionKind().GroupVersion() == target.GroupVersion() {
		return u, nil
	}
	if target.GroupVersion() == v.kind.StorageVersion() {
		stored, err := v.kind.Stored(u.GroupVersionKind().Version, u.Object)
		return &unstructured.Unstructured{Object: stored}, err
	}
	from := u.GroupVersionKind().Version
	if u.GroupVersionKind().GroupVersion() == v.kind.StorageVersion() {
		from = v.kind.Storage
	}
	stored, err := v.kind.Stored(from, u.Object)
	if err != nil {
		return nil, err
	}
	out, err := v.kind.In(target.Version, stored)
	if err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: out}, nil
}

func (v versions) Convert(in, out, _ any) error {
	return fmt.Errorf("convert %T to %T: not supported", in, out)
}

func (v versions) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// Default does nothing: objects are completed later, on the way to the store.
func (v versions) Default(runtime.Object) {}

func (v versions) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	return u, nil
}
