package router

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

var made = regexp.MustCompile(`"[0-9a-f]{16}"`)

// A cookie that keeps a client at an endpoint is made where it is missing and the
// balancer looks at it; the same value counts from the first request on.
func TestCookies(t *testing.T) {
	ttl := func(d time.Duration) *time.Duration { return &d }
	all := route.HashPolicy{Cookie: "c", CookieTTL: ttl(90 * time.Second), CookiePath: "/p", Attributes: []stream.Field{{Name: "SameSite", Value: "Strict"}, {Name: "Secure"}}}
	for name, tc := range map[string]struct {
		balancer cluster.Policy
		policy   route.HashPolicy
		cookie   string
		want     string
	}{
		"all of it":     {cluster.RingHash, all, "", `c="X"; Max-Age=90; Path=/p; SameSite=Strict; Secure; HttpOnly`},
		"Maglev":        {cluster.Maglev, route.HashPolicy{Cookie: "c", CookieTTL: ttl(0)}, "d=1", `c="X"; HttpOnly`},
		"empty":         {cluster.RingHash, route.HashPolicy{Cookie: "c", CookieTTL: ttl(0)}, "c=", `c="X"; HttpOnly`},
		"it has one":    {cluster.RingHash, all, "d=1; c=2", ""},
		"only read":     {cluster.RingHash, route.HashPolicy{Cookie: "c"}, "", ""},
		"nobody looks":  {cluster.RoundRobin, all, "", ""},
		"not by cookie": {cluster.RingHash, route.HashPolicy{Header: "h"}, "", ""},
	} {
		c := cluster.New(&cluster.Config{Policy: tc.balancer}, cluster.Deps{})
		req := &stream.Request{Method: "GET", Path: "/", Info: &stream.Info{}}
		if tc.cookie != "" {
			req.Header.Add("cookie", tc.cookie)
		}
		policies := []route.HashPolicy{tc.policy}
		value, fields := stick(policies, c, req)
		if got := made.ReplaceAllString(strings.Join(fields, ","), `"X"`); got != tc.want {
			t.Errorf("%s: got %s; want %s", name, got, tc.want)
		}
		if req.Header.Get("cookie") != tc.cookie {
			t.Errorf("%s: the upstream sees %q", name, req.Header.Get("cookie"))
		}
		if tc.want == "" {
			continue
		}
		now, _ := hash(policies, req, value)
		req.Header.Set("cookie", `c="`+value+`"`)
		if later, found := hash(policies, req, ""); !found || later != now {
			t.Errorf("%s: the first request goes elsewhere", name)
		}
	}
}
