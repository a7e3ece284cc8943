// Package fault makes some requests slow or fail on purpose, so that a service
// can be tried against a dependency that misbehaves. It stands behind
// authorization, which an injected failure must not hide, and before the
// router.
package fault

import (
	"math/rand/v2"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter delays and aborts shares of the requests.
type Filter struct {
	// Delay is how long, DelayPerMillion for how many of a million requests.
	Delay           time.Duration
	DelayPerMillion uint32
	// Status is the answer to an aborted request, AbortPerMillion how many of a
	// million are aborted.
	Status          int
	AbortPerMillion uint32
	// Headers that the request must have, all of them; nil asks for none.
	Matches func(*stream.Request) bool
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if f.Matches != nil && !f.Matches(req) {
		return next.Handle(req)
	}
	if hit(f.DelayPerMillion) {
		time.Sleep(f.Delay)
		req.Info.Flags |= stream.Delayed
	}
	if hit(f.AbortPerMillion) {
		r := stream.Refuse(f.Status, "fault_filter_abort", "fault filter abort")
		r.Flags = stream.FaultInjected
		return nil, r
	}
	return next.Handle(req)
}

func hit(perMillion uint32) bool {
	return perMillion > 0 && (perMillion >= 1_000_000 || rand.Uint32N(1_000_000) < perMillion)
}

var _ stream.Filter = (*Filter)(nil)
