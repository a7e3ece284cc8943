package bootstrap

import (
	"cmp"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
)

// controlPlane reads whom the bootstrap wants asked for clusters and listeners.
func (c *Config) controlPlane(b *bootstrapv3.Bootstrap) error {
	d := b.GetDynamicResources()
	var err error
	if d.GetAdsConfig() != nil {
		if c.ADS, err = server(d.GetAdsConfig()); err != nil {
			return fieldcheck.At("ads_config", err)
		}
		if c.ADS.REST > 0 {
			return fieldcheck.Refuse("ads_config.api_type", "REST is not aggregated, write GRPC or DELTA_GRPC")
		}
	}
	if c.ClusterSource, err = c.dynamic(d.GetCdsConfig()); err != nil {
		return fieldcheck.At("cds_config", err)
	}
	c.ListenerSource, err = c.dynamic(d.GetLdsConfig())
	return fieldcheck.At("lds_config", err)
}

func (c *Config) dynamic(s *corev3.ConfigSource) (*Source, error) {
	if s == nil {
		return nil, nil
	}
	own, err := Locate(s)
	if own != nil || err != nil {
		return own, err
	}
	if c.ADS == nil {
		return nil, fieldcheck.Refuse("ads", "there is no ads_config to ask")
	}
	return c.ADS, nil
}

// Locate reads where resources come from; nil is the aggregated control plane.
func Locate(s *corev3.ConfigSource) (*Source, error) {
	if err := fields.Check(s); err != nil {
		return nil, err
	}
	switch t := s.GetConfigSourceSpecifier().(type) {
	case *corev3.ConfigSource_Ads:
		return nil, nil
	case *corev3.ConfigSource_Path:
		if t.Path == "" { // which the field's own rules do not forbid
			return nil, fieldcheck.Refuse("path", "is empty")
		}
		return &Source{File: t.Path}, nil
	case *corev3.ConfigSource_PathConfigSource:
		f := t.PathConfigSource
		return &Source{File: f.GetPath(), Directory: f.GetWatchedDirectory().GetPath()}, nil
	case *corev3.ConfigSource_ApiConfigSource:
		switch k := t.ApiConfigSource.GetApiType(); k {
		case corev3.ApiConfigSource_AGGREGATED_GRPC, corev3.ApiConfigSource_AGGREGATED_DELTA_GRPC:
			return nil, fieldcheck.Refuse("api_config_source.api_type", "%s is not supported, write ads", k)
		}
		own, err := server(t.ApiConfigSource)
		return own, fieldcheck.At("api_config_source", err)
	default:
		return nil, fieldcheck.Refuse("", "names no source: write ads, api_config_source or path_config_source")
	}
}

// refreshDelay is how often a REST server is asked where nothing is written.
const refreshDelay = 5 * time.Second

// server reads how a server is reached.
func server(source *corev3.ApiConfigSource) (*Source, error) {
	s := &Source{}
	switch t := source.GetApiType(); t {
	case corev3.ApiConfigSource_DELTA_GRPC, corev3.ApiConfigSource_AGGREGATED_DELTA_GRPC:
	case corev3.ApiConfigSource_GRPC, corev3.ApiConfigSource_AGGREGATED_GRPC:
		s.SotW = true
	case corev3.ApiConfigSource_REST:
		if len(source.GetClusterNames()) != 1 {
			return nil, fieldcheck.Refuse("cluster_names", "has %d entries, want one", len(source.GetClusterNames()))
		}
		s.Cluster, s.REST = source.GetClusterNames()[0], cmp.Or(source.GetRefreshDelay().AsDuration(), refreshDelay)
		if s.REST < 0 {
			return nil, fieldcheck.Refuse("refresh_delay", "must not be negative")
		}
		if s.Cluster == "" {
			return nil, fieldcheck.Refuse("cluster_names[0]", "is empty")
		}
		return s, nil
	default:
		return nil, fieldcheck.Refuse("api_type", "%s is not supported, write GRPC, DELTA_GRPC or REST", t)
	}
	services := source.GetGrpcServices()
	if len(services) != 1 {
		return nil, fieldcheck.Refuse("grpc_services", "has %d entries, want one", len(services))
	}
	if g := services[0].GetGoogleGrpc(); g != nil {
		s.direct(g)
		return s, nil
	}
	g := services[0].GetEnvoyGrpc()
	s.Cluster = g.GetClusterName()
	s.Authority = cmp.Or(g.GetAuthority(), s.Cluster)
	return s, nil
}

// direct takes the address and credentials of a google_grpc service.
func (s *Source) direct(g *corev3.GrpcService_GoogleGrpc) {
	s.Address = g.GetTargetUri()
	ssl := g.GetChannelCredentials().GetSslCredentials()
	s.Plaintext = ssl == nil
	s.RootFile = ssl.GetRootCerts().GetFilename()
	s.CertFile, s.KeyFile = ssl.GetCertChain().GetFilename(), ssl.GetPrivateKey().GetFilename()
}
