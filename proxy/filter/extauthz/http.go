package extauthz

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// HTTP asks a service that answers 200 or the refusal itself.
type HTTP struct {
	Caller *upcall.Caller
	// Prefix stands before the request's path.
	Prefix string
	// Forward are the request's fields that the service is told beside
	// authorization; Withhold are never told.
	Forward, Withhold Names
	// Upstream are fields of the answer that go on to the upstream, Append those
	// that are added to the request's own; Client and ClientOK go to the client,
	// with a refusal and with success. Client nil is all.
	Upstream, Append, Client, ClientOK Names
	// Metadata are fields of the answer that are left as metadata.
	Metadata Names
}

// Check implements [Service].
func (s *HTTP) Check(q *Question) (*Answer, error) {
	call := upcall.Call{Method: q.Req.Method, Scheme: q.Req.Scheme, Authority: q.Req.Authority, Path: s.Prefix + q.Req.Path, Body: q.Body}
	for i := range q.Req.Header.Len() {
		f := q.Req.Header.At(i)
		name := strings.ToLower(f.Name)
		if (name == "authorization" || s.Forward.Has(name)) && !s.Withhold.Has(name) && name != "content-length" {
			call.Header = append(call.Header, f)
		}
	}
	if q.Body == nil {
		call.Body = []byte{} // tell that there is none
	} else {
		call.Header = append(call.Header, stream.Field{Name: "x-envoy-auth-partial-body", Value: strconv.FormatBool(q.Partial)})
	}
	reply, err := s.Caller.Do(q.Req, call)
	if err != nil {
		return nil, err
	}
	if reply.Status >= 500 {
		return nil, fmt.Errorf("the authorization service answered %d", reply.Status)
	}
	a := &Answer{Allowed: reply.Status == 200, Status: reply.Status, Body: string(reply.Body)}
	for i := range reply.Header.Len() {
		s.sort(a, reply.Header.At(i))
	}
	return a, nil
}

// sort puts a field of the reply where it belongs.
func (s *HTTP) sort(a *Answer, f stream.Field) {
	name := strings.ToLower(f.Name)
	if s.Metadata.Has(name) {
		if a.Metadata == nil {
			a.Metadata = map[string]any{}
		}
		a.Metadata[name] = f.Value
	}
	if !f.Fit() {
		return
	}
	if !a.Allowed {
		if s.Client == nil || s.Client.Has(name) || name == "location" || name == "www-authenticate" {
			a.Header = append(a.Header, f)
		}
		return
	}
	if s.Upstream.Has(name) {
		a.Set = append(a.Set, f)
	}
	if s.Append.Has(name) {
		a.Add = append(a.Add, f)
	}
	if s.ClientOK.Has(name) {
		a.Reply = append(a.Reply, f)
	}
}

var _ Service = (*HTTP)(nil)
