package translate

import (
	"slices"
	"strconv"
	"strings"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushosts "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previouspriorities "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
)

const (
	// defaultRetryOn are failures in which the server has done nothing yet.
	defaultRetryOn     = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
	retriableCodes     = "retriable-status-codes"
	defaultRetries     = 2
	hostSelectionTries = 5
)

// retryPolicy is the user's policy, else the mesh's, else two tries more.
// attempts 0 turns retries off, which is nil. A try avoids the hosts that
// were tried before, unless requests are bound to a host by hash.
func retryPolicy(m *mesh.Config, user *networking.HTTPRetry, hashed bool) *route.RetryPolicy {
	if user == nil {
		user = m.GetDefaultHttpRetryPolicy()
	}
	if user == nil {
		user = &networking.HTTPRetry{Attempts: defaultRetries}
	}
	if user.Attempts <= 0 {
		return nil
	}
	p := &route.RetryPolicy{RetryOn: defaultRetryOn, NumRetries: u32(uint32(user.Attempts)), PerTryTimeout: user.PerTryTimeout}
	if user.RetryOn != "" {
		p.RetryOn, p.RetriableStatusCodes = splitRetryOn(user.RetryOn)
	}
	if ignore := user.RetryIgnorePreviousHosts; !hashed && (ignore == nil || ignore.Value) {
		p.HostSelectionRetryMaxAttempts = hostSelectionTries
		p.RetryHostPredicate = []*route.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &route.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: packed(&previoushosts.PreviousHostsPredicate{})},
		}}
	}
	if user.RetryRemoteLocalities.GetValue() {
		p.RetryPriority = &route.RetryPolicy_RetryPriority{
			Name: "envoy.retry_priorities.previous_priorities",
			ConfigType: &route.RetryPolicy_RetryPriority_TypedConfig{
				TypedConfig: packed(&previouspriorities.PreviousPrioritiesConfig{UpdateFrequency: 2})},
		}
	}
	if user.Backoff != nil {
		p.RetryBackOff = &route.RetryPolicy_RetryBackOff{BaseInterval: user.Backoff}
	}
	return p
}

// splitRetryOn separates status codes from conditions; codes need a condition
// of their own to count.
func splitRetryOn(s string) (string, []uint32) {
	var conditions []string
	var codes []uint32
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if n, err := strconv.ParseUint(part, 10, 32); err == nil {
			codes = append(codes, uint32(n))
		} else if part != "" {
			conditions = append(conditions, part)
		}
	}
	if len(codes) > 0 && !slices.Contains(conditions, retriableCodes) {
		conditions = append(conditions, retriableCodes)
	}
	return strings.Join(conditions, ","), codes
}
