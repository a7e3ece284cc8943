package compile

import (
	"net"
	"time"

	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// logged tells a listener's own access logs of connections that carry requests when
// they end: with their bytes, and nothing of the requests, which have lines of their
// own. Of byte streams tcp_proxy tells them.
type logged struct {
	observer stream.Observer
	next     listener.Handler
}

// Serve implements [listener.Handler].
func (l *logged) Serve(conn net.Conn, facts *stream.Conn, drain <-chan struct{}) {
	var t stream.Traffic
	l.next.Serve(t.Conn(conn), facts, drain)
	l.observer.Closed(&stream.TCP{Conn: facts, Info: &stream.Info{
		Start: facts.Start, End: time.Now(), Metadata: facts.Metadata, BytesReceived: t.In.Load(), BytesSent: t.Out.Load(),
	}})
}

// refused tells a listener's own access logs of connections that no handler gets:
// that no chain takes, or whose handshake fails.
func refused(observer stream.Observer) func(*stream.Conn, error) {
	return func(conn *stream.Conn, failed error) {
		info := &stream.Info{Start: conn.Start, End: time.Now(), Metadata: conn.Metadata}
		if failed == nil {
			info.Flags, info.Details = stream.NoRoute, "filter_chain_not_found"
		}
		observer.Closed(&stream.TCP{Conn: conn, Info: info})
	}
}
