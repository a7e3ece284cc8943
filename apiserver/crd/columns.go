package crd

import (
	"bytes"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"

	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/table"
)

// column is one of a definition's additional printer columns.
type column struct {
	kind string // integer, number, boolean, date, string
	path *jsonpath.JSONPath
}

// columns makes the table of a version. Without columns of its own it prints the age.
func columns(defs []apiextensionsv1.CustomResourceColumnDefinition) (kind.Table, error) {
	if len(defs) == 0 {
		defs = []apiextensionsv1.CustomResourceColumnDefinition{{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"}}
	}
	t := kind.Table{Columns: []metav1.TableColumnDefinition{table.NameColumn}}
	cols := make([]column, len(defs))
	for i, d := range defs {
		path := jsonpath.New(d.Name).AllowMissingKeys(true)
		if err := path.Parse("{" + d.JSONPath + "}"); err != nil {
			return t, fmt.Errorf("column %s: %w", d.Name, err)
		}
		cols[i] = column{d.Type, path}
		t.Columns = append(t.Columns, metav1.TableColumnDefinition{
			Name: d.Name, Type: d.Type, Format: d.Format, Description: d.Description, Priority: d.Priority,
		})
	}
	t.Row = func(obj map[string]any) ([]any, error) {
		u := unstructured.Unstructured{Object: obj}
		cells := []any{u.GetName()}
		for _, c := range cols {
			cells = append(cells, c.cell(obj))
		}
		return cells, nil
	}
	return t, nil
}

// cell is the value of a column, nil if the object has none or one of another type.
func (c column) cell(obj map[string]any) any {
	found, err := c.path.FindResults(obj)
	if err != nil || len(found) == 0 || len(found[0]) == 0 {
		return nil
	}
	value := found[0][0].Interface()
	switch c.kind {
	case "string":
		var b bytes.Buffer
		if err := c.path.PrintResults(&b, found[0]); err != nil {
			return nil
		}
		return b.String()
	case "date":
		text, _ := value.(string)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil
		}
		return table.Age(metav1.NewTime(at))
	default:
		return value
	}
}
