package ads

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3" // files name it
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// follow runs a client until the test ends, and gives what it hears.
func follow(t *testing.T, c Config) (*Client, <-chan Update) {
	t.Helper()
	updates := make(chan Update, 10)
	c.Sink, c.Source, c.Backoff = sinkFunc(func(u Update) error { updates <- u; return u.Broken }), "there", time.Millisecond
	client := New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = client.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return client, updates
}

func text(version string, names ...string) string {
	out := "version_info: \"" + version + "\"\nresources:\n"
	for _, n := range names {
		out += `- {"@type": "` + ClusterType + `", name: ` + n + "}\n"
	}
	return out
}

// A file is read when it is asked for and when it is replaced; what cannot be read
// leaves what there was, and says why.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	path, next := filepath.Join(dir, "cds.yaml"), filepath.Join(dir, "next")
	replace := func(content string) {
		t.Helper()
		if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
	replace(text("1", "a"))
	c, updates := follow(t, Config{File: File{Path: path}, Service: ClusterType})
	c.Want(ClusterType, []string{Everything})
	if u := <-updates; u.Version != "1" || len(u.Set) != 1 || !u.Full || u.Type != ClusterType || u.Source != "there" {
		t.Errorf("got %+v at first", u)
	}
	replace("resources: [{nonsense: true}]")
	if u := <-updates; u.Broken == nil || u.Type != ClusterType || u.Source != "there" {
		t.Errorf("got %+v of a file that cannot be read", u)
	}
	replace(text("2", "a", "b"))
	if u := <-updates; u.Version != "2" || len(u.Set) != 2 {
		t.Errorf("got %+v after the file was replaced", u)
	}
}

// Files in every form, and what is wrong with others.
func TestReadResources(t *testing.T) {
	body, err := anypb.New(&discovery.DiscoveryRequest{VersionInfo: "x"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(&discovery.DiscoveryResponse{VersionInfo: "3", Resources: []*anypb.Any{body}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, text, version, wrong string }{
		{"YAML", "a.yaml", text("1", "a"), "1", ""},
		{"JSON", "a.json", `{"version_info": "2", "resources": []}`, "2", ""},
		{"bytes of another type", "a.pb", string(raw), "", "resources[0]: is a type.googleapis.com/envoy.service.discovery.v3.DiscoveryRequest, want a"},
		{"no bytes", "a.pb", "resources", "", "proto:"},
		{"an unknown field", "a.yaml", "resource: []", "", `unknown field "resource"`},
		{"a message that is not there", "a.json", `{"resources": [{"@type": "type.googleapis.com/a.B"}]}`, "", "a.B is not supported"},
		{"nothing yet", "a.yaml", "", "", "is empty: replace it in one step"},
		{"nothing yet, in bytes", "a.pb", "", "", "is empty: replace it in one step"},
		{"no YAML", "a.yaml", "a: [", "", "did not find"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := readResources([]byte(c.text), ClusterType, c.path)
			if c.wrong == "" && (err != nil || r.update.Version != c.version) {
				t.Errorf("got %+v, %v; want version %s", r, err, c.version)
			}
			if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("got %v, want %q", err, c.wrong)
			}
		})
	}
}

// A server that is asked over HTTP is asked again and again, with what was taken
// last; only news is told.
func TestREST(t *testing.T) {
	version := make(chan string, 1)
	asked := make(chan string, 100)
	now := "1"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case now = <-version:
		default:
		}
		var in struct {
			Node        core.Node
			VersionInfo string `json:"version_info"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Path != "/v3/discovery:clusters" || in.Node.Id != "me" {
			t.Errorf("got %s %+v, %v", r.URL, &in.Node, err)
		}
		asked <- in.VersionInfo
		if now == "broken" {
			_, _ = w.Write([]byte("<html>"))
			return
		}
		fmt.Fprintf(w, `{"version_info": %q, "resources": [{"@type": %q, "name": "a"}]}`, now, ClusterType)
	}))
	defer server.Close()
	c, updates := follow(t, Config{
		Node: &core.Node{Id: "me"}, REST: time.Millisecond, Service: ClusterType,
		Server: Server{Address: "xds", Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		}},
	})
	c.Want(ClusterType, []string{Everything})
	if u := <-updates; u.Version != "1" || len(u.Set) != 1 || !u.Full {
		t.Errorf("got %+v at first", u)
	}
	for <-asked != "1" {
	}
	version <- "broken"
	if u := <-updates; u.Broken == nil || u.Type != ClusterType {
		t.Errorf("got %+v, want what is wrong", u)
	}
	version <- "2"
	u := <-updates
	for u.Broken != nil { // asked again meanwhile
		u = <-updates
	}
	if u.Version != "2" {
		t.Errorf("got %+v, want version 2", u)
	}
}
