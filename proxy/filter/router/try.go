package router

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/pool"
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
	failedDuration                      // the exchange took longer than the cluster allows
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
	if a.tries > 0 {
		req.Info.NextTry()
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
		a.meant(req)
		req.Info.UpstreamAsked = true
		return nil, failedOverflow, nil
	}
	if a.router.HostFromEndpoint && a.host.Name != "" {
		req.Authority = a.host.Name
	}
	a.host.Active.Add(1)
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
		if why == failedDownstream || why == failedSlow {
			a.outcome = cluster.Unknown
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
	if !a.streamEnd.IsZero() && resp.Body != nil {
		resp.Body = &briefBody{stream.Wrapped{Body: resp.Body}, a.streamEnd}
	}
	if perTry(a.policy) > 0 {
		a.client.SetDeadline(a.sooner(a.deadline)) // a try's time ends with the head
	}
	a.outcome = cluster.OutcomeOf(resp.Status)
	req.Info.Details = "via_upstream"
	return resp, 0, nil
}

// exchange connects and sends. A failure says that there was no connection. A
// shared connection may end at the moment in which it was chosen: then nothing
// has happened yet, and another one is taken.
func (a *attempt) exchange(req *stream.Request) (*stream.Response, failure, error) {
	for again := false; ; again = true {
		if why, err := a.connect(req); why != 0 {
			return nil, why, err
		}
		if !again {
			a.cluster.Stats.RqTotal.Add(1)
			a.host.Total.Add(1)
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
		a.streamEnd = streamEnd(a.cluster)
		resp, err := a.client.RoundTrip(req, a.sooner(a.tryDeadline()))
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
	switch why := givenUp(req); {
	case why != 0:
		return why
	case stream.IsSource(err):
		return failedDownstream
	case errors.Is(err, os.ErrDeadlineExceeded):
		if a.idle.isOver() {
			return failedIdle
		}
		if !a.deadline.IsZero() && !time.Now().Before(a.deadline) {
			return failedTimeout
		}
		if overlong(a.streamEnd) {
			return failedDuration
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
	case failedDuration:
		r.Status, r.Flags, r.Body, r.Details = 504, errOverlong.Flags, "upstream max stream duration reached", errOverlong.Details
	case failedDownstream:
		if stream.IsSyntax(cause) {
			return &stream.Refusal{Status: 400, Flags: stream.DownstreamProtocol, Details: "http1.codec_error", Body: "malformed request body", Cause: cause, Close: true}
		}
		return req.GivenUp()
	case failedSlow:
		return req.GivenUp()
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
