// Package mutation changes header fields, queries and trailers where it stands in
// the chain: what routes change of requests is changed behind all filters.
package mutation

import (
	"math"
	"slices"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter applies steps, level by level.
type Filter []Level

// Level is the steps of the filter itself, or of a route or what encloses it.
type Level struct {
	Request, Response                 []Step
	RequestTrailers, ResponseTrailers []Step
	Query                             []route.Param
}

// Step sets a field, or removes those that match.
type Step struct {
	Set    *route.HeaderOp
	Remove func(name string) bool
}

// Handle implements [stream.Filter].
func (f Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	var sent []Step
	replies := f.Replies()
	if replies {
		req.Info.Reached++
	}
	for i := range f {
		apply(f[i].Request, &req.Header, req, nil)
		if len(f[i].Query) > 0 {
			req.Path = route.Query(f[i].Query, req)
		}
		sent = append(sent, fixed(f[i].RequestTrailers, req)...)
	}
	if len(sent) > 0 && req.Body != nil {
		req.Body = &changed{Wrapped: stream.Wrapped{Body: req.Body}, change: func(h *stream.Header) { apply(sent, h, req, nil) }}
	}
	resp, err := next.Handle(req)
	if replies {
		resp, err = stream.OnHead(resp, err, func(resp *stream.Response) { f.reply(req, resp) })
	}
	trailers := false
	for i := range f {
		trailers = trailers || len(f[i].ResponseTrailers) > 0
	}
	if err == nil && trailers && resp.Body != nil {
		resp.Body = &changed{Wrapped: stream.Wrapped{Body: resp.Body}, change: func(h *stream.Header) {
			for i := range f {
				apply(f[i].ResponseTrailers, h, req, resp)
			}
		}}
	}
	return resp, err
}

// Replies reports whether the filter changes replies.
func (f Filter) Replies() bool {
	return slices.ContainsFunc(f, func(l Level) bool { return len(l.Response) > 0 })
}

func (f Filter) reply(req *stream.Request, resp *stream.Response) {
	for i := range f {
		apply(f[i].Response, &resp.Header, req, resp)
	}
}

// Behind are the filters of a chain that change replies, in its order. It stands before
// all of the chain: a refusal passes through those, too, that stand behind the filter
// that refused, as in Envoy. Where a request goes over to the chain of another route, that
// chain's rest has its own: it is the one that counts from there on.
type Behind []Filter

// passed is more than any chain has: who is further out has nothing left to do.
const passed = math.MaxInt32

// Handle implements [stream.Filter].
func (b Behind) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	req.Info.Reached = 0
	resp, err := next.Handle(req)
	if err != nil {
		for i := len(b) - 1; i >= req.Info.Reached; i-- {
			resp, err = stream.OnHead(resp, err, func(resp *stream.Response) { b[i].reply(req, resp) })
		}
	}
	req.Info.Reached = passed
	return resp, err
}

// fixed makes the values of steps ahead: a request's trailers may be sent while its
// answer is noted already.
func fixed(steps []Step, req *stream.Request) []Step {
	var out []Step
	for _, s := range steps {
		if s.Set != nil && s.Set.Value.Format != nil {
			op := *s.Set
			op.Value = route.Value{Literal: s.Set.Value.Format(req, nil)}
			s.Set = &op
		}
		out = append(out, s)
	}
	return out
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

// changed is a body whose trailers are changed when they have come. Where there
// are none, none are made.
type changed struct {
	stream.Wrapped
	change func(*stream.Header)
	done   bool
}

// Trailers implements [stream.Body].
func (c *changed) Trailers() *stream.Header {
	h := c.Wrapped.Trailers()
	if h == nil {
		return nil
	}
	if !c.done {
		c.done = true
		c.change(h)
	}
	if h.Len() == 0 {
		return nil
	}
	return h
}

var (
	_ stream.Filter = Filter{}
	_ stream.Filter = Behind{}
	_ stream.Framed = (*changed)(nil)
)
