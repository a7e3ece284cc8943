package main

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lateenmesh/lateen/internal/promtext"
)

// monitoring is what port 15014 answers.
func (p *program) monitoring() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", p.metrics)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(version())) })
	mux.HandleFunc("GET /ready", p.ready)
	mux.HandleFunc("GET /debug/syncz", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.xds.Syncz()) })
	mux.HandleFunc("GET /debug/config_dump", p.configDump)
	mux.HandleFunc("GET /debug/mesh", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.pipeline.MeshConfig()) })
	return mux
}

// webhooks is what port 15017 answers.
func (p *program) webhooks() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /inject", p.inject)
	mux.Handle("POST /inject/", p.inject) // Istio's clients append parameters to the path
	mux.Handle("POST /validate", p.admit)
	mux.HandleFunc("GET /ready", p.ready)
	return mux
}

// ready answers 200 once proxies can be served.
func (p *program) ready(w http.ResponseWriter, _ *http.Request) {
	if !p.pipeline.Ready() {
		http.Error(w, "not ready: the API server's objects were not all read yet", http.StatusServiceUnavailable)
	}
}

func (p *program) configDump(w http.ResponseWriter, r *http.Request) {
	dump, err := p.xds.ConfigDump(r.URL.Query().Get("proxyID"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(dump)
}

func (p *program) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", promtext.ContentType)
	p.xds.WriteMetrics(w)
	p.service.WriteMetrics(w)
	p.inject.WriteMetrics(w)
	p.admit.WriteMetrics(w)
	if p.status != nil {
		p.status.WriteMetrics(w)
	}
	promtext.Gauges(w, "pilot_info", "version", "Version of the control plane.", map[string]float64{version(): 1})
	promtext.Gauge(w, "istiod_uptime_seconds", "Seconds since the start.", time.Since(p.started).Seconds())
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	promtext.Gauge(w, "go_goroutines", "Goroutines.", float64(runtime.NumGoroutine()))
	promtext.Gauge(w, "go_memstats_heap_inuse_bytes", "Heap in use.", float64(m.HeapInuse))
	promtext.Gauge(w, "go_memstats_sys_bytes", "Memory from the system.", float64(m.Sys))
}

// namespaceLabels asks the API server for a namespace's labels.
func (p *program) namespaceLabels(ctx context.Context, name string) (map[string]string, error) {
	ns, err := p.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return ns.Labels, nil
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // a reader who went away
}

// version is the module's, as the Go tool recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
