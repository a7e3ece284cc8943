package grpcstats

import (
	"io"
	"testing"
	"testing/iotest"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// handler reads the request in small pieces and answers with a body.
type handler struct{ answer []byte }

func (h handler) Handle(req *stream.Request) (*stream.Response, error) {
	if req.Body != nil {
		if _, err := io.ReadAll(iotest.OneByteReader(req.Body)); err != nil {
			return nil, err
		}
	}
	return &stream.Response{Status: 200, Body: stream.NewBytes(h.answer), Length: int64(len(h.answer))}, nil
}

func TestMessagesAreCounted(t *testing.T) {
	message := func(n byte) []byte { return append([]byte{0, 0, 0, 0, n}, make([]byte, n)...) }
	three := append(append(message(0), message(200)...), message(7)...)
	for _, tc := range []struct {
		kind    string
		in, out int64
	}{{"application/grpc", 3, 1}, {"application/grpc+proto", 3, 1}, {"application/json", 0, 0}} {
		req := &stream.Request{Body: stream.NewBytes(three), Length: int64(len(three)), Info: &stream.Info{}}
		req.Header.Add("content-type", tc.kind)
		resp, err := Filter{}.Handle(req, handler{message(9)})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || len(got) != 14 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if req.Info.MessagesReceived != tc.in || req.Info.MessagesSent != tc.out {
			t.Errorf("%s: %d in, %d out", tc.kind, req.Info.MessagesReceived, req.Info.MessagesSent)
		}
	}
}
