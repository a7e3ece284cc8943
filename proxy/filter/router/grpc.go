package router

import (
	"strconv"
	"time"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// tellTime tells the upstream how long a try may take when so much of the time for
// the whole request is over.
func (r *Router) tellTime(req *stream.Request, policy *route.Retry, limit, elapsed time.Duration) {
	expected := r.expected
	if policy != r.Retry || limit != r.Timeout || elapsed > 0 {
		expected = ""
		if limit > 0 {
			limit = max(limit-elapsed.Truncate(time.Millisecond), time.Millisecond) // 0 would be without end
		}
		if try := tryTime(policy, limit); try > 0 {
			expected = milliseconds(try)
		}
	}
	if expected == "" {
		return
	}
	if g := r.GRPCTimeout; g != nil && g.Instead && stream.IsGRPC(&req.Header) {
		req.Header.Set("grpc-timeout", expected+"m")
	}
	if !r.options.Suppress {
		req.Header.Set(fieldExpected, expected)
	}
}

// timeFor is how long the whole request may take: what the route says, or, where
// the route lets them, what a gRPC caller says. 0 is without end.
func (r *Router) timeFor(req *stream.Request) time.Duration {
	g := r.GRPCTimeout
	if g == nil || !stream.IsGRPC(&req.Header) {
		return r.Timeout
	}
	asked, told := callersTimeout(req)
	if !told && !g.Instead {
		return r.Timeout
	}
	if g.Offset < asked {
		asked -= g.Offset
	}
	if g.Max > 0 && (asked == 0 || asked > g.Max) {
		asked = g.Max
	}
	if !g.Instead && r.Timeout > 0 {
		asked = min(asked, r.Timeout)
	}
	return asked
}

// callersTimeout reads grpc-timeout, rounded up to milliseconds: at most eight
// digits and a unit ("gRPC over HTTP2", Requests).
func callersTimeout(req *stream.Request) (time.Duration, bool) {
	text := req.Header.Get("grpc-timeout")
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil {
		return 0, false
	}
	var unit time.Duration
	switch text[len(text)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	asked := min(time.Duration(n), longest/unit) * unit
	return (asked + time.Millisecond - 1).Truncate(time.Millisecond), true
}

// longest is more than anybody waits; eight digits of hours would not fit.
const longest = 100 * 365 * 24 * time.Hour

// tooLate reports whether a gRPC caller's own time is over.
func (a *attempt) tooLate(req *stream.Request) bool {
	asked, told := callersTimeout(req)
	return told && stream.IsGRPC(&req.Header) && time.Since(a.began) >= asked
}
