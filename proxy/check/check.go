// Package check asks endpoints whether they are well, over HTTP, gRPC or TCP: what
// a cluster's active health checks do each time.
package check

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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
	// Cluster is what the endpoint's own proxy must say that it serves
	// (x-envoy-upstream-healthchecked-cluster); nil asks nothing.
	Cluster func(string) bool
	HTTP2   bool
	Reuse   bool // keep the connection for the next probe
}

// Probe asks once.
func (h *HTTP) Probe(ctx context.Context, to cluster.Target) (degraded bool, err error) {
	carrier, err := open(ctx, to.Pool, h.HTTP2, h.Reuse)
	if err != nil {
		return false, err
	}
	defer carrier.done()
	caller := upcall.Caller{Handler: carrier, Authority: cmp.Or(to.Host, h.Host), Header: h.Header}
	reply, err := caller.Do(nil, upcall.Call{Method: h.Method, Path: h.Path})
	if err != nil {
		return false, err
	}
	switch {
	case len(h.Expected) == 0 && reply.Status == 200, among(h.Expected, reply.Status):
		if serves := reply.Header.Get("x-envoy-upstream-healthchecked-cluster"); h.Cluster != nil && !h.Cluster(serves) {
			return false, &cluster.Unwell{Reason: fmt.Sprintf("serves %q", serves)}
		}
		return reply.Header.Get("x-envoy-degraded") != "", nil
	case among(h.Retriable, reply.Status):
		return false, fmt.Errorf("status %d", reply.Status)
	}
	return false, &cluster.Unwell{Reason: fmt.Sprintf("status %d", reply.Status)}
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
type GRPC struct {
	Service, Authority string
	Reuse              bool // keep the connection for the next probe
}

// Probe asks once.
func (g *GRPC) Probe(ctx context.Context, to cluster.Target) (degraded bool, err error) {
	carrier, err := open(ctx, to.Pool, true, g.Reuse)
	if err != nil {
		return false, err
	}
	defer carrier.done()
	caller := upcall.Caller{Handler: carrier, Authority: cmp.Or(to.Host, g.Authority)}
	var reply healthv1.HealthCheckResponse
	err = caller.Unary(nil, "/grpc.health.v1.Health/Check", &healthv1.HealthCheckRequest{Service: g.Service}, &reply)
	if status := (*upcall.StatusError)(nil); errors.As(err, &status) {
		return false, &cluster.Unwell{Reason: status.Error()}
	}
	if err != nil {
		return false, err
	}
	if s := reply.GetStatus(); s != healthv1.HealthCheckResponse_SERVING {
		return false, &cluster.Unwell{Reason: s.String()}
	}
	return false, nil
}

// TCP asks by a connection, and where there is something to say, by bytes that are
// sent and bytes that have to come, in their order.
type TCP struct {
	Send    []byte
	Receive [][]byte
	Reuse   bool // keep the connection for the next probe, if something was said on it
}

// mostRead bounds how much an endpoint may say before what has to come.
const mostRead = 64 << 10

// Probe asks once.
func (t *TCP) Probe(ctx context.Context, to cluster.Target) (degraded bool, err error) {
	conn := to.Pool.Idle(pool.TLSRequest{}, time.Now())
	if conn == nil {
		if conn, err = to.Pool.Connect(ctx, pool.TLSRequest{}); err != nil {
			return false, err
		}
	}
	if err = t.talk(ctx, conn); err != nil || !t.Reuse || len(t.Receive) == 0 {
		to.Pool.Close(conn)
	} else {
		to.Pool.Put(conn)
	}
	return false, err
}

func (t *TCP) talk(ctx context.Context, conn *pool.Conn) error {
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

// open gets a connection for one exchange. done lets go of it.
func open(ctx context.Context, p *pool.Pool, second, reuse bool) (*once, error) {
	ask := pool.TLSRequest{Fallback: []string{"http/1.1"}, Shared: second}
	if second {
		ask.Fallback = []string{"h2"}
	}
	deadline, _ := ctx.Deadline()
	out := &once{deadline: deadline, pool: p, reuse: reuse}
	if second {
		out.conn = p.Place(ask)
	} else {
		out.conn = p.Idle(ask, time.Now())
	}
	if out.conn == nil {
		conn, err := p.Connect(ctx, ask)
		if err != nil {
			return nil, err
		}
		out.conn = conn
		if second {
			client := http2.NewClient(conn.Conn, http2.Config{})
			client.Changed = func() { p.Changed(conn) }
			p.Carry(conn, client)
		} else {
			conn.Codec = http1.NewClient(conn.Conn, http1.Limits{})
		}
	}
	if second {
		out.client = out.conn.Codec.(*http2.Client).Exchange()
	} else {
		out.client = out.conn.Codec.(*http1.Client)
	}
	return out, nil
}

// once makes one exchange on a connection.
type once struct {
	client interface {
		RoundTrip(*stream.Request, time.Time) (*stream.Response, error)
		Finish() bool
	}
	deadline time.Time
	conn     *pool.Conn
	pool     *pool.Pool
	reuse    bool
	intact   bool // the connection may be used again
}

// Handle implements [stream.Handler].
func (o *once) Handle(req *stream.Request) (*stream.Response, error) {
	resp, err := o.client.RoundTrip(req, o.deadline)
	if err != nil {
		o.Release(false)
		return nil, err
	}
	resp.Done = o
	return resp, nil
}

// Settle implements [stream.Releaser].
func (o *once) Settle() {}

// Release implements [stream.Releaser]. After a failure the answer may still come, and
// would be taken for the next probe's.
func (o *once) Release(ok bool) { o.intact = o.client.Finish() && ok }

// done lets go of the connection.
func (o *once) done() {
	carrier, shared := o.conn.Codec.(pool.Carrier)
	switch {
	case shared && !(o.reuse && o.intact):
		carrier.Shut()
	case shared:
	case o.reuse && o.intact:
		o.pool.Put(o.conn)
	default:
		o.pool.Close(o.conn)
	}
}
