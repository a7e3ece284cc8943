package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/applyconfigurations"
	kjson "sigs.k8s.io/json"

	"github.com/lateenmesh/lateen/apiserver/fieldtree"
)

// typed are the rules of a kind that has a Go type T in its storage version.
type typed[T any] struct {
	gv       schema.GroupVersion
	defaults func(*T)
	validate func(obj, old *T) field.ErrorList
	// others are the Go types of further served versions.
	others map[string]func() runtime.Object
}

// object makes *T a runtime.Object; T is always a Kubernetes API type.
func object[T any](t *T) runtime.Object { return any(t).(runtime.Object) }

func (r *typed[T]) New(version string) runtime.Object {
	if other := r.others[version]; other != nil {
		return other()
	}
	return object(new(T))
}

func (r *typed[T]) Normalize(version string, obj map[string]any, raw []byte) (map[string]any, []string, error) {
	if raw == nil {
		var err error
		if raw, err = json.Marshal(obj); err != nil {
			return nil, nil, err
		}
	}
	into := r.New(version)
	strict, err := kjson.UnmarshalStrict(raw, into)
	if err != nil {
		return nil, nil, err
	}
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(into)
	if err != nil {
		return nil, nil, err
	}
	var problems []string
	for _, e := range strict {
		problems = append(problems, e.Error())
	}
	return out, problems, nil
}

func (r *typed[T]) Default(obj map[string]any) (map[string]any, error) {
	if r.defaults == nil {
		return obj, nil
	}
	t, err := From[T](obj)
	if err != nil {
		return nil, err
	}
	r.defaults(t)
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(t)
	if err != nil {
		return nil, fmt.Errorf("complete %s: %w", r.gv, err)
	}
	return out, nil
}

func (r *typed[T]) Validate(_ context.Context, obj, old map[string]any, subresource string) field.ErrorList {
	if r.validate == nil || subresource != "" {
		return nil
	}
	t, err := From[T](obj)
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	var was *T
	if old != nil {
		if was, err = From[T](old); err != nil {
			return field.ErrorList{field.InternalError(nil, err)}
		}
	}
	return r.validate(t, was)
}

func (r *typed[T]) Fields(version string) fieldtree.Node {
	return fieldtree.OfType(reflect.TypeOf(r.New(version)).Elem())
}

func (r *typed[T]) TypeConverter() managedfields.TypeConverter { return builtinConverter() }

// builtinConverter knows the merge rules of all built-in kinds. It is slow to make and made at the first apply.
var builtinConverter = sync.OnceValue(func() managedfields.TypeConverter {
	return applyconfigurations.NewTypeConverter(Scheme())
})

// From decodes an object into its Go type.
func From[T any](obj map[string]any) (*T, error) {
	t := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj, t); err != nil {
		return nil, fmt.Errorf("decode %T: %w", t, err)
	}
	return t, nil
}

// row lifts a function of a Go type to one of an object.
func row[T any](f func(*T) []any) func(map[string]any) ([]any, error) {
	return func(obj map[string]any) ([]any, error) {
		t, err := From[T](obj)
		if err != nil {
			return nil, err
		}
		return f(t), nil
	}
}

// Labels lists field labels that are read from the dotted paths of the same name.
func Labels(paths ...string) func(map[string]any) map[string]string {
	return func(obj map[string]any) map[string]string {
		out := make(map[string]string, len(paths))
		for _, p := range paths {
			out[p] = text(obj, strings.Split(p, "."))
		}
		return out
	}
}

func text(v any, path []string) string {
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[p]
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}
