package tcp

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Where a tunnel's answer is kept in its connection's state.
const (
	HeadersState  = "envoy.tcp_proxy.propagate_response_headers"
	TrailersState = "envoy.tcp_proxy.propagate_response_trailers"
)

// tunnel carries a connection behind a CONNECT, or in a POST.
func (p *Proxy) tunnel(conn net.Conn, noted *stream.TCP) {
	if p.cfg.Tunnel.Post != "" {
		p.post(conn, noted)
		return
	}
	req := &stream.Request{Method: stream.Connect, Scheme: "http", Upgrade: stream.Connect, Conn: noted.Conn, Info: noted.Info}
	if resp := p.ask(req, noted); resp != nil {
		noted.Info.BytesReceived, noted.Info.BytesSent = p.carry(conn, resp.Upgraded, noted)
		resp.Upgraded.Close()
		release(resp)
	}
}

// post makes the request until an endpoint takes it up. Nothing of the connection is
// read before.
func (p *Proxy) post(conn net.Conn, noted *stream.TCP) {
	for range p.cfg.ConnectAttempts {
		noted.Info.Flags = 0
		content := newFeed()
		req := &stream.Request{Method: "POST", Scheme: "http", Path: p.cfg.Tunnel.Post, Body: content, Length: stream.Unknown, Conn: noted.Conn, Info: noted.Info}
		req.Upload.Interrupt = content.abort
		if resp := p.ask(req, noted); resp != nil {
			p.exchange(conn, &posted{req, content, resp.Body}, resp, noted)
			return
		}
	}
}

// ask makes the request. It gives nil, and notes why, where the answer is none that
// carries bytes.
func (p *Proxy) ask(req *stream.Request, noted *stream.TCP) *stream.Response {
	t := p.cfg.Tunnel
	t.Prepare(req)
	resp, err := t.Handler.Handle(req)
	if err != nil {
		r := stream.AsRefusal(err)
		noted.Info.Flags |= r.Flags
		noted.Info.Details = r.Details
		return nil
	}
	if t.Headers {
		keep(noted.Conn, HeadersState, &resp.Header, field{":status", strconv.Itoa(resp.Status)})
	}
	refused := resp.Status/100 != 2
	if !refused && (resp.Upgraded != nil || t.Post != "" && resp.Body != nil) {
		return resp
	}
	noted.Info.Flags |= stream.UpstreamFailure | stream.RetryLimit
	if refused {
		noted.Info.UpstreamFailure = "tunnel_response:" + strconv.Itoa(resp.Status)
	}
	req.Upload.Stop()
	release(resp)
	return nil
}

// release gives an exchange back. What carried a tunnel over HTTP/1.1 carries nothing
// else: a POST that found it closed could not be made again.
func release(resp *stream.Response) {
	if resp.Done != nil {
		resp.Done.Release(false)
	}
}

// exchange carries bytes in the content of a request and of its response.
func (p *Proxy) exchange(conn net.Conn, up *posted, resp *stream.Response, noted *stream.TCP) {
	var uploaded sync.WaitGroup
	uploaded.Go(func() {
		up.req.Upload.Wait()
		up.content.abort() // who writes must not wait for a reader that has gone
	})
	received, sent := p.carry(conn, up, noted)
	resp.Done.Settle()
	whole := up.content.Complete() && resp.Body.Complete()
	up.req.Upload.Stop()
	uploaded.Wait()
	noted.Info.BytesReceived, noted.Info.BytesSent = received, sent // the upload has counted for itself
	if t := resp.Body.Trailers(); p.cfg.Tunnel.Trailers && whole && t != nil {
		keep(noted.Conn, TrailersState, t)
	}
	release(resp)
}

// keep keeps fields of an answer in the connection's state.
func keep(conn *stream.Conn, name string, h *stream.Header, first ...field) {
	fields := first
	for i := range h.Len() {
		fields = append(fields, field{strings.ToLower(h.At(i).Name), h.At(i).Value})
	}
	if conn.State == nil {
		conn.State = map[string]string{}
	}
	if conn.Fields == nil {
		conn.Fields = map[string]map[string]string{}
	}
	conn.State[name], conn.Fields[name] = stream.JSON(map[string][]field{"headers": fields}), map[string]string{}
}

type field struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// posted is the far end of a tunnel that is a POST.
type posted struct {
	req     *stream.Request
	content *feed
	answer  stream.Body
}

func (t *posted) Read(p []byte) (int, error)  { return t.answer.Read(p) }
func (t *posted) Write(p []byte) (int, error) { return t.content.Write(p) }

// CloseWrite ends the request's content.
func (t *posted) CloseWrite() error {
	t.content.end()
	return nil
}

// Close gives the exchange up.
func (t *posted) Close() error {
	t.content.abort()
	t.req.Waiting.Abandon(stream.DownstreamTermination)
	return nil
}

var errAborted = errors.New("the tunnel has been given up")

// feed is content that one goroutine writes and another one sends. It holds one
// piece, and nothing while nothing moves.
type feed struct {
	mu     sync.Mutex
	turned sync.Cond // on mu: something has changed
	piece  *[]byte   // guarded by mu; one of [buffers], nil when all has been read
	given  []byte    // guarded by mu; what of it is unread
	ended  bool      // guarded by mu
	err    error     // guarded by mu
}

func newFeed() *feed {
	f := &feed{}
	f.turned.L = &f.mu
	return f
}

// Write gives p to the reader, when that has read what came before.
func (f *feed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for n < len(p) {
		for len(f.given) > 0 && f.err == nil {
			f.turned.Wait()
		}
		if f.err != nil {
			return n, f.err
		}
		f.piece = buffers.Get().(*[]byte)
		f.given = (*f.piece)[:copy(*f.piece, p[n:])]
		n += len(f.given)
		f.turned.Broadcast()
	}
	return n, nil
}

// end says that nothing more comes.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.turned.Broadcast()
}

// abort ends reads and writes. The piece is left to its reader, which may be sending
// it.
func (f *feed) abort() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = errAborted
	}
	f.turned.Broadcast()
}

// Read implements [stream.Body].
func (f *feed) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if given := f.Buffered(); len(given) > 0 {
			n := copy(p, given)
			f.Discard(n)
			return n, nil
		}
		if f.Complete() {
			return 0, io.EOF
		}
		if err := f.Wait(); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// Wait implements [stream.Body].
func (f *feed) Wait() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.given) == 0 && !f.ended && f.err == nil {
		f.turned.Wait()
	}
	if f.err != nil && !f.ended {
		return f.err
	}
	return nil
}

// Buffered implements [stream.Body].
func (f *feed) Buffered() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.given
}

// Discard implements [stream.Body].
func (f *feed) Discard(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.given = f.given[n:]; len(f.given) == 0 && f.piece != nil {
		buffers.Put(f.piece)
		f.piece = nil
		f.turned.Broadcast()
	}
}

// Complete implements [stream.Body].
func (f *feed) Complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended && len(f.given) == 0
}

// Trailers implements [stream.Body].
func (f *feed) Trailers() *stream.Header { return nil }

var _ stream.Body = (*feed)(nil)
