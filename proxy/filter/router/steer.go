package router

import (
	"strconv"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// The fields in which a caller changes the time limits and retries of its own
// request. The connection manager leaves them only on requests from inside
// (docs.envoyproxy.io, "HTTP header manipulation" and the router filter's headers).
const (
	fieldTimeout  = "x-envoy-upstream-rq-timeout-ms"
	fieldPerTry   = "x-envoy-upstream-rq-per-try-timeout-ms"
	fieldExpected = "x-envoy-expected-rq-timeout-ms"
	fieldRetryOn  = "x-envoy-retry-on"
	fieldGRPCOn   = "x-envoy-retry-grpc-on"
	fieldRetries  = "x-envoy-max-retries"
	fieldStatuses = "x-envoy-retriable-status-codes"
	fieldHeaders  = "x-envoy-retriable-header-names"
	fieldHedge    = "x-envoy-hedge-on-per-try-timeout"
)

// consumed are those that end here; the last one asks for what only Envoy does.
var consumed = []string{
	fieldTimeout, fieldPerTry, fieldRetryOn, fieldGRPCOn, fieldRetries, fieldStatuses, fieldHeaders,
	fieldHedge, "x-envoy-upstream-alt-stat-name",
}

// steered reports whether a request has a field that steers the router: most have
// none, and one look at each name tells.
func (r *Router) steered(header *stream.Header) bool {
	for i := range header.Len() {
		name := header.At(i).Name
		if len(name) < len(fieldRetryOn) || !stream.EqualName(name[:8], "x-envoy-") {
			continue
		}
		for _, field := range consumed {
			if stream.EqualName(name, field) {
				return true
			}
		}
		if r.options.RespectExpected && stream.EqualName(name, fieldExpected) {
			return true
		}
	}
	return false
}

// steer is the policy and the limit as the request's fields change them; what it
// reads is taken off the request. A number that is none changes nothing.
func (r *Router) steer(header *stream.Header, limit time.Duration) (*route.Retry, time.Duration) {
	retry := route.Retry{Max: 1, HostAttempts: 1}
	if r.Retry != nil {
		retry = *r.Retry
	}
	own := fieldTimeout
	if r.options.RespectExpected && header.Has(fieldExpected) {
		own = fieldExpected // the router before this one has heeded the other
	}
	if told, ok := uintField(header, own); ok {
		limit = time.Duration(told) * time.Millisecond
	}
	if told, ok := uintField(header, fieldPerTry); ok {
		retry.PerTry = time.Duration(told) * time.Millisecond
	}
	retry.On |= conditions(header.Get(fieldRetryOn), route.OnHTTP) | conditions(header.Get(fieldGRPCOn), route.OnGRPC)
	if told, ok := uintField(header, fieldRetries); ok {
		retry.Max = told
	}
	if list := header.Get(fieldStatuses); list != "" {
		retry.Statuses = retry.Statuses[:len(retry.Statuses):len(retry.Statuses)]
		for code := range strings.SplitSeq(list, ",") {
			if n, err := strconv.ParseUint(strings.TrimSpace(code), 10, 16); err == nil {
				retry.Statuses = append(retry.Statuses, int(n))
			}
		}
	}
	if list := header.Get(fieldHeaders); list != "" {
		retry.Headers = retry.Headers[:len(retry.Headers):len(retry.Headers)]
		for name := range strings.SplitSeq(list, ",") {
			retry.Headers = append(retry.Headers, route.HeaderMatch{Name: strings.TrimSpace(name), Match: route.StringMatch{Kind: route.Present}})
		}
	}
	switch header.Get(fieldHedge) {
	case "true":
		retry.Hedge = true
	case "false":
		retry.Hedge = false
	}
	for _, field := range consumed {
		if field != fieldTimeout || own == fieldTimeout {
			header.Del(field)
		}
	}
	return &retry, limit
}

// uintField reads a field that is a number; milliseconds of 32 bits are 49 days.
func uintField(header *stream.Header, name string) (uint32, bool) {
	n, err := strconv.ParseUint(header.Get(name), 10, 32)
	return uint32(n), err == nil
}

// conditions are those of a list that are of a kind; words that mean nothing are
// passed over.
func conditions(list string, kind route.RetryOn) (on route.RetryOn) {
	for word := range strings.SplitSeq(list, ",") {
		on |= route.RetryWords[strings.TrimSpace(word)] & kind
	}
	return on
}
