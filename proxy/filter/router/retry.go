package router

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

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

func (a *attempt) retriesSpent() bool {
	r := a.policy
	return r != nil && a.tries > int(r.Max)
}

// noteLimit notes that another try would have been made if one were left.
func (a *attempt) noteLimit(req *stream.Request) {
	req.Info.Flags |= stream.RetryLimit
	a.cluster.Stats.RqRetryLimit.Add(1)
}

func wantsFailure(r *route.Retry, why failure) bool {
	switch why {
	case failedConnect, failedTLS:
		return r.On&(route.OnConnectFailure|route.OnReset|route.On5xx|route.OnGatewayError) != 0
	case failedUnsent:
		return r.On&(route.OnReset|route.OnResetBeforeRequest|route.On5xx|route.OnGatewayError|route.OnConnectFailure) != 0
	case failedRefused:
		return r.On&(route.OnRefusedStream|route.OnReset|route.On5xx|route.OnGatewayError) != 0
	case failedReset, failedRemote, failedProtocol, failedDuration:
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
	span := limit
	if n := min(a.tries-1, 16); base <= limit>>n {
		span = base << n
	}
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
	case !req.Waiting.Pause(left):
		return givenUp(req)
	case left < wait:
		return failedTimeout
	}
	return 0
}

// givenUp is the failure of a request that was given up; 0 when it was not.
func givenUp(req *stream.Request) failure {
	switch why := req.Waiting.Abandoned(); {
	case why == 0:
		return 0
	case why.Gone():
		return failedDownstream
	}
	return failedSlow
}
