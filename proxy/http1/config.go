package http1

import (
	"net"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Limits bound what a peer may send. The zero value of one is the default.
type Limits struct {
	MaxHead    int // bytes of a head; default 60 KiB
	MaxHeaders int // fields; default 100
}

func (l Limits) withDefaults() Limits {
	if l.MaxHead == 0 {
		l.MaxHead = 60 << 10
	}
	if l.MaxHeaders == 0 {
		l.MaxHeaders = 100
	}
	return l
}

// Config says how the server side treats a connection.
type Config struct {
	Limits Limits
	// AcceptHTTP10 serves HTTP/1.0; otherwise such requests get 426.
	AcceptHTTP10 bool
	// DefaultHost is the host of HTTP/1.0 requests that name none.
	DefaultHost string
	// IdleTimeout ends a connection without a request; default 1 h, negative
	// never.
	IdleTimeout time.Duration
	// HeadTimeout bounds the arrival of a head once its first byte is there;
	// default 60 s, negative never.
	HeadTimeout time.Duration
	// StreamIdleTimeout ends a request on which nothing moves; 0 never.
	StreamIdleTimeout time.Duration
	// StreamDuration ends a request that takes longer with its response; 0 never.
	StreamDuration time.Duration
	// MaxDuration ends a connection that is older, between requests; 0 never.
	MaxDuration time.Duration
	// Squeezes shorten IdleTimeout, StreamIdleTimeout and MaxDuration under pressure.
	Squeezes stream.Squeezes
	// MaxRequests ends a connection with the request of that number; 0 never.
	MaxRequests int
	// Last reports whether a connection is to end with its request; nil is never.
	Last func() bool
	// Rewrite changes what is answered to what is no request; nil leaves it.
	Rewrite func(*stream.Request, *stream.Refusal) *stream.Refusal
	// HTTP2 serves a connection that turns out to begin with HTTP/2's preface; read
	// is what has been read of it. nil refuses such connections.
	HTTP2 func(conn net.Conn, read []byte, facts *stream.Conn, drain <-chan struct{})
	// Proxy100Continue hands on the "Expect: 100-continue" of a request without a
	// body, and early hints. For a request with a body the server itself answers 100
	// when the upstream is ready to take the content.
	Proxy100Continue bool
}
