// Package buffer lets a request go on when all of its body is there: slow
// clients do not hold an upstream then. It stands last before the router.
package buffer

import "github.com/lateenmesh/lateen/proxy/stream"

// Filter reads bodies ahead.
type Filter struct {
	Max int // bytes; a longer body is refused
}

// Handle implements [stream.Filter].
func (f Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	_, whole, err := stream.Peek(req, f.Max)
	if err != nil {
		return nil, err
	}
	if !whole {
		return nil, stream.Refuse(413, "request_payload_too_large", "Payload Too Large")
	}
	return next.Handle(req)
}

var _ stream.Filter = Filter{}
