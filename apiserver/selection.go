package apiserver

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

// selection is which objects of a namespace a list or watch is about.
type selection struct {
	kind      *kind.Kind
	namespace string
	labels    labels.Selector
	fields    fields.Selector
}

func newSelection(r *request) (selection, error) {
	s := selection{kind: r.kind, namespace: r.namespace}
	var err error
	if s.labels, err = labels.Parse(r.query.Get("labelSelector")); err != nil {
		return s, apierrors.NewBadRequest(err.Error())
	}
	if s.fields, err = fields.ParseSelector(r.query.Get("fieldSelector")); err != nil {
		return s, apierrors.NewBadRequest(err.Error())
	}
	if r.name != "" { // a watch of one object by its path
		s.fields = fields.AndSelectors(s.fields, fields.OneTermEqualSelector("metadata.name", r.name))
	}
	known := fieldLabels(r.kind, map[string]any{}, "", "")
	for _, req := range s.fields.Requirements() {
		if !known.Has(req.Field) {
			return s, apierrors.NewBadRequest(fmt.Sprintf("Unable to find %q that match label selector %q, field selector %q: field label not supported: %s",
				r.kind.GVR(r.version), r.query.Get("labelSelector"), r.query.Get("fieldSelector"), req.Field))
		}
	}
	return s, nil
}

// matches reports whether an object is selected.
func (s selection) matches(o *store.Object) bool {
	if s.namespace != "" && o.Key.Namespace != s.namespace {
		return false
	}
	if !s.labels.Empty() && !s.labels.Matches(labels.Set(o.Unstructured().GetLabels())) {
		return false
	}
	return s.fields.Empty() || s.fields.Matches(fieldLabels(s.kind, o.Content(), o.Key.Namespace, o.Key.Name))
}

func fieldLabels(k *kind.Kind, obj map[string]any, namespace, name string) fields.Set {
	set := fields.Set{"metadata.name": name}
	if k.Namespaced {
		set["metadata.namespace"] = namespace
	}
	if k.Fields != nil {
		for label, value := range k.Fields(obj) {
			set[label] = value
		}
	}
	return set
}
