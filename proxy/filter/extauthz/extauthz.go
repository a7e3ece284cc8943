// Package extauthz asks an authorization service about each request. It stands
// before everything that spends on the caller's behalf, and behind what puts the
// request's head in order.
package extauthz

import (
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter lets a request through when the service says so.
type Filter struct {
	Service Service
	// Enabled is the share of the requests that are asked about, and those only whose metadata
	// When holds of, unless it is nil. DenyOthers refuses the rest.
	Enabled    runtime.Share
	When       func(*stream.Metadata) bool
	DenyOthers runtime.Flag
	// Count counts an outcome ("ok", "denied", "error" or "failure_mode_allowed") of a
	// request to a cluster; nil counts none.
	Count func(cluster, outcome string)
	// FailOpen lets requests through when the service cannot be asked; Mark tells
	// the upstream of it.
	FailOpen, Mark bool
	// StatusOnError is what a client gets otherwise; 403 when zero.
	StatusOnError int
	// Body is how much of the body the service is told; 0 is none.
	Body int
	// Partial tells of the first part of a longer body; otherwise such a request
	// is refused.
	Partial bool
	// Extensions are further facts for the service, by the route.
	Extensions map[string]string
	// Charge counts a refusal among the replies of the cluster to which the request
	// would have gone; nil counts none.
	Charge func(cluster string, status int)
}

// Service answers whether a request may go on.
type Service interface {
	Check(q *Question) (*Answer, error)
}

// Question is what the service is told.
type Question struct {
	Req *stream.Request
	// Body is as much of the body as is told; Partial says that there is more.
	Body       []byte
	Partial    bool
	Extensions map[string]string
}

// Answer is what the service says.
type Answer struct {
	Allowed bool
	// Status, Header and Body make the reply to a client that is refused.
	Status int
	Header []stream.Field
	Body   string
	// Set, Add, Append and Remove change the request's fields: Append joins a value
	// to a field that is there. Reply adds to the response.
	Set, Add, Append, Reply []stream.Field
	Remove                  []string
	// SetParams and RemoveParams change the query.
	SetParams    []stream.Field
	RemoveParams []string
	// Metadata is left for later filters and the log.
	Metadata map[string]any
}

// Namespace is where the service's metadata is left.
const Namespace = "envoy.filters.http.ext_authz"

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if !f.Enabled.Drawn() || f.When != nil && !f.When(&req.Info.Metadata) {
		if f.DenyOthers.Set() {
			return nil, f.failed(nil)
		}
		return next.Handle(req)
	}
	q := Question{Req: req, Extensions: f.Extensions}
	if f.Body > 0 && req.Body != nil {
		if err := f.peek(&q); err != nil {
			return nil, err
		}
	}
	a, err := f.Service.Check(&q)
	if err != nil {
		f.count(req, "error")
		if !f.FailOpen {
			return nil, f.failed(err)
		}
		f.count(req, "failure_mode_allowed")
		if f.Mark {
			req.Header.Set("x-envoy-auth-failure-mode-allowed", "true")
		}
		return next.Handle(req)
	}
	for key, value := range a.Metadata {
		req.Info.Metadata.Set(Namespace, key, value)
	}
	if !a.Allowed {
		f.count(req, "denied")
		if f.Charge != nil && req.Info.Cluster != "" {
			f.Charge(req.Info.Cluster, a.Status)
		}
		return nil, &stream.Refusal{Status: a.Status, Flags: stream.Unauthorized, Details: "ext_authz_denied", Header: a.Header, Body: a.Body}
	}
	f.count(req, "ok")
	a.change(&req.Header)
	if params := a.params(); params != nil {
		req.Path = route.Query(params, req)
	}
	resp, err := next.Handle(req)
	return stream.OnHead(resp, err, func(resp *stream.Response) { resp.Header.AddAll(a.Reply) })
}

func (f *Filter) count(req *stream.Request, outcome string) {
	if f.Count != nil {
		f.Count(req.Info.Cluster, outcome)
	}
}

// peek reads what the service is told of the body.
func (f *Filter) peek(q *Question) error {
	head, whole, err := stream.Peek(q.Req, f.Body)
	if err != nil {
		return err
	}
	if !whole && !f.Partial {
		return stream.Refuse(413, "request_payload_too_large", "Payload Too Large")
	}
	q.Body, q.Partial = head, !whole
	return nil
}

func (f *Filter) failed(cause error) error {
	status := f.StatusOnError
	if status == 0 {
		status = 403
	}
	return &stream.Refusal{Status: status, Flags: stream.Unauthorized, Details: "ext_authz_error", Cause: cause}
}

func (a *Answer) change(h *stream.Header) {
	for _, field := range a.Set {
		h.Set(field.Name, field.Value)
	}
	for _, field := range a.Add {
		h.Add(field.Name, field.Value)
	}
	for _, field := range a.Append {
		if have, found := h.Joined(field.Name); found {
			h.Set(field.Name, have+","+field.Value)
		}
	}
	for _, name := range a.Remove {
		if name != "" && name[0] != ':' && !stream.EqualName(name, "host") {
			h.Del(name)
		}
	}
}

// params are the changes of the query.
func (a *Answer) params() []route.Param {
	var out []route.Param
	for _, f := range a.SetParams {
		out = append(out, route.Param{Name: f.Name, Value: route.Value{Literal: f.Value}, Action: route.OverwriteOrAdd, Encoded: true})
	}
	for _, name := range a.RemoveParams {
		out = append(out, route.Param{Name: name, Remove: true})
	}
	return out
}

// Names is a set of field names.
type Names []route.StringMatch

// Has reports whether a name is in the set.
func (n Names) Has(name string) bool {
	for i := range n {
		if n[i].Holds(name) {
			return true
		}
	}
	return false
}

var _ stream.Filter = (*Filter)(nil)
