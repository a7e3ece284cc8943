// Package fieldtree describes which fields a kind has, whether it is defined by a
// schema or by a Go type, and guesses what the writer of an unknown field meant.
package fieldtree

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Node is a place in a kind: an object with fields, a list or map of such, or a leaf.
type Node interface {
	// Fields lists the names of the fields, nil for leaves and free-form objects.
	Fields() []string
	// Field returns the place behind a field, nil if there is none.
	Field(name string) Node
	// Elem returns the place behind an element of a list or map, nil if it is neither.
	Elem() Node
}

// OfType describes a Go type by its JSON tags.
func OfType(t reflect.Type) Node {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return goType{t}
}

type goType struct{ t reflect.Type }

func (g goType) Fields() []string {
	if !g.hasFields() {
		return nil
	}
	var names []string
	for f := range jsonFields(g.t) {
		names = append(names, f)
	}
	return names
}

// hasFields tells structs from those that are written as something else, such as times.
func (g goType) hasFields() bool {
	return g.t.Kind() == reflect.Struct && !reflect.PointerTo(g.t).Implements(reflect.TypeFor[json.Marshaler]())
}

func (g goType) Field(name string) Node {
	if !g.hasFields() {
		return nil
	}
	for f, t := range jsonFields(g.t) {
		if f == name {
			return OfType(t)
		}
	}
	return nil
}

func (g goType) Elem() Node {
	switch g.t.Kind() {
	case reflect.Slice, reflect.Map:
		return OfType(g.t.Elem())
	default:
		return nil
	}
}

// jsonFields walks the fields that encoding/json sees, inlined ones included.
func jsonFields(t reflect.Type) func(yield func(string, reflect.Type) bool) {
	return func(yield func(string, reflect.Type) bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() {
				continue
			}
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			ft := f.Type
			if ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			if name == "" && ft.Kind() == reflect.Struct && (f.Anonymous || strings.Contains(opts, "inline")) {
				for n, inner := range jsonFields(ft) {
					if !yield(n, inner) {
						return
					}
				}
				continue
			}
			if name == "" {
				name = f.Name
			}
			if !yield(name, f.Type) {
				return
			}
		}
	}
}
