package compile

import (
	"strings"
	"testing"

	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
)

// A tag tells a variable of the environment, though it is empty, and its default where
// there is none; it has to name one.
func TestTagsOfTheEnvironment(t *testing.T) {
	t.Setenv("LATEEN_TEST_SET", "set")
	t.Setenv("LATEEN_TEST_EMPTY", "")
	tag := func(name string) *tracingv3.CustomTag {
		m := &tracingv3.CustomTag{}
		read(t, m, `{"tag": "a", "environment": {"name": "`+name+`", "default_value": "default"}}`)
		return m
	}
	for name, want := range map[string]string{"LATEEN_TEST_SET": "set", "LATEEN_TEST_EMPTY": "", "LATEEN_TEST_NONE": "default"} {
		tags, err := compiler().tags([]*tracingv3.CustomTag{tag(name)})
		if err != nil || tags[0].Value(nil, nil) != want {
			t.Errorf("%s: got %v, %v; want %q", name, tags, err, want)
		}
	}
	if _, err := compiler().tags([]*tracingv3.CustomTag{tag("")}); err == nil || !strings.Contains(err.Error(), "[0].environment.name") {
		t.Errorf("got %v, want the field that names none", err)
	}
}
