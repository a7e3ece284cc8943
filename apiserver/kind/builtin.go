package kind

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lateenmesh/lateen/apiserver/table"
)

// Builtin is the table of built-in kinds. One file per area holds its rows.
func Builtin() []*Kind {
	return slices.Concat(core(), apps(), network(), policies(), extensions(), reviews())
}

// entry is one row of the table, for the Go type T of its storage version.
type entry[T any] struct {
	gv     schema.GroupVersion // the storage version
	kind   string
	plural string

	short      []string
	categories []string
	cluster    bool // not namespaced
	generation bool
	status     bool
	scale      *Scale
	connect    []Subresource
	virtual    bool
	name       NameRule

	defaults func(*T)
	validate func(obj, old *T) field.ErrorList
	table    table.Printer[T]
	fields   func(map[string]any) map[string]string

	versions []string // served, when there are more than the storage version
	others   map[string]func() runtime.Object
	view     *Conversion
}

// row makes the Kind of an entry.
func (e entry[T]) row() *Kind {
	k := &Kind{
		Group: e.gv.Group, Versions: e.versions, Storage: e.gv.Version,
		Kind: e.kind, Plural: e.plural, Singular: strings.ToLower(e.kind),
		ShortNames: e.short, Categories: e.categories, Namespaced: !e.cluster,
		Generation: e.generation, Status: e.status, Scale: e.scale, Connect: e.connect,
		Virtual: e.virtual, NameIs: e.name, Fields: e.fields, View: e.view,
		Rules: &typed[T]{gv: e.gv, defaults: e.defaults, validate: e.validate, others: e.others},
	}
	if k.Versions == nil {
		k.Versions = []string{e.gv.Version}
	}
	t := Table{Columns: e.table.Columns}
	if e.table.Row != nil {
		t.Row = row(e.table.Row)
	} else {
		t = plain
	}
	k.TableIn = func(string) Table { return t }
	return k
}

// plain is the table of kinds that have nothing more to show.
var plain = Table{
	Columns: []metav1.TableColumnDefinition{table.NameColumn, table.AgeColumn},
	Row: func(obj map[string]any) ([]any, error) {
		u := unstructured.Unstructured{Object: obj}
		return []any{u.GetName(), table.Age(u.GetCreationTimestamp())}, nil
	},
}

// all is the category behind kubectl get all.
var all = []string{"all"}

// replicas locates the counts of workloads, whose selector is a label selector.
var replicas = &Scale{SpecReplicas: "spec.replicas", StatusReplicas: "status.replicas", Selector: "spec.selector"}
