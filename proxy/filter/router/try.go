package router

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// failure is why a try came to nothing.
type failure uint8

const (
	failedOverflow   failure = iota + 1 // the circuit breaker is open
	failedNoHost                        // no endpoint
	failedConnect                       // no connection
	failedTLS                           // no handshake
	failedReset                         // the connection ended before the response's head
	failedUnsent                        // the same, before a byte of the request was taken
	failedPerTry                        // the try took too long
	failedIdle                          // nothing has come of the try for too long
	failedTimeout                       // the whole request took too long
	failedProtocol                      // the upstream does not speak HTTP
	failedDownstream                    // the client has gone, or broke off its body
	failedSlow                          // nothing moved for too long, or it has taken too long altogether
	failedRefused                       // the upstream has not taken the request up
	failedRemote                        // the upstream has reset the request
)

// run tries until there is a response to give or no try is left.
func (a *attempt) run(req *stream.Request) (*stream.Response, error) {
	a.bound(req)
	a.body = newReplay(a.policy, a.router.Redirects, req)
	for {
		a.number(req)
		resp, why, err := a.try(req)
		if !a.retry(req, resp, why) {
			if why != 0 {
				return nil, a.refuse(req, why, err)
			}
			if a.retriesSpent() && wantsResponse(a.policy, resp) {
				a.noteLimit(req)
			}
			a.cluster.Stats.Count(resp.Status)
			return resp, nil
		}
		wait := a.backoff(resp)
		if resp != nil {
			a.end(true)
		}
		if why := a.pause(req, wait); why != 0 {
			a.endRetry()
			return nil, a.refuse(req, why, nil)
		}
		a.body.rewind(req)
		a.router.tellTime(req, a.policy, a.limit, time.Since(a.began))
	}
}

// bound sets the end of the whole exchange. What is changed to has none to wait for.
func (a *attempt) bound(req *stream.Request) {
	if a.limit > 0 && req.Upgrade == "" {
		a.deadline = a.began.Add(a.limit)
	}
}

// fieldAttempts tells the number of a try, or of all.
const fieldAttempts = "x-envoy-attempt-count"

// number tells of the try that is about to begin.
func (a *attempt) number(req *stream.Request) {
	req.Info.Attempts = a.tries + 1
	if a.router.AttemptCount {
		req.Header.Set(fieldAttempts, decimal(int64(a.tries+1)))
	}
}

// try sends the request once.
func (a *attempt) try(req *stream.Request) (*stream.Response, failure, error) {
	if !a.aim(req) {
		return nil, failedNoHost, nil
	}
	return a.send(req)
}

// aim chooses the endpoint of the next try. It reports false when there is none.
func (a *attempt) aim(req *stream.Request) bool {
	if a.host = a.pick(req); a.host == nil {
		return false
	}
	if a.tries < len(a.tried) {
		a.tried[a.tries] = a.host
	}
	a.tries++
	return true
}

// send sends the request to the endpoint.
func (a *attempt) send(req *stream.Request) (*stream.Response, failure, error) {
	if !a.breaker.AcquireRequest() {
		return nil, failedOverflow, nil
	}
	if a.router.HostFromEndpoint && a.host.Name != "" {
		req.Authority = a.host.Name
	}
	a.cluster.Stats.RqTotal.Add(1)
	a.host.Active.Add(1)
	a.host.Total.Add(1)
	a.req = req
	resp, why, err := a.exchange(req)
	if why != 0 {
		a.host.Active.Add(-1)
		a.breaker.ReleaseRequest()
		if why == failedConnect || why == failedTLS {
			a.cluster.Report(a.host, cluster.LocalFailure, time.Now)
		}
		return nil, why, err
	}
	if err != nil {
		why := a.classify(req, err)
		if why == failedDownstream {
			a.outcome = cluster.OK
		}
		a.end(false)
		if req.Upload.Stop() && a.body != nil {
			a.body.broken = true
		}
		switch why {
		case failedPerTry:
			a.cluster.Stats.RqPerTryTimeout.Add(1)
		case failedIdle:
			a.cluster.Stats.RqPerTryIdleTimeout.Add(1)
		}
		return nil, why, err
	}
	if a.idle != nil && resp.Body != nil {
		resp.Body = &idleBody{stream.Wrapped{Body: resp.Body}, a}
	}
	if perTry(a.policy) > 0 {
		a.client.SetDeadline(a.deadline) // a try's time ends with the head
	}
	a.outcome = cluster.OutcomeOf(resp.Status)
	req.Info.Details = "via_upstream"
	return resp, 0, nil
}

// exchange connects and sends. A failure says that there was no connection. A
// shared connection may end at the moment in which it was chosen: then nothing
// has happened yet, and another one is taken.
func (a *attempt) exchange(req *stream.Request) (*stream.Response, failure, error) {
	for {
		if why, err := a.connect(req); why != 0 {
			return nil, why, err
		}
		if a.router.options.MatchUpstream {
			if req.Scheme = "http"; a.host.Secured() {
				req.Scheme = "https"
			}
		}
		a.outcome = cluster.LocalFailure
		if !req.Waiting.On(a.client) {
			return nil, 0, errAbandoned
		}
		a.idle = newIdle(a, req)
		a.slow.start()
		resp, err := a.client.RoundTrip(req, a.tryDeadline())
		a.slow.stop()
		if a.idle.stop() && err == nil {
			err = os.ErrDeadlineExceeded
		}
		if !errors.Is(err, http2.ErrEnded) {
			return resp, 0, err
		}
		req.Waiting.Off()
		a.client.Finish()
	}
}

func (a *attempt) tryDeadline() time.Time {
	if own := perTry(a.policy); own > 0 {
		if per := time.Now().Add(own); a.deadline.IsZero() || per.Before(a.deadline) {
			return per
		}
	}
	return a.deadline
}

var errAbandoned = errors.New("the client has gone")

// classify says what an error of the exchange means.
func (a *attempt) classify(req *stream.Request, err error) failure {
	sent, began := a.client.Progress()
	var reset *stream.ResetError
	switch why := req.Waiting.Abandoned(); {
	case why == stream.StreamIdleTimeout, why == stream.DurationTimeout:
		return failedSlow
	case why != 0, stream.IsSource(err):
		return failedDownstream
	case errors.Is(err, os.ErrDeadlineExceeded):
		if a.idle.isOver() {
			return failedIdle
		}
		if !a.deadline.IsZero() && !time.Now().Before(a.deadline) {
			return failedTimeout
		}
		return failedPerTry
	case stream.IsSyntax(err):
		return failedProtocol
	case errors.As(err, &reset):
		if reset.Unprocessed {
			return failedRefused
		}
		return failedRemote
	case !sent, !began && !a.conn.Fresh && repeatable(req.Method):
		// A kept connection that ends at once had ended before, most likely; it
		// is not taken for granted where a repetition would change something.
		return failedUnsent
	}
	return failedReset
}

// repeatable reports whether a request may be made twice (RFC 9110 section
// 9.2.2).
func repeatable(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

func dialFailure(err error, deadline time.Time) failure {
	var handshake *pool.HandshakeError
	switch {
	case !deadline.IsZero() && !time.Now().Before(deadline):
		return failedTimeout
	case errors.As(err, &handshake):
		return failedTLS
	}
	return failedConnect
}

// transportFailure is the text of %UPSTREAM_TRANSPORT_FAILURE_REASON%.
func transportFailure(err error) string {
	var handshake *pool.HandshakeError
	switch {
	case errors.As(err, &handshake):
		return handshake.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "delayed_connect_error:_Connection_refused"
	case errors.Is(err, context.DeadlineExceeded):
		return ""
	}
	return "delayed_connect_error:_" + strings.ReplaceAll(err.Error(), " ", "_")
}

// refuse turns the last failure into the reply, its flags and its details, as
// Envoy words them.
func (a *attempt) refuse(req *stream.Request, why failure, cause error) error {
	s := &a.cluster.Stats
	r := &stream.Refusal{Status: 503, Cause: cause}
	reset := func(reason, flagDetail string) {
		r.Body = "upstream connect error or disconnect/reset before headers. "
		if a.tries > 1 && a.retriesSpent() {
			r.Body = "upstream connect error or disconnect/reset before headers. retried and the latest "
		}
		r.Body += "reset reason: " + reason
		r.Details = "upstream_reset_before_response_started{" + flagDetail + "}"
		s.RqRxReset.Add(1)
	}
	switch why {
	case failedOverflow:
		r.Flags = stream.UpstreamOverflow
		r.Header = []stream.Field{{Name: "x-envoy-overloaded", Value: "true"}}
		reset("overflow", "overflow")
	case failedNoHost:
		r.Flags, r.Details, r.Body = stream.NoHealthyUpstream, "no_healthy_upstream", "no healthy upstream"
		if w := &req.Info.Wanted; a.tries == 0 && w.Endpoint != "" && w.Only && w.Status != 0 {
			r.Status = w.Status
		}
	case failedConnect, failedTLS:
		r.Flags = stream.UpstreamFailure
		reason := "remote connection failure"
		if errors.Is(cause, context.DeadlineExceeded) {
			reason = "connection timeout"
		}
		detail := strings.ReplaceAll(reason, " ", "_")
		if t := req.Info.UpstreamFailure; t != "" {
			detail += "|" + t
		}
		reset(reason, detail)
	case failedReset, failedUnsent:
		r.Flags = stream.UpstreamTermination
		reset("connection termination", "connection_termination")
	case failedRefused:
		r.Flags = stream.UpstreamReset
		reset("remote refused stream reset", "remote_refused_stream_reset")
	case failedRemote:
		if r.Flags = stream.UpstreamReset; a.tooLate(req) {
			r.GRPC = 4 // deadline exceeded: the server gave up just before the caller does
		}
		reset("remote reset", "remote_reset")
	case failedProtocol:
		r.Status, r.Flags = 502, stream.UpstreamProtocol
		reset("protocol error", "protocol_error")
	case failedPerTry:
		r.Status, r.Flags, r.Body, r.Details = 504, stream.UpstreamTimeout, "upstream request timeout", "upstream_per_try_timeout"
	case failedIdle:
		r.Status, r.Flags, r.Body, r.Details = 504, errIdle.Flags, "upstream request timeout", errIdle.Details
	case failedTimeout:
		s.RqTimeout.Add(1)
		r.Status, r.Flags, r.Body, r.Details = 504, stream.UpstreamTimeout, "upstream request timeout", "response_timeout"
	case failedDownstream:
		if stream.IsSyntax(cause) {
			return &stream.Refusal{Status: 400, Flags: stream.DownstreamProtocol, Details: "http1.codec_error", Body: "malformed request body", Cause: cause, Close: true}
		}
		return stream.Abandoned(stream.DownstreamTermination)
	case failedSlow:
		return stream.Abandoned(req.Waiting.Abandoned())
	}
	if a.router.AttemptCountInReply {
		r.Header = append(r.Header, stream.Field{Name: fieldAttempts, Value: decimal(int64(req.Info.Attempts))})
	}
	if a.retriesSpent() && wantsFailure(a.policy, why) {
		r.Flags |= stream.RetryLimit
		s.RqRetryLimit.Add(1)
	}
	s.Count(r.Status)
	return r
}

// noteLimit notes that another try would have been made if one were left.
func (a *attempt) noteLimit(req *stream.Request) {
	req.Info.Flags |= stream.RetryLimit
	a.cluster.Stats.RqRetryLimit.Add(1)
}

func (a *attempt) retriesSpent() bool {
	r := a.policy
	return r != nil && a.tries > int(r.Max)
}

// backoff is how long to wait before the next try: a random part of a base that
// doubles, or, when the reply says when to come back, until then and up to half as
// long again, so that not all come back at once.
func (a *attempt) backoff(resp *stream.Response) time.Duration {
	r := a.policy
	if until, told := comeBack(r, resp); told {
		return until + time.Duration(rand.Int64N(int64(until)/2+1))
	}
	base := r.BaseBackoff
	if base == 0 {
		base = 25 * time.Millisecond
	}
	limit := r.MaxBackoff
	if limit == 0 {
		limit = 10 * base
	}
	span := min(base<<min(a.tries-1, 16), limit)
	return time.Duration(rand.Int64N(int64(span) + 1))
}

// comeBack is what a reply says of when to come back.
func comeBack(r *route.Retry, resp *stream.Response) (time.Duration, bool) {
	if resp == nil {
		return 0, false
	}
	for _, field := range r.Resets {
		seconds, err := strconv.ParseInt(resp.Header.Get(field.Name), 10, 34) // what a Duration can hold
		until := time.Duration(seconds) * time.Second
		if field.Unix {
			until = time.Until(time.Unix(seconds, 0)).Truncate(time.Second)
		}
		if err == nil && until >= 0 && until <= r.MaxReset {
			return until, true
		}
	}
	return 0, false
}

// pause waits before the next try. It tells what came first: the deadline, or that
// the request was given up; 0 when nothing did.
func (a *attempt) pause(req *stream.Request, wait time.Duration) failure {
	left := wait
	if !a.deadline.IsZero() {
		left = min(wait, time.Until(a.deadline))
	}
	switch {
	case req.Waiting.Pause(left):
		if left < wait {
			return failedTimeout
		}
		return 0
	case req.Waiting.Abandoned() == stream.DownstreamTermination:
		return failedDownstream
	}
	return failedSlow
}

// retry decides whether the outcome is worth another try, and takes the budget
// for it, which is held until the outcome of that one is known.
func (a *attempt) retry(req *stream.Request, resp *stream.Response, why failure) bool {
	again := a.endRetry()
	r := a.policy
	if r == nil || resp != nil && (resp.Upgraded != nil || !wantsResponse(r, resp)) || resp == nil && !wantsFailure(r, why) {
		if again && resp != nil {
			a.cluster.Stats.RqRetrySuccess.Add(1)
		}
		return false
	}
	if resp != nil && !a.body.read(req) || !a.body.possible() {
		return false
	}
	return a.again(req)
}

// again takes the budget for another try, if one is left.
func (a *attempt) again(req *stream.Request) bool {
	if a.retriesSpent() {
		return false
	}
	if !a.breaker.AcquireRetry() {
		req.Info.Flags |= stream.UpstreamOverflow
		return false
	}
	a.retrying = true
	a.cluster.Stats.RqRetry.Add(1)
	return true
}

// endRetry gives the budget of a retry back, and reports whether there was one.
func (a *attempt) endRetry() bool {
	if !a.retrying {
		return false
	}
	a.retrying = false
	a.breaker.ReleaseRetry()
	return true
}

func wantsFailure(r *route.Retry, why failure) bool {
	switch why {
	case failedConnect, failedTLS:
		return r.On&(route.OnConnectFailure|route.OnReset|route.On5xx|route.OnGatewayError) != 0
	case failedUnsent:
		return r.On&(route.OnReset|route.OnResetBeforeRequest|route.On5xx|route.OnGatewayError|route.OnConnectFailure) != 0
	case failedRefused:
		return r.On&(route.OnRefusedStream|route.OnReset|route.On5xx|route.OnGatewayError) != 0
	case failedReset, failedRemote, failedProtocol:
		return r.On&(route.OnReset|route.On5xx|route.OnGatewayError) != 0
	case failedPerTry, failedIdle:
		return r.On&(route.On5xx|route.OnGatewayError|route.OnReset) != 0
	}
	return false
}

func wantsResponse(r *route.Retry, resp *stream.Response) bool {
	switch s := resp.Status; {
	case r.On&route.On5xx != 0 && s >= 500,
		r.On&route.OnGatewayError != 0 && s >= 502 && s <= 504,
		r.On&route.OnRetriable4xx != 0 && s == 409,
		r.On&route.OnEnvoyRatelimited != 0 && resp.Header.Has("x-envoy-ratelimited"),
		r.On&route.OnRetriableStatus != 0 && slices.Contains(r.Statuses, s):
		return true
	}
	if r.On&route.OnRetriableHeaders != 0 {
		for i := range r.Headers {
			if r.Headers[i].HoldsIn(&resp.Header) {
				return true
			}
		}
	}
	if status := resp.Header.Get("grpc-status"); status != "" {
		return r.On&grpcConditions[status] != 0
	}
	return false
}

var grpcConditions = map[string]route.RetryOn{
	"1": route.OnGRPCCancelled, "4": route.OnGRPCDeadline, "8": route.OnGRPCExhausted, "13": route.OnGRPCInternal, "14": route.OnGRPCUnavailable,
}
