package bootstrap

import (
	"cmp"
	"fmt"
	"net"
	"strconv"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
)

// controlPlane reads whom the bootstrap wants asked. Envoy reaches its control
// plane through one of its own clusters; what that cluster says of address and
// TLS is taken over.
func controlPlane(b *bootstrapv3.Bootstrap) (*ADS, error) {
	d := b.GetDynamicResources()
	if d.GetAdsConfig() == nil {
		if d.GetLdsConfig() != nil || d.GetCdsConfig() != nil {
			return nil, fieldcheck.Refuse("ads_config", "is missing: lds_config and cds_config say ads")
		}
		return nil, nil
	}
	a := &ADS{Listeners: d.GetLdsConfig() != nil, Clusters: d.GetCdsConfig() != nil}
	return a, fieldcheck.At("ads_config", a.read(b, d.GetAdsConfig()))
}

// endpointSources reads whom static clusters want asked for their endpoints,
// where that is a service of its own.
func endpointSources(b *bootstrapv3.Bootstrap) (map[string]*ADS, error) {
	sources, shared := map[string]*ADS{}, map[string]*ADS{}
	for i, c := range b.GetStaticResources().GetClusters() {
		source := c.GetEdsClusterConfig().GetEdsConfig().GetApiConfigSource()
		if source == nil {
			continue
		}
		at := fmt.Sprintf("static_resources.clusters[%d].eds_cluster_config.eds_config.api_config_source", i)
		a := &ADS{}
		if err := a.read(b, source); err != nil {
			return nil, fieldcheck.At(at, err)
		}
		// Clusters that ask the same server share a stream.
		if first := shared[a.Address]; first != nil {
			a = first
		}
		shared[a.Address] = a
		sources[cmp.Or(c.GetEdsClusterConfig().GetServiceName(), c.GetName())] = a
	}
	return sources, nil
}

// read takes how a server is reached.
func (a *ADS) read(b *bootstrapv3.Bootstrap, source *corev3.ApiConfigSource) error {
	switch t := source.GetApiType(); t {
	case corev3.ApiConfigSource_DELTA_GRPC, corev3.ApiConfigSource_AGGREGATED_DELTA_GRPC:
	case corev3.ApiConfigSource_GRPC, corev3.ApiConfigSource_AGGREGATED_GRPC:
		a.SotW = true
	default:
		return fieldcheck.Refuse("api_type", "%s is not supported, write GRPC or DELTA_GRPC", t)
	}
	services := source.GetGrpcServices()
	if len(services) != 1 {
		return fieldcheck.Refuse("grpc_services", "has %d entries, want one", len(services))
	}
	at := "grpc_services[0]"
	if g := services[0].GetGoogleGrpc(); g != nil {
		return fieldcheck.At(at+".google_grpc", a.direct(g))
	}
	name := services[0].GetEnvoyGrpc().GetClusterName()
	for i, c := range b.GetStaticResources().GetClusters() {
		if c.GetName() == name {
			if err := a.through(c); err != nil {
				return fmt.Errorf("static_resources.clusters[%d], which is the control plane: %w", i, err)
			}
			return nil
		}
	}
	return fieldcheck.Refuse(at+".envoy_grpc.cluster_name", "there is no static cluster %q", name)
}

// direct takes the address and credentials of a google_grpc service.
func (a *ADS) direct(g *corev3.GrpcService_GoogleGrpc) error {
	a.Address = g.GetTargetUri()
	ssl := g.GetChannelCredentials().GetSslCredentials()
	a.Plaintext = ssl == nil
	a.RootFile = ssl.GetRootCerts().GetFilename()
	a.CertFile, a.KeyFile = ssl.GetCertChain().GetFilename(), ssl.GetPrivateKey().GetFilename()
	return nil
}

// through takes the address and TLS context of the cluster that reaches the
// control plane.
func (a *ADS) through(c *clusterv3.Cluster) error {
	endpoints := c.GetLoadAssignment().GetEndpoints()
	if len(endpoints) == 0 || len(endpoints[0].GetLbEndpoints()) == 0 {
		return fieldcheck.Refuse("load_assignment", "has no endpoint")
	}
	switch at := endpoints[0].GetLbEndpoints()[0].GetEndpoint().GetAddress(); {
	case at.GetPipe() != nil:
		a.Address = "unix:" + at.GetPipe().GetPath()
	case at.GetSocketAddress() != nil:
		s := at.GetSocketAddress()
		a.Address = net.JoinHostPort(s.GetAddress(), strconv.Itoa(int(s.GetPortValue())))
	default:
		return fieldcheck.Refuse("load_assignment", "the endpoint has neither socket_address nor pipe")
	}
	if c.GetTransportSocket() == nil {
		a.Plaintext = true
		return nil
	}
	up := &tlsv3.UpstreamTlsContext{}
	if err := c.GetTransportSocket().GetTypedConfig().UnmarshalTo(up); err != nil {
		return fieldcheck.Refuse("transport_socket", "want an UpstreamTlsContext: %v", err)
	}
	a.ServerName = up.GetSni()
	common := up.GetCommonTlsContext()
	a.RootFile = common.GetValidationContext().GetTrustedCa().GetFilename()
	if certs := common.GetTlsCertificates(); len(certs) > 0 {
		a.CertFile, a.KeyFile = certs[0].GetCertificateChain().GetFilename(), certs[0].GetPrivateKey().GetFilename()
	}
	return nil
}
