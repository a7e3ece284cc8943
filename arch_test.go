// Package lateen holds the rules about the code as tests: who may import whom.
package lateen

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/lateenmesh/lateen"

// A rule says what the packages below from may not import. Entries of except
// are from's packages that may; entries of allow are imports that are fine.
type rule struct {
	from   string
	except []string
	forbid []string
	allow  []string
	why    string
}

var rules = []rule{
	{from: "model", forbid: []string{module}, why: "model is the bottom: it imports nothing of ours"},
	{from: "internal", forbid: []string{module}, allow: []string{module + "/internal"}, why: "internal tools know nothing of the mesh"},
	{from: "apiserver", forbid: []string{module}, allow: []string{module + "/apiserver", module + "/internal"}, why: "the API server knows nothing of the mesh: types and hooks are handed to it"},
	{from: "control", forbid: []string{module + "/proxy", module + "/agent"}, why: "control and proxy meet in model and on the wire"},
	{from: "proxy", forbid: []string{module + "/control", module + "/agent"}, why: "control and proxy meet in model and on the wire"},
	{from: "agent", forbid: []string{module + "/control", module + "/proxy"}, why: "the agent meets the proxy in cmd/lateen-proxy only"},
	{from: "control/translate", forbid: []string{"context", "net/http", "log/slog", "k8s.io/client-go"}, why: "translation is a pure function of values"},
	{from: "proxy/http1", forbid: hotPath, why: "the request path works on compiled values"},
	{from: "proxy/http2", forbid: hotPath, why: "the request path works on compiled values"},
	{from: "proxy/tcp", forbid: hotPath, why: "the request path works on compiled values"},
	{from: "proxy/pool", forbid: hotPath, why: "the request path works on compiled values"},
	{from: "proxy/cluster", forbid: hotPath, why: "the request path works on compiled values"},
	{from: "proxy/route", forbid: hotPath, why: "the request path works on compiled values"},
	{from: "proxy/listener", forbid: hotPath, why: "the request path works on compiled values"},
	{from: "proxy/stream", forbid: hotPath, why: "the request path works on compiled values"},
	{from: "proxy/socket", forbid: hotPath, except: []string{"proxy/socket/fromenvoy"}, why: "the request path works on compiled values"},
}

var hotPath = []string{"google.golang.org/protobuf", "github.com/envoyproxy", "net/http"}

// stages are folders whose packages do not import one another: they share the
// vocabulary named beside them, and the wiring file knows them all.
var stages = map[string]struct{ shared, wiring []string }{
	"control": {shared: []string{"control/mesh", "control/collection"}, wiring: []string{"control"}},
	"proxy": {
		shared: []string{"proxy/stream", "proxy/runtime", "proxy/socket", "proxy/socket/fromenvoy"},
		wiring: []string{"proxy", "proxy/state"},
	},
}

// arrows between stages that the table above would refuse, each with the reason
// why it is right.
var arrows = map[string][]string{
	"proxy/state":           {"proxy/pool", "proxy/cluster", "proxy/route", "proxy/listener", "proxy/http1", "proxy/http2", "proxy/tcp", "proxy/filter", "proxy/upcall", "proxy/telemetry", "proxy/trace", "proxy/check", "proxy/expr", "proxy/overload"}, // the compiler makes every stage's runtime form
	"proxy/bootstrap":       {"proxy/overload"},                                                                                                                                                                                                           // a bootstrap says what is watched
	"proxy/filter":          {"proxy/route", "proxy/upcall"},                                                                                                                                                                                              // any filter may compare as routes do, and call a service
	"proxy/admin":           {"proxy/state", "proxy/state/ads", "proxy/state/credential", "proxy/listener", "proxy/cluster", "proxy/overload"},                                                                                                            // it shows what the others are
	"proxy/filter/ondemand": {"proxy/route", "proxy/cluster"},                                                                                                                                                                                             // it waits for a route's cluster
	"proxy/filter/entry":    {"proxy/route"},                                                                                                                                                                                                              // what happens before and behind the choice of a route
	"proxy/filter/router":   {"proxy/route", "proxy/cluster", "proxy/pool", "proxy/http1", "proxy/http2"},                                                                                                                                                 // the last filter is where a route becomes an endpoint, a connection, and an exchange on it
	"proxy/check":           {"proxy/cluster", "proxy/pool", "proxy/http1", "proxy/http2", "proxy/upcall"},                                                                                                                                                // a probe is an exchange of its own
	"proxy/telemetry":       {"proxy/expr", "proxy/upcall"},                                                                                                                                                                                               // labels are expressions, and logs go to a collector
	"proxy/trace":           {"proxy/upcall"},                                                                                                                                                                                                             // spans go to a collector
	"proxy/route":           {"proxy/cluster"},                                                                                                                                                                                                            // a route holds handles of clusters
	"proxy/cluster":         {"proxy/pool"},                                                                                                                                                                                                               // a host has a pool
	"proxy/tcp":             {"proxy/cluster", "proxy/pool"},                                                                                                                                                                                              // a byte stream needs an endpoint too
}

func TestImports(t *testing.T) {
	for pkg, imports := range packages(t) {
		for _, r := range rules {
			if within(pkg, r.from) && !slices.Contains(r.except, pkg) {
				for _, i := range imports {
					if within(i, r.forbid...) && !within(i, r.allow...) && !within(i, module+"/"+r.from) {
						t.Errorf("%s imports %s: %s", pkg, i, r.why)
					}
				}
			}
		}
		for root, s := range stages {
			if !within(pkg, root) || slices.Contains(s.wiring, pkg) {
				continue
			}
			for _, i := range imports {
				target, ours := strings.CutPrefix(i, module+"/")
				if !ours || !within(target, root) || stage(target, root) == stage(pkg, root) || slices.Contains(s.shared, target) {
					continue
				}
				if !within(target, arrows[pkg]...) && !within(target, arrows[stage(pkg, root)]...) && !within(target, arrows[path.Dir(stage(pkg, root))]...) {
					t.Errorf("%s imports %s: stages of %s do not import one another (share a word in %v, wire in %v, or name the arrow in arch_test.go with its reason)",
						pkg, target, root, s.shared, s.wiring)
				}
			}
		}
	}
}

// stage is the folder below root that a package belongs to; each filter is a
// stage of its own.
func stage(pkg, root string) string {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(pkg, root), "/"), "/")
	if parts[0] == "filter" && len(parts) > 1 {
		return root + "/filter/" + parts[1]
	}
	return root + "/" + parts[0]
}

func within(pkg string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return pkg == f || strings.HasPrefix(pkg, f+"/") })
}

// packages lists the imports of every package of the module, tests left out,
// by the package's folder.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(file))
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[pkg] = append(found[pkg], name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 5 {
		t.Fatalf("found only %d packages: the walk is wrong", len(found))
	}
	return found
}
