package healthcheck

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

type upstream struct{ status, calls int }

func (u *upstream) Handle(*stream.Request) (*stream.Response, error) {
	u.calls++
	return &stream.Response{Status: u.status}, nil
}

func ask(f *Filter, path string, up *upstream) (status int, details string, noted bool) {
	req := &stream.Request{Method: "GET", Path: path, Info: &stream.Info{}}
	resp, err := f.Handle(req, up)
	if err != nil {
		r := stream.AsRefusal(err)
		return r.Status, r.Details, req.Info.HealthCheck
	}
	return resp.Status, "", req.Info.HealthCheck
}

func health(req *stream.Request) bool { return req.Path == "/health" }

func of(usable, all int) Least {
	return Least{Percent: 50, Usable: func() (int, int, bool) { return usable, all, all >= 0 }}
}

func TestByClusters(t *testing.T) {
	for _, tc := range []struct {
		clusters []Least
		status   int
		details  string
	}{
		{nil, 200, "health_check_ok"},
		{[]Least{of(1, 2), of(3, 4)}, 200, "health_check_ok_cluster_healthy"},
		{[]Least{of(2, 2), of(1, 3)}, 503, "health_check_failed_cluster_unhealthy"},
		{[]Least{of(0, 0)}, 503, "health_check_failed_cluster_empty"},
		{[]Least{of(0, -1)}, 503, "health_check_failed_no_cluster_found"},
	} {
		up := &upstream{status: 418}
		f := &Filter{Matches: health, Clusters: tc.clusters}
		if status, details, noted := ask(f, "/health", up); status != tc.status || details != tc.details || !noted || up.calls != 0 {
			t.Errorf("%+v: %d %s", tc, status, details)
		}
		if status, _, noted := ask(f, "/other", up); status != 418 || noted {
			t.Errorf("another request: %d", status)
		}
	}
}

// The upstream's answer holds for a while; while checks are to fail nobody asks it.
func TestPassThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := false
		up := &upstream{status: 204}
		f := &Filter{Matches: health, PassThrough: true, Keep: time.Minute, Failing: func() bool { return failing }}
		for i, want := range []string{"", "health_check_cached"} {
			if status, details, _ := ask(f, "/health", up); status != 204 || details != want || up.calls != 1 {
				t.Errorf("call %d: %d %q, %d calls", i, status, details, up.calls)
			}
		}
		failing = true
		if status, details, _ := ask(f, "/health", up); status != 503 || details != "health_check_failed" {
			t.Errorf("while failing: %d %q", status, details)
		}
		failing = false
		time.Sleep(time.Minute)
		if status, _, _ := ask(f, "/health", up); status != 204 || up.calls != 2 {
			t.Errorf("later: %d, %d calls", status, up.calls)
		}
	})
}
