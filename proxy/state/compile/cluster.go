package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	mxv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/network/metadata_exchange/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/filter/peermetadata"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/credential"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Cluster is a compiled cluster and what it waits for.
type Cluster struct {
	Config *cluster.Config
	// EDS is the name under which its endpoints are asked for; empty when it
	// has its own.
	EDS ads.Ref
	// Secrets names the secrets that it waits for.
	Secrets []ads.Ref
	// Waits is true when it is used once its endpoints have answered their first
	// probes.
	Waits bool

	runtime  *runtime.Runtime
	sockets  []socketMatch
	told     hostTLVs
	exchange *peermetadata.Exchange // nil where no filter makes it
}

// usualIdle is how long a connection that nobody uses is kept where nothing is said.
const usualIdle = time.Hour

// Cluster compiles a cluster.
func (c *Compiler) Cluster(m *clusterv3.Cluster) (*Cluster, error) {
	if err := Fields.Check(m); err != nil {
		return nil, err
	}
	out := &Cluster{runtime: c.Runtime, Config: &cluster.Config{
		Name:     own(m.GetName()),
		StatName: own(m.GetAltStatName()),
		Panic:    -1,
		Pool:     pool.Config{ConnectTimeout: m.GetConnectTimeout().AsDuration(), IdleTimeout: usualIdle, MaxRequests: m.GetMaxRequestsPerConnection().GetValue()},
	}}
	steps := []struct {
		at string
		do func(*clusterv3.Cluster) error
	}{
		{"", func(m *clusterv3.Cluster) error { return out.kind(c, m) }},
		{"", out.dns},
		{"", out.policy},
		{"lb_subset_config", out.subsets},
		{"circuit_breakers", out.limits},
		{"outlier_detection", out.outlier},
		{"upstream_bind_config", out.bind},
		{"filters", func(m *clusterv3.Cluster) error { return out.networkFilters(c, m) }},
		{"", out.protocol},
		{"", func(m *clusterv3.Cluster) error { return out.transport(c, m) }},
		{"health_checks", out.health}, // which choose among the transport sockets
	}
	for _, s := range steps {
		if err := s.do(m); err != nil {
			return nil, fieldcheck.At(s.at, err)
		}
	}
	out.metadata(m.GetMetadata())
	if k := m.GetUpstreamConnectionOptions().GetTcpKeepalive(); k != nil {
		out.Config.Pool.Keepalive = pool.Keepalive{
			Enabled: true, Probes: int(k.GetKeepaliveProbes().GetValue()),
			Idle:     time.Duration(k.GetKeepaliveTime().GetValue()) * time.Second,
			Interval: time.Duration(k.GetKeepaliveInterval().GetValue()) * time.Second,
		}
	}
	if m.GetLoadAssignment() != nil {
		var err error
		if out.Config.Endpoints, out.Config.Spread, err = out.Endpoints(m.GetLoadAssignment()); err != nil {
			return nil, fieldcheck.At("load_assignment", err)
		}
	}
	return out, nil
}

// own copies a string that a compiled resource keeps. The decoder's own strings
// lie between all that it has thrown away since, and each would keep a page of it.
func own(s string) string { return strings.Clone(s) }

func (c *Cluster) kind(compiler *Compiler, m *clusterv3.Cluster) error {
	switch t := m.GetType(); t {
	case clusterv3.Cluster_STATIC:
		c.Config.Kind = cluster.Static
	case clusterv3.Cluster_EDS:
		c.Config.Kind = cluster.EDS
		var err error
		c.EDS, err = compiler.locate(m.GetEdsClusterConfig().GetEdsConfig(), ads.EndpointType, cmp.Or(own(m.GetEdsClusterConfig().GetServiceName()), c.Config.Name))
		if err != nil {
			return fieldcheck.At("eds_cluster_config.eds_config", err)
		}
	case clusterv3.Cluster_STRICT_DNS:
		c.Config.Kind = cluster.StrictDNS
	case clusterv3.Cluster_LOGICAL_DNS:
		c.Config.Kind = cluster.LogicalDNS
	case clusterv3.Cluster_ORIGINAL_DST:
		c.Config.Kind = cluster.OriginalDst
		c.Config.OriginalPort = uint16(m.GetOriginalDstLbConfig().GetUpstreamPortOverride().GetValue())
	default:
		return fieldcheck.Refuse("type", "%s is not supported", t)
	}
	return nil
}

func (c *Cluster) limits(m *clusterv3.Cluster) error {
	seen := map[corev3.RoutingPriority]bool{}
	for i, t := range m.GetCircuitBreakers().GetThresholds() {
		limits := &c.Config.Limits
		if t.GetPriority() == corev3.RoutingPriority_HIGH {
			limits = &c.Config.HighLimits
		}
		if seen[t.GetPriority()] {
			return fieldcheck.Refuse(fmt.Sprintf("thresholds[%d].priority", i), "%s has thresholds already", t.GetPriority())
		}
		seen[t.GetPriority()] = true
		*limits = cluster.Limits{
			Connections: limit(t.GetMaxConnections()),
			Pending:     limit(t.GetMaxPendingRequests()),
			Requests:    limit(t.GetMaxRequests()),
			Retries:     limit(t.GetMaxRetries()),
			Track:       t.GetTrackRemaining(),
		}
		if b := t.GetRetryBudget(); b != nil {
			limits.RetryPercent, limits.RetryMin = 20, 3
			if p := b.GetBudgetPercent(); p != nil {
				limits.RetryPercent = p.GetValue()
			}
			if n := b.GetMinRetryConcurrency(); n != nil {
				limits.RetryMin = n.GetValue()
			}
		}
	}
	for i, t := range m.GetCircuitBreakers().GetPerHostThresholds() {
		at := fmt.Sprintf("per_host_thresholds[%d]", i)
		switch {
		case t.GetPriority() != corev3.RoutingPriority_DEFAULT:
			return fieldcheck.Refuse(at+".priority", "only DEFAULT is supported")
		case t.GetMaxPendingRequests() != nil || t.GetMaxRequests() != nil || t.GetMaxRetries() != nil || t.GetRetryBudget() != nil || t.GetMaxConnectionPools() != nil:
			return fieldcheck.Refuse(at, "has only max_connections, as in Envoy")
		}
		if c.Config.PerHost == 0 {
			c.Config.PerHost = t.GetMaxConnections().GetValue()
		}
	}
	return nil
}

// limit is one of a circuit breaker: 0, written down, lets nothing pass.
func limit(m *wrapperspb.UInt32Value) uint32 {
	if m != nil && m.GetValue() == 0 {
		return cluster.None
	}
	return m.GetValue()
}

func (c *Cluster) outlier(m *clusterv3.Cluster) error {
	o := m.GetOutlierDetection()
	if o == nil {
		return nil
	}
	or := func(v interface{ GetValue() uint32 }, unset bool, d uint32) uint32 {
		if unset {
			return d
		}
		return v.GetValue()
	}
	duration := func(d time.Duration, def time.Duration) time.Duration {
		if d == 0 {
			return def
		}
		return d
	}
	out := &cluster.Outlier{
		Consecutive5xx:     or(o.GetConsecutive_5Xx(), o.GetConsecutive_5Xx() == nil, 5),
		ConsecutiveGateway: or(o.GetConsecutiveGatewayFailure(), o.GetConsecutiveGatewayFailure() == nil, 5),
		ConsecutiveLocal:   or(o.GetConsecutiveLocalOriginFailure(), o.GetConsecutiveLocalOriginFailure() == nil, 5),
		Enforce5xx:         or(o.GetEnforcingConsecutive_5Xx(), o.GetEnforcingConsecutive_5Xx() == nil, 100),
		EnforceGateway:     or(o.GetEnforcingConsecutiveGatewayFailure(), o.GetEnforcingConsecutiveGatewayFailure() == nil, 0),
		EnforceLocal:       or(o.GetEnforcingConsecutiveLocalOriginFailure(), o.GetEnforcingConsecutiveLocalOriginFailure() == nil, 100),
		MaxEjectionPercent: or(o.GetMaxEjectionPercent(), o.GetMaxEjectionPercent() == nil, 10),
		Interval:           duration(o.GetInterval().AsDuration(), 10*time.Second),
		BaseEjection:       duration(o.GetBaseEjectionTime().AsDuration(), 30*time.Second),
		AlwaysOne:          o.GetAlwaysEjectOneHost().GetValue(),
		SplitLocal:         o.GetSplitExternalLocalOriginErrors(),
		Jitter:             o.GetMaxEjectionTimeJitter().AsDuration(),
		HealthUnejects:     o.GetSuccessfulActiveHealthCheckUnejectHost() == nil || o.GetSuccessfulActiveHealthCheckUnejectHost().GetValue(),
	}
	rate := func(enforce, hosts, volume *wrapperspb.UInt32Value, unset [3]uint32) cluster.Rate {
		return cluster.Rate{Enforce: or(enforce, enforce == nil, unset[0]), Hosts: or(hosts, hosts == nil, unset[1]), Volume: or(volume, volume == nil, unset[2])}
	}
	factor := o.GetSuccessRateStdevFactor()
	deviation := float64(or(factor, factor == nil, 1900)) / 1000
	byRate, byPercentage := [3]uint32{100, 5, 100}, [3]uint32{0, 5, 50}
	out.SuccessRate = rate(o.GetEnforcingSuccessRate(), o.GetSuccessRateMinimumHosts(), o.GetSuccessRateRequestVolume(), byRate)
	out.LocalRate = rate(o.GetEnforcingLocalOriginSuccessRate(), o.GetSuccessRateMinimumHosts(), o.GetSuccessRateRequestVolume(), byRate)
	out.SuccessRate.Deviation, out.LocalRate.Deviation = deviation, deviation
	out.FailurePercentage = rate(o.GetEnforcingFailurePercentage(), o.GetFailurePercentageMinimumHosts(), o.GetFailurePercentageRequestVolume(), byPercentage)
	out.LocalPercentage = rate(o.GetEnforcingFailurePercentageLocalOrigin(), o.GetFailurePercentageMinimumHosts(), o.GetFailurePercentageRequestVolume(), byPercentage)
	threshold := or(o.GetFailurePercentageThreshold(), o.GetFailurePercentageThreshold() == nil, 85)
	if threshold == 0 && o.GetEnforcingFailurePercentage().GetValue()+o.GetEnforcingFailurePercentageLocalOrigin().GetValue() > 0 {
		return fieldcheck.Refuse("failure_percentage_threshold", "0 would take every endpoint out")
	}
	out.FailurePercentage.Threshold, out.LocalPercentage.Threshold = threshold, threshold
	if !out.SplitLocal {
		out.LocalRate, out.LocalPercentage = cluster.Rate{}, cluster.Rate{}
	}
	out.MaxEjection = duration(o.GetMaxEjectionTime().AsDuration(), max(out.BaseEjection, 300*time.Second))
	c.Config.Outlier = out
	return nil
}

// networkFilters are those on the connections to endpoints: only Istio's metadata
// exchange, which does nothing unless its ALPN was chosen.
func (c *Cluster) networkFilters(compiler *Compiler, m *clusterv3.Cluster) error {
	for i, f := range m.GetFilters() {
		at := fmt.Sprintf("[%d].typed_config", i)
		opened, err := unpack(f.GetTypedConfig())
		if err != nil {
			return fieldcheck.At(at, err)
		}
		mx, ok := opened.(*mxv3.MetadataExchange)
		if !ok {
			return fieldcheck.Refuse(at, "%s is not a filter for clusters that is supported", opened.ProtoReflect().Descriptor().FullName())
		}
		exchange, err := compiler.exchangeOf(mx)
		if err != nil {
			return fieldcheck.At(at, err)
		}
		c.exchange, c.Config.Pool.Agreed = exchange, exchange.Agreed
	}
	return nil
}

// bind reads from where endpoints are dialed: one address of each family.
func (c *Cluster) bind(m *clusterv3.Cluster) error {
	b := m.GetUpstreamBindConfig()
	add := func(at string, s *corev3.SocketAddress) error {
		ip, err := netip.ParseAddr(s.GetAddress())
		switch {
		case err != nil:
			return fieldcheck.Refuse(at+".address", "%q is not an IP address", s.GetAddress())
		case s.GetPortValue() != 0:
			return fieldcheck.Refuse(at+".port_value", "has to be 0: connections have ports of their own")
		case slices.ContainsFunc(c.Config.Pool.Sources, func(other netip.Addr) bool { return other.Is4() == ip.Is4() }):
			return fieldcheck.Refuse(at+".address", "%s is the second address of its family", ip)
		}
		c.Config.Pool.Sources = append(c.Config.Pool.Sources, ip)
		return nil
	}
	if s := b.GetSourceAddress(); s != nil {
		if err := add("source_address", s); err != nil {
			return err
		}
	}
	for i, s := range b.GetExtraSourceAddresses() {
		if err := add(fmt.Sprintf("extra_source_addresses[%d].address", i), s.GetAddress()); err != nil {
			return err
		}
	}
	for i, s := range b.GetAdditionalSourceAddresses() { //nolint:staticcheck // older files still say so
		if err := add(fmt.Sprintf("additional_source_addresses[%d]", i), s); err != nil {
			return err
		}
	}
	return nil
}

// metadata reads what Istio says of a cluster: the service behind it, and
// whether its ALPN is its own.
func (c *Cluster) metadata(m *corev3.Metadata) {
	c.Config.Metadata = told(m)
	istio := m.GetFilterMetadata()["istio"].GetFields()
	if list := istio["services"].GetListValue().GetValues(); len(list) > 0 {
		f := list[0].GetStructValue().GetFields()
		c.Config.Service = &stream.Service{
			Host: f["host"].GetStringValue(), Name: f["name"].GetStringValue(), Namespace: f["namespace"].GetStringValue(),
		}
	}
	if v, set := istio["alpn_override"]; set {
		c.Config.KeepALPN = v.GetStringValue() == "false" || v.GetKind() != nil && v.GetStringValue() == "" && !v.GetBoolValue()
	}
}

// socketMatch is a transport socket and which endpoints it is for.
type socketMatch struct {
	match map[string]*structpb.Value
	tls   pool.TLS // nil is plain text
	mtls  bool
}

func (c *Cluster) transport(compiler *Compiler, m *clusterv3.Cluster) error {
	var err error
	if c.Config.TLS, err = c.socket(compiler, m.GetTransportSocket()); err != nil {
		return fieldcheck.At("transport_socket", err)
	}
	for i, t := range m.GetTransportSocketMatches() {
		s := socketMatch{match: t.GetMatch().GetFields()}
		if s.tls, err = c.socket(compiler, t.GetTransportSocket()); err != nil {
			return fieldcheck.At(fmt.Sprintf("transport_socket_matches[%d].transport_socket", i), err)
		}
		s.mtls = s.tls != nil && s.match["tlsMode"].GetStringValue() == "istio"
		c.sockets = append(c.sockets, s)
	}
	return nil
}

func (c *Cluster) socket(compiler *Compiler, s *corev3.TransportSocket) (pool.TLS, error) {
	if s == nil {
		return nil, nil
	}
	m, err := unpack(s.GetTypedConfig())
	if err != nil {
		return nil, fieldcheck.At("typed_config", err)
	}
	switch t := m.(type) {
	case *rawv3.RawBuffer:
		return nil, nil
	case *tlsv3.UpstreamTlsContext:
		client, err := credential.NewClient(compiler.Secrets, t, unspoken(c.exchange)...)
		if err != nil {
			return nil, fieldcheck.At("typed_config", err)
		}
		c.Secrets = append(c.Secrets, client.Secrets()...)
		slices.SortFunc(c.Secrets, ads.Ref.Compare)
		c.Secrets = slices.Compact(c.Secrets)
		return client, nil
	case *proxyv3.ProxyProtocolUpstreamTransport:
		behind, err := c.socket(compiler, t.GetTransportSocket())
		if err != nil {
			return nil, fieldcheck.At("typed_config.transport_socket", err)
		}
		proxied, err := proxiedTransport(t.GetConfig(), behind)
		return proxied, fieldcheck.At("typed_config.config", err)
	default:
		return nil, fieldcheck.Refuse("typed_config", "%s is not a transport socket for clusters", m.ProtoReflect().Descriptor().FullName())
	}
}
