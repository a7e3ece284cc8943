package interop

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/envoyproxy/go-control-plane/pkg/test" // the suite's program is of its module

	"github.com/lateenmesh/lateen/proxy"
)

const controlPlaneModule = "github.com/envoyproxy/go-control-plane"

// The integration suite of go-control-plane, with the bootstraps that it has for
// Envoy: listeners, routes, clusters, endpoints, secrets and runtime over every
// transport. Left out are what Istio does not use: scoped and virtual host
// discovery, and filters by discovery.
func TestControlPlaneSuite(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", controlPlaneModule).Output()
	if err != nil {
		t.Fatal(err)
	}
	samples := filepath.Join(strings.TrimSpace(string(dir)), "sample")
	suite := filepath.Join(t.TempDir(), "suite")
	if out, err := exec.Command("go", "build", "-o", suite, controlPlaneModule+"/pkg/test/main").CombinedOutput(); err != nil {
		t.Fatalf("build the suite: %v\n%s", err, out)
	}
	for _, c := range []struct{ name, mode, more string }{
		{"aggregated", "ads", "-runtimes=2"},
		{"aggregated delta", "delta-ads", ""},
		{"a service for each type", "xds", ""},
		{"a service for each type, delta", "delta", ""},
		{"REST", "rest", "-delay=600ms"},
		{"aggregated, endpoints from another cache", "ads", "-mux -runtimes=2"},
		{"secrets by their service", "xds", "-tls"},
		{"secrets aggregated", "delta-ads", "-tls"},
		{"secrets over REST", "rest", "-tls -delay=600ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			runSuite(t, suite, filepath.Join(samples, "bootstrap-"+c.mode+".yaml"), append(strings.Fields(c.more), "-xds="+c.mode))
		})
	}
}

func runSuite(t *testing.T, suite, sample string, flags []string) {
	const message = "Hi, there!\n"
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, message) }))
	t.Cleanup(upstream.Close)
	ports := freePorts(t, 8)
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.NewReplacer("port_value: 19000", fmt.Sprint("port_value: ", ports), "port_value: 18000", fmt.Sprint("port_value: ", ports+1),
		"port_value: 18001", fmt.Sprint("port_value: ", ports+2), "port_value: 18090", fmt.Sprint("port_value: ", ports+3)).Replace(string(text))
	_, port, _ := net.SplitHostPort(upstream.Listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, suite, append([]string{"-message", message, "-upstream", port, "-port", strconv.Itoa(ports + 1), "-gateway", strconv.Itoa(ports + 2), "-als", strconv.Itoa(ports + 3),
		"-base", strconv.Itoa(ports + 4), "-scopedhttp=0", "-vhdshttp=0", "-extension=0", "-delay=250ms", "-u=2"}, flags...)...)
	runWith(t, moved, proxy.Config{Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelError}))})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// freePorts finds the first of n ports in a row that nobody has, below those that
// the system gives to whoever asks for any.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		first := 12000 + rand.IntN(20000)
		free := true
		for i := 0; free && i < n; i++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+i))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no ports in a row are free")
	return 0
}
