package compile

import (
	"fmt"
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	systemv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/getaddrinfo/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/internal/resolve"
	"github.com/lateenmesh/lateen/proxy/cluster"
)

var families = map[clusterv3.Cluster_DnsLookupFamily]cluster.Family{
	clusterv3.Cluster_AUTO: cluster.Auto, clusterv3.Cluster_V4_ONLY: cluster.V4Only, clusterv3.Cluster_V6_ONLY: cluster.V6Only,
	clusterv3.Cluster_V4_PREFERRED: cluster.V4Preferred, clusterv3.Cluster_ALL: cluster.All,
}

// dns compiles how names are resolved.
func (c *Cluster) dns(m *clusterv3.Cluster) error {
	if c.Config.Kind != cluster.StrictDNS && c.Config.Kind != cluster.LogicalDNS {
		return nil
	}
	d := &cluster.DNS{}
	c.Config.DNS = d
	family, known := families[m.GetDnsLookupFamily()]
	if !known {
		return fieldcheck.Refuse("dns_lookup_family", "%d is not supported", m.GetDnsLookupFamily())
	}
	d.Family = family
	d.Refresh, d.Jitter, d.FollowTTL = m.GetDnsRefreshRate().AsDuration(), m.GetDnsJitter().AsDuration(), m.GetRespectDnsTtl()
	if m.GetDnsRefreshRate() != nil && d.Refresh <= time.Millisecond {
		return fieldcheck.Refuse("dns_refresh_rate", "has to be more than 1 ms")
	}
	if f := m.GetDnsFailureRefreshRate(); f != nil {
		d.Retry, d.MostRetry = f.GetBaseInterval().AsDuration(), f.GetMaxInterval().AsDuration()
		switch {
		case d.Retry < time.Millisecond:
			return fieldcheck.Refuse("dns_failure_refresh_rate.base_interval", "has to be at least 1 ms")
		case f.GetMaxInterval() != nil && d.MostRetry < d.Retry:
			return fieldcheck.Refuse("dns_failure_refresh_rate.max_interval", "is less than base_interval")
		}
	}
	if c.Config.Kind == cluster.LogicalDNS {
		groups := m.GetLoadAssignment().GetEndpoints()
		if len(groups) != 1 || len(groups[0].GetLbEndpoints()) != 1 {
			return fieldcheck.Refuse("load_assignment.endpoints", "of a LOGICAL_DNS cluster is one endpoint, write type: STRICT_DNS for several")
		}
	}
	return c.resolver(m)
}

// resolver reads whom names are asked of: in its newest spelling, or else in the one
// before, or in the oldest.
func (c *Cluster) resolver(m *clusterv3.Cluster) error {
	var servers []*corev3.Address
	var options *corev3.DnsResolverOptions
	at := "dns_resolvers"
	older := m.GetDnsResolutionConfig() //nolint:staticcheck // files still say so
	switch {
	case m.GetTypedDnsResolverConfig() != nil:
		at = "typed_dns_resolver_config.typed_config"
		opened, err := unpack(m.GetTypedDnsResolverConfig().GetTypedConfig())
		if err != nil {
			return fieldcheck.At(at, err)
		}
		switch t := opened.(type) {
		case *caresv3.CaresDnsResolverConfig:
			servers, options = t.GetResolvers(), t.GetDnsResolverOptions()
		case *systemv3.GetAddrInfoDnsResolverConfig:
			return nil
		default:
			return fieldcheck.Refuse(at, "%s is not a resolver that is supported", opened.ProtoReflect().Descriptor().FullName())
		}
		at += ".resolvers"
	case older != nil:
		at, servers, options = "dns_resolution_config.resolvers", older.GetResolvers(), older.GetDnsResolverOptions()
	default:
		servers = m.GetDnsResolvers()                                                         //nolint:staticcheck // files still say so
		options = &corev3.DnsResolverOptions{UseTcpForDnsLookups: m.GetUseTcpForDnsLookups()} //nolint:staticcheck // files still say so
	}
	if len(servers) == 0 && !options.GetUseTcpForDnsLookups() && !options.GetNoDefaultSearchDomain() {
		return nil
	}
	r := &resolve.Resolver{TCP: options.GetUseTcpForDnsLookups(), Absolute: options.GetNoDefaultSearchDomain()}
	for i, s := range servers {
		ip, err := netip.ParseAddr(s.GetSocketAddress().GetAddress())
		if err != nil {
			return fieldcheck.Refuse(fmt.Sprintf("%s[%d].socket_address.address", at, i), "%q is not an IP address", s.GetSocketAddress().GetAddress())
		}
		port := uint16(s.GetSocketAddress().GetPortValue())
		if port == 0 {
			port = 53
		}
		r.Servers = append(r.Servers, netip.AddrPortFrom(ip, port))
	}
	c.Config.DNS.Resolve = r.Resolve
	return nil
}
