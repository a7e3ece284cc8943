package http1

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// parsed reads one request with its body off text.
func parsed(text []byte) (req *stream.Request, body []byte, err error) {
	req = &stream.Request{}
	in := reader{src: bytes.NewReader(text)}
	limits := Limits{}.withDefaults()
	head, err := in.head(limits.MaxHead)
	if err != nil {
		return req, nil, err
	}
	f, err := requestHead(head, req, limits)
	if err != nil {
		return req, nil, err
	}
	var b testBody
	b.start(&in, f, limits)
	if f.chunked || f.length > 0 {
		body, err = readAll(&b.body)
		req.Length = f.length
		req.Body = stream.NewBytes(body)
		if f.chunked {
			req.Length = int64(len(body))
		}
	}
	return req, body, err
}

type testBody struct{ body }

// What we pass on must mean to the next server what it meant to us: a request
// that we accept, written by our client, parses to the same request.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\nHost: a\n\n",
		"POST /x?y=1 HTTP/1.1\nHost: a:80\nContent-Length: 5\nX-A: b c\n\nhello",
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5;x=y\nhello\n0\nX: 1\n\n",
		"GET http://b/ HTTP/1.1\nHost: a\nConnection: close, x\nX: 1\nUpgrade: websocket\n\n",
		"OPTIONS * HTTP/1.1\nHost: [::1]\nConnection: Upgrade\nUpgrade: h2c\n\n",
		"GET / HTTP/1.0\n\n",
		"POST / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n",
		"GET / HTTP/1.1\nHost: a\nX: 1\n  2\n\n",
	} {
		f.Add([]byte(crlf(seed)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		req, body, err := parsed(bytes.Clone(text))
		if err != nil || req.Method == "CONNECT" {
			return
		}
		if req.Authority == "" {
			return // HTTP/1.0 without a host
		}
		for i := range req.Header.Len() {
			field := req.Header.At(i)
			if strings.ContainsAny(field.Name+field.Value, "\r\n\x00") {
				t.Fatalf("field %q", field)
			}
			switch strings.ToLower(field.Name) {
			case "host", "content-length", "transfer-encoding", "connection":
				t.Fatalf("connection-level field %q was passed on", field)
			}
		}
		var out bytes.Buffer
		c := &Client{}
		c.out.dst = &out
		req.Info = &stream.Info{}
		if err := c.send(req); err != nil {
			t.Fatal(err)
		}
		again, bodyAgain, err := parsed(out.Bytes())
		if err != nil {
			t.Fatalf("%q was passed on as %q: %v", text, out.Bytes(), err)
		}
		if again.Method != req.Method || again.Path != req.Path || again.Authority != req.Authority || !bytes.Equal(body, bodyAgain) || again.Header.Len() != req.Header.Len() {
			t.Fatalf("%q was passed on as %q", text, out.Bytes())
		}
	})
}

func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX: 1\n\n",
		"HTTP/1.0 404\n\nx", "HTTP/1.1 100 Continue\n\nHTTP/1.1 204 No\n\n",
	} {
		f.Add([]byte(crlf(seed)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := &Client{limits: Limits{}.withDefaults()}
		c.in.src = bytes.NewReader(text)
		resp, err := c.receive(&stream.Request{Method: "GET", Info: &stream.Info{}})
		if err != nil {
			return
		}
		if resp.Body != nil {
			n, err := io.Copy(io.Discard, struct{ io.Reader }{resp.Body})
			if err == nil && !c.body.Complete() || n > int64(len(text)) {
				t.Fatalf("%d bytes of %q, %v", n, text, err)
			}
		}
	})
}
