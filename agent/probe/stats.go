package probe

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/lateenmesh/lateen/internal/promtext"
)

// The limits of what is scraped from the application.
const (
	scrapeTimeout = 5 * time.Second
	maxScrape     = 10 << 20
)

// stats writes the agent's metrics, the proxy's, and then the application's,
// which may end with OpenMetrics' end mark.
func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.own(w)
	if s.config.Stats != nil {
		s.config.Stats(w)
	}
	if s.config.Scrape == nil {
		return
	}
	s.scrapes.Inc("application")
	if err := s.scrape(r.Context(), w); err != nil {
		s.scrapes.Inc("application_failed")
		s.config.Log.Warn("the application's metrics were not scraped", "error", err)
	}
}

// own writes the agent's own metrics, under the names of Istio's.
func (s *Server) own(w io.Writer) {
	s.scrapes.Inc("agent")
	s.scrapes.Write(w, "istio_agent_scrapes_total", "target", "Scrapes of the merged metrics, by what was asked.")
	if after := s.readyAfter.Load(); after > 0 {
		promtext.Gauge(w, "istio_agent_startup_duration_seconds", "Time from start to readiness.", time.Duration(after).Seconds())
	}
	if s.config.Expiry == nil {
		return
	}
	if end := s.config.Expiry(); !end.IsZero() {
		promtext.Gauges(w, "istio_agent_cert_expiry_seconds", "resource_name", "Seconds until the certificate ends.",
			map[string]float64{"default": time.Until(end).Seconds()})
	}
}

func (s *Server) scrape(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	target := "http://" + net.JoinHostPort(s.config.AppHost, s.config.Scrape.Port) + s.config.Scrape.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, io.LimitReader(resp.Body, maxScrape))
	return err
}

// unverified trusts any certificate: a kubelet's probe by HTTPS does not check
// it either.
func unverified() *tls.Config { return &tls.Config{InsecureSkipVerify: true} } //nolint:gosec // see above
