package translate

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the outputs of the stories")

// Each story is what users wrote (input.yaml) and what proxies get: a section
// is named for what it shows, "cluster NAME", "endpoints NAME",
// "route NAME [HOST]", "listener NAME", "chains LISTENER" (one line per
// filter chain), "names" or "problems".
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			story, err := txtar.ParseFile(file)
			must(t, err)
			w := newWorld(t, string(story.Files[0].Data))
			for i, section := range story.Files[1:] {
				got := w.show(t, section.Name)
				if *update {
					story.Files[i+1].Data = []byte(got)
				} else if diff := gocmp.Diff(string(section.Data), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", section.Name, diff)
				}
			}
			if *update {
				must(t, os.WriteFile(file, txtar.Format(story), 0o644))
			}
		})
	}
}

// show renders one section.
func (w *world) show(t *testing.T, section string) string {
	words := append(strings.Fields(section), "", "")
	switch words[0] {
	case "cluster":
		for _, c := range w.clusters() {
			if c.Name == words[1] {
				return toYAML(t, c)
			}
		}
	case "endpoints":
		for _, l := range w.loads() {
			if l.ClusterName == words[1] {
				return toYAML(t, l)
			}
		}
	case "route":
		for _, r := range w.routes() {
			if r.Name == words[1] && words[2] == "" {
				return toYAML(t, r)
			}
			for _, h := range r.VirtualHosts {
				if r.Name == words[1] && h.Name == words[2] {
					return toYAML(t, h)
				}
			}
		}
	case "listener", "chains":
		for _, l := range w.listeners() {
			if l.Name == words[1] && words[0] == "chains" {
				return chains(l)
			} else if l.Name == words[1] {
				return toYAML(t, l)
			}
		}
	case "names":
		return w.names()
	case "problems":
		return w.problems()
	}
	return "none\n"
}

// names lists every resource.
func (w *world) names() string {
	var b strings.Builder
	for _, c := range w.clusters() {
		fmt.Fprintln(&b, "cluster", c.Name, c.GetType())
	}
	for _, l := range w.listeners() {
		fmt.Fprintln(&b, "listener", l.Name)
	}
	for _, r := range w.routes() {
		for _, h := range r.VirtualHosts {
			fmt.Fprintln(&b, "route", r.Name, h.Name, h.Domains)
		}
	}
	return b.String()
}

// chains says in one line each which connections a chain takes and where it
// sends them.
func chains(l *listener.Listener) string {
	var b strings.Builder
	for _, f := range l.ListenerFilters {
		var off []string
		set := f.FilterDisabled.GetOrMatch().GetRules()
		if f.FilterDisabled.GetDestinationPortRange() != nil {
			set = append(set, f.FilterDisabled)
		}
		for _, r := range set {
			off = append(off, fmt.Sprint(r.GetDestinationPortRange().Start))
		}
		fmt.Fprintf(&b, "%s off on %v\n", strings.TrimPrefix(f.Name, "envoy.filters.listener."), off)
	}
	for _, c := range l.FilterChains {
		fmt.Fprintln(&b, chain(c))
	}
	if l.DefaultFilterChain != nil {
		fmt.Fprintln(&b, "default:", chain(l.DefaultFilterChain))
	}
	return b.String()
}

func chain(c *listener.FilterChain) string {
	m := c.FilterChainMatch
	var words []string
	add := func(format string, v any, have bool) {
		if have {
			words = append(words, fmt.Sprintf(format, v))
		}
	}
	add("%s:", c.Name, c.Name != "")
	add("port %d", m.GetDestinationPort().GetValue(), m.GetDestinationPort() != nil)
	for _, p := range m.GetPrefixRanges() {
		words = append(words, fmt.Sprintf("to %s/%d", p.AddressPrefix, p.PrefixLen.Value))
	}
	add("%s", m.GetTransportProtocol(), m.GetTransportProtocol() != "")
	add("alpn %v", m.GetApplicationProtocols(), len(m.GetApplicationProtocols()) > 0)
	add("sni %v", m.GetServerNames(), len(m.GetServerNames()) > 0)
	words = append(words, "->")
	add("%s", "TLS", c.TransportSocket != nil)
	for _, f := range c.Filters {
		words = append(words, destination(f))
	}
	return strings.Join(words, " ")
}

// destination says where a network filter sends to.
func destination(f *listener.Filter) string {
	m, err := f.GetTypedConfig().UnmarshalNew()
	if err != nil {
		return f.Name + ": " + err.Error()
	}
	switch m := m.(type) {
	case *hcm.HttpConnectionManager:
		return "http(" + m.GetRds().GetRouteConfigName() + m.GetRouteConfig().GetName() + ")"
	case *tcpproxy.TcpProxy:
		if w := m.GetWeightedClusters(); w != nil {
			var out []string
			for _, c := range w.Clusters {
				out = append(out, fmt.Sprintf("%s %d", c.Name, c.Weight))
			}
			return "tcp(" + strings.Join(out, ", ") + ")"
		}
		return "tcp(" + m.GetCluster() + ")"
	}
	return f.Name
}

func toYAML(t *testing.T, m proto.Message) string {
	t.Helper()
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	must(t, err)
	out, err := yaml.JSONToYAML(raw)
	must(t, err)
	return string(out)
}
