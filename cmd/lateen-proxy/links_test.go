package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// forbidden must not be linked: a sidecar stands beside every pod, and each of
// these costs megabytes.
var forbidden = []string{"k8s.io/", "go.etcd.io/bbolt", "helm.sh/helm", "github.com/prometheus/prometheus", "github.com/spf13/cobra"}

const module = "github.com/lateenmesh/lateen"

// What a sidecar links stays small. Files are read rather than `go list` asked,
// whose answer a cached test would not notice to have changed. Other people's
// packages are not followed.
func TestLinks(t *testing.T) {
	seen := map[string]bool{}
	var visit func(pkg, from string)
	visit = func(pkg, from string) {
		for _, f := range forbidden {
			if strings.HasPrefix(pkg, f) {
				t.Errorf("%s imports %s, which must not be in the proxy", from, pkg)
			}
		}
		dir, ours := strings.CutPrefix(pkg, module)
		if !ours || seen[pkg] {
			return
		}
		seen[pkg] = true
		for _, each := range importsOf(t, filepath.Join("../..", dir)) {
			visit(each, pkg)
		}
	}
	visit(module+"/cmd/lateen-proxy", "")
	if !seen[module+"/proxy/http1"] {
		t.Error("the walk did not reach proxy/http1: it proves nothing")
	}
}

func importsOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, path)
		}
	}
	return out
}
