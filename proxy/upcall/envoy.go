package upcall

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Address is an address as services of Envoy's APIs are told it: a, else the path of a
// Unix socket; nil when there is neither.
func Address(a netip.AddrPort, path string) *corev3.Address {
	switch {
	case !a.IsValid() && path == "":
		return nil
	case !a.IsValid():
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: a.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
	}}}
}

// Metadata is what filters left, as services of Envoy's APIs are told it: of some
// namespaces, or of all when names is nil; nil when there is nothing.
func Metadata(m *stream.Metadata, names []string) *corev3.Metadata {
	var out *corev3.Metadata
	add := func(name string, values map[string]any) {
		if s, err := structpb.NewStruct(values); err == nil && values != nil {
			if out == nil {
				out = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{}}
			}
			out.FilterMetadata[name] = s
		}
	}
	if names == nil {
		for name, values := range m.Namespaces() {
			add(name, values)
		}
	}
	for _, name := range names {
		add(name, m.Namespace(name))
	}
	return out
}
