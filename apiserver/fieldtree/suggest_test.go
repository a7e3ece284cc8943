package fieldtree

import (
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// A hint names the right spelling, or the right place, or nothing rather than a wild guess.
func TestHint(t *testing.T) {
	deployment, service := OfType(reflect.TypeFor[appsv1.Deployment]()), OfType(reflect.TypeFor[corev1.Service]())
	tests := []struct {
		tree Node
		path string
		want string
	}{
		{deployment, "spec.replica", `did you mean "replicas"?`},
		{deployment, "spec.Replicas", `did you mean "replicas"?`},
		{deployment, "spec.templte", `did you mean "template"?`},
		{deployment, "spec.template.spec.container", `did you mean "containers"?`},
		{deployment, "spec.template.spec.imagePullPolicy", `this field belongs at "spec.template.spec.containers[].imagePullPolicy"`},
		{deployment, "spec.template.spec.containers[0].restartPolicyy", `did you mean "restartPolicy"?`},
		{deployment, "spec.template.spec.containers[1].nodeSelector", `this field belongs at "spec.template.spec.nodeSelector"`},
		{deployment, "spec.strategy.rollingUpdate.revisionHistoryLimit", `this field belongs at "spec.revisionHistoryLimit"`},
		{deployment, "spec.quux", ""},
		{service, "spec.ports[0].targetport", `did you mean "targetPort"?`},
		{service, "ports", `this field belongs at "spec.ports"`},
		{service, "spec.labels", `this field belongs at "metadata.labels"`},
	}
	for _, test := range tests {
		if got := Hint(test.tree, test.path); got != test.want {
			t.Errorf("%s: got %q, want %q", test.path, got, test.want)
		}
	}
}

// A recursive kind has no end, the search does.
func TestHintInRecursiveKind(t *testing.T) {
	type schema struct {
		Properties map[string]*recursive `json:"properties"`
		Items      *recursive            `json:"items"`
		Not        *recursive            `json:"not"`
		AllOf      []recursive           `json:"allOf"`
	}
	if got := Hint(OfType(reflect.TypeFor[schema]()), "zzzzzzzz"); got != "" {
		t.Errorf("got %q, want no hint", got)
	}
}

type recursive struct {
	A, B, C, D, E, F *recursive
	Items            []recursive
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"retry", "retries", 3}, {"host", "hosts", 1}, {"rotue", "route", 1}, {"", "abc", 3}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%s, %s): got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
