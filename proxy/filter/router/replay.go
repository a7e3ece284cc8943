package router

import (
	"time"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// replayLimit is how much of a body is kept so that it can be sent again: Envoy's
// default.
const replayLimit = 1 << 20

// replay is a request's body that may be sent again: what has been read of it is
// kept, and read anew by the next try. It replaces the request's body.
type replay struct {
	stream.Wrapped // the request's own
	kept           []byte
	at             int  // how much of kept this try has read
	over           bool // more was read than is kept
	broken         bool // the rest cannot be read any more
}

// newReplay prepares for retries, or to follow redirects; nil where there is nothing
// to prepare.
func newReplay(r *route.Retry, redirects *route.Redirects, req *stream.Request) *replay {
	if redirects == nil && (r == nil || r.Max == 0 || r.On == 0) || req.Body == nil {
		return nil
	}
	b := &replay{Wrapped: stream.Wrapped{Body: req.Body}}
	req.Body = b
	return b
}

// possible reports whether the request may be made again: all that was read of its
// body is there, and the rest can be read still.
func (b *replay) possible() bool {
	return b == nil || !b.over && (!b.broken || b.Body.Complete())
}

// uploadTime is how long a reply that asks for another try waits for the end of
// the upload, which may only be about to notice that it has sent everything.
const uploadTime = 250 * time.Millisecond

// read reports whether nobody reads the body any more.
func (b *replay) read(req *stream.Request) bool { return b == nil || req.Upload.Within(uploadTime) }

// rewind lets the next try read from the beginning.
func (b *replay) rewind(req *stream.Request) {
	if b != nil {
		b.at = 0
		req.Info.BytesReceived = 0
	}
}

// Buffered implements [stream.Body].
func (b *replay) Buffered() []byte {
	if b.at < len(b.kept) {
		return b.kept[b.at:]
	}
	return b.Body.Buffered()
}

// Discard implements [stream.Body].
func (b *replay) Discard(n int) {
	if b.at < len(b.kept) {
		b.at += n
		return
	}
	switch {
	case b.over:
	case len(b.kept)+n > replayLimit:
		b.over, b.kept, b.at = true, nil, 0
	default:
		b.kept = append(b.kept, b.Body.Buffered()[:n]...)
		b.at += n
	}
	b.Body.Discard(n)
}

// Wait implements [stream.Body].
func (b *replay) Wait() error {
	if b.at < len(b.kept) {
		return nil
	}
	return b.Body.Wait()
}

// Complete implements [stream.Body].
func (b *replay) Complete() bool { return b.at == len(b.kept) && b.Body.Complete() }

// Read implements [stream.Body].
func (b *replay) Read(p []byte) (int, error) { return stream.ReadBuffered(b, p) }

// Last implements [stream.Framed].
func (b *replay) Last() (last, known bool) {
	last, known = b.Wrapped.Last()
	if known && b.at < len(b.kept) {
		last = b.Body.Complete() && b.Body.Trailers() == nil
	}
	return last, known
}

var _ stream.Framed = (*replay)(nil)
