// Package compress compresses replies for clients that take it, and requests for
// upstreams that do (Filter), and takes compression off again (Decompressor). It
// stands outermost of what looks at a message's content.
package compress

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter compresses content in one coding.
type Filter struct {
	Coding *Coding
	// Group are the filters of the chain, this one among them; First prefers it where
	// a client likes several alike.
	Group *Group
	First bool
	// Requests says which requests are compressed; nil is none. Response says which
	// replies, where Replies is set.
	Requests *Suitable
	// OnRequests is the switch for requests.
	OnRequests runtime.Flag
	Response   Suitable
	Replies    runtime.Flag
	// KeepETag leaves replies with an entity tag alone, WeakenETag makes a strong one
	// weak; otherwise a strong one is taken off.
	KeepETag, WeakenETag bool
	// Hide keeps the client's accept-encoding from the upstream.
	Hide bool
	// Never are statuses that are left alone.
	Never []int
	// Tell says in a field of the reply what was done and why not.
	Tell bool
}

// Suitable is what content is worth compressing.
type Suitable struct {
	// Min is the shortest content that is worth it; content of unknown length
	// always is.
	Min int64
	// Types are the content types.
	Types []string
}

// DefaultTypes are the content types that are worth compressing, as Envoy has
// them.
var DefaultTypes = []string{
	"application/ecmascript", "application/grpc-web", "application/grpc-web+proto", "application/javascript", "application/json", "application/x-javascript", "application/x-json",
	"application/xhtml+xml", "application/xml", "image/svg+xml", "text/css", "text/ecmascript", "text/html", "text/javascript", "text/js", "text/jscript", "text/plain",
	"text/x-javascript", "text/x-js", "text/xml",
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	accepted, asked := req.Header.Joined("accept-encoding")
	if f.Hide && f.Replies.Set() {
		req.Header.Del("accept-encoding")
	}
	if f.Requests != nil && f.OnRequests.Set() && req.Body != nil && req.Upgrade == "" && f.Requests.worth(&req.Header, stream.Announced(req.Body, req.Length)) && !req.Header.Has("content-encoding") {
		req.Header.Set("content-encoding", f.Coding.Name)
		req.Body, req.Length = newBody(req.Body, f.Coding), stream.Unknown
	}
	resp, err := next.Handle(req)
	if err != nil || !f.Replies.Set() || resp.Upgraded != nil {
		return resp, err
	}
	empty := req.Method == "HEAD" || resp.Body == nil
	why := f.bar(resp)
	if why == "" {
		vary(&resp.Header)
		if !empty && asked && f.Group.choose(accepted, kindOf(&resp.Header)) == f.Coding.Name {
			why = f.compress(resp)
		}
	}
	if f.Tell && !empty && why != "" && why != silent {
		resp.Header.Add("x-envoy-compression-status", f.Coding.Name+";"+why)
	}
	return resp, nil
}

// silent is a reason that is not told.
const silent = "silent"

// bar says why a reply is not compressed for anybody, empty when it may be.
func (f *Filter) bar(resp *stream.Response) string {
	h := &resp.Header
	length := resp.Length
	switch {
	case resp.Status == 204:
		length = stream.Unknown
	case resp.Body != nil:
		length = stream.Announced(resp.Body, length)
	}
	switch {
	case h.Has("content-encoding"), asItIs(h):
		return silent
	case !f.Response.long(length):
		return "ContentLengthTooSmall"
	case !f.Response.likes(kindOf(h)):
		return "ContentTypeNotAllowed"
	case f.KeepETag && !f.WeakenETag && h.Has("etag"):
		return "EtagNotAllowed"
	case slices.Contains(f.Never, resp.Status):
		return "StatusCodeNotAllowed"
	}
	return ""
}

// asItIs reports whether a message says that its content is not to be changed.
func asItIs(h *stream.Header) bool {
	control, _ := h.Joined("cache-control")
	return strings.Contains(strings.ToLower(control), "no-transform")
}

// compress replaces a reply's content, and says so.
func (f *Filter) compress(resp *stream.Response) string {
	h := &resp.Header
	if tag := h.Get("etag"); tag != "" && !weak(tag) {
		if f.WeakenETag {
			h.Set("etag", "W/"+tag)
		} else {
			h.Del("etag")
		}
	}
	h.Set("content-encoding", f.Coding.Name)
	done := "Compressed"
	if n := stream.Announced(resp.Body, resp.Length); n != stream.Unknown {
		done += ";OriginalLength=" + strconv.FormatInt(n, 10)
	}
	resp.Body, resp.Length = newBody(resp.Body, f.Coding), stream.Unknown
	return done
}

func weak(tag string) bool { return len(tag) > 1 && strings.EqualFold(tag[:2], "W/") }

// worth reports whether content is to be compressed by what its head says.
func (s *Suitable) worth(h *stream.Header, length int64) bool {
	return s.long(length) && s.likes(kindOf(h))
}

func (s *Suitable) long(length int64) bool { return length == stream.Unknown || length >= s.Min }

// likes reports whether content of a type is worth it; what has no type may be.
func (s *Suitable) likes(kind string) bool {
	return kind == "" || slices.ContainsFunc(s.Types, func(t string) bool { return strings.EqualFold(t, kind) })
}

// kindOf is a message's content type without its parameters.
func kindOf(h *stream.Header) string {
	kind, _, _ := strings.Cut(h.Get("content-type"), ";")
	return strings.TrimSpace(kind)
}

// vary says that the reply depends on what the client takes.
func vary(h *stream.Header) {
	have, _ := h.Joined("vary")
	if strings.Contains(have, "Accept-Encoding") {
		return
	}
	if have != "" {
		have += ", "
	}
	h.Set("vary", have+"Accept-Encoding")
}

// body is content being compressed.
type body struct {
	from   stream.Body
	coding *Coding
	writer writer // nil when all has been written
	ready  bytes.Buffer
}

func newBody(from stream.Body, c *Coding) *body {
	b := &body{from: from, coding: c, writer: c.writers.Get().(writer)}
	b.writer.Reset(&b.ready)
	return b
}

// Wait implements [stream.Body]. What has come is sent on when its sender makes a
// pause: a client that follows a stream of events gets each at once.
func (b *body) Wait() error {
	for b.ready.Len() == 0 && b.writer != nil {
		p := b.from.Buffered()
		switch {
		case len(p) > 0:
			if _, err := b.writer.Write(p); err != nil {
				return err
			}
			b.from.Discard(len(p))
			if len(b.from.Buffered()) == 0 && !b.from.Complete() {
				if err := b.writer.Flush(); err != nil {
					return err
				}
			}
		case b.from.Complete():
			if err := b.writer.Close(); err != nil {
				return err
			}
			b.writer.Reset(io.Discard) // it holds nothing of this content
			b.coding.writers.Put(b.writer)
			b.writer = nil
		default:
			if err := b.from.Wait(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Read implements [stream.Body].
func (b *body) Read(p []byte) (int, error) { return stream.ReadBuffered(b, p) }

// Buffered implements [stream.Body].
func (b *body) Buffered() []byte { return b.ready.Bytes() }

// Discard implements [stream.Body].
func (b *body) Discard(n int) { b.ready.Next(n) }

// Complete implements [stream.Body].
func (b *body) Complete() bool { return b.writer == nil && b.ready.Len() == 0 }

// Trailers implements [stream.Body].
func (b *body) Trailers() *stream.Header { return b.from.Trailers() }

var (
	_ stream.Filter = (*Filter)(nil)
	_ stream.Body   = (*body)(nil)
)
