// Package grpcweb lets browsers call gRPC services: they cannot read trailers,
// so the filter puts these behind the content, and they may send the content as
// text. It stands before everything that looks at gRPC.
package grpcweb

import (
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

const (
	plain  = "application/grpc-web"
	asText = "application/grpc-web-text"
	// trailerFlag marks the frame that holds the trailers.
	trailerFlag = 0x80
	maxText     = 4 << 20 // of a request in base64
)

// Filter translates gRPC-Web (gRPC's PROTOCOL-WEB.md) to gRPC and back.
type Filter struct{}

// Handle implements [stream.Filter].
func (Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	kind := req.Header.Get("content-type")
	if !strings.HasPrefix(kind, plain) {
		return next.Handle(req)
	}
	text := strings.HasPrefix(kind, asText)
	kind = strings.Clone(kind)
	suffix := strings.TrimPrefix(strings.TrimPrefix(kind, asText), plain)
	if text {
		if err := decode(req); err != nil {
			return nil, err
		}
	}
	if accept := req.Header.Get("accept"); strings.HasPrefix(accept, asText) {
		text = true
	}
	req.Header.Set("content-type", "application/grpc"+suffix)
	req.Header.Set("te", "trailers")
	req.Header.Set("grpc-accept-encoding", "identity,deflate,gzip")
	req.Length = stream.Unknown
	resp, err := next.Handle(req)
	if err != nil {
		return nil, err
	}
	if !stream.IsGRPC(&resp.Header) {
		return resp, nil
	}
	answer := plain
	if text {
		answer = asText
	}
	resp.Header.Set("content-type", answer+strings.TrimPrefix(resp.Header.Get("content-type"), "application/grpc"))
	if resp.Body == nil {
		return resp, nil // trailers only: they are in the head
	}
	resp.Body, resp.Length = &body{from: resp.Body, text: text}, stream.Unknown
	return resp, nil
}

// decode turns a request's text into bytes.
func decode(req *stream.Request) error {
	head, whole, err := stream.Peek(req, maxText)
	if err != nil {
		return err
	}
	if !whole {
		return stream.Refuse(413, "grpc_base_64_decode_failed_bad_size", "Payload Too Large")
	}
	plain := make([]byte, 0, base64.StdEncoding.DecodedLen(len(head)))
	// Several padded pieces may stand one behind the other.
	for rest := head; len(rest) > 0; {
		end := len(rest)
		for i := 4; i <= len(rest); i += 4 {
			if rest[i-1] == '=' {
				end = i
				break
			}
		}
		if plain, err = base64.StdEncoding.AppendDecode(plain, rest[:end]); err != nil {
			return stream.Refuse(400, "grpc_base_64_decode_failed", "Bad gRPC-web request, invalid base64 data.")
		}
		rest = rest[end:]
	}
	req.Body = stream.NewBytes(plain)
	return nil
}

// body is a reply with its trailers behind the content.
type body struct {
	from stream.Body
	text bool
	// ready is what may be read; rest holds bytes that do not fill a group of
	// base64 yet.
	ready, rest []byte
	ended       bool
}

func (b *body) fill() error {
	for len(b.ready) == 0 && !b.ended {
		p := b.from.Buffered()
		if len(p) == 0 && !b.from.Complete() {
			if err := b.from.Wait(); err != nil {
				return err
			}
			continue
		}
		if len(p) > 0 {
			b.add(p, false)
			b.from.Discard(len(p))
			continue
		}
		b.add(trailers(b.from.Trailers()), true)
		b.ended = true
	}
	return nil
}

func (b *body) add(p []byte, last bool) {
	if !b.text {
		b.ready = append(b.ready[:0], p...)
		return
	}
	b.rest = append(b.rest, p...)
	n := len(b.rest)
	if !last {
		n -= n % 3
	}
	b.ready = base64.StdEncoding.AppendEncode(b.ready[:0], b.rest[:n])
	b.rest = append(b.rest[:0], b.rest[n:]...)
}

// trailers is the frame that holds them.
func trailers(t *stream.Header) []byte {
	frame := []byte{trailerFlag, 0, 0, 0, 0}
	for i := range t.Len() {
		f := t.At(i)
		frame = append(append(append(append(frame, strings.ToLower(f.Name)...), ':'), f.Value...), "\r\n"...)
	}
	binary.BigEndian.PutUint32(frame[1:], uint32(len(frame)-5))
	return frame
}

// Read implements [stream.Body].
func (b *body) Read(p []byte) (int, error) { return stream.ReadBuffered(b, p) }

// Wait implements [stream.Body].
func (b *body) Wait() error { return b.fill() }

// Buffered implements [stream.Body].
func (b *body) Buffered() []byte { return b.ready }

// Discard implements [stream.Body].
func (b *body) Discard(n int) { b.ready = b.ready[n:] }

// Complete implements [stream.Body].
func (b *body) Complete() bool { return b.ended && len(b.ready) == 0 }

// Trailers implements [stream.Body].
func (b *body) Trailers() *stream.Header { return nil }

var (
	_ stream.Filter = Filter{}
	_ stream.Body   = (*body)(nil)
)
