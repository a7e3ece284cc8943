package translate

import (
	"slices"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// packed wraps m for an extension point. Marshalling fails only on strings
// that are not UTF-8, which no JSON or YAML document can hold.
func packed(m proto.Message) *anypb.Any {
	out := &anypb.Any{}
	if err := anypb.MarshalFrom(out, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName())}
	}
	return out
}

func u32(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }

func yes(b bool) *wrapperspb.BoolValue { return wrapperspb.Bool(b) }

func seconds(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Second) }

// socket is a TCP address.
func socket(ip string, port uint32) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address:       ip,
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: port},
	}}}
}

// adsSource says that a resource comes over the same stream, however long it
// takes.
func adsSource() *core.ConfigSource {
	return &core.ConfigSource{
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
		InitialFetchTimeout:   seconds(0),
		ResourceApiVersion:    core.ApiVersion_V3,
	}
}

// istioMetadata is metadata under Istio's own key.
func istioMetadata(fields map[string]*structpb.Value) *core.Metadata {
	return &core.Metadata{FilterMetadata: map[string]*structpb.Struct{"istio": {Fields: fields}}}
}

func text(s string) *structpb.Value { return structpb.NewStringValue(s) }

// sorted is a copy of list in order and without repetitions.
func sorted(list []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}
