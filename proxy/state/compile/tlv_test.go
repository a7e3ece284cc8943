package compile

import (
	"strings"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/pires/go-proxyproto"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/proxy/pool"
)

func proxiedSocket(config string) string {
	return `"transport_socket": {"name": "pp", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", "config": {` + config + `},
		"transport_socket": {"name": "raw", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}}`
}

func spelt(t *testing.T, tls pool.TLS) string {
	t.Helper()
	raw, err := proxyproto.JoinTLVs(tls.(*pool.Proxied).Added)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// An endpoint's own values stand before the transport's, of which they replace those
// of their type; as long as they are the same, so is the transport.
func TestEndpointsWithTLVs(t *testing.T) {
	assignment := func(value string) *endpointv3.ClusterLoadAssignment {
		m := &endpointv3.ClusterLoadAssignment{}
		text := `{"cluster_name": "c", "endpoints": [{"lb_endpoints": [
			{"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}}, "metadata": {"typed_filter_metadata": {"envoy.transport_sockets.proxy_protocol": {
				"@type": "type.googleapis.com/envoy.config.core.v3.PerHostConfig", "added_tlvs": [{"type": 242, "value": "` + value + `"}]}}}},
			{"endpoint": {"address": {"socket_address": {"address": "10.0.0.2", "port_value": 80}}}}]}]}`
		if err := protojson.Unmarshal([]byte(text), m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	c, err := compiled(t, proxiedSocket(`"version": "V2", "pass_through_tlvs": {"match_type": "INCLUDE", "tlv_type": [2, 234]}, "added_tlvs": [{"type": 241, "value": "YQ=="}, {"type": 242, "value": "YQ=="}]`))
	if err != nil {
		t.Fatal(err)
	}
	pass := c.Config.TLS.(*pool.Proxied).Pass
	if got := spelt(t, c.Config.TLS); got != "\xf1\x00\x01a\xf2\x00\x01a" || !pass(2) || !pass(234) || pass(3) {
		t.Errorf("the cluster's are %q", got)
	}
	first, _, err := c.Endpoints(assignment("YWI="))
	if err != nil {
		t.Fatal(err)
	}
	if got := spelt(t, first[0].TLS); got != "\xf2\x00\x02ab\xf1\x00\x01a" || first[1].TLS != nil {
		t.Errorf("the endpoint's are %q", got)
	}
	again, _, _ := c.Endpoints(assignment("YWI="))
	other, _, _ := c.Endpoints(assignment("YQ=="))
	if again[0].TLS != first[0].TLS || other[0].TLS == first[0].TLS {
		t.Error("the transport is not the same exactly when the values are")
	}
}

func TestTLVsAreRefused(t *testing.T) {
	for config, want := range map[string]string{
		`"version": "V2", "added_tlvs": [{"type": 241, "format_string": {"text_format": "x"}}]`:          "transport_socket.typed_config.config.added_tlvs[0].format_string: is not supported",
		`"version": "V2", "added_tlvs": [{"type": 300, "value": "YQ=="}]`:                                "added_tlvs[0].type",
		`"version": "V2", "added_tlvs": [{"type": 1, "value": "` + strings.Repeat("YWFh", 12000) + `"}]`: "takes more than 32768 bytes",
	} {
		if _, err := compiled(t, proxiedSocket(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}
