// Package mutation changes header fields where it stands in the chain: what
// routes change of requests is changed behind all filters.
package mutation

import (
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter applies steps in their order.
type Filter struct{ Request, Response []Step }

// Step sets a field, or removes those that match.
type Step struct {
	Set    *route.HeaderOp
	Remove func(name string) bool
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	apply(f.Request, &req.Header, req, nil)
	resp, err := next.Handle(req)
	if err == nil {
		apply(f.Response, &resp.Header, req, resp)
	}
	return resp, err
}

func apply(steps []Step, h *stream.Header, req *stream.Request, resp *stream.Response) {
	for i := range steps {
		s := &steps[i]
		if s.Set != nil {
			s.Set.Apply(h, req, resp)
			continue
		}
		for j := 0; j < h.Len(); {
			if name := h.At(j).Name; s.Remove(name) {
				h.Del(name)
			} else {
				j++
			}
		}
	}
}

var _ stream.Filter = (*Filter)(nil)
