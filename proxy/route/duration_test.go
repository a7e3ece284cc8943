package route

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A client's certificate counts if it has shown one, on a connection with TLS.
func TestCertificate(t *testing.T) {
	yes, no := true, false
	for name, tc := range map[string]struct {
		told *stream.TLS
		want bool
	}{"plain text": {nil, false}, "none": {&stream.TLS{}, false}, "one": {&stream.TLS{Chain: []*x509.Certificate{{}}}, true}} {
		req := &stream.Request{Conn: &stream.Conn{TLS: tc.told}, Info: &stream.Info{}}
		with, without, any := Match{Certificate: &yes}, Match{Certificate: &no}, Match{}
		if with.rest(req) != tc.want || without.rest(req) == tc.want || !any.rest(req) {
			t.Errorf("%s: got %v, %v", name, with.rest(req), without.rest(req))
		}
	}
}

// What a route says of rest is in force where it says something.
func TestIdle(t *testing.T) {
	short, never := time.Second, time.Duration(0)
	for name, tc := range map[string]struct {
		idle *time.Duration
		want time.Duration // 9 s is the listener's
	}{"the listener's": {nil, 9 * time.Second}, "the route's": {&short, short}, "without end": {&never, 0}} {
		told := time.Duration(-1)
		req := &stream.Request{Idle: 9 * time.Second, Info: &stream.Info{Idle: 9 * time.Second}, BoundIdle: func(d time.Duration) { told = d }}
		(&Route{Idle: tc.idle}).bound(req)
		if req.Info.Idle != tc.want || (told == tc.want) == (tc.idle == nil) {
			t.Errorf("%s: got %v, told %v; want %v", name, req.Info.Idle, told, tc.want)
		}
		(&Route{}).bound(req)
		if req.Info.Idle != 9*time.Second || tc.idle != nil && told != 9*time.Second {
			t.Errorf("%s, then a route that says nothing: got %v, told %v", name, req.Info.Idle, told)
		}
	}
}

func TestDuration(t *testing.T) {
	const s = time.Second
	for name, tc := range map[string]struct {
		duration *Duration
		asked    string
		want     time.Duration // 9 s is the listener's
	}{
		"the listener's":              {nil, "", 9 * s},
		"the listener's after all":    {&Duration{}, "", 9 * s},
		"the route's":                 {&Duration{Set: true, Max: 2 * s}, "1S", 2 * s},
		"none":                        {&Duration{Set: true}, "", 0},
		"the caller's":                {&Duration{Set: true, Max: 2 * s, GRPC: true}, "5S", 5 * s},
		"the caller's does not say":   {&Duration{Set: true, Max: 2 * s, GRPC: true}, "", 2 * s},
		"the caller says nothing":     {&Duration{GRPC: true}, "soon", 9 * s},
		"at most":                     {&Duration{GRPC: true, GRPCMax: 3 * s}, "5S", 3 * s},
		"less the offset":             {&Duration{GRPC: true, GRPCMax: 3 * s, Offset: s}, "2S", s},
		"less the offset at most":     {&Duration{GRPC: true, GRPCMax: 3 * s, Offset: s}, "9S", 2 * s},
		"over before it has begun":    {&Duration{GRPC: true, Offset: s}, "500m", atOnce},
		"zero is over, not unlimited": {&Duration{GRPC: true}, "0m", atOnce},
	} {
		told := time.Duration(-1)
		req := &stream.Request{Limit: 9 * s, Info: &stream.Info{Limit: 9 * s}, Bound: func(d time.Duration) { told = d }}
		if tc.asked != "" {
			req.Header.Add("grpc-timeout", tc.asked)
		}
		(&Route{Duration: tc.duration}).bound(req)
		if req.Info.Limit != tc.want || (told == tc.want) == (tc.want == 9*s) {
			t.Errorf("%s: got %v, told %v; want %v", name, req.Info.Limit, told, tc.want)
		}
	}
}
