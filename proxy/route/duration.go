package route

import (
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Duration is how long a route's requests may take altogether, from their beginning
// to the end of the response: not what a cluster is given to answer in.
type Duration struct {
	// Max is the limit, 0 for none; Set is false where the listener's holds.
	Max time.Duration
	Set bool
	// GRPC takes what a caller says in grpc-timeout instead, at most GRPCMax unless
	// that is 0, and less by Offset.
	GRPC            bool
	GRPCMax, Offset time.Duration
}

// atOnce is a limit that is over when it begins.
const atOnce = time.Nanosecond

// bound tells the connection how long the request may take on its route, and rest.
func (r *Route) bound(req *stream.Request) {
	limit := req.Limit
	if r.Duration != nil {
		limit = r.Duration.limit(req)
	}
	if limit != req.Info.Limit && req.Bound != nil {
		req.Info.Limit = limit
		req.Bound(limit)
	}
	idle := req.Idle
	if r.Idle != nil {
		idle = *r.Idle
	}
	if idle != req.Info.Idle && req.BoundIdle != nil {
		req.Info.Idle = idle
		req.BoundIdle(idle)
	}
}

// limit is the request's; 0 is without end.
func (d *Duration) limit(req *stream.Request) time.Duration {
	if d.GRPC {
		if asked, told := stream.GRPCTimeout(&req.Header); told {
			if d.GRPCMax > 0 {
				asked = min(asked, d.GRPCMax)
			}
			return max(asked-d.Offset, atOnce)
		}
	}
	if d.Set {
		return d.Max
	}
	return req.Limit
}
