package compile

import (
	"testing"

	statsv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// What cannot be discovered is refused by its field.
func TestRefusedDiscovery(t *testing.T) {
	const of = `"type.googleapis.com/envoy.extensions.filters.http.`
	for text, want := range map[string]string{
		`"configSource":{"ads":{}},"typeUrls":[` + of + `router.v3.Router"]`:                                                                                 "[0].config_discovery.type_urls[0]: envoy.extensions.filters.http.router.v3.Router is not a filter whose configuration can be discovered",
		`"typeUrls":[` + of + `buffer.v3.Buffer"]`:                                                                                                           "[0].config_discovery.config_source: is missing",
		`"configSource":{"ads":{}},"applyDefaultConfigWithoutWarming":true,"typeUrls":[` + of + `buffer.v3.Buffer"]`:                                         "[0].config_discovery.apply_default_config_without_warming: is set and there is no default_config",
		`"configSource":{"ads":{}},"defaultConfig":{"@type":` + of + `csrf.v3.CsrfPolicy"},"typeUrls":[` + of + `buffer.v3.Buffer",` + of + `cors.v3.Cors"]`: "[0].config_discovery.default_config: is a envoy.extensions.filters.http.csrf.v3.CsrfPolicy, and type_urls has envoy.extensions.filters.http.buffer.v3.Buffer, envoy.extensions.filters.http.cors.v3.Cors",
	} {
		m := &hcmv3.HttpFilter{}
		if err := protojson.Unmarshal([]byte(`{"name":"limit","configDiscovery":{`+text+`}}`), m); err != nil {
			t.Fatal(err)
		}
		router := filter("router", packed(t, &routerv3.Router{}))
		if _, err := compiler().filters([]*hcmv3.HttpFilter{m, router}, false); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := compiler().filters([]*hcmv3.HttpFilter{router, m}, false); err == nil || err.Error() != "[1].config_discovery: stands behind the router, which is the last filter" {
			t.Errorf("behind the router: got %v", err)
		}
	}
}

// A filter whose configuration is not there answers, whatever routes say of it.
func TestUnconfigured(t *testing.T) {
	_, err := unconfigured{}.Handle(nil, nil)
	if r := stream.AsRefusal(err); r.Status != 500 || r.Flags.String() != "NFCF" {
		t.Errorf("got %v", err)
	}
}

// Messages are counted by a filter whose configuration is discovered as by any other,
// wherever the metrics stand.
func TestDiscoveredCounts(t *testing.T) {
	counts := packed(t, &grpcstatsv3.FilterConfig{})
	d := &hcmv3.HttpFilter{Name: "grpc", ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
		ConfigSource: &corev3.ConfigSource{}, TypeUrls: []string{counts.GetTypeUrl()}, DefaultConfig: counts, ApplyDefaultConfigWithoutWarming: true,
	}}}
	for _, stats := range []bool{false, true} {
		list := []*hcmv3.HttpFilter{d}
		if stats {
			list = append(list, filter("stats", packed(t, &statsv3.PluginConfig{})))
		}
		f, err := compiler().filters(append(list, filter("router", packed(t, &routerv3.Router{}))), false)
		if err != nil {
			t.Fatal(err)
		}
		last := route.NotFound{}
		whole, _, err := f.chain(last, nil, &spot{})
		if err != nil || (whole != last) != stats {
			t.Errorf("with metrics %v: got %T, %v", stats, whole, err)
		}
	}
}
