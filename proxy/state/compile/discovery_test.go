package compile

import (
	"testing"

	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"

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
