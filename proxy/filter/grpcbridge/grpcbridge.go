// Package grpcbridge lets clients that speak HTTP/1 call unary gRPC methods: they
// cannot read trailers, so the outcome of the call is told in the reply's head,
// which therefore waits for its end. It stands before everything that looks at
// gRPC.
package grpcbridge

import (
	"encoding/binary"
	"io"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter translates calls of clients that speak HTTP/1.
type Filter struct {
	// Upgrade makes calls of requests whose content is a protobuf message without
	// gRPC's frame, and takes the frame off the reply's.
	Upgrade bool
	// NoQuery takes the query off a call's path.
	NoQuery bool
}

const (
	protobuf = "application/x-protobuf"
	// prefix is what stands before a message: a byte that says whether it is
	// compressed, and its length.
	prefix = 5
	// largest bounds messages, as gRPC's servers do.
	largest = 4 << 20
)

// Handle implements [stream.Filter].
func (f Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if req.Protocol == stream.HTTP2 {
		return next.Handle(req)
	}
	framed := f.Upgrade && req.Header.Get("content-type") == protobuf
	var message []byte
	if framed {
		var err error
		if message, err = frame(req); err != nil {
			return nil, err
		}
		req.Header.Set("content-type", "application/grpc")
	} else if !stream.IsGRPC(&req.Header) {
		return next.Handle(req)
	}
	if f.NoQuery {
		req.Path = req.PathOnly()
	}
	resp, err := next.Handle(req)
	if err == nil && resp.Body != nil && resp.Upgraded == nil && stream.IsGRPC(&resp.Header) {
		err = complete(req, resp, framed)
	}
	if err != nil && framed {
		req.Header.Set("content-type", protobuf) // who is refused did not speak gRPC
		if stream.AsRedirected(err) != nil && req.Body != nil {
			req.Body, req.Length = stream.NewBytes(message), int64(len(message)) // to be framed again
		}
	}
	return resp, err
}

// frame puts a request's content, which it gives, into gRPC's frame.
func frame(req *stream.Request) (message []byte, err error) {
	message, whole, err := stream.Peek(req, largest)
	if err != nil {
		return nil, err
	}
	if !whole {
		return nil, stream.Refuse(413, "request_payload_too_large", "Payload Too Large")
	}
	framed := binary.BigEndian.AppendUint32(make([]byte, 1, prefix+len(message)), uint32(len(message)))
	req.Body, req.Length = stream.NewBytes(append(framed, message...)), stream.Unknown
	return message, nil
}

// complete reads a reply to its end and puts the call's outcome into its head. A
// failure is told by the status too, as a client that does not know gRPC expects.
func complete(req *stream.Request, resp *stream.Response, framed bool) error {
	content, err := read(req, resp.Body)
	if err != nil {
		if resp.Done != nil {
			resp.Done.Settle()
			resp.Done.Release(false)
		}
		return err
	}
	if t := resp.Body.Trailers(); t != nil {
		for _, name := range []string{"grpc-status", "grpc-message"} {
			if t.Has(name) {
				resp.Header.Set(name, t.Get(name))
			}
		}
		if status := t.Get("grpc-status"); status != "" && status != "0" {
			resp.Status = 503
		}
	}
	if framed {
		content = content[min(prefix, len(content)):]
	}
	resp.Body, resp.Length = stream.NewBytes(content), int64(len(content))
	return nil
}

// read gives a body's whole content.
func read(req *stream.Request, b stream.Body) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(b, largest+1))
	if err != nil {
		req.Info.CutOff(req.Waiting.Abandoned(), stream.SourceError{Err: err})
		return nil, &stream.Refusal{Status: 503, Details: req.Info.Details, Flags: req.Info.Flags, Body: "upstream connect error or disconnect/reset before headers. reset reason: remote reset", Cause: err}
	}
	if len(content) > largest {
		return nil, stream.Refuse(500, "response_payload_too_large", "Internal Server Error")
	}
	return content, nil
}

var _ stream.Filter = Filter{}
