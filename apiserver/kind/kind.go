// Package kind is the table of what the API serves: for every kind its names,
// versions and subresources, and the rules that its objects obey. Built-in kinds
// are rows written here; custom resource definitions add rows while running.
package kind

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lateenmesh/lateen/apiserver/fieldtree"
)

// Kind is one row of the table.
type Kind struct {
	Group string
	// Versions that are served, the preferred one first.
	Versions []string
	// Storage is the version that objects are kept in.
	Storage string
	// StoredAs is set when the objects are those of another resource.
	StoredAs *schema.GroupVersionResource

	Kind       string
	Plural     string
	Singular   string
	ShortNames []string
	Categories []string
	Namespaced bool

	// Generation says that metadata.generation counts the changes of the spec.
	Generation bool
	// Status says that status is written through its own subresource only.
	Status bool
	// Scale locates the replica counts when the scale subresource is served, else nil.
	Scale *Scale
	// Connect lists further subresources, such as pods/log.
	Connect []Subresource
	// Virtual kinds are answered, not stored: reviews and the like. They are only created.
	Virtual bool
	// NameIs checks metadata.name; nil means a DNS subdomain.
	NameIs NameRule

	// TableIn is what kubectl prints when it asks in a version.
	TableIn func(version string) Table
	// Fields are the field labels that can be selected by, besides name and namespace.
	Fields func(obj map[string]any) map[string]string

	// Rules check and complete objects.
	Rules Rules
	// View is what becomes of an object when it is read in a version other than Storage, and back.
	// Nil means that only apiVersion differs.
	View *Conversion
}

// Table is the columns of a kind, and the cells of one object in storage version.
type Table struct {
	Columns []metav1.TableColumnDefinition
	Row     func(obj map[string]any) ([]any, error)
}

// NameRule returns what is wrong with a name; prefix is true for a generateName.
type NameRule func(name string, prefix bool) []string

// Scale locates the fields behind the scale subresource, as dotted paths.
type Scale struct {
	SpecReplicas, StatusReplicas, Selector string
}

// Subresource is a further endpoint below an object.
type Subresource struct {
	Name  string
	Kind  schema.GroupVersionKind
	Verbs []string
}

// Conversion translates between served versions and the storage version.
type Conversion struct {
	From func(version string, obj map[string]any) (map[string]any, error)
	To   func(version string, obj map[string]any) (map[string]any, error)
}

// Rules check and complete the objects of one kind. All methods take objects
// that belong to the caller, and may change them where they say so.
type Rules interface {
	// Normalize returns obj (raw is the same as JSON, or nil) in the form in which it is
	// stored, without the fields that version does not have; these it names as paths.
	Normalize(version string, obj map[string]any, raw []byte) (map[string]any, []string, error)
	// Default completes obj, in the storage version. It returns the completed object.
	Default(obj map[string]any) (map[string]any, error)
	// Validate checks obj against the rules and, on update, against what it was (old is nil
	// on create). subresource is "" or "status".
	Validate(ctx context.Context, obj, old map[string]any, subresource string) field.ErrorList
	// Fields is the tree of known fields of a version, for hints on unknown ones.
	Fields(version string) fieldtree.Node
	// TypeConverter serves server-side apply.
	TypeConverter() managedfields.TypeConverter
	// New returns an empty Go value of a version, nil for custom resources.
	New(version string) runtime.Object
}

// GroupResource names the resource without its version.
func (k *Kind) GroupResource() schema.GroupResource {
	return schema.GroupResource{Group: k.Group, Resource: k.Plural}
}

// StorageResource names the resource that the objects are stored under.
func (k *Kind) StorageResource() schema.GroupResource {
	if k.StoredAs != nil {
		return k.StoredAs.GroupResource()
	}
	return k.GroupResource()
}

// StorageVersion is the group and version that stored objects carry.
func (k *Kind) StorageVersion() schema.GroupVersion {
	if k.StoredAs != nil {
		return k.StoredAs.GroupVersion()
	}
	return schema.GroupVersion{Group: k.Group, Version: k.Storage}
}

// GVK names the kind in a version.
func (k *Kind) GVK(version string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.Group, Version: version, Kind: k.Kind}
}

// GVR names the resource in a version.
func (k *Kind) GVR(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: version, Resource: k.Plural}
}

// ListKind is the kind of a list of these.
func (k *Kind) ListKind() string { return k.Kind + "List" }

// Verbs lists what can be done with the resource itself.
func (k *Kind) Verbs() []string {
	if k.Virtual {
		return []string{"create"}
	}
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

// In returns a stored object as version has it. The result shares parts with
// stored and must not be changed.
func (k *Kind) In(version string, stored map[string]any) (map[string]any, error) {
	if version == k.Storage {
		return stored, nil
	}
	if k.View != nil {
		return k.View.To(version, stored)
	}
	return withVersion(stored, schema.GroupVersion{Group: k.Group, Version: version}), nil
}

// Stored returns an object of a served version in the storage version. The
// result may share parts with obj.
func (k *Kind) Stored(version string, obj map[string]any) (map[string]any, error) {
	if version == k.Storage {
		return obj, nil
	}
	if k.View != nil {
		return k.View.From(version, obj)
	}
	return withVersion(obj, schema.GroupVersion{Group: k.Group, Version: k.Storage}), nil
}

func withVersion(obj map[string]any, gv schema.GroupVersion) map[string]any {
	out := make(map[string]any, len(obj))
	for k, v := range obj {
		out[k] = v
	}
	out["apiVersion"] = gv.String()
	return out
}
