package compile

import (
	"net"
	"sync/atomic"
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
	m := &metered{Conn: conn}
	l.next.Serve(m, facts, drain)
	l.observer.Closed(&stream.TCP{Conn: facts, Info: &stream.Info{
		Start: facts.Start, End: time.Now(), BytesReceived: m.received.Load(), BytesSent: m.sent.Load(),
	}})
}

// metered counts a connection's bytes.
type metered struct {
	net.Conn
	received, sent atomic.Int64
}

// Read counts what comes.
func (m *metered) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	m.received.Add(int64(n))
	return n, err
}

// Write counts what goes.
func (m *metered) Write(b []byte) (int, error) {
	n, err := m.Conn.Write(b)
	m.sent.Add(int64(n))
	return n, err
}

// CloseWrite ends our direction.
func (m *metered) CloseWrite() error {
	if half, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return m.Conn.Close()
}

// NetConn is the connection beneath.
func (m *metered) NetConn() net.Conn { return m.Conn }

// refused tells a listener's own access logs of connections that no handler gets:
// that no chain takes, or whose handshake fails.
func refused(observer stream.Observer) func(*stream.Conn, error) {
	return func(conn *stream.Conn, failed error) {
		info := &stream.Info{Start: conn.Start, End: time.Now()}
		if failed == nil {
			info.Flags, info.Details = stream.NoRoute, "filter_chain_not_found"
		}
		observer.Closed(&stream.TCP{Conn: conn, Info: info})
	}
}
