package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"k8s.io/client-go/rest"
)

// RESTConfig is a client configuration that reaches the server in process, as
// administrator, without a network and before Run. Streams over SPDY or WebSocket
// (exec, attach, port-forward) need the network: use [Server.Kubeconfig] for those.
func (s *Server) RESTConfig() *rest.Config {
	return &rest.Config{
		Host:      "http://in-process",
		Transport: inProcess{s.Handler()},
		QPS:       -1, // the server is as fast as the client
	}
}

// trusted marks the context of a request that came in process.
type trusted struct{}

// inProcess hands requests to a handler as if they had come over a network.
type inProcess struct{ handler http.Handler }

// RoundTrip returns when the handler has begun to answer, and lets it stream on.
func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Upgrade") != "" {
		return nil, errors.New("in-process client: exec, attach and port-forward need a network connection")
	}
	ctx, cancel := context.WithCancel(context.WithValue(req.Context(), trusted{}, true))
	inner := req.Clone(ctx)
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	inner.RequestURI = inner.URL.RequestURI()
	out, in := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: in, begun: make(chan struct{})}
	go func() { // ends with the handler, at the latest when the response body is closed
		defer cancel()
		defer inner.Body.Close()
		t.handler.ServeHTTP(w, inner)
		w.WriteHeader(http.StatusOK)
		in.Close()
	}()
	select {
	case <-w.begun:
	case <-ctx.Done():
		out.CloseWithError(ctx.Err())
		return nil, context.Cause(ctx)
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.code, http.StatusText(w.code)), StatusCode: w.code,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: responseBody{out, cancel}, ContentLength: -1, Request: req,
	}, nil
}

// pipeWriter is the server's side of an in-process answer.
type pipeWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed when code and sent are set
	code   int
	sent   http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(code int) {
	w.once.Do(func() {
		w.code, w.sent = code, w.header.Clone()
		close(w.begun)
	})
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush does nothing: every write reaches the reader at once.
func (w *pipeWriter) Flush() {}

type responseBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close ends the handler if it still streams.
func (b responseBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
