package translate

import (
	"math"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpopts "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

func explicitHTTP1() *httpopts.HttpProtocolOptions_ExplicitHttpConfig_ {
	return &httpopts.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpopts.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &httpopts.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &core.Http1ProtocolOptions{}},
	}}
}

// protocol chooses what is spoken upstream: HTTP/2 where the port declares it
// or the pool asks for an upgrade, the client's own where nobody said.
func (b *clusterBuild) protocol(m *mesh.Config, p model.Protocol, pool *networking.ConnectionPoolSettings_HTTPSettings) {
	h2 := &core.Http2ProtocolOptions{}
	if n := pool.GetMaxConcurrentStreams(); n > 0 {
		h2.MaxConcurrentStreams = u32(uint32(n))
	}
	if k := pool.GetHttp2KeepAlive(); k != nil {
		h2.ConnectionKeepalive = &core.KeepaliveSettings{Interval: k.GetInterval(), Timeout: k.GetTimeout()}
	}
	switch {
	case p == model.Unset, p.IsHTTP() && pool.GetUseClientProtocol():
		b.http.UpstreamProtocolOptions = &httpopts.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &httpopts.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions: &core.Http1ProtocolOptions{}, Http2ProtocolOptions: h2}}
		b.set = true
	case p.IsHTTP2(), p == model.HTTP && upgrades(m, pool):
		b.http.UpstreamProtocolOptions = &httpopts.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpopts.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpopts.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: h2}}}
		b.set = true
	}
}

// upgrades reports whether HTTP/1.1 requests go upstream as HTTP/2.
func upgrades(m *mesh.Config, pool *networking.ConnectionPoolSettings_HTTPSettings) bool {
	switch pool.GetH2UpgradePolicy() {
	case networking.ConnectionPoolSettings_HTTPSettings_UPGRADE:
		return true
	case networking.ConnectionPoolSettings_HTTPSettings_DO_NOT_UPGRADE:
		return false
	}
	return m.GetH2UpgradePolicy() == meshconfig.MeshConfig_UPGRADE
}

// connectionPool writes limits and times of the connections to a cluster. A
// limit that nobody sets is as high as it can be.
func (b *clusterBuild) connectionPool(m *mesh.Config, pool *networking.ConnectionPoolSettings) {
	c, tcp, http := b.cluster, pool.GetTcp(), pool.GetHttp()
	c.CircuitBreakers = &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
		MaxConnections:     u32(limit(tcp.GetMaxConnections())),
		MaxPendingRequests: u32(limit(http.GetHttp1MaxPendingRequests())),
		MaxRequests:        u32(limit(http.GetHttp2MaxRequests())),
		MaxRetries:         u32(limit(http.GetMaxRetries())),
		TrackRemaining:     true,
	}}}
	if t := tcp.GetConnectTimeout(); t != nil {
		c.ConnectTimeout = t
	}
	if k := first(tcp.GetTcpKeepalive(), m.GetTcpKeepalive()); k != nil {
		c.UpstreamConnectionOptions = &cluster.UpstreamConnectionOptions{TcpKeepalive: keepalive(k)}
	}
	options := &core.HttpProtocolOptions{IdleTimeout: http.GetIdleTimeout(), MaxConnectionDuration: tcp.GetMaxConnectionDuration()}
	if options.IdleTimeout == nil {
		options.IdleTimeout = tcp.GetIdleTimeout()
	}
	if n := http.GetMaxRequestsPerConnection(); n > 0 {
		options.MaxRequestsPerConnection = u32(uint32(n))
	}
	if options.IdleTimeout != nil || options.MaxConnectionDuration != nil || options.MaxRequestsPerConnection != nil {
		b.http.CommonHttpProtocolOptions = options
		b.set = true
	}
}

// retryBudget limits retries to a share of the active requests.
func (b *clusterBuild) retryBudget(r *networking.TrafficPolicy_RetryBudget) {
	if r == nil {
		return
	}
	budget := &cluster.CircuitBreakers_Thresholds_RetryBudget{BudgetPercent: &typev3.Percent{Value: 20}, MinRetryConcurrency: u32(3)}
	if r.Percent != nil {
		budget.BudgetPercent.Value = r.Percent.Value
	}
	if r.MinRetryConcurrency > 0 {
		budget.MinRetryConcurrency.Value = r.MinRetryConcurrency
	}
	b.cluster.CircuitBreakers.Thresholds[0].RetryBudget = budget
}

// limit is a threshold, where 0 means that there is none.
func limit(n int32) uint32 {
	if n <= 0 {
		return math.MaxUint32
	}
	return uint32(n)
}

func keepalive(k *networking.ConnectionPoolSettings_TCPSettings_TcpKeepalive) *core.TcpKeepalive {
	out := &core.TcpKeepalive{}
	if k.Probes > 0 {
		out.KeepaliveProbes = u32(k.Probes)
	}
	if k.Time != nil {
		out.KeepaliveTime = u32(uint32(k.Time.Seconds))
	}
	if k.Interval != nil {
		out.KeepaliveInterval = u32(uint32(k.Interval.Seconds))
	}
	return out
}
