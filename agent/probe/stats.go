package probe

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"time"
)

// The limits of what is scraped from the application.
const (
	scrapeTimeout = 5 * time.Second
	maxScrape     = 10 << 20
)

// stats writes the proxy's metrics and then the application's, which may end
// with OpenMetrics' end mark.
func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	if s.config.Stats != nil {
		s.config.Stats(w)
	}
	if s.config.Scrape == nil {
		return
	}
	if err := s.scrape(r.Context(), w); err != nil {
		s.config.Log.Warn("the application's metrics were not scraped", "error", err)
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
