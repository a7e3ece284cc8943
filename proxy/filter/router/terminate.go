package router

import (
	"io"
	"net"
	"sync"

	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// terminate answers a CONNECT with a connection to an endpoint.
func (a *attempt) terminate(req *stream.Request) (*stream.Response, error) {
	req.Info.Attempts = 1
	if a.host = a.pick(req); a.host == nil {
		return nil, a.refuse(req, failedNoHost, nil)
	}
	a.tries++
	p := a.breaker.AcquireConnectionTo(a.host)
	if p == nil {
		return nil, a.refuse(req, failedOverflow, nil)
	}
	a.host.Total.Add(1)
	conn, err := a.dial(p, pool.TLSRequest{Ends: pool.EndsOf(req.Conn)})
	if err != nil {
		return nil, a.refuse(req, a.unconnected(req, err), err)
	}
	a.conn = conn
	a.note(req)
	a.host.Active.Add(1)
	req.Info.Details = "via_upstream"
	req.Info.UpstreamProtocol = "" // whatever the client speaks
	t := &terminated{Conn: conn.Conn, attempt: a}
	return &stream.Response{Status: 200, Length: stream.Unknown, Upgrade: stream.Connect, Upgraded: t, Done: t}, nil
}

// terminated is the connection behind a CONNECT.
type terminated struct {
	net.Conn
	attempt *attempt
	closing sync.Once
}

// CloseWrite ends our direction.
func (t *terminated) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return t.Conn.Close()
}

// Close gives the connection up.
func (t *terminated) Close() error {
	t.closing.Do(func() {
		t.attempt.host.Active.Add(-1)
		t.attempt.host.Pool().Close(t.attempt.conn)
	})
	return nil
}

// Settle implements [stream.Releaser].
func (t *terminated) Settle() {}

// Release implements [stream.Releaser].
func (t *terminated) Release(bool) { t.Close() }

var (
	_ io.ReadWriteCloser = (*terminated)(nil)
	_ stream.Releaser    = (*terminated)(nil)
)
