package entry

import (
	"strings"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// LocalReply changes what the proxy answers by itself: refusals, redirects and direct
// responses, not the answers of upstreams.
type LocalReply struct {
	// Mappers are asked in order; the first one that holds changes the reply.
	Mappers []ReplyMapper
	// Format writes the body where the mapper has no format of its own.
	Format ReplyFormat
}

// ReplyMapper changes the replies that it holds for.
type ReplyMapper struct {
	// Holds sees the head of the reply as it is so far.
	Holds  func(*stream.Request, *stream.Response) bool
	Status int     // 0 leaves it
	Body   *string // nil leaves it
	Header []route.HeaderOp
	Format *ReplyFormat // nil is that of all
}

// ReplyFormat is how bodies are written.
type ReplyFormat struct {
	// Write makes the body of what it is without a format; nil leaves it.
	Write func(req *stream.Request, resp *stream.Response, body string) string
	// ContentType is the body's, where no field tells another; empty is text/plain.
	ContentType string
}

// Rewrite is the refusal that is answered instead. It notes on the request what the
// refusal says, for the conditions and formats that look there.
func (l *LocalReply) Rewrite(req *stream.Request, r *stream.Refusal) *stream.Refusal {
	if r.Status == 0 {
		return r // nobody is there
	}
	out := *r
	head := &stream.Response{Status: r.Status}
	head.Header.AddAll(r.Header)
	req.Info.Flags |= r.Flags &^ stream.DownstreamProtocol // which Envoy notes behind the reply
	req.Info.Details, req.Info.Status = r.Details, r.Status
	format, told := &l.Format, head.Header.Get("content-type")
	if m := l.mapper(req, head); m != nil {
		m.apply(req, head, &out)
		if m.Format != nil {
			format = m.Format
		}
	}
	if format.Write != nil {
		out.Body = format.Write(req, head, out.Body)
	}
	changed := out.Body != r.Body && head.Header.Get("content-type") == told
	format.complete(req, &head.Header, &out, changed)
	out.Header = head.Header.Fields()
	return &out
}

// mapper is the first one that holds, nil when none does.
func (l *LocalReply) mapper(req *stream.Request, head *stream.Response) *ReplyMapper {
	for i := range l.Mappers {
		if m := &l.Mappers[i]; m.Holds(req, head) {
			return m
		}
	}
	return nil
}

// apply changes a reply. Fields are made before the status changes.
func (m *ReplyMapper) apply(req *stream.Request, head *stream.Response, out *stream.Refusal) {
	if m.Body != nil {
		out.Body = *m.Body
	}
	for i := range m.Header {
		m.Header[i].Apply(&head.Header, req, head)
	}
	if m.Status != 0 {
		head.Status, out.Status, req.Info.Status = m.Status, m.Status, m.Status
	}
}

// complete tells the type of the content, which is that of the format where the content
// has changed. A message of gRPC's is one line.
func (f *ReplyFormat) complete(req *stream.Request, h *stream.Header, out *stream.Refusal, changed bool) {
	const asText, asJSON = "text/plain", "application/json"
	kind := f.ContentType
	if kind == "" {
		kind = asText
	}
	switch {
	case stream.IsGRPC(&req.Header):
		if kind == asJSON {
			out.Body = strings.TrimSuffix(out.Body, "\n")
		}
	case out.Body == "":
		h.Del("content-type")
	case changed || !h.Has("content-type"):
		h.Set("content-type", kind)
	}
}
