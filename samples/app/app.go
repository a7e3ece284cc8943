// Package app is what the sample applications have in common: where they
// listen, how they call one another, and how they stop.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Settings are what an application is told when it starts.
type Settings struct {
	// Args are the container's arguments.
	Args []string
	// Getenv looks up an environment variable.
	Getenv func(string) string
	// Calls carries the calls to other services.
	Calls http.RoundTripper
	Log   *slog.Logger
}

// Get looks up a variable, with a fallback for an empty one.
func (s Settings) Get(name, fallback string) string {
	if v := s.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// Instance is the name of the pod that the application runs in.
func (s Settings) Instance() string { return s.Get("HOSTNAME", "localhost") }

// Address is where to listen for what the pod calls port: in explicit mode a
// private port stands in its place (PORT_<port>, or PORT for the first one).
func (s Settings) Address(port string, first bool) string {
	private := s.Getenv("PORT_" + port)
	if private == "" && first {
		private = s.Getenv("PORT")
	}
	if private == "" {
		private = port
	}
	return net.JoinHostPort(s.Getenv("HOST"), private)
}

// An App runs until ctx ends.
type App func(ctx context.Context, s Settings) error

// HTTP makes an application of the handler that build returns: it answers on the
// pod's port.
func HTTP(port string, build func(Settings) http.Handler) App {
	return func(ctx context.Context, s Settings) error { return serve(ctx, s, port, build(s)) }
}

// serve answers HTTP with h on the pod's port until ctx ends, then lets the
// requests under way finish.
func serve(ctx context.Context, s Settings, port string, h http.Handler) error {
	server := &http.Server{Addr: s.Address(port, true), Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		// The deadline has to outlive ctx, which is over.
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(drain)
	}()
	s.Log.Info("listening", "address", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// JSON writes v as the reply.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here means that the client has gone.
	_ = json.NewEncoder(w).Encode(v)
}

// forwarded are the headers that an application hands on so that its calls
// belong to the same trace and the same user.
var forwarded = []string{
	"X-Request-Id", "Traceparent", "Tracestate", "Baggage", "B3",
	"X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags",
	"X-Cloud-Trace-Context", "X-Datadog-Trace-Id", "X-Datadog-Parent-Id", "X-Datadog-Sampling-Priority", "Sw8",
	"End-User", "User-Agent", "Cookie", "Authorization", "Jwt",
}

// Forward copies the headers that belong to the whole call from one request to
// the next.
func Forward(from, to http.Header) {
	for _, name := range forwarded {
		if v := from.Values(name); len(v) > 0 {
			to[name] = v
		}
	}
}
