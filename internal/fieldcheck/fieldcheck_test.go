package fieldcheck

import (
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
)

var table = Table{
	"envoy.config.core.v3.Node":     {Read: "id locality metadata extensions", Ignored: map[string]string{"cluster": "nobody asks"}},
	"envoy.config.core.v3.Locality": {Read: "*"},
}

// A set field that the table does not name is refused by its path.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		in   proto.Message
		want string
	}{
		{"known and ignored fields", &core.Node{Id: "a", Cluster: "b", Locality: &core.Locality{Zone: "z"}, Metadata: &structpb.Struct{}}, ""},
		{"unknown field", &core.Node{Id: "a", UserAgentName: "x"}, "user_agent_name: is not supported"},
		{"unknown message", &core.Node{Extensions: []*core.Extension{{Name: "x"}}}, "extensions[0]: is not supported (envoy.config.core.v3.Extension)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if err := table.Check(c.in); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A table that names a field which does not exist is found out.
func TestUnknown(t *testing.T) {
	bad := Table{"envoy.config.core.v3.Node": {Read: "id idd"}, "envoy.config.core.v3.Nodes": {}}
	got := bad.Unknown(func(n protoreflect.FullName) protoreflect.MessageDescriptor {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(n)
		if err != nil {
			return nil
		}
		return d.(protoreflect.MessageDescriptor)
	})
	if len(got) != 2 {
		t.Errorf("got %v, want the message Nodes and the field idd", got)
	}
}
