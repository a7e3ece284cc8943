package router

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// terminate answers a CONNECT, or a POST that is a tunnel, with a connection to an
// endpoint.
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
	req.Info.UpstreamAsked = true
	began := time.Now()
	conn, err := a.dial(p, pool.TLSRequest{Ends: pool.EndsOf(req.Conn)})
	waited(req.Info, began)
	if err == nil && a.router.Introduce != nil {
		if err = a.router.Introduce(conn.Conn, req.Conn); err != nil {
			p.Close(conn)
		}
	}
	if err != nil {
		return nil, a.refuse(req, a.unconnected(req, err), err)
	}
	a.conn = conn
	a.note(req)
	a.host.Active.Add(1)
	req.Info.Details = "via_upstream"
	req.Info.UpstreamProtocol = "" // whatever the client speaks
	t := &terminated{Conn: conn.Conn, attempt: a, req: req}
	if req.Upgrade == stream.Connect {
		return &stream.Response{Status: 200, Length: stream.Unknown, Upgrade: stream.Connect, Upgraded: t, Done: t}, nil
	}
	return t.answer(req)
}

// terminated is the connection behind a tunnel.
type terminated struct {
	net.Conn
	attempt *attempt
	req     *stream.Request
	closing sync.Once
}

// answer carries the content of a POST to the endpoint, and gives what comes from
// there as that of the response.
func (t *terminated) answer(req *stream.Request) (*stream.Response, error) {
	if !req.Waiting.On(t) {
		t.Close()
		return nil, t.attempt.refuse(req, failedDownstream, errAbandoned)
	}
	if req.Body == nil {
		if err := t.CloseWrite(); err != nil {
			t.Close()
			return nil, t.attempt.refuse(req, failedReset, err)
		}
	} else {
		req.Upload.Go(func() { t.send(req.Body) })
	}
	return &stream.Response{Status: 200, Length: stream.Unknown, Body: &received{conn: t.Conn}, Done: t}, nil
}

// send carries a POST's content. A client that breaks it off does not want the answer
// either.
func (t *terminated) send(body stream.Body) {
	for {
		p := body.Buffered()
		switch {
		case len(p) > 0:
			n, err := t.Write(p)
			t.req.Info.BytesReceived += int64(n)
			if err != nil {
				return // the answer tells why
			}
			body.Discard(n)
		case body.Complete():
			_ = t.CloseWrite() // as above
			return
		case body.Wait() != nil:
			t.Interrupt()
			return
		}
	}
}

// Interrupt implements [stream.Interrupter].
func (t *terminated) Interrupt() { _ = t.SetDeadline(time.Unix(1, 0)) }

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
		t.req.Waiting.Off()
		t.attempt.host.Active.Add(-1)
		t.attempt.host.Pool().Close(t.attempt.conn)
	})
	return nil
}

// settleTime is how long an endpoint that has ended its own direction may still take
// what comes from the client.
const settleTime = 250 * time.Millisecond

// Settle implements [stream.Releaser]: what has come from one side has gone to the
// other.
func (t *terminated) Settle() {
	if t.req.Upload.Sending() {
		_ = t.SetWriteDeadline(time.Now().Add(settleTime)) // one that has closed takes nothing
		t.req.Upload.Wait()
	}
	t.req.Info.UpstreamBytes = stream.Meter{Sent: t.req.Info.BytesReceived, Received: t.req.Info.BytesSent}
}

// Release implements [stream.Releaser]. The codec has waited for the upload.
func (t *terminated) Release(bool) {
	t.req.Upload.Wait()
	t.Close()
}

// received is content that comes from a connection until that ends.
type received struct {
	conn net.Conn
	buf  []byte
	got  []byte // of buf; unread
	err  error  // why nothing more comes
}

// Read implements [stream.Body].
func (r *received) Read(p []byte) (int, error) {
	if len(r.got) == 0 {
		if err := r.Wait(); err != nil {
			return 0, err
		}
	}
	if len(r.got) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.got)
	r.Discard(n)
	return n, nil
}

// Wait implements [stream.Body].
func (r *received) Wait() error {
	if r.buf == nil {
		r.buf = make([]byte, 16<<10)
	}
	for len(r.got) == 0 && r.err == nil {
		var n int
		n, r.err = r.conn.Read(r.buf)
		r.got = r.buf[:n]
	}
	if len(r.got) == 0 && r.err != io.EOF {
		return r.err
	}
	return nil
}

// Buffered implements [stream.Body].
func (r *received) Buffered() []byte { return r.got }

// Discard implements [stream.Body].
func (r *received) Discard(n int) { r.got = r.got[n:] }

// Complete implements [stream.Body].
func (r *received) Complete() bool { return len(r.got) == 0 && r.err == io.EOF }

// Trailers implements [stream.Body].
func (r *received) Trailers() *stream.Header { return nil }

var (
	_ io.ReadWriteCloser = (*terminated)(nil)
	_ stream.Releaser    = (*terminated)(nil)
	_ stream.Interrupter = (*terminated)(nil)
	_ stream.Body        = (*received)(nil)
)
