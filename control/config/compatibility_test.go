package config

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite docs/compatibility.md")

const compatibilityPage = "../../docs/compatibility.md"

// specs are the resources that take effect.
var specs = map[string]proto.Message{
	"VirtualService": &networking.VirtualService{}, "DestinationRule": &networking.DestinationRule{}, "Gateway": &networking.Gateway{},
	"ServiceEntry": &networking.ServiceEntry{}, "WorkloadEntry": &networking.WorkloadEntry{}, "PeerAuthentication": &security.PeerAuthentication{},
}

// The page says of every field what the code says: refused and warned-about
// fields come from the tables that users' objects are checked with, and a field
// is called shown only when a translation story uses it.
func TestCompatibilityPageIsTrue(t *testing.T) {
	want := compatibility(t)
	if *update {
		if err := os.WriteFile(compatibilityPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(compatibilityPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("docs/compatibility.md is not what the code says: go test ./control/config -run Compatibility -update, and read the difference")
	}
}

func compatibility(t *testing.T) []byte {
	told := stories(t)
	var b bytes.Buffer
	b.WriteString(`# Compatibility

Made by a test from the tables with which objects are checked (control/config) and from the stories of control/translate. Of each field of Istio's API:

- **shown**: a translation story uses it and holds what proxies get;
- accepted: translated or passed on without a warning, no story of its own yet;
- **no effect**: accepted with a warning that names the field.

A field that Istio's API does not have is refused.

## Kinds

| kind | |
|---|---|
`)
	for _, kind := range slices.Sorted(maps.Keys(specs)) {
		fmt.Fprintf(&b, "| %s | in force, field by field below |\n", kind)
	}
	for _, kind := range slices.Sorted(maps.Keys(unenforced)) {
		fmt.Fprintf(&b, "| %s | refused: %s |\n", kind, unenforced[kind])
	}
	for _, kind := range slices.Sorted(maps.Keys(idle)) {
		fmt.Fprintf(&b, "| %s | accepted with a warning, no effect: %s |\n", kind, idle[kind])
	}
	for _, kind := range slices.Sorted(maps.Keys(specs)) {
		fmt.Fprintf(&b, "\n## %s\n\n| field | |\n|---|---|\n", kind)
		for _, path := range fieldsOf(specs[kind].ProtoReflect().Descriptor(), "", nil) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", path, standing(kind, path, told[kind]))
		}
	}
	return b.Bytes()
}

func standing(kind, path string, told map[string]bool) string {
	for end, instead := range unforced[kind] {
		if path == end || strings.HasSuffix(path, "."+end) || strings.Contains("."+path+".", "."+end+".") {
			return "**no effect**: " + instead
		}
	}
	if told[path] {
		return "**shown**"
	}
	return "accepted"
}

// fieldsOf lists the paths of a message's fields, without indexes, as YAML spells
// them. Messages that contain themselves are entered once.
func fieldsOf(d protoreflect.MessageDescriptor, prefix string, above []protoreflect.FullName) []string {
	var paths []string
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		path := prefix + f.JSONName()
		m := f.Message()
		if f.IsMap() {
			m = f.MapValue().Message()
		}
		if m == nil || strings.HasPrefix(string(m.FullName()), "google.protobuf.") || slices.Contains(above, m.FullName()) {
			paths = append(paths, path)
			continue
		}
		if m.Fields().Len() == 0 {
			paths = append(paths, path)
			continue
		}
		key := "."
		if f.IsMap() {
			key = ".NAME."
		}
		paths = append(paths, fieldsOf(m, path+key, append(slices.Clone(above), d.FullName()))...)
	}
	return paths
}

// stories are the fields that the stories' authors used, by kind.
func stories(t *testing.T) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../translate/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	used := map[string]map[string]bool{}
	for _, name := range files {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if f.Name != "input.yaml" {
				continue
			}
			for doc := range strings.SplitSeq(string(f.Data), "\n---\n") {
				var object struct {
					Kind string         `json:"kind"`
					Spec map[string]any `json:"spec"`
				}
				if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if message := specs[object.Kind]; message != nil {
					if used[object.Kind] == nil {
						used[object.Kind] = map[string]bool{}
					}
					collect(used[object.Kind], message.ProtoReflect().Descriptor(), "", object.Spec)
				}
			}
		}
	}
	return used
}

func collect(used map[string]bool, d protoreflect.MessageDescriptor, prefix string, value map[string]any) {
	for key, v := range value {
		f := d.Fields().ByJSONName(key)
		if f == nil {
			f = d.Fields().ByName(protoreflect.Name(key))
		}
		if f == nil {
			continue
		}
		path := prefix + f.JSONName()
		used[path] = true
		items, isList := v.([]any)
		if !isList {
			items = []any{v}
		}
		for _, item := range items {
			object, ok := item.(map[string]any)
			switch {
			case !ok || f.Message() == nil:
			case f.IsMap():
				for _, entry := range object {
					if inner, ok := entry.(map[string]any); ok && f.MapValue().Message() != nil {
						collect(used, f.MapValue().Message(), path+".NAME.", inner)
					}
				}
			default:
				collect(used, f.Message(), path+".", object)
			}
		}
	}
}
