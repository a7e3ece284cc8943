// Package compress sends replies in gzip to clients that take it. It stands
// outermost of what looks at a reply's content.
package compress

import (
	"bytes"
	"compress/gzip"
	"strconv"
	"strings"
	"sync"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter compresses replies.
type Filter struct {
	// Min is the shortest content that is worth it; content of unknown length
	// always is.
	Min int64
	// Types are the content types that are compressed.
	Types []string
	// KeepETag leaves replies with an entity tag alone; otherwise the tag is made
	// weak.
	KeepETag bool
	// Hide keeps the client's accept-encoding from the upstream.
	Hide bool
	// Never are statuses that are left alone.
	Never []int
	// Writers are gzip writers that are used again: see NewWriters.
	Writers *sync.Pool
}

// NewWriters makes a pool of writers with a gzip level, 1 to 9 or -1 for the
// usual.
func NewWriters(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, level)
		if err != nil {
			w = gzip.NewWriter(nil)
		}
		return w
	}}
}

// DefaultTypes are the content types that are worth compressing, as Envoy has
// them.
var DefaultTypes = []string{"application/javascript", "application/json", "application/xhtml+xml", "image/svg+xml", "text/css", "text/html", "text/plain", "text/xml"}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	accepted, _ := req.Header.Joined("accept-encoding")
	takes := accepts(accepted)
	if f.Hide {
		req.Header.Del("accept-encoding")
	}
	resp, err := next.Handle(req)
	if err != nil {
		return resp, err
	}
	if !f.worth(resp) {
		return resp, nil
	}
	vary(&resp.Header)
	if !takes || req.Method == "HEAD" || resp.Body == nil {
		return resp, nil
	}
	if tag := resp.Header.Get("etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		resp.Header.Set("etag", "W/"+tag)
	}
	resp.Header.Set("content-encoding", "gzip")
	b := &body{from: resp.Body, pool: f.Writers, gzip: f.Writers.Get().(*gzip.Writer)}
	b.gzip.Reset(&b.ready)
	resp.Body, resp.Length = b, stream.Unknown
	return resp, nil
}

// worth reports whether a reply may be compressed at all.
func (f *Filter) worth(resp *stream.Response) bool {
	h := &resp.Header
	for _, s := range f.Never {
		if resp.Status == s {
			return false
		}
	}
	if resp.Upgraded != nil || h.Has("content-encoding") || resp.Length != stream.Unknown && resp.Length < f.Min || f.KeepETag && h.Has("etag") {
		return false
	}
	if strings.Contains(strings.ToLower(h.Get("cache-control")), "no-transform") {
		return false
	}
	kind, _, _ := strings.Cut(h.Get("content-type"), ";")
	kind = strings.TrimSpace(kind)
	if kind == "" {
		return true
	}
	for _, t := range f.Types {
		if strings.EqualFold(t, kind) {
			return true
		}
	}
	return false
}

// vary says that the reply depends on what the client takes.
func vary(h *stream.Header) {
	have, _ := h.Joined("vary")
	if strings.Contains(strings.ToLower(have), "accept-encoding") {
		return
	}
	if have != "" {
		have += ", "
	}
	h.Set("vary", have+"Accept-Encoding")
}

// accepts reads an Accept-Encoding field (RFC 9110 section 12.5.3): whether gzip
// is taken, and nothing is preferred to it.
func accepts(field string) bool {
	gzip, identity, wild := -1.0, -1.0, -1.0
	for each := range strings.SplitSeq(field, ",") {
		name, parameters, _ := strings.Cut(strings.TrimSpace(each), ";")
		q := 1.0
		for p := range strings.SplitSeq(parameters, ";") {
			if value, found := strings.CutPrefix(strings.TrimSpace(p), "q="); found {
				var err error
				if q, err = strconv.ParseFloat(value, 64); err != nil {
					q = 0
				}
			}
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip":
			gzip = q
		case "identity":
			identity = q
		case "*":
			wild = q
		}
	}
	if gzip < 0 {
		gzip = wild
	}
	return gzip > 0 && gzip >= identity
}

// body is content being compressed.
type body struct {
	from  stream.Body
	gzip  *gzip.Writer
	pool  *sync.Pool
	ready bytes.Buffer
	ended bool
}

// Wait implements [stream.Body]. What has come is sent on when the upstream makes
// a pause: a client that follows a stream of events gets each at once.
func (b *body) Wait() error {
	for b.ready.Len() == 0 && !b.ended {
		p := b.from.Buffered()
		switch {
		case len(p) > 0:
			if _, err := b.gzip.Write(p); err != nil {
				return err
			}
			b.from.Discard(len(p))
			if len(b.from.Buffered()) == 0 && !b.from.Complete() {
				if err := b.gzip.Flush(); err != nil {
					return err
				}
			}
		case b.from.Complete():
			b.ended = true
			if err := b.gzip.Close(); err != nil {
				return err
			}
			b.pool.Put(b.gzip)
			b.gzip = nil
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
func (b *body) Complete() bool { return b.ended && b.ready.Len() == 0 }

// Trailers implements [stream.Body].
func (b *body) Trailers() *stream.Header { return b.from.Trailers() }

var (
	_ stream.Filter = (*Filter)(nil)
	_ stream.Body   = (*body)(nil)
)
