// Package grpcweb lets browsers call gRPC services: they cannot read trailers,
// so the filter puts these behind the content, and they may send the content as
// text. It stands before everything that looks at gRPC.
package grpcweb

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"strconv"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

const (
	plain  = "application/grpc-web"
	asText = "application/grpc-web-text"
	proto  = "+proto"
	// trailerFlag marks the frame that holds the trailers.
	trailerFlag = 0x80
	maxText     = 4 << 20 // of a request in base64
)

// Filter translates gRPC-Web (gRPC's PROTOCOL-WEB.md) to gRPC and back.
type Filter struct{}

// Handle implements [stream.Filter].
func (Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	kind := req.Header.Get("content-type")
	rest, encoded := strings.CutPrefix(kind, asText)
	if !encoded {
		rest = strings.TrimPrefix(kind, plain)
	}
	if rest == kind || rest != "" && rest[0] != '+' && rest[0] != ';' {
		return next.Handle(req)
	}
	accept := req.Header.Get("accept")
	text := accept == asText || accept == asText+proto // how the client asks does not say how it is answered
	answer := plain + proto
	if text {
		answer = asText + proto
	}
	if encoded {
		if err := decode(req); err != nil {
			return refused(err, answer)
		}
	}
	req.Header.Set("content-type", "application/grpc") // of whatever codec, as Envoy has it
	req.Header.Set("te", "trailers")
	req.Header.Set("grpc-accept-encoding", "identity")
	req.Length = stream.Unknown
	resp, err := next.Handle(req)
	if stream.AsRedirected(err) != nil {
		req.Header.Set("content-type", plain+rest) // it comes here again, decoded
		return nil, err
	}
	if err != nil {
		req.Header.Set("content-type", kind) // the client does not read what gRPC's clients do
		return refused(err, answer)
	}
	if resp.Upgraded != nil {
		return resp, nil
	}
	called := stream.IsGRPC(&resp.Header)
	resp.Header.Set("content-type", answer)
	switch {
	case resp.Body == nil: // trailers only: they are in the head
	case called:
		resp.Body, resp.Length = &body{from: resp.Body, text: text}, stream.Unknown
	default:
		message, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
		if err != nil {
			return resp, nil // it is cut off like any other
		}
		outcome(&resp.Header, resp.Status, string(message))
		resp.Body, resp.Length = nil, 0
	}
	return resp, nil
}

// refused makes a refusal one that the client reads: its text is the call's
// message.
func refused(err error, answer string) (*stream.Response, error) {
	r := *stream.AsRefusal(err)
	if r.Status == 0 {
		return nil, err
	}
	message := r.Body
	r.Body = ""
	return stream.OnHead(nil, &r, func(resp *stream.Response) {
		resp.Header.Set("content-type", answer)
		outcome(&resp.Header, r.Status, message)
	})
}

// outcome tells what a status without a call's outcome stands for, where there is
// anything to tell.
func outcome(h *stream.Header, status int, message string) {
	if message == "" {
		return
	}
	code := (&stream.Refusal{Status: status}).GRPCStatus()
	if status == 200 {
		code = 2 // unknown
	}
	h.Set("grpc-status", strconv.Itoa(code))
	h.Set("grpc-message", stream.EscapeMessage(message))
}

// maxMessage is how much of an answer that is no gRPC becomes a call's message; what
// comes behind it is not waited for.
const maxMessage = 16 << 10

// decode turns a request's text into bytes.
func decode(req *stream.Request) error {
	head, whole, err := stream.Peek(req, maxText)
	if err != nil {
		return err
	}
	if !whole {
		return stream.Refuse(413, "grpc_base_64_decode_failed_bad_size", "Payload Too Large")
	}
	if len(head)%4 != 0 {
		return stream.Refuse(400, "grpc_base_64_decode_failed_bad_size", "Bad gRPC-web request, invalid base64 data.")
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

// trailers is the frame that holds them; there is none for none, though every call
// should end with some.
func trailers(t *stream.Header) []byte {
	if t == nil {
		return nil
	}
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
