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
)

// The liberties of Envoy's reader, and no others.
func TestUnmarshal(t *testing.T) {
	half := &corev3.ApiConfigSource{RefreshDelay: durationpb.New(time.Second / 2)}
	for in, want := range map[string]proto.Message{
		"refresh_delay: 0.5s":                    half,
		`{"refreshDelay": {"nanos": 500000000}}`: half,
		"refresh_delay: {seconds: 3, nanos: 20}": &corev3.ApiConfigSource{RefreshDelay: &durationpb.Duration{Seconds: 3, Nanos: 20}},
		`{"refresh_delay": {"seconds": 3e0}}`:    &corev3.ApiConfigSource{RefreshDelay: durationpb.New(3 * time.Second)},
		"cluster_names: a":                       &corev3.ApiConfigSource{ClusterNames: []string{"a"}},
		"grpc_services: {timeout: {seconds: 1}}": &corev3.ApiConfigSource{GrpcServices: []*corev3.GrpcService{{Timeout: durationpb.New(time.Second)}}},
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
		"refresh_delay: {minutes: 1}":                 "unexpected token {",
		"refresh_delay: {nanos: -1}":                  "unexpected token {",
		"refresh_delay: {seconds: 0.5}":               "unexpected token {",
		"refresh_delay: {seconds: 1e30}":              "unexpected token {",
		"refresh_delay: {nanos: 1000000000}":          "invalid google.protobuf.Duration value",
		"cluster_name: a":                             `unknown field "cluster_name"`,
		"api_type: [GRPC]":                            "invalid value for enum field",
		"grpc_services: {initial_metadata: [{k: v}]}": `unknown field "k"`,
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
