package envoyjson

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The liberties of Envoy's reader, and no others.
func TestUnmarshal(t *testing.T) {
	half := &corev3.ApiConfigSource{RefreshDelay: durationpb.New(time.Second / 2)}
	for in, want := range map[string]proto.Message{
		"refresh_delay: 0.5s":                                        half,
		`{"refreshDelay": {"nanos": 500000000}}`:                     half,
		"refresh_delay: {seconds: 3, nanos: 20}":                     &corev3.ApiConfigSource{RefreshDelay: &durationpb.Duration{Seconds: 3, Nanos: 20}},
		`{"refresh_delay": {"seconds": 3e0}}`:                        &corev3.ApiConfigSource{RefreshDelay: durationpb.New(3 * time.Second)},
		"refresh_delay: {seconds: '3'}":                              &corev3.ApiConfigSource{RefreshDelay: durationpb.New(3 * time.Second)},
		"api_type: delta_grpc":                                       &corev3.ApiConfigSource{ApiType: corev3.ApiConfigSource_DELTA_GRPC},
		"api_type: aggregated-Grpc":                                  &corev3.ApiConfigSource{ApiType: corev3.ApiConfigSource_AGGREGATED_GRPC},
		`set_node_on_first_message_only: "true"`:                     &corev3.ApiConfigSource{SetNodeOnFirstMessageOnly: true},
		"rate_limit_settings: {max_tokens: {value: 3}}":              &corev3.ApiConfigSource{RateLimitSettings: &corev3.RateLimitSettings{MaxTokens: wrapperspb.UInt32(3)}},
		"grpc_services: {envoy_grpc: {skip_envoy_headers: 'false'}}": &corev3.ApiConfigSource{GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{}}}}},
		"cluster_names: a":                                           &corev3.ApiConfigSource{ClusterNames: []string{"a"}},
		"grpc_services: {timeout: {seconds: 1}}":                     &corev3.ApiConfigSource{GrpcServices: []*corev3.GrpcService{{Timeout: durationpb.New(time.Second)}}},
		"domains: a\ntyped_per_filter_config: {x: {'@type': type.googleapis.com/envoy.config.core.v3.ApiConfigSource, cluster_names: a}}": nil,
	} {
		got := proto.Message(&corev3.ApiConfigSource{})
		if want == nil {
			got = &routev3.VirtualHost{}
		}
		if err := Unmarshal([]byte(in), got); err != nil || want != nil && !proto.Equal(got, want) {
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"refresh_delay: {minutes: 1}":                 "refresh_delay: unexpected token {",
		"refresh_delay: {nanos: -1}":                  "unexpected token {",
		"refresh_delay: {seconds: 0.5}":               "unexpected token {",
		"refresh_delay: {seconds: 1e30}":              "unexpected token {",
		"refresh_delay: {nanos: 1000000000}":          "invalid google.protobuf.Duration value",
		"cluster_name: a":                             `unknown field "cluster_name"`,
		"api_type: [GRPC]":                            "api_type: invalid value for enum field",
		"api_type: grpcs":                             `api_type: invalid value for enum field apiType: "grpcs"`,
		"grpc_services: {initial_metadata: [{k: v}]}": `grpc_services[0].initial_metadata[0]: unknown field "k"`,
		"grpc_services: [{}, {initial_metadata: [{key: é}, {key: b, value: [1]}]}]": "grpc_services[1].initial_metadata[1].value: ",
		"a: [": "did not find",
	} {
		if err := Unmarshal([]byte(in), &corev3.ApiConfigSource{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
	err := Unmarshal([]byte("typed_per_filter_config: {x: {'@type': type.googleapis.com/a.B}}"), &routev3.VirtualHost{})
	if err == nil || !strings.Contains(err.Error(), "a.B is not supported") {
		t.Errorf("got %v for a message that is not there", err)
	}
}

// Integers are read as they are written, however large.
func TestLargeIntegers(t *testing.T) {
	for _, n := range []int64{1<<63 - 1, -1 << 63, 1<<53 + 1} {
		for _, format := range []string{"start: %d", `{"start": %d}`, `{"start": "%d"}`} {
			in := fmt.Sprintf(format, n)
			var got, loose typev3.Int64Range
			if err := Unmarshal([]byte(in), &got); err != nil || got.Start != n {
				t.Errorf("%s: got %d, %v", in, got.Start, err)
			}
			tree, err := Tree([]byte(in))
			if err == nil {
				err = UnmarshalTree(tree, &loose)
			}
			if err != nil || loose.Start != n {
				t.Errorf("%s: got %d, %v by its tree", in, loose.Start, err)
			}
		}
	}
}
