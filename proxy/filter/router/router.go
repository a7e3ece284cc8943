// Package router is the last filter: it sends the request to an endpoint of the
// route's cluster, and again if that fails and the route says so. Timeouts,
// retries, mirrors and circuit breakers stand here because only here a request
// costs an upstream something.
package router

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Router forwards requests of one route.
type Router struct {
	route.Forward
	options Options
	// tryTime is how long a try may take, expected the same in milliseconds, as the
	// upstream is told; empty when it is not limited.
	tryTime  time.Duration
	expected string
}

// Options are the settings of the router filter itself.
type Options struct {
	// Suppress leaves out the x-envoy-* fields that a router adds.
	Suppress bool
	// RespectExpected takes the x-envoy-expected-rq-timeout-ms of a router before
	// this one for the limit of the request.
	RespectExpected bool
	// MatchUpstream makes the scheme that of the upstream's connection.
	MatchUpstream bool
}

// New makes the handler that ends a route's chain.
func New(f route.Forward, options Options) *Router {
	r := &Router{Forward: f, options: options}
	if r.tryTime = tryTime(f.Retry, f.Timeout); r.tryTime > 0 {
		r.expected = milliseconds(r.tryTime)
	}
	return r
}

// tryTime is how long one try may take when the whole request has a limit; 0 is
// without end.
func tryTime(r *route.Retry, limit time.Duration) time.Duration {
	if own := perTry(r); own > 0 && (limit == 0 || own < limit) {
		return own
	}
	return limit
}

// perTry is when a try ends by itself; 0 is never.
func perTry(r *route.Retry) time.Duration {
	if r == nil || r.Hedge {
		return 0
	}
	return r.PerTry
}

// exchange is one request and its response on a connection to an endpoint,
// whatever protocol it speaks.
type exchange interface {
	stream.Interrupter
	// RoundTrip sends the request and returns when the response's head is there;
	// the deadline, unless zero, bounds everything until Finish.
	RoundTrip(req *stream.Request, deadline time.Time) (*stream.Response, error)
	// SetDeadline moves the deadline; the zero time takes it away.
	SetDeadline(time.Time)
	// Progress reports whether any of the request was sent, and whether any of
	// the response came.
	Progress() (sent, began bool)
	// Settle ends an upload that is still under way.
	Settle(*stream.Request)
	// Finish ends the exchange and reports whether its connection is still good.
	Finish() bool
}

// attempt is the state of one request in the router. It is reused.
type attempt struct {
	router  *Router
	policy  *route.Retry // of this request; nil when it is tried once
	cluster *cluster.Cluster
	breaker *cluster.Breaker // of the request's priority
	weighed *route.Weighted
	host    *cluster.Host
	conn    *pool.Conn
	client  exchange
	shared  bool // the connection is used by others too
	req     *stream.Request
	began   time.Time
	limit   time.Duration // for the whole exchange; 0 is none
	// deadline is when the whole exchange has to be over; zero for never.
	deadline time.Time
	// streamEnd is when this try has to be over because the cluster says so.
	streamEnd time.Time
	tried     [4]*cluster.Host
	tries     int
	levels    levels
	cookie    string // the value of those that the reply sets
	outcome   cluster.Outcome
	body      *replay // nil when the body need not be kept
	idle      *idle   // of this try; nil where it may be idle
	slow      *slow   // of this try; nil where nobody asks whether it is slow
	retrying  bool    // this try is a retry, which the budget counts
}

var attempts = sync.Pool{New: func() any { return new(attempt) }}

// Handle implements [stream.Handler].
func (r *Router) Handle(req *stream.Request) (*stream.Response, error) {
	handle, weighed := r.choose(req)
	var c *cluster.Cluster
	if handle != nil {
		c = handle.Load()
	}
	if c == nil {
		status := r.NotFound
		if status == 0 {
			status = 503
		}
		return nil, &stream.Refusal{Status: status, Flags: stream.NoCluster, Details: "cluster_not_found"}
	}
	req.Info.Cluster, req.Info.Destination, req.Info.Described.Cluster = handle.Name(), c.Service, &c.Metadata
	r.rewrite(req, weighed)
	policy, limit := r.Retry, r.timeFor(req)
	if r.steered(&req.Header) {
		policy, limit = r.steer(&req.Header, limit)
	}
	r.tellTime(req, policy, limit, 0)
	tunnel := r.tunnels(req)
	if len(r.Mirrors) > 0 && req.Upgrade == "" && !tunnel {
		r.mirror(req)
	}
	var made string
	var cookies []string
	if len(r.Hash) > 0 {
		made, cookies = stick(r.Hash, c, req)
	}
	a := attempts.Get().(*attempt)
	*a = attempt{router: r, policy: policy, cluster: c, breaker: &c.Default, weighed: weighed, began: time.Now(), limit: limit, cookie: made}
	if r.High {
		a.breaker = &c.High
	}
	if tunnel {
		return a.terminate(req)
	}
	var resp *stream.Response
	untold := req.Length == stream.Unknown
	body, several, err := a.hedges(req)
	switch {
	case several:
		resp, err = newHedge(a, req, body, untold).run()
	case err == nil:
		resp, err = a.run(req)
	}
	if err != nil {
		attempts.Put(a)
		return nil, err
	}
	if a.follow(req, resp) {
		resp.Done = a
		return nil, &stream.Redirected{Response: resp}
	}
	if weighed != nil {
		weighed.Mutations.ApplyResponse(req, resp)
	}
	if !r.options.Suppress && req.Upgrade == "" {
		resp.Header.Set("x-envoy-upstream-service-time", milliseconds(req.Info.UpstreamRecv.Sub(a.began)))
	}
	if r.AttemptCountInReply {
		resp.Header.Set(fieldAttempts, decimal(int64(req.Info.Attempts)))
	}
	for _, field := range cookies {
		resp.Header.Add("set-cookie", field)
	}
	resp.Done = a
	return resp, nil
}

// tunnels reports whether a request is a tunnel that ends here.
func (r *Router) tunnels(req *stream.Request) bool {
	return r.Terminate && req.Upgrade == stream.Connect || r.TerminatePost && req.Method == "POST" && req.Upgrade == ""
}

// small are the numbers that need no allocation.
var small = func() (s [256]string) {
	for i := range s {
		s[i] = strconv.Itoa(i)
	}
	return s
}()

func milliseconds(d time.Duration) string { return decimal(max(0, d.Milliseconds())) }

func decimal(n int64) string {
	if n < int64(len(small)) {
		return small[n]
	}
	return strconv.FormatInt(n, 10)
}

// choose picks the cluster: the one, one by weight, or one named by a field.
func (r *Router) choose(req *stream.Request) (*cluster.Handle, *route.Weighted) {
	if r.ClusterHeader != "" {
		if name := req.Header.Get(r.ClusterHeader); name != "" && r.Lookup != nil {
			return r.Lookup(strings.Clone(name)), nil
		}
		return nil, nil
	}
	drawn := r.Draw(req)
	if drawn == nil {
		return nil, nil
	}
	return drawn.Cluster, drawn
}

// rewrite changes path, host and fields as the route says.
func (r *Router) rewrite(req *stream.Request, weighed *route.Weighted) {
	original := req.Path
	switch {
	case r.PrefixRewrite != "":
		req.Path = r.PrefixRewrite + req.Path[min(len(r.MatchedPrefix), len(req.Path)):]
	case r.RegexRewrite != nil:
		path, query, found := strings.Cut(req.Path, "?")
		req.Path = r.RegexRewrite.ReplaceAllString(path, r.Substitution)
		if found {
			req.Path += "?" + query
		}
	}
	if r.PrefixRewrite != "" || r.RegexRewrite != nil {
		req.Info.OriginalPath = original
		req.Header.Set("x-envoy-original-path", original)
	}
	if req.Upgrade == stream.Connect {
		req.Authority += req.Port
		req.Port = ""
	}
	if weighed != nil {
		weighed.Mutations.ApplyRequest(req)
		if weighed.HostRewrite != "" { // the route's own comes after it, and tells of this one
			req.Authority = weighed.HostRewrite
		}
	}
	if host := r.host(req, original); host != "" {
		if r.AppendForwardedFor {
			list, told := req.Header.Joined("x-forwarded-host")
			if told {
				list += ","
			}
			req.Header.Set("x-forwarded-host", list+req.Authority)
		}
		if !r.options.Suppress {
			req.Header.Set("x-envoy-original-host", req.Authority)
		}
		req.Authority = host
	}
}

// host is the one that the request gets, empty where it keeps its own. path is the one
// with which the request came.
func (r *Router) host(req *stream.Request, path string) string {
	switch {
	case strings.HasPrefix(r.HostHeader, ":"):
		value, _ := route.FieldOf(req, r.HostHeader)
		return value
	case r.HostHeader != "":
		return req.Header.Get(r.HostHeader)
	case r.HostPattern != nil:
		path, _, _ = strings.Cut(path, "?")
		return r.HostPattern.ReplaceAllString(path, r.HostSubstitution)
	}
	return r.HostRewrite
}

// Settle implements [stream.Releaser].
func (a *attempt) Settle() { a.client.Settle(a.req) }

// Release implements [stream.Releaser]: the response has been delivered, or not.
func (a *attempt) Release(ok bool) {
	if ok {
		a.time()
	}
	a.end(ok)
	attempts.Put(a)
}

// time counts how long the response took, from the request's end to its own.
func (a *attempt) time() {
	i := a.req.Info
	from := a.began
	if i.RequestDone.After(from) {
		from = i.RequestDone
	}
	if !i.End.IsZero() {
		a.cluster.Stats.RqTime.Observe(stream.Milliseconds(i.End.Sub(from)))
	}
}

// end lets go of the connection of a try, which is used again if the exchange
// was complete.
func (a *attempt) end(ok bool) {
	if a.conn == nil {
		return
	}
	a.req.Waiting.Off() // before Finish looks whether it was interrupted
	switch {
	case a.shared:
		a.client.Finish()
	case ok && a.client.Finish():
		a.host.Pool().Put(a.conn)
	default:
		a.host.Pool().Close(a.conn)
	}
	a.host.Active.Add(-1)
	a.breaker.ReleaseRequest()
	a.cluster.Report(a.host, a.outcome, time.Now)
	a.conn = nil
}
