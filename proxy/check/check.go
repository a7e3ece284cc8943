// Package check asks endpoints whether they are well, over HTTP, gRPC or TCP: what
// a cluster's active health checks do each time.
package check

import (
	"bytes"
	"context"
	"fmt"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// Status is a range of status codes: [Start, End).
type Status struct{ Start, End int }

// HTTP asks by a request.
type HTTP struct {
	Method, Host, Path string
	Header             []stream.Field
	// Expected are well, Retriable count as a failure that may pass; any other takes
	// the endpoint out at once. Expected is 200 when empty.
	Expected, Retriable []Status
	HTTP2               bool
}

// Probe asks once.
func (h *HTTP) Probe(ctx context.Context, p *pool.Pool) error {
	carrier, done, err := open(ctx, p, h.HTTP2)
	if err != nil {
		return err
	}
	defer done()
	caller := upcall.Caller{Handler: carrier, Authority: h.Host, Header: h.Header}
	reply, err := caller.Do(nil, upcall.Call{Method: h.Method, Path: h.Path})
	if err != nil {
		return err
	}
	switch {
	case len(h.Expected) == 0 && reply.Status == 200, among(h.Expected, reply.Status):
		return nil
	case among(h.Retriable, reply.Status):
		return fmt.Errorf("status %d", reply.Status)
	}
	return &cluster.Unwell{Reason: fmt.Sprintf("status %d", reply.Status)}
}

func among(list []Status, status int) bool {
	for _, s := range list {
		if status >= s.Start && status < s.End {
			return true
		}
	}
	return false
}

// GRPC asks the health service of gRPC.
type GRPC struct{ Service, Authority string }

// Probe asks once.
func (g *GRPC) Probe(ctx context.Context, p *pool.Pool) error {
	carrier, done, err := open(ctx, p, true)
	if err != nil {
		return err
	}
	defer done()
	caller := upcall.Caller{Handler: carrier, Authority: g.Authority}
	var reply healthv1.HealthCheckResponse
	if err := caller.Unary(nil, "/grpc.health.v1.Health/Check", &healthv1.HealthCheckRequest{Service: g.Service}, &reply); err != nil {
		return err
	}
	if s := reply.GetStatus(); s != healthv1.HealthCheckResponse_SERVING {
		return &cluster.Unwell{Reason: s.String()}
	}
	return nil
}

// TCP asks by a connection, and where there is something to say, by bytes that are
// sent and bytes that have to come, in their order.
type TCP struct {
	Send    []byte
	Receive [][]byte
}

// mostRead bounds how much an endpoint may say before what has to come.
const mostRead = 64 << 10

// Probe asks once.
func (t *TCP) Probe(ctx context.Context, p *pool.Pool) error {
	conn, err := p.Connect(ctx, pool.TLSRequest{})
	if err != nil {
		return err
	}
	defer p.Close(conn)
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if len(t.Send) > 0 {
		if _, err := conn.Write(t.Send); err != nil {
			return err
		}
	}
	var seen []byte
	chunk := make([]byte, 1024)
	for left := t.Receive; len(left) > 0; {
		if i := bytes.Index(seen, left[0]); i >= 0 {
			seen, left = seen[i+len(left[0]):], left[1:]
			continue
		}
		if len(seen) > mostRead {
			return fmt.Errorf("the answer does not have %q", left[0])
		}
		n, err := conn.Read(chunk)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		seen = append(seen, chunk[:n]...)
	}
	return nil
}

// open opens a connection for one exchange. done closes it.
func open(ctx context.Context, p *pool.Pool, second bool) (stream.Handler, func(), error) {
	ask := pool.TLSRequest{Fallback: []string{"http/1.1"}}
	if second {
		ask.Fallback = []string{"h2"}
	}
	conn, err := p.Connect(ctx, ask)
	if err != nil {
		return nil, nil, err
	}
	deadline, _ := ctx.Deadline()
	if !second {
		return &once{client: http1.NewClient(conn.Conn, http1.Limits{}), deadline: deadline}, func() { p.Close(conn) }, nil
	}
	client := http2.NewClient(conn.Conn, http2.Config{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		client.Run()
	}()
	client.Reserve()
	return &once{client: client.Exchange(), deadline: deadline}, func() { p.Close(conn); <-ended }, nil
}

// once makes one exchange on a connection.
type once struct {
	client interface {
		RoundTrip(*stream.Request, time.Time) (*stream.Response, error)
		Finish() bool
	}
	deadline time.Time
}

// Handle implements [stream.Handler].
func (o *once) Handle(req *stream.Request) (*stream.Response, error) {
	resp, err := o.client.RoundTrip(req, o.deadline)
	if err != nil {
		o.client.Finish()
		return nil, err
	}
	resp.Done = o
	return resp, nil
}

// Settle implements [stream.Releaser].
func (o *once) Settle() {}

// Release implements [stream.Releaser].
func (o *once) Release(bool) { o.client.Finish() }
