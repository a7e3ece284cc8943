// Package rbac lets requests and connections through by who makes them and what
// they ask for. The HTTP filter stands behind JWT authentication, whose claims
// it reads, and before everything that spends on the caller's behalf.
package rbac

import (
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Action is what a rule set does with a caller that one of its policies
// describes.
type Action uint8

// The actions.
const (
	Allow Action = iota // lets those through, and nobody else
	Deny                // refuses those
	Log                 // lets everybody through and marks those for the log
)

// Rules is a set of policies with an action.
type Rules struct {
	Action Action
	// Policies in the order of their names.
	Policies []Policy
}

// Policy describes requests: one of the permissions and one of the principals
// has to hold.
type Policy struct {
	Name                    string
	Permissions, Principals []Test
}

// Subject is what is judged: a connection and, where it carries HTTP, a request.
type Subject struct {
	Conn *stream.Conn
	Req  *stream.Request // nil for a byte stream
}

// Test is a condition on a subject.
type Test interface{ Holds(s Subject) bool }

// match is the first policy that describes the subject; nil for none.
func (r *Rules) match(s Subject) *Policy {
	for i := range r.Policies {
		if p := &r.Policies[i]; anyOf(p.Permissions, s) && anyOf(p.Principals, s) {
			return p
		}
	}
	return nil
}

func anyOf(tests []Test, s Subject) bool {
	for _, t := range tests {
		if t.Holds(s) {
			return true
		}
	}
	return false
}

// Verdict is what a rule set says of a subject.
type Verdict struct {
	Allowed bool
	// Policy is the one that described the subject, empty for none.
	Policy string
}

// Judge applies the rules. Rules that are nil let everybody through.
func (r *Rules) Judge(s Subject) Verdict {
	if r == nil {
		return Verdict{Allowed: true}
	}
	p := r.match(s)
	switch {
	case p == nil:
		return Verdict{Allowed: r.Action != Allow}
	case r.Action == Deny:
		return Verdict{Policy: p.Name}
	}
	return Verdict{Allowed: true, Policy: p.Name}
}

// details are the response code details of a refusal.
func (v Verdict) details() string {
	policy := v.Policy
	if policy == "" {
		policy = "none"
	}
	return "rbac_access_denied_matched_policy[" + policy + "]"
}

// Filter judges each request. Shadow rules are judged too, and only noted.
type Filter struct {
	Rules, Shadow *Rules
	// Prefix and ShadowPrefix stand before the names of what is noted.
	Prefix, ShadowPrefix string
	// The counters of each verdict.
	Allowed, Denied, ShadowAllowed, ShadowDenied *stream.Counter
}

// Namespace is where the filter leaves its verdicts in a request's metadata.
const Namespace = "envoy.filters.http.rbac"

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	s := Subject{req.Conn, req}
	if f.Shadow != nil {
		v := f.Shadow.Judge(s)
		note(&req.Info.Metadata, Namespace, f.ShadowPrefix+"shadow", v)
		v.count(f.ShadowAllowed, f.ShadowDenied)
	}
	if f.Rules == nil {
		return next.Handle(req)
	}
	v := f.Rules.Judge(s)
	if f.Rules.Action == Log {
		req.Info.Metadata.Set("envoy.common", "access_log_hint", v.Policy != "")
	}
	v.count(f.Allowed, f.Denied)
	if v.Allowed {
		return next.Handle(req)
	}
	note(&req.Info.Metadata, Namespace, f.Prefix+"enforced", v)
	return nil, stream.Refuse(403, v.details(), "RBAC: access denied")
}

func (v Verdict) count(allowed, denied *stream.Counter) {
	if v.Allowed {
		allowed.Count()
	} else {
		denied.Count()
	}
}

// note leaves a verdict for the log and for later filters.
func note(m *stream.Metadata, namespace, name string, v Verdict) {
	result := "denied"
	if v.Allowed {
		result = "allowed"
	}
	m.Set(namespace, name+"_engine_result", result)
	if v.Policy != "" {
		m.Set(namespace, name+"_effective_policy_id", v.Policy)
	}
}

var _ stream.Filter = (*Filter)(nil)

// Gate judges a connection before a byte of it is carried on.
type Gate struct {
	Rules, Shadow *Rules
	// ShadowPrefix stands before the names of what is noted.
	ShadowPrefix string
}

// GateNamespace is where gates leave their verdicts in a connection's metadata.
const GateNamespace = "envoy.filters.network.rbac"

// Admit reports whether the connection may go on and, where it may not, why.
func (g *Gate) Admit(conn *stream.Conn, _ *stream.Info) (bool, string) {
	s := Subject{Conn: conn}
	if g.Shadow != nil {
		note(&conn.Metadata, GateNamespace, g.ShadowPrefix+"shadow", g.Shadow.Judge(s))
	}
	v := g.Rules.Judge(s)
	return v.Allowed, v.details()
}
