// Package alpn tells the upstream's sidecar which HTTP version a connection will
// carry: it replaces the ALPN list of the upstream handshake, so that the other
// side can choose an HTTP filter chain without looking into the bytes. It
// stands in front of the router, whose handshake it shapes.
package alpn

import "github.com/lateenmesh/lateen/proxy/stream"

// Filter sets the list that upstream handshakes offer.
type Filter struct {
	// ALPN are the lists by the version that is spoken upstream.
	ALPN stream.ALPN
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	req.ALPN = &f.ALPN
	return next.Handle(req)
}

var _ stream.Filter = (*Filter)(nil)
