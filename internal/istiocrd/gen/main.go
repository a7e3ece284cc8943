// Command gen writes Istio's custom resource definitions without their prose.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	out := flag.String("out", "crds.json", "file to write")
	flag.Parse()
	if err := generate(*out); err != nil {
		log.Fatal("generate custom resource definitions: ", err)
	}
}

func generate(out string) error {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		return fmt.Errorf("find module istio.io/api: %w", err)
	}
	source, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "kubernetes", "customresourcedefinitions.gen.yaml"))
	if err != nil {
		return err
	}
	defer source.Close()
	var b bytes.Buffer
	docs := yaml.NewYAMLOrJSONDecoder(source, 4096)
	for sep := "[\n"; ; sep = ",\n" {
		var doc map[string]any
		if err := docs.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if len(doc) == 0 {
			continue
		}
		line, err := json.Marshal(trim(doc))
		if err != nil {
			return err
		}
		b.WriteString(sep)
		b.Write(line)
	}
	b.WriteString("\n]\n")
	return os.WriteFile(out, b.Bytes(), 0o644)
}

// trim drops what is for readers or for Helm: descriptions that are text (a
// schema may have a property of that name), and Helm's labels.
func trim(doc map[string]any) any {
	if meta, ok := doc["metadata"].(map[string]any); ok {
		doc["metadata"] = map[string]any{"name": meta["name"]}
	}
	return withoutProse(doc)
}

func withoutProse(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if _, text := v["description"].(string); text {
			delete(v, "description")
		}
		for key, inner := range v {
			v[key] = withoutProse(inner)
		}
	case []any:
		for i := range v {
			v[i] = withoutProse(v[i])
		}
	}
	return v
}
