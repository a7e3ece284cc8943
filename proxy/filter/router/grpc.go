package router

import (
	"time"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// tellTime tells the upstream how long a try may take when so much of the time for
// the whole request is over.
func (r *Router) tellTime(req *stream.Request, policy *route.Retry, limit, elapsed time.Duration) {
	if r.Duration != nil && stream.IsGRPC(&req.Header) {
		switch {
		case req.Info.Limit > 0:
			req.Header.Set("grpc-timeout", grpcTimeout(req.Info.Limit))
		case req.Limit > 0: // the route takes the listener's away
			req.Header.Del("grpc-timeout")
		}
	}
	expected, try := r.expected, r.tryTime
	if policy != r.Retry || limit != r.Timeout || elapsed > 0 {
		expected = ""
		if limit > 0 {
			limit = max(limit-elapsed.Truncate(time.Millisecond), time.Millisecond) // 0 would be without end
		}
		if try = tryTime(policy, limit); try > 0 {
			expected = milliseconds(try)
		}
	}
	if expected == "" {
		return
	}
	if g := r.GRPCTimeout; g != nil && stream.IsGRPC(&req.Header) {
		req.Header.Set("grpc-timeout", grpcTimeout(try))
	}
	if !r.options.Suppress {
		req.Header.Set(fieldExpected, expected)
	}
}

// grpcTimeout is a time as gRPC writes it, in at most eight digits.
func grpcTimeout(d time.Duration) string {
	n, units := max(0, d.Milliseconds()), "mSMH"
	for step := int64(1000); n > 99_999_999 && len(units) > 1; step = 60 {
		n, units = n/step, units[1:]
	}
	return decimal(min(n, 99_999_999)) + units[:1]
}

// timeFor is how long the whole request may take: what the route says, or, where
// the route lets them, what a gRPC caller says. 0 is without end.
func (r *Router) timeFor(req *stream.Request) time.Duration {
	g := r.GRPCTimeout
	if g == nil || !stream.IsGRPC(&req.Header) {
		return r.Timeout
	}
	asked, _ := stream.GRPCTimeout(&req.Header)
	if g.Offset < asked {
		asked -= g.Offset
	}
	if g.Max > 0 && (asked == 0 || asked > g.Max) {
		asked = g.Max
	}
	return asked
}

// tooLate reports whether a gRPC caller's own time is over.
func (a *attempt) tooLate(req *stream.Request) bool {
	asked, told := stream.GRPCTimeout(&req.Header)
	return told && stream.IsGRPC(&req.Header) && time.Since(a.began) >= asked
}
