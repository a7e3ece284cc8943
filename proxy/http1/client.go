package http1

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Client is the client's side of one connection. One request uses it at a time,
// and it is owned by that request's goroutine from RoundTrip until Finish.
type Client struct {
	conn   net.Conn
	limits Limits
	in     reader
	out    writer
	resp   stream.Response
	body   body
	framed framing
	// deadline was set on conn for the request under way.
	deadline bool
	upload   upload
	// interrupted is set when somebody else has spoilt the connection.
	interrupted atomic.Bool
	// sent is true once a byte of the request reached the socket, and began once
	// a byte of the response came.
	sent, began bool
	// info is of the request under way, counted how much of its answer's content it
	// knows of, and passed how much was read behind a change of protocol.
	info            *stream.Info
	counted, passed int64
	// wrote is how much was sent behind a change of protocol.
	wrote int64
}

// upload is the sending of a request's body beside the reading of its answer.
type upload struct {
	mu   sync.Mutex
	busy bool  // guarded by mu
	err  error // guarded by mu
	// span is the time for the answer once everything has been sent; 0 is none.
	span time.Duration
}

// NewClient speaks HTTP/1.1 on conn.
func NewClient(conn net.Conn, limits Limits) *Client {
	c := &Client{conn: conn, limits: limits.withDefaults()}
	c.in.src, c.out.dst = conn, conn
	return c
}

// Conn is the connection.
func (c *Client) Conn() net.Conn { return c.conn }

// RoundTrip sends req and returns the response once its head is there. The
// response belongs to the client and is valid until Finish. A deadline that is
// not zero bounds everything until Finish; while a body is still arriving its
// time has not begun to run, because a slow client is not the upstream's fault.
func (c *Client) RoundTrip(req *stream.Request, deadline time.Time) (*stream.Response, error) {
	c.sent, c.began = false, false
	c.upload.err, c.upload.span = nil, 0
	c.body.done, c.body.read, c.body.around = false, 0, 0 // of the response before
	c.info, c.counted, c.passed, c.wrote = req.Info, 0, 0, 0
	if c.deadline = !deadline.IsZero(); c.deadline {
		if req.Body != nil && !inMemory(req) {
			c.upload.span = max(1, time.Until(deadline))
		} else if err := c.bound(deadline); err != nil {
			return nil, err
		}
	}
	if c.interrupted.Load() {
		return nil, os.ErrDeadlineExceeded
	}
	if err := c.send(req); err != nil {
		return nil, err
	}
	req.Info.UpstreamSent = time.Now()
	resp, err := c.receive(req)
	if err != nil {
		if source := c.uploadFailure(); source != nil {
			return nil, source
		}
	}
	return resp, err
}

// Progress reports whether any byte of the request was sent, and whether any of
// the response came.
func (c *Client) Progress() (sent, began bool) { return c.sent, c.began }

// SetDeadline moves the deadline of the exchange under way; the zero time takes
// it away. While the body is still arriving it moves what comes behind that.
func (c *Client) SetDeadline(t time.Time) {
	c.upload.mu.Lock()
	defer c.upload.mu.Unlock()
	switch {
	case !c.upload.busy || c.upload.span == 0:
		_ = c.bound(t) // an error shows at the next read
	case t.IsZero():
		c.upload.span = 0
	default:
		c.upload.span = max(1, time.Until(t))
	}
}

// bound sets the connection's deadline, which must not undo an interruption.
func (c *Client) bound(t time.Time) error {
	err := c.conn.SetDeadline(t)
	if c.interrupted.Load() {
		return c.conn.SetDeadline(past)
	}
	return err
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Interrupt ends the exchange from another goroutine, also one that is only about
// to begin.
func (c *Client) Interrupt() {
	c.interrupted.Store(true)
	_ = c.conn.SetDeadline(past)
}

// Settle ends an upload that is still under way although the answer is
// complete: the upstream is given a moment to take what it has been sent.
func (c *Client) Settle(req *stream.Request) {
	if req.Upload.Sending() {
		_ = c.conn.SetWriteDeadline(time.Now().Add(settleTime))
		c.deadline = true // Finish takes it away
		req.Upload.Wait()
	}
	c.count(req.Info)
}

// count tells how much has come of the content.
func (c *Client) count(info *stream.Info) {
	now := c.body.wire() + c.passed
	info.UpstreamBytes.Received += now - c.counted
	c.counted = now
	if c.wrote > 0 { // else an upload may still be counting
		info.UpstreamBytes.Sent += c.wrote
		c.wrote = 0
	}
}

// settleTime is how long an upload may go on when the answer is complete.
const settleTime = 250 * time.Millisecond

// inMemory reports whether the body has arrived as a whole.
func inMemory(req *stream.Request) bool {
	return req.Length != stream.Unknown && int64(len(req.Body.Buffered())) == req.Length
}

// uploadFailure is why the client's body could not be read, nil when it could.
func (c *Client) uploadFailure() error {
	c.upload.mu.Lock()
	defer c.upload.mu.Unlock()
	if stream.IsSource(c.upload.err) {
		return c.upload.err
	}
	return nil
}

func (c *Client) send(req *stream.Request) error {
	target := req.Path
	if req.Upgrade == stream.Connect {
		target = req.Authority
	}
	// No client's can be otherwise, but both may have been made of what others said.
	if !stream.OneWord(target) || !stream.OneWord(req.Authority) {
		return bad("a target or a host that would be more than one word")
	}
	w := &c.out
	w.buf = w.buf[:0]
	w.text(req.Method)
	w.text(" ")
	w.text(target)
	w.text(" HTTP/1.1\r\n")
	from := len(w.buf)
	w.field("host", req.Authority)
	w.fields(&req.Header)
	if req.Upgrade != "" && req.Upgrade != stream.Connect {
		w.field("connection", "Upgrade")
		w.field("upgrade", req.Upgrade)
		if stream.EqualName(req.Upgrade, "websocket") && !req.Header.Has("sec-websocket-key") {
			w.field("sec-websocket-key", websocketKey()) // HTTP/2 has none (RFC 8441 section 5)
		}
	}
	chunked := false
	switch {
	case req.Body == nil:
		switch req.Method {
		case "GET", "HEAD", "DELETE", "TRACE", "CONNECT":
		default:
			w.length(0)
		}
	case req.Length == stream.Unknown:
		chunked = true
		w.text("transfer-encoding: chunked\r\n")
	default:
		w.length(req.Length)
	}
	req.Info.UpstreamBytes.HeadSent1(int64(len(w.buf) - from))
	w.text("\r\n")
	if req.Body == nil {
		return c.flush(req)
	}
	return c.sendBody(req, chunked)
}

// websocketKey is a fresh nonce (RFC 6455 section 4.1).
func websocketKey() string {
	var nonce [16]byte
	rand.Read(nonce[:])
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// flush writes what has been gathered and notes that something was.
func (c *Client) flush(req *stream.Request) error {
	before := c.out.sent
	err := c.out.flush()
	c.sent = c.sent || c.out.sent > before
	req.Info.UpstreamBytes.Sent += c.out.sent - before
	return err
}

// sendBody sends a body that is in memory with the head. One that is still
// arriving is sent by a goroutine of its own, because the upstream may answer
// before it has read everything.
func (c *Client) sendBody(req *stream.Request, chunked bool) error {
	if inMemory(req) {
		p, before := req.Body.Buffered(), c.out.sent
		err := c.out.content(p, false)
		req.Info.UpstreamBytes.Sent += c.out.sent - before
		if err != nil {
			return err
		}
		req.Body.Discard(len(p))
		req.Info.BytesReceived += int64(len(p))
		return c.flush(req)
	}
	if err := c.flush(req); err != nil {
		return err
	}
	c.upload.busy, c.upload.err = true, nil
	req.Upload.Go(func() {
		before := c.out.sent
		n, err := c.out.body(req.Body, chunked)
		c.upload.mu.Lock()
		defer c.upload.mu.Unlock()
		req.Info.UpstreamBytes.Sent += c.out.sent - before
		req.Info.BytesReceived += n
		c.upload.busy, c.upload.err = false, err
		switch {
		case stream.IsSource(err):
			// The client has gone: nobody waits for the answer.
			c.conn.Close()
		case err == nil && c.upload.span > 0:
			_ = c.bound(time.Now().Add(c.upload.span))
		}
	})
	return nil
}

// receive reads the response's head. Of interim responses only early hints are handed
// on.
func (c *Client) receive(req *stream.Request) (*stream.Response, error) {
	for {
		c.in.next()
		head, err := c.in.head(c.limits.MaxHead)
		c.began = c.began || c.in.buffered() > 0 || head != nil
		if err != nil {
			return nil, c.noHead(err)
		}
		req.Info.UpstreamRecv = time.Now()
		c.resp = stream.Response{Header: c.resp.Header}
		req.Info.UpstreamBytes.Received += int64(len(head))
		f, err := statusHead(head, &c.resp, c.limits)
		if err != nil {
			return nil, err
		}
		req.Info.UpstreamBytes.HeadReceived1(f.size)
		if c.resp.Status == 101 && req.Upgrade != "" {
			c.resp.Upgrade, c.resp.Upgraded = f.upgrade, upgraded{c}
			c.framed = framing{close: true}
			return &c.resp, nil
		}
		if req.Upgrade == stream.Connect && c.resp.Status/100 == 2 {
			c.resp.Upgrade, c.resp.Upgraded = stream.Connect, upgraded{c}
			c.framed = framing{close: true}
			return &c.resp, nil
		}
		if c.resp.Status < 200 {
			if c.resp.Status == 101 {
				return nil, bad("an upgrade that was not asked for")
			}
			if c.resp.Status == 103 && req.Interim != nil {
				if err := req.Interim(103, &c.resp.Header); err != nil {
					return nil, stream.SourceError{Err: err}
				}
			}
			continue
		}
		c.frame(req, f)
		return &c.resp, nil
	}
}

// noHead is why no head could be read. One that ends in its midst, or has no end, is a
// breach of the protocol.
func (c *Client) noHead(err error) error {
	if c.in.buffered() == 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return bad("a response's head: " + err.Error())
}

// frame sets the body up (RFC 9112 section 6.3).
func (c *Client) frame(req *stream.Request, f framing) {
	c.framed = f
	c.resp.Length = f.length
	if req.Method == "HEAD" || c.resp.Status == 204 || c.resp.Status == 304 {
		c.body.start(&c.in, framing{}, c.limits)
		if c.resp.Status == 204 {
			c.resp.Length = 0
		}
		return
	}
	if !f.chunked && !f.explicit {
		c.framed.close = true
	}
	c.body.start(&c.in, f, c.limits)
	if !c.body.done {
		c.resp.Body = &c.body
	}
}

// Finish ends the exchange and reports whether the connection may be used
// again: the response was read to its end, the request was sent to its end, and
// neither side wants to close.
func (c *Client) Finish() bool {
	c.readAway()
	if c.info != nil {
		c.count(c.info)
		c.info = nil
	}
	c.upload.mu.Lock()
	busy, failed := c.upload.busy, c.upload.err != nil
	c.upload.mu.Unlock()
	if c.framed.close || !c.body.done || busy || failed || c.in.buffered() > 0 || c.interrupted.Load() {
		return false
	}
	c.in.shrink()
	if c.deadline {
		return c.conn.SetDeadline(time.Time{}) == nil
	}
	return true
}

// readAway drops what has already arrived of a body that nobody wants.
func (c *Client) readAway() {
	for c.resp.Body != nil && !c.body.Complete() {
		p := c.body.Buffered()
		if len(p) == 0 {
			return
		}
		c.body.Discard(len(p))
	}
}

// upgraded is the connection after a change of protocol; what was received with
// the head comes first.
type upgraded struct{ c *Client }

func (u upgraded) Read(p []byte) (int, error) {
	if n := u.c.in.buffered(); n > 0 {
		n = copy(p, u.c.in.buf[u.c.in.r:u.c.in.w])
		u.c.in.r += n
		u.c.passed += int64(n)
		return n, nil
	}
	n, err := u.c.conn.Read(p)
	u.c.passed += int64(n)
	return n, err
}

func (u upgraded) Write(p []byte) (int, error) {
	n, err := u.c.conn.Write(p)
	u.c.wrote += int64(n)
	return n, err
}

func (u upgraded) Close() error { return u.c.conn.Close() }

// CloseWrite ends our direction.
func (u upgraded) CloseWrite() error {
	if half, ok := u.c.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return u.c.conn.Close()
}

var _ io.ReadWriteCloser = upgraded{}
