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
	"net/http/pprof"
	"net/url"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/overload"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/state"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
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
	// Include says which statistics are kept, by Envoy's name; nil is all.
	Include func(name string) bool
	// Statistics calls f with further statistics; may be nil.
	Statistics func(f func(stream.Statistic))
	// Runtime has the settings that change while the proxy runs.
	Runtime *runtime.Runtime
	// Overload tells of pressure; nil where nothing is watched.
	Overload *overload.Manager
	Quit     func()         // nil: /quitquitquit is refused
	Level    *slog.LevelVar // nil: /logging is refused
}

// Server is the admin API.
type Server struct {
	config  Config
	mux     *http.ServeMux
	started time.Time
	help    map[string]string
	// failed is what /healthcheck/fail sets.
	failed atomic.Bool

	mu   sync.Mutex
	zero map[string]int64 // guarded by mu: what counters had at their last reset
}

// New makes the API. It starts nothing.
func New(c Config) *Server {
	s := &Server{config: c, mux: http.NewServeMux(), started: time.Now(), help: map[string]string{}}
	s.handle("GET /ready", "print server state, return 200 if LIVE, otherwise return 503", s.ready)
	s.handle("GET /server_info", "print server version/status information", s.serverInfo)
	s.handle("GET /config_dump", "dump current configuration (resource, mask, name_regex, include_eds)", s.configDump)
	s.handle("GET /init_dump", "print what is not in force yet, and what it waits for", s.initDump)
	s.handle("GET /clusters", "upstream cluster status (format=json)", s.clusters)
	s.handle("GET /listeners", "print listener info (format=json)", s.listeners)
	s.handle("GET /certs", "print certs on machine", s.certs)
	s.handle("GET /stats", "print server stats (usedonly, filter, format=prometheus|json)", s.stats)
	s.handle("GET /stats/prometheus", "print server stats in prometheus format", s.prometheus)
	s.handle("GET /memory", "print current allocation/heap usage", s.memory)
	s.handle("GET /logging", "query/change logging levels (POST level=)", s.logging)
	s.handle("POST /logging", "", s.logging)
	s.handle("GET /runtime", "print runtime values", s.runtime)
	s.handle("POST /runtime_modify", "modify runtime values (key1=value1&key2=value2)", s.runtimeModify)
	s.handle("POST /drain_listeners", "drain listeners (inboundonly; always graceful)", s.drain)
	s.handle("POST /healthcheck/fail", "cause the server to fail health checks", s.health(true))
	s.handle("POST /healthcheck/ok", "cause the server to pass health checks", s.health(false))
	s.handle("POST /reset_counters", "reset all counters of /stats to zero", s.reset)
	s.handle("POST /quitquitquit", "exit the server", s.quit)
	s.handle("GET /help", "print out list of admin commands", s.printHelp)
	s.handle("GET /debug/pprof/", "profiles of this process, for go tool pprof", pprof.Index)
	s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	s.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
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

// Failing reports whether somebody wants health checks to fail.
func (s *Server) Failing() bool { return s.failed.Load() }

func (s *Server) printHelp(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "admin commands are:")
	for _, path := range slices.Sorted(maps.Keys(s.help)) {
		fmt.Fprintf(w, "  %s: %s\n", path, s.help[path])
	}
}

// liveness is how the server fares, by the numbers of Envoy's API.
type liveness int64

const (
	live         liveness = 0
	draining     liveness = 1
	initializing liveness = 3
)

// String is Envoy's word.
func (l liveness) String() string {
	return map[liveness]string{live: "LIVE", draining: "DRAINING", initializing: "INITIALIZING"}[l]
}

func (s *Server) liveness() liveness {
	switch {
	case s.failed.Load():
		return draining
	case s.config.Ready():
		return live
	}
	return initializing
}

// health makes a handler that lets health checks fail or pass.
func (s *Server) health(failed bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.failed.Store(failed)
		fmt.Fprintln(w, "OK")
	}
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	state := s.liveness()
	if state != live {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, state)
}

func (s *Server) serverInfo(w http.ResponseWriter, _ *http.Request) {
	up := fmt.Sprintf("%ds", int(time.Since(s.started).Seconds()))
	writeJSON(w, map[string]any{
		"version": s.config.Version, "state": s.liveness().String(), "uptime_current_epoch": up, "uptime_all_epochs": up,
		"node":                 message(s.config.Node),
		"command_line_options": map[string]any{"concurrency": goruntime.GOMAXPROCS(0), "service_node": s.config.Node.GetId(), "service_cluster": s.config.Node.GetCluster()},
	})
}

func (s *Server) memory(w http.ResponseWriter, _ *http.Request) {
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
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
	if r.Method == http.MethodPost {
		if err := s.setLevels(r.URL.Query()); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	fmt.Fprintf(w, "active loggers:\n  proxy: %s\n", strings.ToLower(s.config.Level.Level().String()))
}

// setLevels takes Envoy's three spellings: level=debug, LOGGER=debug and
// paths=LOGGER:debug,LOGGER:info. There is one logger, "proxy".
func (s *Server) setLevels(query url.Values) error {
	for logger, words := range query {
		for _, word := range strings.Split(words[len(words)-1], ",") {
			name := logger
			if logger == "paths" {
				name, word, _ = strings.Cut(word, ":")
			}
			if name != "level" && name != "proxy" {
				return fmt.Errorf("there is no logger %q of its own: set level=LEVEL for all of the proxy", name)
			}
			level, known := levels[strings.ToLower(word)]
			if !known {
				return fmt.Errorf("level %q is not known: want one of %s", word, strings.Join(slices.Sorted(maps.Keys(levels)), ", "))
			}
			s.config.Level.Set(level)
		}
	}
	return nil
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
