package crd

import (
	"maps"
	"reflect"
	"slices"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lateenmesh/lateen/apiserver/fieldtree"
)

// node is a place in a schema.
type node struct{ s *structuralschema.Structural }

func (n node) Fields() []string { return slices.Collect(maps.Keys(n.s.Properties)) }

func (n node) Field(name string) fieldtree.Node {
	p, ok := n.s.Properties[name]
	if !ok {
		return nil
	}
	return node{&p}
}

func (n node) Elem() fieldtree.Node {
	switch {
	case n.s.Items != nil:
		return node{n.s.Items}
	case n.s.AdditionalProperties != nil && n.s.AdditionalProperties.Structural != nil:
		return node{n.s.AdditionalProperties.Structural}
	default:
		return nil
	}
}

// root is the object itself, which has the fields of every object besides those of its schema.
type root struct{ node }

func (r root) Fields() []string {
	return append(slices.Collect(maps.Keys(r.s.Properties)), "apiVersion", "kind", "metadata")
}

func (r root) Field(name string) fieldtree.Node {
	switch name {
	case "metadata":
		return fieldtree.OfType(reflect.TypeFor[metav1.ObjectMeta]())
	case "apiVersion", "kind":
		return fieldtree.OfType(reflect.TypeFor[string]())
	}
	return r.node.Field(name)
}
