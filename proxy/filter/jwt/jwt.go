// Package jwt lets requests through that carry the tokens a rule asks for, and
// tells later filters what the tokens say. It stands before the access rules,
// which read the claims.
package jwt

import (
	"errors"
	"strings"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Namespace is where claims are left in a request's metadata.
const Namespace = "envoy.filters.http.jwt_authn"

// Filter asks for what its first matching rule requires.
type Filter struct {
	Rules []Rule
	// BypassPreflight lets CORS preflight requests through.
	BypassPreflight bool
	// Strip leaves the reason out of refusals.
	Strip bool
	// The counters of each outcome; Bypassed is of preflights.
	Allowed, Denied, Bypassed *stream.Counter
}

// Rule is what requests need that match.
type Rule struct {
	Match route.Match
	// Needs is nil when nothing is needed.
	Needs Requirement
}

// Requirement is a condition on a request's tokens.
type Requirement interface {
	// Check verifies; an error says why not.
	Check(req *stream.Request) error
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if f.BypassPreflight && req.Method == "OPTIONS" && req.Header.Get("origin") != "" && req.Header.Get("access-control-request-method") != "" {
		f.Bypassed.Count()
		return next.Handle(req)
	}
	for i := range f.Rules {
		if !f.Rules[i].Match.Holds(req) {
			continue
		}
		if needs := f.Rules[i].Needs; needs != nil {
			if err := needs.Check(req); err != nil {
				f.Denied.Count()
				return nil, f.refuse(req, err)
			}
		}
		break
	}
	f.Allowed.Count()
	return next.Handle(req)
}

// longestRealm is how much of the path a refusal repeats.
const longestRealm = 256

func (f *Filter) refuse(req *stream.Request, why error) error {
	reason := errMissing
	if !errors.As(why, &reason) {
		var r *stream.Refusal
		if errors.As(why, &r) {
			return r
		}
		reason = errFetch
	}
	status := 401
	if reason == errAudience {
		status = 403
	}
	r := stream.Refuse(status, "jwt_authn_access_denied{"+strings.ReplaceAll(string(reason), " ", "_")+"}", string(reason))
	r.Cause = why
	if f.Strip {
		r.Body = ""
		return r
	}
	challenge := `Bearer realm="` + req.Scheme + "://" + req.Authority + req.Path[:min(len(req.Path), longestRealm)] + `"`
	if reason != errMissing {
		challenge += `, error="invalid_token"`
	}
	r.Header = []stream.Field{{Name: "www-authenticate", Value: challenge}}
	return r
}

var _ stream.Filter = (*Filter)(nil)

// By asks for valid tokens of one provider.
type By struct {
	Provider *Provider
	// Audiences replace the provider's; nil leaves those.
	Audiences []string
}

// Check implements [Requirement].
func (b *By) Check(req *stream.Request) error {
	return check(req, []*Provider{b.Provider}, b.Audiences)
}

// check verifies every token that the providers' places hold: one that is valid
// does not make up for another that is not.
func check(req *stream.Request, providers []*Provider, audiences []string) error {
	for _, p := range providers {
		p.clean(req)
	}
	found := find(req, providers)
	if len(found) == 0 {
		return errMissing
	}
	for _, place := range found {
		if err := place.verify(req, audiences); err != nil {
			return err
		}
	}
	return nil
}

// AnyOf asks for one of several.
type AnyOf []Requirement

// Check implements [Requirement]. Of several failures the one that says most is
// told.
func (a AnyOf) Check(req *stream.Request) error {
	var why error = errMissing
	for _, r := range a {
		err := r.Check(req)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errMissing) && (errors.Is(why, errMissing) || !errors.Is(err, errIssuer)) {
			why = err
		}
	}
	return why
}

// AllOf asks for all of several.
type AllOf []Requirement

// Check implements [Requirement].
func (a AllOf) Check(req *stream.Request) error {
	for _, r := range a {
		if err := r.Check(req); err != nil {
			return err
		}
	}
	return nil
}

// Optional lets requests through that have no token of the providers; with Failed
// those too whose tokens are not valid.
type Optional struct {
	Providers []*Provider
	Failed    bool
}

// Check implements [Requirement].
func (o *Optional) Check(req *stream.Request) error {
	err := check(req, o.Providers, nil)
	if o.Failed || errors.Is(err, errMissing) {
		return nil
	}
	return err
}
