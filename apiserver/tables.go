package apiserver

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lateenmesh/lateen/apiserver/codec"
)

// tableOf is what kubectl get prints of some objects in storage version.
func tableOf(r *request, objects []map[string]any, meta metav1.ListMeta) (*metav1.Table, error) {
	printed := r.kind.TableIn(r.version)
	t := &metav1.Table{ListMeta: meta, ColumnDefinitions: printed.Columns, Rows: make([]metav1.TableRow, len(objects))}
	t.APIVersion, t.Kind = metav1.SchemeGroupVersion.String(), "Table"
	include := metav1.IncludeObjectPolicy(r.query.Get("includeObject"))
	for i, obj := range objects {
		cells, err := printed.Row(obj)
		if err != nil {
			return nil, err
		}
		t.Rows[i].Cells = cells
		if t.Rows[i].Object, err = rowObject(r, include, obj); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func rowObject(r *request, include metav1.IncludeObjectPolicy, obj map[string]any) (runtime.RawExtension, error) {
	var part any
	switch include {
	case metav1.IncludeNone:
		return runtime.RawExtension{}, nil
	case metav1.IncludeObject:
		view, err := r.kind.In(r.version, obj)
		if err != nil {
			return runtime.RawExtension{}, err
		}
		part = view
	default:
		p, err := codec.Partial(obj)
		if err != nil {
			return runtime.RawExtension{}, err
		}
		part = p
	}
	raw, err := json.Marshal(part)
	if err != nil {
		return runtime.RawExtension{}, fmt.Errorf("encode table row: %w", err)
	}
	return runtime.RawExtension{Raw: raw}, nil
}
