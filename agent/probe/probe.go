// Package probe answers for a pod: whether its proxy is ready, whether its
// application is healthy, and what both count.
//
// It is the part of the agent that Kubernetes and Prometheus talk to. The
// injector points the application's probes here (port 15020), because the
// kubelet has no identity in the mesh; the agent asks the application itself.
package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/internal/promtext"
)

// Config says what a [Server] answers for.
type Config struct {
	// Ready is nil once the proxy can serve, else it says what is missing.
	Ready func() error
	// Probers are the application's own probes by path, as the injector wrote
	// them (ISTIO_KUBE_APP_PROBERS).
	Probers map[string]Prober
	// AppHost is where the application is asked; empty is 127.0.0.1.
	AppHost string
	// Dial connects to the application; nil is the operating system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Stats writes the proxy's metrics in Prometheus' text format.
	Stats func(io.Writer)
	// Scrape is where the application has its own metrics; nil is nowhere.
	Scrape *Scrape
	// Expiry is when the workload's certificate ends; zero, or nil, while there
	// is none.
	Expiry func() time.Time
	// Drain lets connections end at their next good moment; nil refuses.
	Drain func()
	// Quit ends the proxy; nil refuses.
	Quit func()
	Log  *slog.Logger
}

// Prober is one of the application's probes.
type Prober struct {
	HTTPGet *struct {
		Path        string         `json:"path"`
		Port        Port           `json:"port"`
		Host        string         `json:"host"`
		Scheme      string         `json:"scheme"`
		HTTPHeaders []headerOfList `json:"httpHeaders"`
	} `json:"httpGet"`
	TCPSocket *struct {
		Port Port   `json:"port"`
		Host string `json:"host"`
	} `json:"tcpSocket"`
	GRPC *struct {
		Port Port `json:"port"`
	} `json:"grpc"`
	TimeoutSeconds int `json:"timeoutSeconds"`
}

type headerOfList struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Port is a port's number, which JSON may write in quotes.
type Port int

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Port) UnmarshalJSON(b []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err != nil {
		return fmt.Errorf("port %s is not a number", b)
	}
	*p = Port(n)
	return nil
}

// Scrape is where an application has its metrics.
type Scrape struct {
	Port string `json:"port"`
	Path string `json:"path"`
	On   string `json:"scrape"`
}

// ParseProbers reads ISTIO_KUBE_APP_PROBERS.
func ParseProbers(text string) (map[string]Prober, error) {
	out := map[string]Prober{}
	if text == "" {
		return out, nil
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("read the application's probes: %w", err)
	}
	return out, nil
}

// ParseScrape reads ISTIO_PROMETHEUS_ANNOTATIONS; nil when the application has
// no metrics.
func ParseScrape(text string) (*Scrape, error) {
	if text == "" {
		return nil, nil
	}
	s := &Scrape{}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, fmt.Errorf("read the application's scrape annotations: %w", err)
	}
	if s.On == "false" || s.Port == "" {
		return nil, nil
	}
	if s.Path == "" {
		s.Path = "/metrics"
	}
	return s, nil
}

// Server answers on the agent's ports, 15020 and 15021.
type Server struct {
	config  Config
	client  *http.Client
	started time.Time
	// ready is how long the start took, in nanoseconds; 0 until then.
	readyAfter atomic.Int64
	scrapes    promtext.Counter
}

// NewServer makes a server.
func NewServer(c Config) *Server {
	if c.AppHost == "" {
		c.AppHost = "127.0.0.1"
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return &Server{config: c, started: time.Now(), client: &http.Client{
		Transport:     &http.Transport{DialContext: c.Dial, DisableKeepAlives: true, TLSClientConfig: unverified()},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Handler answers what port 15020 is asked.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz/ready", s.ready)
	mux.HandleFunc("/app-health/", s.app)
	mux.HandleFunc("/app-lifecycle/", s.app)
	mux.HandleFunc("/stats/prometheus", s.stats)
	mux.HandleFunc("/metrics", s.stats)
	mux.HandleFunc("POST /quitquitquit", local(s.quit))
	mux.HandleFunc("POST /drain", local(s.drain))
	return mux
}

// Readiness answers what port 15021 is asked.
func (s *Server) Readiness() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz/ready", s.ready)
	return mux
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.config.Ready(); err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	s.readyAfter.CompareAndSwap(0, int64(max(1, time.Since(s.started))))
}

// app asks the application what the kubelet asked us.
func (s *Server) app(w http.ResponseWriter, r *http.Request) {
	p, ok := s.config.Probers[r.URL.Path]
	if !ok {
		http.Error(w, "the application declares no probe "+r.URL.Path, http.StatusNotFound)
		return
	}
	timeout := time.Duration(max(p.TimeoutSeconds, 1)) * time.Second
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	code, err := s.ask(ctx, p, r.Header)
	if err != nil {
		s.config.Log.Debug("the application's probe fails", "probe", r.URL.Path, "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(code)
}

// ask makes one probe and gives the status to answer with.
func (s *Server) ask(ctx context.Context, p Prober, header http.Header) (int, error) {
	switch {
	case p.HTTPGet != nil:
		return s.get(ctx, p, header)
	case p.TCPSocket != nil:
		return s.connects(ctx, p.TCPSocket.Port)
	case p.GRPC != nil:
		return s.connects(ctx, p.GRPC.Port)
	}
	return http.StatusOK, nil
}

func (s *Server) get(ctx context.Context, p Prober, header http.Header) (int, error) {
	path := p.HTTPGet.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	scheme := strings.ToLower(p.HTTPGet.Scheme)
	if scheme == "" {
		scheme = "http"
	}
	target, err := url.Parse(scheme + "://" + net.JoinHostPort(s.config.AppHost, strconv.Itoa(int(p.HTTPGet.Port))) + path)
	if err != nil {
		return 0, fmt.Errorf("probe: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return 0, fmt.Errorf("probe: %w", err)
	}
	req.Header.Set("User-Agent", header.Get("User-Agent"))
	for _, h := range p.HTTPGet.HTTPHeaders {
		if strings.EqualFold(h.Name, "host") {
			req.Host = h.Value
		}
		req.Header.Add(h.Name, h.Value)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("probe: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 10<<10))
	return resp.StatusCode, nil
}

func (s *Server) connects(ctx context.Context, port Port) (int, error) {
	c, err := s.config.Dial(ctx, "tcp", net.JoinHostPort(s.config.AppHost, strconv.Itoa(int(port))))
	if err != nil {
		return 0, fmt.Errorf("probe: %w", err)
	}
	_ = c.Close()
	return http.StatusOK, nil
}

// local lets callers in only if they are on the same machine: the application,
// or whoever may exec into the pod.
func local(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "only loopback may ask for this", http.StatusForbidden)
			return
		}
		h(w, r)
	}
}

func (s *Server) drain(w http.ResponseWriter, _ *http.Request) {
	if s.config.Drain == nil {
		http.Error(w, "draining is turned off", http.StatusForbidden)
		return
	}
	s.config.Drain()
	_, _ = io.WriteString(w, "OK\n")
}

func (s *Server) quit(w http.ResponseWriter, r *http.Request) {
	if s.config.Quit == nil {
		http.Error(w, "quitting is turned off", http.StatusForbidden)
		return
	}
	_, _ = io.WriteString(w, "OK\n")
	s.config.Quit()
}
