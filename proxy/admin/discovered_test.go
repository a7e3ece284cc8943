package admin

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/state"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// Scopes and filters' configurations that have been discovered are shown in the form
// of Envoy's messages.
func TestDiscoveredIsShown(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	listeners := listener.NewSet(listener.Deps{Log: log})
	st := state.New(state.Config{Listeners: listeners, Clusters: cluster.Deps{Log: log}, Telemetry: telemetry.New(telemetry.Config{}), Log: log})
	m := &listenerv3.Listener{}
	const filters = "type.googleapis.com/envoy.extensions.filters.http."
	if err := protojson.Unmarshal([]byte(`{"name": "web", "address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}, "filter_chains": [{"filters": [{"name": "http", "typed_config": {
		"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "web",
		"scoped_routes": {"name": "tenants", "scope_key_builder": {"fragments": [{"header_value_extractor": {"name": "x", "index": 0}}]}, "rds_config_source": {"ads": {}}, "scoped_rds": {"scoped_rds_config_source": {"ads": {}}}},
		"http_filters": [{"name": "limit", "config_discovery": {"config_source": {"ads": {}}, "type_urls": ["`+filters+`buffer.v3.Buffer"]}}, {"name": "router", "typed_config": {"@type": "`+filters+`router.v3.Router"}}]}}]}]}`), m); err != nil {
		t.Fatal(err)
	}
	if err := st.Static([]*listenerv3.Listener{m}, nil, nil); err != nil {
		t.Fatal(err)
	}
	tell := func(url, text string, m proto.Message) {
		t.Helper()
		if err := protojson.Unmarshal([]byte(text), m); err != nil {
			t.Fatal(err)
		}
		body, err := anypb.New(m)
		if err == nil {
			err = st.Update(ads.Update{Type: url, Version: "7", Set: []ads.Resource{{Version: "7", Body: body}}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tell(ads.ScopeType, `{"name": "one", "key": {"fragments": [{"string_key": "a"}]}, "route_configuration_name": "web"}`, &routev3.ScopedRouteConfiguration{})
	tell(ads.ExtensionType, `{"name": "limit", "typed_config": {"@type": "`+filters+`buffer.v3.Buffer", "max_request_bytes": 1}}`, &corev3.TypedExtensionConfig{})
	rec := httptest.NewRecorder()
	New(Config{State: st, Listeners: listeners, Node: &corev3.Node{}, Control: func() ads.Status { return ads.Status{} }}).ServeHTTP(rec, httptest.NewRequest("GET", "/config_dump?name_regex=tenants|limit", nil))
	dump := &adminv3.ConfigDump{}
	if err := protojson.Unmarshal(rec.Body.Bytes(), dump); err != nil {
		t.Fatalf("%v of\n%s", err, rec.Body)
	}
	shown := 0
	for _, each := range dump.GetConfigs() {
		var scopes adminv3.ScopedRoutesConfigDump
		var filters adminv3.EcdsConfigDump
		one, extension := &routev3.ScopedRouteConfiguration{}, &corev3.TypedExtensionConfig{}
		switch {
		case each.UnmarshalTo(&scopes) == nil:
			list := scopes.GetDynamicScopedRouteConfigs()
			if shown++; len(list) != 1 || list[0].GetName() != "tenants" || list[0].GetVersionInfo() != "7" || list[0].GetScopedRouteConfigs()[0].UnmarshalTo(one) != nil || one.GetName() != "one" {
				t.Errorf("scopes: %v", list)
			}
		case each.UnmarshalTo(&filters) == nil:
			list := filters.GetEcdsFilters()
			if shown++; len(list) != 1 || list[0].GetVersionInfo() != "7" || list[0].GetEcdsFilter().UnmarshalTo(extension) != nil || extension.GetName() != "limit" {
				t.Errorf("filters: %v", list)
			}
		}
	}
	if shown != 2 {
		t.Errorf("got\n%s", rec.Body)
	}
}
