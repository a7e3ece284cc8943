package store

import (
	"cmp"
	"encoding/json"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Key names an object: its resource, its namespace ("" when it has none) and its name.
type Key struct {
	Resource  schema.GroupResource
	Namespace string
	Name      string
}

// String is the key as messages show it, such as "deployments.apps shop/cart".
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Resource.String() + " " + k.Name
	}
	return k.Resource.String() + " " + k.Namespace + "/" + k.Name
}

// Compare orders keys by resource, namespace and name.
func (k Key) Compare(o Key) int {
	return cmp.Or(
		cmp.Compare(k.Resource.Group, o.Resource.Group),
		cmp.Compare(k.Resource.Resource, o.Resource.Resource),
		cmp.Compare(k.Namespace, o.Namespace),
		cmp.Compare(k.Name, o.Name))
}

func (k Key) name() name { return name{k.Namespace, k.Name} }

// Object is one revision of an object, immutable.
type Object struct {
	Key      Key
	Revision uint64
	// JSON is the object as stored. It must not be changed.
	JSON []byte

	once    sync.Once
	content map[string]any // decoded from JSON at first use when nil
}

func newObject(key Key, rev uint64, content map[string]any, raw []byte) *Object {
	o := &Object{Key: key, Revision: rev, JSON: raw}
	if content != nil {
		o.once.Do(func() { o.content = content })
	}
	return o
}

// Content is the decoded object. It is shared and must not be changed: see [Object.Copy].
func (o *Object) Content() map[string]any {
	o.once.Do(func() {
		var m map[string]any
		if err := utiljson.Unmarshal(o.JSON, &m); err != nil {
			// The JSON was produced by seal or checked by replay.
			panic("store: undecodable object " + o.Key.String() + ": " + err.Error())
		}
		o.content = m
	})
	return o.content
}

// Unstructured is the decoded object behind accessors. It must not be changed.
func (o *Object) Unstructured() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o.Content()}
}

// Copy is a deep copy of the decoded object, for the caller to change.
func (o *Object) Copy() map[string]any {
	return runtime.DeepCopyJSON(o.Content())
}

var _ json.Marshaler = (*Object)(nil)

// MarshalJSON returns the object as stored.
func (o *Object) MarshalJSON() ([]byte, error) { return o.JSON, nil }
