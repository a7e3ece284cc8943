package route

import (
	"sync/atomic"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Current is where the table in force is, or those of scopes.
type Current struct {
	// Unrouted are the tails of what answers requests without a route, as [Route.Behind]
	// are of a route's handler. Set before the first request.
	Unrouted []stream.Handler

	table  atomic.Pointer[Table]  // nil before the first
	scopes atomic.Pointer[Scopes] // nil where there are none

	replaced atomic.Bool
}

// Load is the table in force, nil before the first.
func (c *Current) Load() *Table { return c.table.Load() }

// Store replaces the table.
func (c *Current) Store(t *Table) { c.table.Store(t) }

// SetScopes replaces the tables of scopes.
func (c *Current) SetScopes(s *Scopes) { c.scopes.Store(s) }

// Replace notes that the requests to come look elsewhere: nothing changes here any
// more.
func (c *Current) Replace() { c.replaced.Store(true) }

// Replaced reports whether that is so.
func (c *Current) Replaced() bool { return c.replaced.Load() }

// For is the table in force for a request, nil when there is none.
func (c *Current) For(req *stream.Request) *Table {
	if s := c.scopes.Load(); s != nil {
		return s.find(req)
	}
	return c.table.Load()
}

// unrouted is what answers requests without a route from a place on.
func (c *Current) unrouted(place int) stream.Handler {
	if place < len(c.Unrouted) {
		return c.Unrouted[place]
	}
	return NotFound{}
}

var notFound = &stream.Refusal{Status: 404, Details: "route_not_found", Flags: stream.NoRoute}

// NotFound answers 404 to what no route takes.
type NotFound struct{}

// Handle implements [stream.Handler].
func (NotFound) Handle(*stream.Request) (*stream.Response, error) { return nil, notFound }

// Choose finds the request's route, nil when there is none, and notes it. An error
// is the route's own answer. What an endpoint has left of itself stays: it may be the one
// whose redirect is not followed to the route.
func Choose(table *Table, req *stream.Request) (*Route, error) {
	var host *VirtualHost
	var r *Route
	if table != nil {
		host, r = table.match(req)
	}
	told := &req.Info.Described
	if told.VirtualHost = nil; host != nil {
		told.VirtualHost = &host.Metadata
	}
	if r == nil {
		unmatched(req.Info)
		return nil, nil
	}
	req.Info.Matched, req.Info.Route, req.Info.VirtualHost, req.Info.Cluster = r, r.Name, r.Host.Name, ""
	req.Info.Operation, req.Info.OwnOperation, req.Info.Tracing = r.Operation, r.OwnOperation, r.Tracing
	told.Route, told.Cluster = &r.Metadata, nil
	if r.Cluster != nil {
		if c := r.Cluster.Load(); c != nil {
			req.Info.Cluster, told.Cluster = r.Cluster.Name(), &c.Metadata
		}
	}
	r.bound(req)
	if r.Host.RequireTLS.of(req) && req.Scheme != "https" {
		unmatched(req.Info) // it is the host's answer
		return r, &stream.Refusal{Status: 301, Details: "direct_response", Header: []stream.Field{{Name: "location", Value: "https://" + req.Authority + req.Path}}}
	}
	return r, nil
}

// Keep makes it the request's route again, though another one was looked for meanwhile.
func (r *Route) Keep(req *stream.Request) {
	if r != nil {
		req.Info.Matched = r
		r.bound(req)
	}
}

// of reports whether a request has to come by https.
func (n TLSNeed) of(req *stream.Request) bool {
	return n == AllTLS || n == ExternalTLS && req.Header.Get("x-envoy-internal") != "true"
}

// unmatched notes that no route has been chosen.
func unmatched(info *stream.Info) {
	info.Matched, info.Route, info.Operation, info.VirtualHost, info.Cluster = nil, "", "", "", ""
	info.Described.Route, info.Described.Cluster = nil, nil
}

// Matched is the route that was chosen for the request, nil when there is none.
func Matched(req *stream.Request) *Route {
	r, _ := req.Info.Matched.(*Route)
	return r
}

// Again is a filter that chooses the route anew, since the one before it may have
// changed what routes are chosen by. The request goes on through those filters of
// the new route, or those that stand where there is none, that are behind this place.
type Again struct {
	Table *Current
	// Place in [Route.Behind].
	Place int
}

// Handle implements [stream.Filter].
func (a *Again) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	before := Matched(req)
	r, err := Choose(a.Table.For(req), req)
	switch {
	case err != nil:
		return nil, err
	case r == before: // also none, for which there may be one behind the next filters
		return next.Handle(req)
	case r == nil:
		return a.Table.unrouted(a.Place).Handle(req)
	}
	return r.Behind[a.Place].Handle(req)
}

// mutator changes the request as its route says.
type mutator struct{ route *Route }

// Handle implements [stream.Filter].
func (m mutator) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	m.route.MutateRequest(req)
	return next.Handle(req)
}

// Mutating is last behind the changes that the route makes to requests, which
// filters do not see.
func (r *Route) Mutating(last stream.Handler) stream.Handler { return stream.Chain(last, mutator{r}) }
