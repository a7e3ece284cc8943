package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// backend is an upstream that tells what reached it.
type backend struct {
	name string
	port string

	mu    sync.Mutex     // guards flaky
	flaky map[string]int // calls by path and caller
}

func newBackend(t *testing.T, name string) *backend {
	b := &backend{name: name, flaky: map[string]int{}}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	_, b.port, _ = net.SplitHostPort(s.Listener.Addr().String())
	return b
}

// echo is what a backend saw of a request.
type echo struct {
	Backend, Method, Path, Host, Body string
	Headers                           []string
}

// ServeHTTP implements http.Handler.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Backend", b.name)
	kind, arg, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch kind {
	case "status":
		code, _ := strconv.Atoi(arg)
		w.WriteHeader(code)
		fmt.Fprintf(w, "as you asked: %d\n", code)
		return
	case "sleep":
		ms, _ := strconv.Atoi(arg)
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-r.Context().Done():
		}
	case "flaky":
		b.mu.Lock()
		b.flaky[r.URL.Path+r.Header.Get("X-Peer")]++
		n := b.flaky[r.URL.Path+r.Header.Get("X-Peer")]
		b.mu.Unlock()
		if n <= 2 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
	case "reset":
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			conn.Close()
		}
		return
	}
	e := echo{Backend: b.name, Method: r.Method, Path: r.RequestURI, Host: r.Host, Body: string(body)}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if ignoredUpstream[name] {
			continue
		}
		for _, v := range r.Header[name] {
			e.Headers = append(e.Headers, name+": "+v)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(e)
}

// ignoredUpstream are request headers whose values differ by run.
var ignoredUpstream = map[string]bool{"X-Request-Id": true, "X-Peer": true}
