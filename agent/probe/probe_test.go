package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func server(t *testing.T, c Config) *Server {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/metrics":
			_, _ = io.WriteString(w, "app_total 1\n")
		case r.Host == "cart" && r.URL.Query().Get("deep") == "1":
			w.WriteHeader(204)
		default:
			w.WriteHeader(503)
		}
	}))
	t.Cleanup(app.Close)
	c.Log = slog.New(slog.DiscardHandler)
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != "127.0.0.1:9080" {
			return nil, errors.New("refused")
		}
		return (&net.Dialer{}).DialContext(ctx, network, app.Listener.Addr().String())
	}
	return NewServer(c)
}

func ask(h http.Handler, method, path string) (int, string) {
	return askFrom("127.0.0.1:4000", h, method, path)
}

func askFrom(remote string, h http.Handler, method, path string) (int, string) {
	rec, req := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
	req.RemoteAddr = remote
	h.ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

// The application is asked as the pod's author wrote it, and its answer is
// ours.
func TestAppProbes(t *testing.T) {
	probers, err := ParseProbers(`{
		"/app-health/a/livez": {"httpGet": {"path": "health?deep=1", "port": 9080, "httpHeaders": [{"name": "Host", "value": "cart"}]}},
		"/app-health/a/readyz": {"httpGet": {"path": "/sick", "port": "9080"}},
		"/app-health/b/livez": {"tcpSocket": {"port": 9080}},
		"/app-health/b/readyz": {"tcpSocket": {"port": 1}},
		"/app-health/c/livez": {"grpc": {"port": 9080, "service": null}, "timeoutSeconds": 3}}`)
	if err != nil {
		t.Fatal(err)
	}
	h := server(t, Config{Probers: probers}).Handler()
	for path, want := range map[string]int{
		"/app-health/a/livez": 204, "/app-health/a/readyz": 503, "/app-health/b/livez": 200, "/app-health/b/readyz": 500,
		"/app-health/c/livez": 200, "/app-health/none/livez": 404,
	} {
		if got, body := ask(h, "GET", path); got != want {
			t.Errorf("%s: %d %s, want %d", path, got, body, want)
		}
	}
	if _, err := ParseProbers("{"); err == nil {
		t.Error("nonsense is read")
	}
}

func TestReady(t *testing.T) {
	missing := errors.New("no listeners yet")
	s := server(t, Config{Ready: func() error { return missing }})
	if code, body := ask(s.Readiness(), "GET", "/healthz/ready"); code != 503 || !strings.Contains(body, "no listeners yet") {
		t.Errorf("%d %s", code, body)
	}
	missing = nil
	if code, _ := ask(s.Handler(), "GET", "/healthz/ready"); code != 200 {
		t.Errorf("ready answers %d", code)
	}
}

// The agent's metrics come first, then the proxy's, then the application's.
func TestStats(t *testing.T) {
	scrape, err := ParseScrape(`{"scrape":"true","port":"9080"}`)
	if err != nil {
		t.Fatal(err)
	}
	s := server(t, Config{Scrape: scrape, Stats: func(w io.Writer) { fmt.Fprintln(w, "proxy_total 2") }})
	if code, body := ask(s.Handler(), "GET", "/stats/prometheus"); code != 200 ||
		!strings.HasPrefix(body, "# HELP istio_agent_scrapes_total") || !strings.HasSuffix(body, "\nproxy_total 2\napp_total 1\n") {
		t.Errorf("%d %q", code, body)
	}
	if off, err := ParseScrape(`{"scrape":"false","port":"1"}`); off != nil || err != nil {
		t.Errorf("a scrape that is off: %v, %v", off, err)
	}
}

// Only who is on the same machine may end the proxy.
func TestQuit(t *testing.T) {
	quit := false
	h := server(t, Config{Quit: func() { quit = true }}).Handler()
	if code, _ := ask(h, "POST", "/quitquitquit"); code != 200 || !quit {
		t.Errorf("%d, quit %v", code, quit)
	}
	quit = false
	if code, _ := askFrom("10.0.0.9:4000", h, "POST", "/quitquitquit"); code != 403 || quit {
		t.Errorf("from elsewhere: %d, quit %v", code, quit)
	}
	if code, _ := ask(server(t, Config{}).Handler(), "POST", "/quitquitquit"); code != 403 {
		t.Errorf("turned off: %d", code)
	}
}
