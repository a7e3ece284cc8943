package compile

import (
	"fmt"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/proxy/cluster"
)

// Where a listener listens.
func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		`{"address": {"socketAddress": {"address": "1.2.3.4", "portValue": 5}}}`:                                                                                             "[1.2.3.4:5]",
		`{"address": {"socketAddress": {"address": "0.0.0.0", "portValue": 5}}, "additionalAddresses": [{"address": {"socketAddress": {"address": "::", "portValue": 6}}}]}`: "[0.0.0.0:5 [::]:6]",
		`{"address": {"socketAddress": {"address": "::", "portValue": 5, "ipv4Compat": true}}}`:                                                                              "[[::]:5 0.0.0.0:5]",
		`{"address": {"socketAddress": {"address": "1.2.3.4", "portValue": 5}}, "additionalAddresses": [{"address": {"pipe": {"path": "/x"}}}]}`:                             "[1.2.3.4:5 /x]",
		`{"address": {"socketAddress": {"address": "1.2.3.4", "portValue": 70000}}}`:                                                                                         "address.socket_address.port_value: value must be less than or equal to 65535",
		`{"address": {"envoyInternalAddress": {"serverListenerName": "x"}}}`:                                                                                                 "address.envoy_internal_address: is not supported",
	} {
		m := &listenerv3.Listener{}
		if err := protojson.Unmarshal([]byte(in), m); err != nil {
			t.Fatal(err)
		}
		l, err := compiler().Listener(m)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(l.Config.Addresses())
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// managed is a listener whose one filter is a connection manager with these fields.
func managed(t *testing.T, fields string) (*Listener, error) {
	t.Helper()
	return chained(t, `{"name": "http", "typedConfig": {"@type": "type.googleapis.com/`+httpManager+`", "statPrefix": "h", "routeConfig": {}, `+fields+`}}`)
}

// chained is a listener with one chain of these filters.
func chained(t *testing.T, filters string) (*Listener, error) {
	t.Helper()
	c := compiler()
	c.Handle = cluster.NewHandle
	return c.Listener(chainOf(t, filters))
}

// chainOf is a listener whose one chain has these filters.
func chainOf(t *testing.T, filters string) *listenerv3.Listener {
	t.Helper()
	m := &listenerv3.Listener{}
	if err := protojson.Unmarshal([]byte(`{"address": {"socketAddress": {"address": "1.2.3.4", "portValue": 5}}, "filterChains": [{"name": "chain", "filters": [`+filters+`]}]}`), m); err != nil {
		t.Fatal(err)
	}
	return m
}

const routerFilter = `{"name": "router", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}`

const byField = `{"name": "x", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig", "headerName": "x-from"}}`

// What a connection manager asks for and does not get is refused by its path.
func TestManagersAreRefused(t *testing.T) {
	for fields, want := range map[string]string{
		`"httpFilters": [` + routerFilter + `]`:                                                                               "",
		`"httpFilters": [` + routerFilter + `], "addUserAgent": true`:                                                         "",
		`"httpFilters": [` + routerFilter + `], "addUserAgent": false`:                                                        "",
		`"httpFilters": [` + routerFilter + `], "originalIpDetectionExtensions": [` + byField + `]`:                           "",
		`"httpFilters": [` + routerFilter + `], "originalIpDetectionExtensions": [` + byField + `], "useRemoteAddress": true`: "filters[0].typed_config.original_ip_detection_extensions: cannot stand beside",
		`"httpFilters": [` + routerFilter + `], "originalIpDetectionExtensions": [` + byField + `], "xffNumTrustedHops": 1`:   "filters[0].typed_config.original_ip_detection_extensions: cannot stand beside",
		`"httpFilters": [` + routerFilter + `], "originalIpDetectionExtensions": [` + routerFilter + `]`:                      "original_ip_detection_extensions[0].typed_config: envoy.extensions.filters.http.router.v3.Router is not supported",
		`"httpFilters": [` + routerFilter + `], "localReplyConfig": {"bodyFormat": {"textFormat": "%NO%"}}`:                   "filters[0].typed_config.local_reply_config.body_format",
	} {
		_, err := managed(t, fields)
		if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v; want %q", fields, err, want)
		}
	}
}

// Values that a message's own rules forbid are refused by their path: a port is not
// cut to one that is allowed.
func TestValuesAreRefused(t *testing.T) {
	const rbac = `{"name": "r", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC", "statPrefix": "r", "rules": {"policies": {"p": {"principals": [{"any": true}], "permissions": [%s]}}}}}, `
	const tcp = `{"name": "t", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "statPrefix": "t", %s}}`
	to := fmt.Sprintf(tcp, `"cluster": "c"`)
	log := `"cluster": "c", "accessLog": [{"name": "l", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"}, "filter": {"responseFlagFilter": {"flags": ["%s"]}}}]`
	for filters, want := range map[string]string{
		fmt.Sprintf(rbac, `{"destinationPort": 80}`) + to:                                  "",
		fmt.Sprintf(rbac, `{"destinationPort": 65616}`) + to:                               `rules.policies["p"].permissions[0].destination_port: value must be less than or equal to 65535`,
		fmt.Sprintf(rbac, `{"destinationPortRange": {"start": 0, "end": 65536}}`) + to:     "",
		fmt.Sprintf(rbac, `{"destinationPortRange": {"start": 0, "end": 0}}`) + to:         "permissions[0].destination_port_range: [0, 0) is no range of ports",
		fmt.Sprintf(rbac, `{"destinationPortRange": {"start": -1, "end": 7}}`) + to:        "permissions[0].destination_port_range: [-1, 7) is no range of ports",
		fmt.Sprintf(rbac, `{"destinationPortRange": {"start": 1, "end": 65537}}`) + to:     "permissions[0].destination_port_range: [1, 65537) is no range of ports",
		fmt.Sprintf(tcp, fmt.Sprintf(log, "UH")):                                           "",
		fmt.Sprintf(tcp, fmt.Sprintf(log, "NOPE")):                                         "access_log[0].filter.response_flag_filter.flags[0]: value must be in list",
		fmt.Sprintf(tcp, `"weightedClusters": {}`):                                         "weighted_clusters.clusters: value must contain at least 1 item(s)",
		fmt.Sprintf(tcp, `"weightedClusters": {"clusters": [{"name": "a"}]}`):              "weighted_clusters.clusters[0].weight: value must be greater than or equal to 1",
		fmt.Sprintf(tcp, `"weightedClusters": {"clusters": [{"name": "a", "weight": 1}]}`): "",
		fmt.Sprintf(tcp, `"cluster": "c", "hashPolicy": [{}]`):                             "typed_config.hash_policy[0].policy_specifier: value is required",
	} {
		_, err := chained(t, filters)
		if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v; want %q", filters, err, want)
		}
	}
}
