package compile

import (
	"fmt"
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	canaryv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_canary_hosts/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_host_metadata/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	prioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
)

func retry(m *routev3.RetryPolicy) (*route.Retry, error) {
	if m == nil {
		return nil, nil
	}
	r := &route.Retry{
		Max: 1, PerTry: m.GetPerTryTimeout().AsDuration(), PerTryIdle: m.GetPerTryIdleTimeout().AsDuration(),
		BaseBackoff: m.GetRetryBackOff().GetBaseInterval().AsDuration(), MaxBackoff: m.GetRetryBackOff().GetMaxInterval().AsDuration(),
		HostAttempts: max(1, int(m.GetHostSelectionRetryMaxAttempts())),
	}
	if m.GetRateLimitedRetryBackOff() != nil {
		if err := resets(m.GetRateLimitedRetryBackOff(), r); err != nil {
			return nil, fieldcheck.At("rate_limited_retry_back_off", err)
		}
	}
	if n := m.GetNumRetries(); n != nil {
		r.Max = n.GetValue()
	}
	for _, word := range strings.Split(m.GetRetryOn(), ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		on, known := route.RetryWords[word]
		if !known {
			return nil, fieldcheck.Refuse("retry_on", "%q is not a retry condition", word)
		}
		r.On |= on
	}
	for _, code := range m.GetRetriableStatusCodes() {
		r.Statuses = append(r.Statuses, int(code))
	}
	var err error
	if r.Headers, err = headerMatches(m.GetRetriableHeaders(), "retriable_headers"); err != nil {
		return nil, err
	}
	for i, p := range m.GetRetryHostPredicate() {
		at := fmt.Sprintf("retry_host_predicate[%d].typed_config", i)
		if p.GetTypedConfig() == nil && p.GetName() == "envoy.retry_host_predicates.previous_hosts" {
			r.AvoidPrevious = true
			continue
		}
		opened, err := unpack(p.GetTypedConfig())
		if err != nil {
			return nil, fieldcheck.At(at, err)
		}
		switch t := opened.(type) {
		case *previousv3.PreviousHostsPredicate:
			r.AvoidPrevious = true
		case *canaryv3.OmitCanaryHostsPredicate:
			omit(r).Canaries = true
		case *metadatav3.OmitHostMetadataConfig:
			if l := labels(t.GetMetadataMatch()); len(l) > 0 {
				omit(r).Labels = append(omit(r).Labels, l)
			}
		default:
			return nil, fieldcheck.Refuse(at, "%s is not supported", opened.ProtoReflect().Descriptor().FullName())
		}
	}
	return r, fieldcheck.At("retry_priority.typed_config", otherPriorities(r, m.GetRetryPriority()))
}

// omit are the endpoints that a retry avoids by what they are.
func omit(r *route.Retry) *cluster.Omit {
	if r.Omit == nil {
		r.Omit = &cluster.Omit{}
	}
	return r.Omit
}

// otherPriorities reads when a retry goes to another priority.
func otherPriorities(r *route.Retry, m *routev3.RetryPolicy_RetryPriority) error {
	if m == nil {
		return nil
	}
	opened, err := unpack(m.GetTypedConfig())
	if err != nil {
		return err
	}
	t, ok := opened.(*prioritiesv3.PreviousPrioritiesConfig)
	if !ok {
		return fieldcheck.Refuse("", "%s is not supported", opened.ProtoReflect().Descriptor().FullName())
	}
	r.OtherPriorities = int(t.GetUpdateFrequency())
	return nil
}

// hedge reads when another try begins beside one. What Envoy has only a place for is
// refused where it would mean something.
func hedge(f *route.Forward, m *routev3.HedgePolicy) error {
	switch {
	case m.GetInitialRequests().GetValue() > 1:
		return fieldcheck.Refuse("initial_requests", "is not supported: a request begins with one try")
	case m.GetAdditionalRequestChance().GetNumerator() > 0:
		return fieldcheck.Refuse("additional_request_chance", "is not supported: a request begins with one try")
	case !m.GetHedgeOnPerTryTimeout():
		return nil
	}
	if f.Retry == nil { // a caller may ask for retries
		f.Retry = &route.Retry{Max: 1, HostAttempts: 1}
	}
	f.Retry.Hedge = true
	return nil
}

// resets reads the fields by which an upstream says when to come back.
func resets(m *routev3.RetryPolicy_RateLimitedRetryBackOff, r *route.Retry) error {
	r.MaxReset = 5 * time.Minute
	if d := m.GetMaxInterval(); d != nil {
		r.MaxReset = d.AsDuration()
	}
	for i, h := range m.GetResetHeaders() {
		switch h.GetFormat() {
		case routev3.RetryPolicy_SECONDS, routev3.RetryPolicy_UNIX_TIMESTAMP:
			r.Resets = append(r.Resets, route.Reset{Name: h.GetName(), Unix: h.GetFormat() == routev3.RetryPolicy_UNIX_TIMESTAMP})
		default:
			return fieldcheck.Refuse(fmt.Sprintf("reset_headers[%d].format", i), "%s is not supported", h.GetFormat())
		}
	}
	if len(r.Resets) == 0 {
		return fieldcheck.Refuse("reset_headers", "is empty")
	}
	return nil
}
