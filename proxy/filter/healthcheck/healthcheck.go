// Package healthcheck answers those who ask whether the proxy is well, before
// anything of an application is asked. It stands first.
package healthcheck

import (
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter answers requests that match.
type Filter struct {
	Matches func(*stream.Request) bool
	// PassThrough lets the upstream answer; its answer holds for Keep.
	PassThrough bool
	Keep        time.Duration
	// Clusters have to have so many usable endpoints for the answer to be good.
	Clusters []Least
	// Failing is true while somebody wants health checks to fail; nil is never.
	Failing func() bool
	// Name is the proxy's own, for those who ask.
	Name string

	mu     sync.Mutex
	status int       // guarded by mu: the upstream's
	until  time.Time // guarded by mu
}

// Least is how much of a cluster has to be usable.
type Least struct {
	// Usable counts the cluster's endpoints; found is false when there is no such
	// cluster.
	Usable  func() (usable, all int, found bool)
	Percent int
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	failing := f.Failing != nil && f.Failing()
	if !f.Matches(req) {
		resp, err := next.Handle(req)
		if err == nil && failing {
			resp.Header.Set("x-envoy-immediate-health-check-fail", "true")
		}
		return resp, err
	}
	req.Info.HealthCheck = true
	switch {
	case failing:
		return nil, f.answer(503, "health_check_failed")
	case !f.PassThrough:
		return nil, f.answer(f.judge())
	}
	if status := f.kept(); status != 0 {
		return nil, f.answer(status, "health_check_cached")
	}
	resp, err := next.Handle(req)
	if err == nil {
		f.keep(resp.Status)
		resp.Header.Set("x-envoy-upstream-healthchecked-cluster", f.Name)
	}
	return resp, err
}

func (f *Filter) answer(status int, details string) error {
	r := &stream.Refusal{Status: status, Details: details, Header: []stream.Field{{Name: "x-envoy-upstream-healthchecked-cluster", Value: f.Name}}}
	if status/100 != 2 {
		r.Flags = stream.FailedHealthCheck
	}
	return r
}

// judge looks at the clusters.
func (f *Filter) judge() (status int, details string) {
	for _, l := range f.Clusters {
		usable, all, found := l.Usable()
		switch {
		case !found:
			return 503, "health_check_failed_no_cluster_found"
		case all == 0 && l.Percent == 0:
		case all == 0:
			return 503, "health_check_failed_cluster_empty"
		case 100*usable < all*l.Percent:
			return 503, "health_check_failed_cluster_unhealthy"
		}
	}
	if len(f.Clusters) > 0 {
		return 200, "health_check_ok_cluster_healthy"
	}
	return 200, "health_check_ok"
}

// kept is the upstream's answer while it holds; 0 when it does not.
func (f *Filter) kept() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.until) {
		return f.status
	}
	return 0
}

func (f *Filter) keep(status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Keep > 0 {
		f.status, f.until = status, time.Now().Add(f.Keep)
	}
}

var _ stream.Filter = (*Filter)(nil)
