package crd

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// converter tells server-side apply how the objects of a kind merge: which lists
// are maps or sets by their schema, and which are replaced whole.
func (r *rules) converter() (managedfields.TypeConverter, error) {
	models := map[string]*spec.Schema{}
	for name, vr := range r.versions {
		s, err := vr.structure()
		if err != nil {
			return nil, err
		}
		model := s.structural.ToKubeOpenAPI()
		if model.Properties == nil {
			model.Properties = map[string]spec.Schema{}
		}
		model.Properties["apiVersion"] = *spec.StringProperty()
		model.Properties["kind"] = *spec.StringProperty()
		model.Properties["metadata"] = metadata()
		model.AddExtension("x-kubernetes-group-version-kind", []any{map[string]any{
			"group": r.group, "version": name, "kind": r.kind}})
		models[r.group+"."+name+"."+r.kind] = model
	}
	c, err := managedfields.NewTypeConverter(models, true)
	if err != nil {
		return nil, fmt.Errorf("merge rules of %s.%s: %w", r.kind, r.group, err)
	}
	return c, nil
}

// metadata merges by key where Kubernetes does: labels and annotations, finalizers as
// a set, owners by their uid.
func metadata() spec.Schema {
	texts := spec.MapProperty(spec.StringProperty())
	finalizers := spec.ArrayProperty(spec.StringProperty())
	finalizers.AddExtension("x-kubernetes-list-type", "set")
	owner := &spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Properties: map[string]spec.Schema{
		"apiVersion": *spec.StringProperty(), "kind": *spec.StringProperty(), "name": *spec.StringProperty(), "uid": *spec.StringProperty(),
		"controller": *spec.BooleanProperty(), "blockOwnerDeletion": *spec.BooleanProperty(),
	}}}
	owners := spec.ArrayProperty(owner)
	owners.AddExtension("x-kubernetes-list-type", "map")
	owners.AddExtension("x-kubernetes-list-map-keys", []any{"uid"})
	meta := spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Properties: map[string]spec.Schema{
		"labels": *texts, "annotations": *texts, "finalizers": *finalizers, "ownerReferences": *owners,
	}}}
	meta.AddExtension("x-kubernetes-preserve-unknown-fields", true)
	return meta
}
