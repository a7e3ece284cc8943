// Package admin answers Envoy's admin API: what the proxy was told, what it does
// with it, and how it fares. It stands beside the request path and only reads,
// except for logging levels, draining and quitting.
package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/state"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// Config says what is shown.
type Config struct {
	State     *state.State
	Listeners *listener.Set
	// Control tells how the conversation with the control plane goes.
	Control func() ads.Status
	// Metrics writes the standard metrics in Prometheus' text format.
	Metrics   func(io.Writer) error
	Node      *corev3.Node
	Bootstrap *bootstrapv3.Bootstrap // nil when there was no file
	Version   string
	Ready     func() bool
	Drain     func(inboundOnly bool)
	Quit      func()         // nil: /quitquitquit is refused
	Level     *slog.LevelVar // nil: /logging is refused
}

// Server is the admin API.
type Server struct {
	config  Config
	mux     *http.ServeMux
	started time.Time
	help    map[string]string
}

// New makes the API. It starts nothing.
func New(c Config) *Server {
	s := &Server{config: c, mux: http.NewServeMux(), started: time.Now(), help: map[string]string{}}
	s.handle("GET /ready", "print server state, return 200 if LIVE, otherwise return 503", s.ready)
	s.handle("GET /server_info", "print server version/status information", s.serverInfo)
	s.handle("GET /config_dump", "dump current configuration (resource, name_regex, include_eds)", s.configDump)
	s.handle("GET /clusters", "upstream cluster status (format=json)", s.clusters)
	s.handle("GET /listeners", "print listener info (format=json)", s.listeners)
	s.handle("GET /certs", "print certs on machine", s.certs)
	s.handle("GET /stats", "print server stats (usedonly, filter, format=prometheus|json)", s.stats)
	s.handle("GET /stats/prometheus", "print server stats in prometheus format", s.prometheus)
	s.handle("GET /memory", "print current allocation/heap usage", s.memory)
	s.handle("GET /logging", "query/change logging levels (POST level=)", s.logging)
	s.handle("POST /logging", "", s.logging)
	s.handle("POST /drain_listeners", "drain listeners (inboundonly)", s.drain)
	s.handle("POST /quitquitquit", "exit the server", s.quit)
	s.handle("GET /help", "print out list of admin commands", s.printHelp)
	s.mux.HandleFunc("GET /{$}", s.printHelp)
	return s
}

func (s *Server) handle(pattern, help string, h http.HandlerFunc) {
	s.mux.HandleFunc(pattern, h)
	if _, path, _ := strings.Cut(pattern, " "); help != "" {
		s.help[path] = help
	}
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Server) printHelp(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "admin commands are:")
	for _, path := range slices.Sorted(maps.Keys(s.help)) {
		fmt.Fprintf(w, "  %s: %s\n", path, s.help[path])
	}
}

func (s *Server) liveness() string {
	if s.config.Ready() {
		return "LIVE"
	}
	return "INITIALIZING"
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	live := s.liveness()
	if live != "LIVE" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, live)
}

func (s *Server) serverInfo(w http.ResponseWriter, _ *http.Request) {
	up := fmt.Sprintf("%ds", int(time.Since(s.started).Seconds()))
	writeJSON(w, map[string]any{
		"version": s.config.Version, "state": s.liveness(), "uptime_current_epoch": up, "uptime_all_epochs": up,
		"node":                 message(s.config.Node),
		"command_line_options": map[string]any{"concurrency": runtime.GOMAXPROCS(0), "service_node": s.config.Node.GetId(), "service_cluster": s.config.Node.GetCluster()},
	})
}

func (s *Server) memory(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	writeJSON(w, map[string]string{
		"allocated": fmt.Sprint(m.HeapAlloc), "heap_size": fmt.Sprint(m.HeapSys), "pageheap_unmapped": fmt.Sprint(m.HeapReleased),
		"pageheap_free": fmt.Sprint(m.HeapIdle - m.HeapReleased), "total_physical_bytes": fmt.Sprint(m.Sys - m.HeapReleased),
	})
}

var levels = map[string]slog.Level{
	"trace": slog.LevelDebug - 4, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warning": slog.LevelWarn, "warn": slog.LevelWarn,
	"error": slog.LevelError, "critical": slog.LevelError + 4, "off": slog.LevelError + 8,
}

func (s *Server) logging(w http.ResponseWriter, r *http.Request) {
	if s.config.Level == nil {
		http.Error(w, "the log level is fixed", http.StatusNotImplemented)
		return
	}
	if name := r.FormValue("level"); name != "" && r.Method == http.MethodPost {
		level, known := levels[strings.ToLower(name)]
		if !known {
			http.Error(w, fmt.Sprintf("level %q is not known, want one of %s", name, strings.Join(slices.Sorted(maps.Keys(levels)), ", ")), http.StatusBadRequest)
			return
		}
		s.config.Level.Set(level)
	}
	fmt.Fprintf(w, "active loggers:\n  proxy: %s\n", strings.ToLower(s.config.Level.Level().String()))
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	s.config.Drain(r.URL.Query().Has("inboundonly"))
	fmt.Fprintln(w, "OK")
}

func (s *Server) quit(w http.ResponseWriter, _ *http.Request) {
	if s.config.Quit == nil {
		http.Error(w, "this process is not to be ended from here", http.StatusNotImplemented)
		return
	}
	fmt.Fprintln(w, "OK")
	s.config.Quit()
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	_ = e.Encode(v) // the client is gone
}
