package source

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/lateenmesh/lateen/control/mesh"
)

// DefaultMesh is the mesh's settings where the user says nothing.
func DefaultMesh() *mesh.Config {
	return &mesh.Config{
		RootNamespace: "istio-system", TrustDomain: "cluster.local",
		EnableAutoMtls: wrapperspb.Bool(true), EnablePrometheusMerge: wrapperspb.Bool(true), EnableTracing: true,
		OutboundTrafficPolicy: &meshconfig.MeshConfig_OutboundTrafficPolicy{Mode: meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY},
		ConnectTimeout:        durationpb.New(10e9), DnsRefreshRate: durationpb.New(60e9), ProtocolDetectionTimeout: durationpb.New(0),
		ProxyListenPort: 15001, ProxyInboundListenPort: 15006, IngressService: "istio-ingressgateway", IngressClass: "istio", IngressSelector: "ingressgateway",
		DefaultConfig: &meshconfig.ProxyConfig{
			DiscoveryAddress: "istiod.istio-system.svc:15012", StatusPort: 15020, ProxyAdminPort: 15000, ConfigPath: "./etc/istio/proxy",
			BinaryPath: "/usr/local/bin/envoy", DrainDuration: durationpb.New(45e9), TerminationDrainDuration: durationpb.New(5e9),
			StatNameLength: 189, ClusterName: &meshconfig.ProxyConfig_ServiceCluster{ServiceCluster: "istio-proxy"},
		},
	}
}

// Mesh reads the settings from the text of the ConfigMap istio, key mesh, over
// the defaults.
func Mesh(text string) (*mesh.Config, error) {
	out := DefaultMesh()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("read mesh settings: %w", err)
	}
	own := &mesh.Config{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(asJSON, own); err != nil {
		return nil, fmt.Errorf("read mesh settings: %w", err)
	}
	proto.Merge(out, own)
	return out, nil
}
