package compile

import (
	"strings"
	"testing"

	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/metadata/v3"
)

func tunnelled(t *testing.T, fields string) error {
	t.Helper()
	_, err := chained(t, `{"name": "tcp", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "t", "cluster": "c", "tunneling_config": {"hostname": "db:1", `+fields+`}}}`)
	return err
}

func TestTunnelsAreRefused(t *testing.T) {
	const id = `"request_id_extension": {"typed_config": {"@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"}}`
	for fields, want := range map[string]string{
		`"use_post": true, "post_path": "/x", "propagate_response_headers": true, "propagate_response_trailers": true`:                                                                                                          "",
		id + `, "request_id_header": "x-mine", "request_id_metadata_key": "mine"`:                                                                                                                                               "",
		`"formatters": [{"name": "m", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.formatter.metadata.v3.Metadata"}}], "headers_to_add": [{"header": {"key": "a", "value": "%METADATA(DYNAMIC:aws:vpc)%"}}]`: "",
		`"post_path": "/x"`:                                               "tunneling_config.post_path: needs use_post",
		id + `, "request_id_header": ":path"`:                             "tunneling_config.request_id_header",
		`"headers_to_add": [{"header": {"key": "a", "value": "%NONE%"}}]`: "tunneling_config.headers_to_add[0].header.value",
		`"request_id_extension": {"typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}`: "tunneling_config.request_id_extension.typed_config: envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer is not supported",
	} {
		err := tunnelled(t, fields)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v; want %q", fields, err, want)
		}
	}
}

func TestEndsOfTunnels(t *testing.T) {
	for config, want := range map[string]string{
		`"allow_post": true`:                                                                       "",
		`"proxy_protocol_config": {"version": "V2"}`:                                               "",
		`"proxy_protocol_config": {"version": "V2", "pass_through_tlvs": {}}`:                      "connect_config.proxy_protocol_config.pass_through_tlvs: is not supported",
		`"proxy_protocol_config": {"version": "V2", "added_tlvs": [{"type": 1, "value": "YQ=="}]}`: "connect_config.proxy_protocol_config.added_tlvs: is not supported",
	} {
		_, err := chained(t, `{"name": "http", "typed_config": {"@type": "type.googleapis.com/`+httpManager+`", "stat_prefix": "h", "http_filters": [{"name": "r", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}], "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "c", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {`+config+`}}]}}]}]}}}`)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v; want %q", config, err, want)
		}
	}
}
