// Package fault makes some requests slow or fail on purpose, so that a service
// can be tried against a dependency that misbehaves. It stands behind
// authorization, which an injected failure must not hide, and before the
// router.
package fault

import (
	"strconv"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter delays and aborts shares of the requests.
type Filter struct {
	Delay Delay
	Abort Abort
	// Matches says which requests are meant; nil is all.
	Matches func(*stream.Request) bool
}

// Share is how many of the requests are meant.
type Share struct {
	PerMillion uint32
	// Step is what 1 in a request's own field stands for, in millionths: a request
	// that says what happens to it can ask for a smaller share than is configured.
	Step uint32
}

// Delay makes requests wait.
type Delay struct {
	Share
	For time.Duration
	// ByRequest takes the milliseconds from x-envoy-fault-delay-request instead.
	ByRequest bool
}

// Abort answers requests.
type Abort struct {
	Share
	// Status of HTTP, or GRPC status; the other is 0.
	Status int
	GRPC   int
	// ByRequest takes the status from x-envoy-fault-abort-request or
	// x-envoy-fault-abort-grpc-request instead.
	ByRequest bool
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if f.Matches != nil && !f.Matches(req) {
		return next.Handle(req)
	}
	if d := f.Delay.of(req); d > 0 && f.Delay.hit(req, f.Delay.ByRequest, "x-envoy-fault-delay-request-percentage") {
		req.Info.Flags |= stream.Delayed
		if !req.Waiting.Pause(d) {
			return nil, req.GivenUp()
		}
	}
	if status, grpc := f.Abort.of(req); (status != 0 || grpc != 0) && f.Abort.hit(req, f.Abort.ByRequest, "x-envoy-fault-abort-request-percentage") {
		if status == 0 {
			status = 200 // as Envoy tells those who do not speak gRPC
		}
		r := stream.Refuse(status, "fault_filter_abort", "fault filter abort")
		r.GRPC, r.Flags = grpc, stream.FaultInjected
		return nil, r
	}
	return next.Handle(req)
}

func (d *Delay) of(req *stream.Request) time.Duration {
	if !d.ByRequest {
		return d.For
	}
	n, _ := number(req, "x-envoy-fault-delay-request")
	return time.Duration(n) * time.Millisecond
}

func (a *Abort) of(req *stream.Request) (status, grpc int) {
	if !a.ByRequest {
		return a.Status, a.GRPC
	}
	if n, ok := number(req, "x-envoy-fault-abort-request"); ok && n >= 200 && n < 600 {
		return int(n), 0
	}
	n, _ := number(req, "x-envoy-fault-abort-grpc-request")
	return 0, int(n)
}

// hit draws whether a request is one of the share.
func (s *Share) hit(req *stream.Request, byRequest bool, field string) bool {
	share := s.PerMillion
	if byRequest {
		if n, ok := number(req, field); ok {
			share = uint32(min(uint64(share), uint64(n)*uint64(s.Step)))
		}
	}
	return stream.Chance(share)
}

func number(req *stream.Request, field string) (uint32, bool) {
	n, err := strconv.ParseUint(req.Header.Get(field), 10, 32)
	return uint32(n), err == nil
}

var _ stream.Filter = (*Filter)(nil)
