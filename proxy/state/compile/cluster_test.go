package compile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http2"
)

// compiled is a cluster with these fields.
func compiled(t *testing.T, fields string) (*Cluster, error) {
	t.Helper()
	m := &clusterv3.Cluster{}
	if err := protojson.Unmarshal([]byte(`{"name": "c", `+fields+`}`), m); err != nil {
		t.Fatal(err)
	}
	return compiler().Cluster(m)
}

// typed are typed HTTP options of a cluster.
func typed(fields string) string {
	return `"typedExtensionProtocolOptions": {"` + httpOptions + `": {"@type": "type.googleapis.com/` + httpOptions + `", ` + fields + `}}`
}

// What a cluster asks for and does not get is refused by its path.
func TestClustersAreRefused(t *testing.T) {
	for fields, want := range map[string]string{
		`"upstreamBindConfig": {"sourceAddress": {"address": "10.0.0.1", "portValue": 0}, "extraSourceAddresses": [{"address": {"address": "::6", "portValue": 0}}]}`:      "",
		`"upstreamBindConfig": {"sourceAddress": {"address": "10.0.0.1", "portValue": 7}}`:                                                                                 "upstream_bind_config.source_address.port_value: has to be 0",
		`"upstreamBindConfig": {"sourceAddress": {"address": "10.0.0.1", "portValue": 0}, "extraSourceAddresses": [{"address": {"address": "10.0.0.2", "portValue": 0}}]}`: "upstream_bind_config.extra_source_addresses[0].address.address: 10.0.0.2 is the second address of its family",
		`"httpProtocolOptions": {"sendFullyQualifiedUrl": true}`:                                                                                                           "http_protocol_options.send_fully_qualified_url: is not supported",
		`"httpProtocolOptions": {}, "http2ProtocolOptions": {}`:                                                                                                            "http2_protocol_options: together with http_protocol_options needs protocol_selection",
		typed(`"explicitHttpConfig": {"httpProtocolOptions": {"sendFullyQualifiedUrl": true}}`):                                                                            "explicit_http_config.http_protocol_options.send_fully_qualified_url: is not supported",
		`"commonLbConfig": {"overrideHostStatus": {"statuses": ["HEALTHY", "DEGRADED", "DRAINING"]}}`:                                                                      "",
		`"commonLbConfig": {"overrideHostStatus": {"statuses": ["UNKNOWN", "DEGRADED", "TIMEOUT"]}}`:                                                                       "common_lb_config.override_host_status.statuses[2]: TIMEOUT is not supported",
		`"commonLbConfig": {"overrideHostStatus": {"statuses": ["DEGRADED", "DRAINING"]}}`:                                                                                 "override_host_status.statuses: has to name UNKNOWN or HEALTHY, and DEGRADED",
		`"commonLbConfig": {"overrideHostStatus": {}}`:                                                                                                                     "override_host_status.statuses: has to name",
		`"loadBalancingPolicy": ` + policies(`maglev.v3.Maglev , "table_size": 100`, "random.v3.Random "):                                                                  "policies[0].typed_extension_config.typed_config.table_size: has to be a prime",
		`"loadBalancingPolicy": ` + strings.Replace(policies("random.v3.Random ", "random.v3.Random "), `envoy.extensions.load_balancing_policies.random.v3.Random"`, `xds.type.v3.TypedStruct", "type_url": "x/a.Stranger"`, 1):                                                                                                                  "",
		`"loadBalancingPolicy": ` + strings.Replace(policies("maglev.v3.Maglev ", "random.v3.Random "), `type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev"`, `type.googleapis.com/xds.type.v3.TypedStruct", "type_url": "x/envoy.extensions.load_balancing_policies.maglev.v3.Maglev", "value": {"nonsense": 1}`, 1): "policies[0].typed_extension_config.typed_config: read as envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
		`"loadBalancingPolicy": ` + policies(`ring_hash.v3.RingHash , "hash_balance_factor": 3`, "random.v3.Random "):                                                                                                                                                                                                                             "",
		`"loadBalancingPolicy": ` + policies(`maglev.v3.Maglev , "locality_weighted_lb_config": {}, "table_size": 101`, "random.v3.Random "):                                                                                                                                                                                                      "",
		`"loadBalancingPolicy": ` + policies(`least_request.v3.LeastRequest , "locality_lb_config": {}`):                                                                                                                                                                                                                                          "",
		`"healthChecks": [{` + probe + `}]`: "",
		`"healthChecks": [{` + strings.Replace(probe, `"path": "/"`, `"path": "/", "codecClientType": "HTTP3"`, 1) + `}]`:                                               "health_checks[0].http_health_check.codec_client_type: HTTP3 is not supported",
		`"healthChecks": [{` + strings.Replace(probe, `"path": "/"`, `"path": "/", "requestHeadersToAdd": [{"header": {"key": "a", "value": "%PROTOCOL%"}}]`, 1) + `}]`: `http_health_check.request_headers_to_add[0].header.value: "%PROTOCOL%" has a place holder`,
	} {
		_, err := compiled(t, fields)
		if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v; want %q", fields, err, want)
		}
	}
}

// The typed options hold; those of the cluster itself hold without them.
func TestUpstreamProtocols(t *testing.T) {
	for fields, want := range map[string]string{
		`"http2ProtocolOptions": {}`: "2 1h0m0s",
		`"protocolSelection": "USE_DOWNSTREAM_PROTOCOL", "httpProtocolOptions": {}, "http2ProtocolOptions": {}`:                                         "downstream 1h0m0s",
		`"commonHttpProtocolOptions": {"idleTimeout": "3s"}`:                                                                                            "1 3s",
		`"commonHttpProtocolOptions": {"idleTimeout": "3s"}, "http2ProtocolOptions": {}, ` + typed(`"explicitHttpConfig": {"httpProtocolOptions": {}}`): "1 1h0m0s",
		typed(`"commonHttpProtocolOptions": {"idleTimeout": "0s"}, "explicitHttpConfig": {"httpProtocolOptions": {}}`):                                  "1 0s",
		`"commonHttpProtocolOptions": {"idleTimeout": "3s"}, ` + typed(`"explicitHttpConfig": {"http2ProtocolOptions": {}}`):                            "2 1h0m0s",
		typed(`"commonHttpProtocolOptions": {"idleTimeout": "5s"}, "useDownstreamProtocolConfig": {"httpProtocolOptions": {}}`):                         "downstream 5s",
		typed(`"commonHttpProtocolOptions": {"idleTimeout": "5s"}, "autoConfig": {"httpProtocolOptions": {"sendFullyQualifiedUrl": false}}`) + ` `:      "negotiated 5s",
	} {
		c, err := compiled(t, fields)
		if err != nil {
			t.Errorf("%s: %v", fields, err)
			continue
		}
		names := map[cluster.Protocol]string{cluster.HTTP1: "1", cluster.HTTP2: "2", cluster.Downstream: "downstream", cluster.Negotiated: "negotiated"}
		if got, want := c.bounded(http2.Config{}).IdleTimeout, never(c.Config.Pool.IdleTimeout); got != want {
			t.Errorf("%s: HTTP/2 ends after %s, want %s", fields, got, want)
		}
		if got := fmt.Sprint(names[c.Config.Protocol], " ", c.Config.Pool.IdleTimeout.Round(time.Second)); got != want {
			t.Errorf("%s: got %s, want %s", fields, got, want)
		}
	}
}

// An endpoint's host name is its own; where it is found may be another one.
func TestEndpointNames(t *testing.T) {
	for endpoint, want := range map[string]string{
		`"address": {"socketAddress": {"address": "db.example", "portValue": 80}}`:                   "db.example ",
		`"hostname": "db", "address": {"socketAddress": {"address": "db.example", "portValue": 80}}`: "db db.example",
		`"hostname": "db", "address": {"socketAddress": {"address": "10.0.0.1", "portValue": 80}}`:   "db ",
	} {
		for _, kind := range []string{"STRICT_DNS", "LOGICAL_DNS"} {
			c, err := compiled(t, `"type": "`+kind+`", "loadAssignment": {"clusterName": "c", "endpoints": [{"lbEndpoints": [{"endpoint": {`+endpoint+`}}]}]}`)
			if err != nil {
				t.Fatal(err)
			}
			e, dns := c.Config.Endpoints[0], ""
			if e.Rare != nil {
				dns = e.Rare.DNSName
			}
			if got := e.Name + " " + dns; got != want {
				t.Errorf("%s %s: got %q, want %q", kind, endpoint, got, want)
			}
		}
	}
}

// Of the filters before an endpoint there is the one that speaks to it, and it is last.
func TestUpstreamFilters(t *testing.T) {
	const options = `"typedExtensionProtocolOptions": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicitHttpConfig": {"httpProtocolOptions": {}}, "httpFilters": [%s]}}`
	filter := func(kind, more string) string {
		return `{"name": "x", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.` + kind + `"}` + more + `}`
	}
	codec := filter("upstream_codec.v3.UpstreamCodec", "")
	for list, want := range map[string]string{
		"":                   "",
		codec:                "",
		codec + ", " + codec: "http_filters[0]: is upstream_codec, which must be the last filter",
		filter("upstream_codec.v3.UpstreamCodec", `, "disabled": true`): "http_filters[0]: is upstream_codec, which must be the last filter and not disabled",
		filter("buffer.v3.Buffer", "") + ", " + codec:                   "http_filters[0]",
		filter("cors.v3.Cors", "") + ", " + codec:                       "http_filters[0]: envoy.extensions.filters.http.cors.v3.Cors is not supported between the router and endpoints",
	} {
		_, err := compiled(t, fmt.Sprintf(options, list))
		if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v; want %q", list, err, want)
		}
	}
}
