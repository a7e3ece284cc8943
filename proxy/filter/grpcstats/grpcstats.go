// Package grpcstats counts the messages of gRPC calls, each way, for the metrics.
// It stands before whatever answers in a filter's place, as it does in Envoy.
package grpcstats

import (
	"encoding/binary"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter notes how many messages went each way.
type Filter struct{}

// Handle implements [stream.Filter].
func (Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if !stream.IsGRPC(&req.Header) {
		return next.Handle(req)
	}
	var both struct{ in, out counter }
	if req.Body != nil {
		both.in = counter{Wrapped: stream.Wrapped{Body: req.Body}, count: &req.Info.MessagesReceived}
		req.Body = &both.in
	}
	resp, err := next.Handle(req)
	if err == nil && resp.Body != nil {
		both.out = counter{Wrapped: stream.Wrapped{Body: resp.Body}, count: &req.Info.MessagesSent}
		resp.Body = &both.out
	}
	return resp, err
}

// prefix is what stands before a message: a flag and its length.
const prefix = 5

// counter is a body whose messages are counted as they are read.
type counter struct {
	stream.Wrapped
	count *int64
	head  [prefix]byte
	have  int    // bytes of head
	left  uint32 // of the message behind it
}

// Discard implements [stream.Body].
func (c *counter) Discard(n int) {
	c.see(c.Body.Buffered()[:n])
	c.Body.Discard(n)
}

// see follows the messages. One counts when its prefix is there.
func (c *counter) see(p []byte) {
	for len(p) > 0 {
		if c.left > 0 {
			n := min(uint64(c.left), uint64(len(p)))
			c.left -= uint32(n)
			p = p[n:]
			continue
		}
		n := copy(c.head[c.have:], p)
		p = p[n:]
		if c.have += n; c.have == prefix {
			c.have, c.left = 0, binary.BigEndian.Uint32(c.head[1:])
			*c.count++
		}
	}
}

// Read implements [stream.Body].
func (c *counter) Read(p []byte) (int, error) { return stream.ReadBuffered(c, p) }

var (
	_ stream.Filter = Filter{}
	_ stream.Framed = (*counter)(nil)
)
