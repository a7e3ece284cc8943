package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Server is the server's side: it reads requests off connections and writes the
// handler's answers, one after the other, in one goroutine a connection.
type Server struct {
	cfg      Config
	handler  stream.Handler
	observer stream.Observer
}

// NewServer serves with handler. observer, which may be nil, is told of every
// request that was read, refused ones included.
func NewServer(cfg Config, handler stream.Handler, observer stream.Observer) *Server {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = time.Hour
	}
	if cfg.HeadTimeout == 0 {
		cfg.HeadTimeout = time.Minute
	}
	return &Server{cfg: cfg, handler: handler, observer: observer}
}

// serving is one connection's state. It is reused for the next connection.
type serving struct {
	*Server
	conn  net.Conn
	facts *stream.Conn
	drain <-chan struct{}
	in    reader
	out   writer
	req   stream.Request
	info  stream.Info
	body  body
	local stream.Response // for replies of our own
	// deadline is when the read deadline on conn falls; zero when none is set.
	deadline time.Time
}

var servings = sync.Pool{New: func() any { return new(serving) }}

// Serve reads requests until the connection ends, and closes it. It implements
// the listener's handler.
func (s *Server) Serve(conn net.Conn, facts *stream.Conn, drain <-chan struct{}) {
	c := servings.Get().(*serving)
	c.Server, c.conn, c.facts, c.drain = s, conn, facts, drain
	c.in.src, c.out.dst, c.out.sent = conn, conn, 0
	c.in.base, c.in.r, c.in.w = 0, 0, 0
	for c.one() {
		c.in.next()
	}
	conn.Close()
	c.req.Uploads.Wait()
	// A grown buffer is not worth keeping.
	if len(c.in.buf) > firstBuffer {
		c.in.buf = nil
	}
	c.Server, c.conn, c.facts, c.drain, c.in.src, c.out.dst, c.deadline = nil, nil, nil, nil, nil, nil, time.Time{}
	servings.Put(c)
}

// one serves one request and reports whether another may follow.
func (c *serving) one() bool {
	if !c.await() {
		return false
	}
	c.info.Reset()
	c.info.Start = time.Now()
	limited := !c.wholeHead() && c.cfg.HeadTimeout > 0
	if limited {
		c.setReadDeadline(c.info.Start.Add(c.cfg.HeadTimeout))
	}
	head, err := c.in.head(c.cfg.Limits.MaxHead)
	if limited {
		c.setReadDeadline(time.Time{})
	}
	if err != nil {
		return c.headFailed(err)
	}
	c.resetRequest(len(head))
	f, err := requestHead(head, &c.req, c.cfg.Limits)
	if err != nil {
		return c.refuseSyntax(err)
	}
	if c.req.Protocol == stream.HTTP10 && !c.cfg.AcceptHTTP10 {
		return c.refuseSyntax(&syntaxError{426, "low_version", "HTTP/1.0 is not accepted here"})
	}
	c.frame(f)
	resp, err := c.handler.Handle(&c.req)
	if err != nil {
		resp = c.reply(stream.AsRefusal(err))
		f.close = f.close || stream.AsRefusal(err).Close
	}
	return c.answer(resp, f)
}

// await waits for a request's first byte.
func (c *serving) await() bool {
	if c.in.buffered() > 0 {
		return true
	}
	if c.cfg.MaxDuration > 0 && time.Since(c.facts.Start) > c.cfg.MaxDuration {
		return false
	}
	if d := c.cfg.IdleTimeout; d > 0 {
		// Setting a deadline costs more than looking at the clock: it is moved
		// only when an eighth of it has passed.
		if now := time.Now(); c.deadline.Sub(now) < d-d/8 {
			c.setReadDeadline(now.Add(d))
		}
	}
	return c.in.fill() == nil
}

func (c *serving) setReadDeadline(t time.Time) {
	c.deadline = t
	_ = c.conn.SetReadDeadline(t) // an error shows at the next read
}

// wholeHead reports whether a head is buffered completely.
func (c *serving) wholeHead() bool {
	return strings.Contains(view(c.in.buf[c.in.r:c.in.w]), "\r\n\r\n")
}

func (c *serving) resetRequest(headBytes int) {
	c.req.Body, c.req.Length, c.req.Upgrade = nil, 0, ""
	c.req.Conn, c.req.Info = c.facts, &c.info
	c.info.HeadReceived = int64(headBytes)
}

// headFailed ends a connection whose head did not arrive, with a reply where
// one makes sense.
func (c *serving) headFailed(err error) bool {
	switch {
	case errors.Is(err, errHeadTooLarge):
		return c.refuseSyntax(&syntaxError{431, "http1.headers_too_large", "request head is too large"})
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.refuseSyntax(&syntaxError{408, "request_header_timeout", "request head took too long"})
	}
	return false
}

// refuseSyntax answers what could not be read as a request. Nothing behind it
// can be trusted to begin where it seems to.
func (c *serving) refuseSyntax(err error) bool {
	c.resetRequest(0)
	var s *syntaxError
	if !errors.As(err, &s) {
		s = &syntaxError{400, "http1.codec_error", err.Error()}
	}
	c.req.Header.Reset()
	resp := c.reply(&stream.Refusal{Status: s.status, Details: s.details, Flags: stream.DownstreamProtocol, Body: s.text})
	return c.answer(resp, framing{close: true})
}

// frame prepares the request's body.
func (c *serving) frame(f framing) {
	if f.upgrade != "" && slices.ContainsFunc(c.cfg.Upgrades, func(u string) bool { return strings.EqualFold(u, f.upgrade) }) {
		c.req.Upgrade = f.upgrade
	}
	if !f.chunked && f.length == 0 {
		if !c.cfg.Proxy100Continue && stream.EqualName(c.req.Header.Get("expect"), "100-continue") {
			c.req.Header.Del("expect")
		}
		c.info.RequestDone = c.info.Start
		return
	}
	c.body.start(&c.in, f, c.cfg.Limits)
	c.req.Body, c.req.Length = &c.body, f.length
	if stream.EqualName(c.req.Header.Get("expect"), "100-continue") {
		c.req.Header.Del("expect")
		if len(c.body.Buffered()) == 0 {
			c.body.onFirstRead = c.sendContinue
		}
	}
}

func (c *serving) sendContinue() error {
	_, err := io.WriteString(c.conn, "HTTP/1.1 100 Continue\r\n\r\n")
	return err
}

// reply turns a refusal into a response: the one place where that happens.
func (c *serving) reply(r *stream.Refusal) *stream.Response {
	c.info.Flags |= r.Flags
	c.info.Details = r.Details
	c.local = stream.Response{Status: r.Status, Header: c.local.Header, Length: int64(len(r.Body))}
	c.local.Header.Reset()
	for _, f := range r.Header {
		c.local.Header.Add(f.Name, f.Value)
	}
	if r.Body != "" {
		c.local.Header.Add("content-type", "text/plain")
		c.local.Body = stream.NewBytes([]byte(r.Body))
	}
	return &c.local
}

// answer writes resp and ends the request. It reports whether the connection
// goes on.
func (c *serving) answer(resp *stream.Response, f framing) bool {
	c.info.Status = resp.Status
	closing := f.close || c.draining()
	var err error
	if resp.Upgraded != nil {
		err = c.upgrade(resp)
		closing = true
	} else {
		closing = c.closing(closing)
		err = c.write(resp, closing)
	}
	c.info.End = time.Now()
	if err != nil {
		closing = true
		c.failed(err)
	}
	if c.req.Body != nil && !c.bodyDone() {
		closing = true
	}
	if c.observer != nil {
		c.observer.Request(&c.req, resp)
	}
	if resp.Done != nil {
		resp.Done.Release(err == nil)
	}
	if closing {
		return false
	}
	c.req.Uploads.Wait()
	return true
}

// failed notes why a response was not delivered.
func (c *serving) failed(err error) {
	var source sourceError
	if errors.As(err, &source) {
		c.info.Flags |= stream.UpstreamTermination
		c.info.Details = "upstream_reset_after_response_started{connection_termination}"
		return
	}
	c.info.Flags |= stream.DownstreamTermination
	c.info.Details = "downstream_remote_disconnect"
}

// closing decides whether the response announces the end of the connection. A
// body that nobody has read must not be taken for the next request; a short
// rest is read away.
func (c *serving) closing(closing bool) bool {
	if closing || c.req.Body == nil {
		return closing
	}
	if c.body.onFirstRead != nil {
		return true // the client was never told to send it
	}
	return false
}

// bodyDone reads away the rest of a request's body, as far as it has arrived.
func (c *serving) bodyDone() bool {
	c.req.Uploads.Wait()
	for !c.body.Complete() {
		p := c.body.Buffered()
		if len(p) == 0 {
			return false
		}
		c.body.Discard(len(p))
	}
	return true
}

func (c *serving) draining() bool {
	select {
	case <-c.drain:
		return true
	default:
		return false
	}
}

// write sends the response.
func (c *serving) write(resp *stream.Response, closing bool) error {
	w := &c.out
	w.buf = w.buf[:0]
	w.text(statusLine(resp.Status))
	w.fields(&resp.Header)
	head := c.req.Method == "HEAD"
	bodyless := head || resp.Status == 204 || resp.Status == 304
	chunked := false
	switch {
	case resp.Status == 204 || resp.Status < 200:
	case resp.Length != stream.Unknown:
		if !(resp.Status == 304 && resp.Length == 0) {
			w.length(resp.Length)
		}
	case bodyless:
	case c.req.Protocol == stream.HTTP10:
		closing = true
	default:
		chunked = true
		w.text("transfer-encoding: chunked\r\n")
	}
	if closing {
		w.text("connection: close\r\n")
	} else if c.req.Protocol == stream.HTTP10 {
		w.text("connection: keep-alive\r\n")
	}
	w.text("\r\n")
	c.info.HeadSent = int64(len(w.buf))
	if bodyless || resp.Body == nil {
		return w.flush()
	}
	n, err := w.body(resp.Body, chunked)
	c.info.BytesSent = n
	return err
}

// upgrade answers 101 and then carries bytes both ways until both sides have
// ended.
func (c *serving) upgrade(resp *stream.Response) error {
	w := &c.out
	w.buf = w.buf[:0]
	w.text(statusLine(resp.Status))
	w.fields(&resp.Header)
	w.field("connection", "Upgrade")
	w.field("upgrade", resp.Upgrade)
	w.text("\r\n")
	c.info.HeadSent = int64(len(w.buf))
	if err := w.flush(); err != nil {
		return err
	}
	c.setReadDeadline(time.Time{})
	up := resp.Upgraded
	var upward sync.WaitGroup
	upward.Go(func() {
		// What came behind the request's head is the first of the new protocol.
		n, err := io.Copy(up, io.MultiReader(strings.NewReader(strings.Clone(view(c.in.buf[c.in.r:c.in.w]))), c.conn))
		c.info.BytesReceived += n
		endWrite(up, err)
	})
	n, err := io.Copy(c.conn, up)
	c.info.BytesSent += n
	endWrite(c.conn, err)
	upward.Wait()
	up.Close()
	return nil
}

// endWrite tells the other side that no more comes.
func endWrite(conn io.Closer, err error) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	conn.Close()
}
