package compile

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/envoy.md")

const page = "../../../docs/envoy.md"

// The page says of every message and field what the tables say with which
// configuration is checked.
func TestPageIsTrue(t *testing.T) {
	want := envoyPage()
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("docs/envoy.md is not what the code says: go test ./proxy/state/compile -run Page -update, and read the difference")
	}
}

func envoyPage() []byte {
	var b bytes.Buffer
	b.WriteString(`# Envoy's configuration

Made by a test from the tables with which the data plane checks what it is given, by xDS or in a bootstrap file. Of each message:

- **read**: the fields that are in force;
- passed over: fields that have no effect here, with the reason.

Any other field or message that is set is refused by its path: a nack to a control plane, an error at start for a file. Where our answers differ from Envoy's although the
configuration is the same, [deviations](envoy-deviations.md) says how.

`)
	for _, name := range slices.Sorted(maps.Keys(allFields)) {
		f := allFields[name]
		fmt.Fprintf(&b, "## %s\n\n", name)
		switch names := strings.Fields(f.Read); {
		case f.Read == "*":
			b.WriteString("**read**: all fields\n\n")
		case len(names) > 0:
			slices.Sort(names)
			fmt.Fprintf(&b, "**read**: `%s`\n\n", strings.Join(names, "` `"))
		case len(f.Ignored) == 0:
			b.WriteString("has no fields to read\n\n")
		}
		for _, field := range slices.Sorted(maps.Keys(f.Ignored)) {
			fmt.Fprintf(&b, "- `%s` is passed over: %s\n", field, f.Ignored[field])
		}
		if len(f.Ignored) > 0 {
			b.WriteString("\n")
		}
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
