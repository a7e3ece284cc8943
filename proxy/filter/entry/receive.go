package entry

import (
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// receive gives a request up that does not arrive in time. The answer has begun when
// it is stopped.
func (h *Handler) receive(req *stream.Request) (stop func()) {
	d := h.config.RequestTimeout
	if d == 0 || req.Body == nil || req.Upgrade != "" || stream.Last(req.Body, req.Length) {
		return func() {}
	}
	b := &arriving{Wrapped: stream.Wrapped{Body: req.Body}}
	req.Body = b
	return stream.After(time.Until(req.Info.Start.Add(d)), func() {
		if b.whole.Load() {
			return
		}
		req.Waiting.Abandon(stream.RequestTimeout)
		if req.Upload.Interrupt != nil {
			req.Upload.Interrupt()
		}
	})
}

// arriving is a body that tells whether its end has been seen.
type arriving struct {
	stream.Wrapped
	whole atomic.Bool
}

// Complete implements [stream.Body].
func (b *arriving) Complete() bool {
	done := b.Wrapped.Complete()
	if done {
		b.whole.Store(true)
	}
	return done
}

var _ stream.Framed = (*arriving)(nil)
