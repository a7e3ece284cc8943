// Package upcall makes the calls that the proxy itself needs while it handles
// requests: to an authorization service, to a rate limit service, for keys. A
// call goes through a cluster like any request, with its balancing, its TLS and
// its circuit breakers.
package upcall

import (
	"fmt"
	"io"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Caller calls one service.
type Caller struct {
	// Handler carries the calls: a router before the service's cluster, which
	// bounds their time.
	Handler stream.Handler
	// Authority is the host that calls name.
	Authority string
	// Header are fields of every call.
	Header []stream.Field
}

// Call is one HTTP request.
type Call struct {
	Method, Path string
	// Scheme is "http" when empty, Authority the caller's.
	Scheme, Authority string
	Header            []stream.Field
	// Body is nil when there is none; an empty one is announced.
	Body []byte
}

// Reply is what came back. It belongs to the caller.
type Reply struct {
	Status   int
	Header   stream.Header
	Body     []byte
	Trailers stream.Header
}

// MaxReply is how large a reply's body may be.
const MaxReply = 4 << 20

// Do makes a call. When it is made for a request, which may be nil, the call
// ends when that request is given up.
func (c *Caller) Do(on *stream.Request, call Call) (*Reply, error) {
	req := &stream.Request{
		Method: call.Method, Scheme: call.Scheme, Authority: call.Authority, Path: call.Path,
		Conn: &stream.Conn{}, Info: &stream.Info{}, Length: int64(len(call.Body)),
	}
	if req.Authority == "" {
		req.Authority = c.Authority
	}
	if req.Scheme == "" {
		req.Scheme = "http"
	}
	req.Header.AddAll(c.Header)
	req.Header.AddAll(call.Header)
	req.Header.Add("x-envoy-internal", "true")
	if call.Body != nil {
		req.Body = stream.NewBytes(call.Body)
	}
	if on != nil {
		req.Conn = on.Conn
		if !on.Waiting.On(abandon{req}) {
			return nil, on.GivenUp()
		}
		defer on.Waiting.Off()
	}
	resp, err := c.Handler.Handle(req)
	if err != nil {
		return nil, err
	}
	reply := &Reply{Status: resp.Status, Header: resp.Header.Clone()}
	err = reply.read(resp)
	req.Upload.Stop()
	req.Info.End = time.Now()
	if resp.Done != nil {
		resp.Done.Release(err == nil)
	}
	return reply, err
}

// Post sends a body whose reply does not matter, as long as it is a success.
func (c *Caller) Post(path, kind string, body []byte) error {
	reply, err := c.Do(nil, Call{Method: "POST", Path: path, Body: body, Header: []stream.Field{{Name: "content-type", Value: kind}}})
	if err != nil {
		return err
	}
	if reply.Status/100 != 2 {
		return fmt.Errorf("the collector answered %d", reply.Status)
	}
	return nil
}

// abandon ends a call when what it is made for is given up.
type abandon struct{ call *stream.Request }

// Interrupt implements [stream.Interrupter].
func (a abandon) Interrupt() { a.call.Waiting.Abandon(stream.DownstreamTermination) }

func (r *Reply) read(resp *stream.Response) error {
	if resp.Body == nil {
		return nil
	}
	var err error
	if r.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxReply+1)); err != nil {
		return err
	}
	if len(r.Body) > MaxReply {
		return fmt.Errorf("the reply is longer than %d bytes", MaxReply)
	}
	if t := resp.Body.Trailers(); t != nil {
		r.Trailers = t.Clone()
	}
	return nil
}
