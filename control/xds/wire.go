package xds

import (
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lateenmesh/lateen/control/mesh"
)

// The field numbers of envoy.service.discovery.v3 that we write.
const (
	fieldVersion   = 1 // DiscoveryResponse.version_info, DeltaDiscoveryResponse.system_version_info
	fieldResources = 2
	fieldTypeURL   = 4
	fieldNonce     = 5
	fieldRemoved   = 6 // DeltaDiscoveryResponse.removed_resources

	fieldResourceVersion = 1 // Resource.version
	fieldResourceAny     = 2 // Resource.resource
	fieldResourceName    = 3 // Resource.name

	fieldAnyType  = 1 // google.protobuf.Any.type_url
	fieldAnyValue = 2
)

// shareAbove is the size in bytes from which a resource's body is sent from
// the memory that all streams share, rather than copied beside its envelope.
const shareAbove = 1 << 10

// message is a response on its way to the wire. Its bodies were marshalled
// when the resources were made; only envelopes are written per stream.
type message struct {
	variant Variant
	Response
}

// codec writes messages without protobuf's help, and leaves everything else to
// protobuf.
type codec struct{ encoding.CodecV2 }

// Codec is to be forced on a gRPC server that hosts [Server]. It treats other
// services' messages as protobuf.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(grpcproto.Name)} }

// Marshal implements [encoding.CodecV2].
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(message); ok {
		return m.encode(), nil
	}
	return c.CodecV2.Marshal(v)
}

// encode gives the response as shared bodies between private envelopes.
func (m message) encode() mem.BufferSlice {
	var out mem.BufferSlice
	var private []byte
	private = appendString(private, fieldVersion, m.Version)
	for _, r := range m.Resources {
		private = m.envelope(private, r)
		if len(r.Body) < shareAbove {
			private = append(private, r.Body...)
			continue
		}
		out = append(out, mem.SliceBuffer(private), mem.SliceBuffer(r.Body))
		private = nil
	}
	private = appendString(private, fieldTypeURL, m.Type)
	private = appendString(private, fieldNonce, m.Nonce)
	for _, name := range m.Removed {
		private = protowire.AppendTag(private, fieldRemoved, protowire.BytesType)
		private = protowire.AppendString(private, name)
	}
	return append(out, mem.SliceBuffer(private))
}

// envelope appends all of a resource's entry but its body, which comes last.
func (m message) envelope(b []byte, r *mesh.Resource) []byte {
	anySize := protowire.SizeTag(fieldAnyType) + protowire.SizeBytes(len(r.Type)) +
		protowire.SizeTag(fieldAnyValue) + protowire.SizeBytes(len(r.Body))
	b = protowire.AppendTag(b, fieldResources, protowire.BytesType)
	if m.variant == Delta {
		size := sizeString(fieldResourceName, r.Name) + sizeString(fieldResourceVersion, r.Version) +
			protowire.SizeTag(fieldResourceAny) + protowire.SizeBytes(anySize)
		b = protowire.AppendVarint(b, uint64(size))
		b = appendString(b, fieldResourceVersion, r.Version)
		b = appendString(b, fieldResourceName, r.Name)
		b = protowire.AppendTag(b, fieldResourceAny, protowire.BytesType)
	}
	b = protowire.AppendVarint(b, uint64(anySize))
	b = protowire.AppendTag(b, fieldAnyType, protowire.BytesType)
	b = protowire.AppendString(b, r.Type)
	b = protowire.AppendTag(b, fieldAnyValue, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(len(r.Body)))
}

// size is the length of the bodies, which is what a response weighs.
func (m message) size() int {
	n := 0
	for _, r := range m.Resources {
		n += len(r.Body)
	}
	return n
}

func sizeString(field protowire.Number, s string) int {
	if s == "" {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(len(s))
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}
