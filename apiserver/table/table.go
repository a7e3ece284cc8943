// Package table holds what kubectl get prints: for every built-in kind its
// columns and how one object fills them. Custom resources bring their own columns.
package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
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

// columns makes column definitions from titles. The first is the name; a title
// that begins with "+" is shown in wide output only.
func columns(titles ...string) []metav1.TableColumnDefinition {
	out := make([]metav1.TableColumnDefinition, len(titles))
	for i, title := range titles {
		name, wide := strings.CutPrefix(title, "+")
		out[i] = metav1.TableColumnDefinition{Name: name, Type: "string"}
		if wide {
			out[i].Priority = 1
		}
		if name == "Name" {
			out[i].Format = "name"
		}
	}
	return out
}

// Age is the time since t as kubectl writes it, such as 5m or 3d2h.
func Age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}

// none is what kubectl writes for nothing.
const none = "<none>"

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// containers lists names and images of a workload's containers, for wide output.
func containers(spec *corev1.PodSpec) (names, images string) {
	var n, i []string
	for _, c := range spec.Containers {
		n, i = append(n, c.Name), append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// labelMap writes labels as a=b,c=d in order.
func labelMap(m map[string]string) string {
	if len(m) == 0 {
		return none
	}
	var parts []string
	for k, v := range m {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func selector(s *metav1.LabelSelector) string { return metav1.FormatLabelSelector(s) }

func count(n int, of int) string { return fmt.Sprintf("%d/%d", n, of) }
