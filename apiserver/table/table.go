// Package table holds what kubectl get prints: for every built-in kind its
// columns and how one object fills them. Custom resources bring their own columns.
package table

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Printer is the table of one kind: its columns, and the cells of one object.
type Printer[T any] struct {
	Columns []metav1.TableColumnDefinition
	Row     func(*T) []any
}

// Columns that every kind has.
var (
	NameColumn = metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: "Name must be unique within a namespace."}
	AgeColumn  = metav1.TableColumnDefinition{Name: "Age", Type: "string", Description: "How long ago the object was made."}
)

// Age is the time since t as kubectl writes it, such as 5m or 3d2h.
func Age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}
