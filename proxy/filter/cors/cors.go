// Package cors answers browsers' preflight requests and tells them which origins
// may read an answer. It stands before the router: a preflight never reaches
// the service.
package cors

import (
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter is the policy of one route.
type Filter struct {
	// Origin reports whether an origin may read.
	Origin func(string) bool
	// Methods, Headers, Expose and MaxAge are the values of the fields
	// access-control-*; empty leaves a field out.
	Methods, Headers, Expose, MaxAge string
	Credentials                      bool
	// PrivateNetwork lets pages of the outside call where only the inside gets to.
	PrivateNetwork bool
	// ForwardOther sends preflights of other origins to the service instead of
	// answering them without a grant.
	ForwardOther bool
	// Enabled is the share of the requests that the policy is for.
	Enabled runtime.Share
	// Valid and Invalid count requests by their origin.
	Valid, Invalid *stream.Counter
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	origin := req.Header.Get("origin")
	if origin == "" || !f.Enabled.Drawn() {
		return next.Handle(req)
	}
	allowed := f.Origin(origin)
	if allowed {
		f.Valid.Count()
	} else {
		f.Invalid.Count()
	}
	preflight := req.Method == "OPTIONS" && req.Header.Get("access-control-request-method") != ""
	if preflight && (allowed || !f.ForwardOther) {
		resp := &stream.Response{Status: 200}
		req.Info.Details = "cors_response"
		if allowed {
			f.grant(resp, origin)
			if f.PrivateNetwork && req.Header.Get("access-control-request-private-network") == "true" {
				resp.Header.Set("access-control-allow-private-network", "true")
			}
		}
		answer(req, resp, "methods", "method", f.Methods)
		answer(req, resp, "headers", "headers", f.Headers)
		set(resp, "access-control-max-age", f.MaxAge)
		return resp, nil
	}
	resp, err := next.Handle(req)
	if !allowed {
		return resp, err
	}
	return stream.OnHead(resp, err, func(resp *stream.Response) { f.grant(resp, origin) })
}

func (f *Filter) grant(resp *stream.Response, origin string) {
	resp.Header.Set("access-control-allow-origin", origin)
	if f.Credentials {
		resp.Header.Set("access-control-allow-credentials", "true")
	}
	set(resp, "access-control-expose-headers", f.Expose)
}

// answer says what a page may send. "*" allows what it asks for, whatever it is: with
// credentials browsers would take the star by its letter.
func answer(req *stream.Request, resp *stream.Response, allowed, asked, value string) {
	if value == "*" {
		resp.Header.Set("access-control-allow-"+allowed, req.Header.Get("access-control-request-"+asked))
		return
	}
	set(resp, "access-control-allow-"+allowed, value)
}

func set(resp *stream.Response, name, value string) {
	if value != "" {
		resp.Header.Set(name, value)
	}
}

var _ stream.Filter = (*Filter)(nil)
