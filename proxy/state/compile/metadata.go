package compile

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// told is the metadata of a resource that logs may tell. What a mesh writes on every
// resource for proxies to read ([stream.Unkept]) is not kept: it costs more than all else
// that is known of an endpoint.
func told(m *corev3.Metadata) (out stream.Metadata) {
	for namespace, space := range m.GetFilterMetadata() {
		if stream.Unkept(namespace) {
			continue
		}
		for key, value := range space.GetFields() {
			out.Set(own(namespace), own(key), plainly(value))
		}
	}
	return out
}

// plainly is a value as JSON decodes it, with strings of its own.
func plainly(v *structpb.Value) any {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return own(k.StringValue)
	case *structpb.Value_ListValue:
		list := make([]any, 0, len(k.ListValue.GetValues()))
		for _, each := range k.ListValue.GetValues() {
			list = append(list, plainly(each))
		}
		return list
	case *structpb.Value_StructValue:
		object := make(map[string]any, len(k.StructValue.GetFields()))
		for key, each := range k.StructValue.GetFields() {
			object[own(key)] = plainly(each)
		}
		return object
	}
	return v.AsInterface()
}
