package http2

import (
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Negotiated reports whether a protocol that a TLS handshake agreed on is HTTP/2,
// by its own name or by the mesh's.
func Negotiated(alpn string) bool { return alpn == "h2" || alpn == "istio-h2" }

// Config says how one side treats a connection. The zero value of a field is
// its default.
type Config struct {
	// MaxStreams is how many streams the peer may have open; default 1024.
	MaxStreams uint32
	// StreamWindow and ConnWindow are how much the peer may send before it is
	// read; default 1 MiB and 4 MiB. It bounds what a connection keeps in memory.
	StreamWindow, ConnWindow uint32
	// TableSize is what the peer may use of a compression table; default 4096.
	TableSize uint32
	// MaxHead and MaxHeaders bound the fields of a message, in bytes and in
	// number; default 60 KiB and 100.
	MaxHead, MaxHeaders int
	// IdleTimeout ends a connection without a stream; default 1 h, negative never.
	IdleTimeout time.Duration
	// HeadTimeout bounds the arrival of a head in several frames; default 60 s,
	// negative never.
	HeadTimeout time.Duration
	// StreamIdleTimeout ends a stream on which nothing moves; 0 never.
	StreamIdleTimeout time.Duration
	// StreamDuration ends a stream that takes longer; 0 never.
	StreamDuration time.Duration
	// MaxRequests ends a connection behind so many streams; 0 never.
	MaxRequests int
	// MaxDuration ends a connection that is older, when its streams are over; 0
	// never.
	MaxDuration time.Duration
	// Squeezes shorten IdleTimeout, StreamIdleTimeout and MaxDuration under pressure.
	Squeezes stream.Squeezes
	// Last reports whether a connection is to take no more streams than it has; nil is
	// never.
	Last func() bool
	// Rewrite changes what is answered to a request that is not for the handler; nil
	// leaves it.
	Rewrite func(*stream.Request, *stream.Refusal) *stream.Refusal
	// Upgrades are the protocols that an extended CONNECT may ask for, such as
	// "websocket".
	Upgrades []string
	// Keepalive sends a PING on a connection that has been quiet so long, and
	// ends it when KeepaliveTimeout (default 20 s) brings no answer; 0 never.
	Keepalive, KeepaliveTimeout time.Duration
}

func (c Config) withDefaults() Config {
	for field, value := range map[*uint32]uint32{&c.MaxStreams: 1024, &c.StreamWindow: 1 << 20, &c.ConnWindow: 4 << 20, &c.TableSize: 4096} {
		if *field == 0 {
			*field = value
		}
	}
	for field, value := range map[*int]int{&c.MaxHead: 60 << 10, &c.MaxHeaders: 100} {
		if *field == 0 {
			*field = value
		}
	}
	for field, value := range map[*time.Duration]time.Duration{&c.IdleTimeout: time.Hour, &c.HeadTimeout: time.Minute, &c.KeepaliveTimeout: 20 * time.Second} {
		if *field == 0 {
			*field = value
		}
	}
	return c
}

// squeezed are the settings with the timeouts as they are under the pressure that
// there is.
func (c Config) squeezed() Config {
	c.IdleTimeout, c.StreamIdleTimeout, c.MaxDuration = c.Squeezes.Idle.Of(c.IdleTimeout), c.Squeezes.Stream.Of(c.StreamIdleTimeout), c.Squeezes.Age.Of(c.MaxDuration)
	return c
}

// look is how often a connection with these timeouts is looked at: often enough
// that none is missed by more than an eighth.
func (c Config) look() time.Duration {
	shortest := time.Minute
	for _, d := range []time.Duration{c.IdleTimeout, c.HeadTimeout, c.StreamIdleTimeout, c.StreamDuration, c.MaxDuration, c.Keepalive, c.KeepaliveTimeout} {
		if d > 0 {
			shortest = min(shortest, d)
		}
	}
	return often(shortest)
}

// often is how often to look so that a timeout is missed by an eighth at most.
func often(d time.Duration) time.Duration { return max(d/8, 10*time.Millisecond) }
