package compile

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/check"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/filter/healthcheck"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// healthFilter compiles answers to those who ask whether the proxy is well.
func healthFilter(c *Compiler, m *healthv3.HealthCheck) (builder, error) {
	f := &healthcheck.Filter{PassThrough: m.GetPassThroughMode().GetValue(), Keep: m.GetCacheTime().AsDuration(), Failing: c.Failing, Name: c.Service}
	if m.GetPassThroughMode() == nil {
		return nil, fieldcheck.Refuse("pass_through_mode", "is missing")
	}
	if !f.PassThrough && f.Keep > 0 {
		return nil, fieldcheck.Refuse("cache_time", "is for pass_through_mode only")
	}
	matches, err := headerMatches(m.GetHeaders(), "headers")
	if err != nil {
		return nil, err
	}
	f.Matches = allHold(matches)
	for _, name := range slices.Sorted(maps.Keys(m.GetClusterMinHealthyPercentages())) {
		handle := c.Handle(name)
		f.Clusters = append(f.Clusters, healthcheck.Least{Percent: int(m.GetClusterMinHealthyPercentages()[name].GetValue()), Usable: func() (usable, all int, found bool) {
			live := handle.Load()
			if live == nil {
				return 0, 0, false
			}
			usable, all = live.Usable(time.Now())
			return usable, all, true
		}})
	}
	return always(f), nil
}

// health compiles the active health checks.
func (c *Cluster) health(m *clusterv3.Cluster) error {
	if len(m.GetHealthChecks()) > cluster.MostChecks {
		return fieldcheck.Refuse("", "has %d entries, %d are supported", len(m.GetHealthChecks()), cluster.MostChecks)
	}
	for i, h := range m.GetHealthChecks() {
		check, err := c.healthCheck(h, m.GetName())
		if err != nil {
			return fieldcheck.At(fmt.Sprintf("[%d]", i), err)
		}
		c.Config.HealthChecks = append(c.Config.HealthChecks, *check)
	}
	c.Waits = len(c.Config.HealthChecks) > 0 && (m.GetWaitForWarmOnInit() == nil || m.GetWaitForWarmOnInit().GetValue())
	c.Config.IgnoreNew = m.GetCommonLbConfig().GetIgnoreNewHostsUntilFirstHc()
	c.Config.IgnoreHealthOnRemoval = m.GetIgnoreHealthOnHostRemoval()
	c.Config.CutUnhealthy = m.GetCloseConnectionsOnHostHealthFailure()
	c.Config.RenewOnChange = m.GetCommonLbConfig().GetCloseConnectionsOnHostSetChange()
	return nil
}

func (c *Cluster) healthCheck(h *corev3.HealthCheck, name string) (*cluster.HealthCheck, error) {
	out := &cluster.HealthCheck{
		Timeout: h.GetTimeout().AsDuration(), Interval: h.GetInterval().AsDuration(), Unhealthy: h.GetUnhealthyInterval().AsDuration(),
		HealthyEdge: h.GetHealthyEdgeInterval().AsDuration(), UnhealthyEdge: h.GetUnhealthyEdgeInterval().AsDuration(),
		NoTraffic: h.GetNoTrafficInterval().AsDuration(), NoTrafficHealthy: h.GetNoTrafficHealthyInterval().AsDuration(),
		Initial: h.GetInitialJitter().AsDuration(), Jitter: h.GetIntervalJitter().AsDuration(), JitterPercent: h.GetIntervalJitterPercent(),
		Failures: h.GetUnhealthyThreshold().GetValue(), Successes: h.GetHealthyThreshold().GetValue(),
	}
	if out.Timeout <= 0 || out.Interval <= 0 {
		return nil, fieldcheck.Refuse("", "needs timeout and interval")
	}
	if criteria := h.GetTransportSocketMatchCriteria(); criteria != nil {
		out.Socket = &cluster.Socket{TLS: c.Config.TLS}
		if s := c.match(criteria.GetFields()); s != nil {
			out.Socket.TLS = s.tls
		}
	}
	reuse := h.GetReuseConnection() == nil || h.GetReuseConnection().GetValue()
	switch k := h.GetHealthChecker().(type) {
	case *corev3.HealthCheck_HttpHealthCheck_:
		probe, err := httpCheck(k.HttpHealthCheck, name)
		if err != nil {
			return nil, fieldcheck.At("http_health_check", err)
		}
		probe.Reuse, out.Probe = reuse, probe.Probe
	case *corev3.HealthCheck_GrpcHealthCheck_:
		probe := &check.GRPC{Service: k.GrpcHealthCheck.GetServiceName(), Authority: cmp.Or(k.GrpcHealthCheck.GetAuthority(), name), Reuse: reuse}
		out.Probe = probe.Probe
	case *corev3.HealthCheck_TcpHealthCheck_:
		probe, err := tcpCheck(k.TcpHealthCheck)
		if err != nil {
			return nil, fieldcheck.At("tcp_health_check", err)
		}
		probe.Reuse, out.Probe = reuse, probe.Probe
	default:
		return nil, fieldcheck.Refuse("", "is of a kind that is not supported, use http_health_check, grpc_health_check or tcp_health_check")
	}
	return out, nil
}

func httpCheck(m *corev3.HealthCheck_HttpHealthCheck, name string) (*check.HTTP, error) {
	out := &check.HTTP{Method: "GET", Host: m.GetHost(), Path: m.GetPath(), HTTP2: m.GetCodecClientType() == typev3.CodecClientType_HTTP2}
	if m.GetMethod() != corev3.RequestMethod_METHOD_UNSPECIFIED {
		out.Method = m.GetMethod().String()
	}
	if out.Host == "" {
		out.Host = name
	}
	if m.GetCodecClientType() == typev3.CodecClientType_HTTP3 {
		return nil, fieldcheck.Refuse("codec_client_type", "HTTP3 is not supported")
	}
	var err error
	if out.Header, err = ownFields(m.GetRequestHeadersToAdd(), stream.Field{Name: "user-agent", Value: "Envoy/HC"}); err != nil {
		return nil, fieldcheck.At("request_headers_to_add", err)
	}
	if own := m.GetServiceNameMatcher(); own != nil {
		match, err := stringMatch(own)
		if err != nil {
			return nil, fieldcheck.At("service_name_matcher", err)
		}
		out.Cluster = match.Holds
	}
	for _, side := range []struct {
		from []*typev3.Int64Range
		to   *[]check.Status
	}{{m.GetExpectedStatuses(), &out.Expected}, {m.GetRetriableStatuses(), &out.Retriable}} {
		for _, r := range side.from {
			*side.to = append(*side.to, check.Status{Start: int(r.GetStart()), End: int(r.GetEnd())})
		}
	}
	return out, nil
}

func tcpCheck(m *corev3.HealthCheck_TcpHealthCheck) (*check.TCP, error) {
	out := &check.TCP{}
	var err error
	if m.GetSend() != nil {
		if out.Send, err = payload(m.GetSend()); err != nil {
			return nil, fieldcheck.At("send", err)
		}
	}
	for i, r := range m.GetReceive() {
		bytes, err := payload(r)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("receive[%d]", i), err)
		}
		out.Receive = append(out.Receive, bytes)
	}
	return out, nil
}

// payload is bytes, or text in hexadecimal.
func payload(m *corev3.HealthCheck_Payload) ([]byte, error) {
	if b := m.GetBinary(); b != nil {
		return b, nil
	}
	b, err := hex.DecodeString(m.GetText())
	if err != nil {
		return nil, fieldcheck.Refuse("text", "%q is not in hexadecimal", m.GetText())
	}
	return b, nil
}
