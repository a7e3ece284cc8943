package status

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The conditions that are written. Others on the object are left alone.
const (
	validated  = "PassedValidation" // the object by itself and with what it refers to
	reconciled = "Reconciled"       // the proxies took what was made from it
)

// want is what an object's status should say.
type want struct {
	generation int64
	conditions []condition
	messages   []any // Istio's validationMessages
}

// allWell reports whether there is nothing to complain of.
func (w want) allWell() bool {
	return len(w.messages) == 0 && !slices.ContainsFunc(w.conditions, func(c condition) bool { return c.status != "True" })
}

// spokenOf reports whether obj carries a condition of ours.
func spokenOf(obj *unstructured.Unstructured) bool {
	conditions, _ := content(obj)["conditions"].([]any)
	return slices.ContainsFunc(conditions, func(c any) bool {
		m, ok := c.(map[string]any)
		return ok && (m["type"] == validated || m["type"] == reconciled)
	})
}

type condition struct{ kind, status, reason, message string }

// wanted turns reports into conditions.
func wanted(r Report, f Refusal) want {
	w := want{generation: max(r.Generation, f.Generation), messages: []any{}}
	valid := condition{validated, "True", "NoErrorsFound", "no problem was found"}
	var lines []string
	for _, p := range r.Problems {
		lines = append(lines, p.line())
		w.messages = append(w.messages, p.message())
		if p.Level == Error {
			valid.status, valid.reason = "False", "ErrorsFound"
		} else if valid.status == "True" {
			valid.reason = "WarningsFound"
		}
	}
	if len(lines) > 0 {
		valid.message = strings.Join(lines, "; ")
	}
	taken := condition{reconciled, "True", "Accepted", "proxies use it"}
	switch {
	case f.Text != "":
		taken = condition{reconciled, "False", "RejectedByProxy", "a proxy keeps its last good configuration: " + f.Text}
	case valid.status == "False":
		taken = condition{reconciled, "False", "Invalid", "the last good configuration stays in force"}
	}
	w.conditions = []condition{taken, valid}
	return w
}

func (p Problem) line() string {
	if p.Code == "" {
		return p.Message
	}
	return p.Code + ": " + p.Message
}

// message is p as an entry of validationMessages, whose schema has no place
// for a text.
func (p Problem) message() any {
	kind := map[string]any{}
	if p.Code != "" {
		kind["code"], kind["name"] = p.Code, p.Name
	}
	m := map[string]any{"type": kind, "level": string(p.Level)}
	if p.Code != "" {
		m["documentationUrl"] = "https://istio.io/latest/docs/reference/config/analysis/" + strings.ToLower(p.Code) + "/"
	}
	return m
}

// apply puts w into obj's status and reports whether that changed anything.
// A condition's transition time moves only with its status.
func (w want) apply(obj *unstructured.Unstructured, now time.Time) bool {
	s := content(obj)
	before := content(obj)
	held, _ := s["conditions"].([]any)
	var out []any
	for _, c := range held {
		if m, ok := c.(map[string]any); ok && m["type"] != validated && m["type"] != reconciled {
			out = append(out, c)
		}
	}
	for _, c := range w.conditions {
		out = append(out, c.entry(held, w.generation, now))
	}
	s["conditions"], s["validationMessages"], s["observedGeneration"] = out, w.messages, w.generation
	if len(w.messages) == 0 {
		delete(s, "validationMessages")
	}
	if reflect.DeepEqual(s, before) {
		return false
	}
	obj.Object["status"] = s
	return true
}

func (c condition) entry(held []any, generation int64, now time.Time) map[string]any {
	m := map[string]any{
		"type": c.kind, "status": c.status, "reason": c.reason, "message": c.message,
		"observedGeneration": generation, "lastTransitionTime": now.UTC().Format(time.RFC3339),
	}
	for _, h := range held {
		if h, ok := h.(map[string]any); ok && h["type"] == c.kind && h["status"] == c.status && h["lastTransitionTime"] != nil {
			m["lastTransitionTime"] = h["lastTransitionTime"]
		}
	}
	return m
}
