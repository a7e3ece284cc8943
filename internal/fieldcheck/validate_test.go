package fieldcheck

import (
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A value that a field's rules forbid is told by the path that users write.
func TestValidate(t *testing.T) {
	for want, m := range map[string]proto.Message{
		"address: value length must be at least 1 runes": &core.SocketAddress{PortSpecifier: &core.SocketAddress_PortValue{PortValue: 1}},
		"port_specifier: value is required":              &core.SocketAddress{Address: "a"},
		"timeout: value is not a valid duration: duration (seconds:-1 nanos:1) has seconds and nanos with different signs": &core.HttpUri{
			Uri: "u", HttpUpstreamType: &core.HttpUri_Cluster{Cluster: "c"}, Timeout: &durationpb.Duration{Seconds: -1, Nanos: 1},
		},
		`policies["a.b"].permissions: value must contain at least 1 item(s)`: &rbac.RBAC{Policies: map[string]*rbac.Policy{"a.b": {Principals: []*rbac.Principal{{Identifier: &rbac.Principal_Any{Any: true}}}}}},
		`policies["x"].principals[0].identifier: value is required`:          &rbac.RBAC{Policies: map[string]*rbac.Policy{"x": {Permissions: []*rbac.Permission{{Rule: &rbac.Permission_Any{Any: true}}}, Principals: []*rbac.Principal{{}}}}},
	} {
		if err := validate(m); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := validate(&core.SocketAddress{Address: "a", PortSpecifier: &core.SocketAddress_PortValue{PortValue: 1}}); err != nil {
		t.Error(err)
	}
}
