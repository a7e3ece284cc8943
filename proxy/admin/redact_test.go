package admin

import (
	"strings"
	"testing"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// A secret is hidden in a struct as it is in the plain message, and so is all of a
// struct of a type that is not known.
func TestStructsHaveNoSecrets(t *testing.T) {
	const known = `{"name": "shown", "tlsCertificate": {"private_key": {"inline_string": "hush"}}}`
	const nested = `{"name": "shown", "typed_config": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": "x/envoy.extensions.transport_sockets.tls.v3.Secret", "value": ` + known + `}}`
	for _, c := range []struct {
		url, value string
		shown      bool
	}{
		{"x/envoy.extensions.transport_sockets.tls.v3.Secret", known, true},
		{"x/envoy.config.core.v3.TransportSocket", nested, true},
		{"x/a.Stranger", known, false},
		{"x/envoy.extensions.transport_sockets.tls.v3.Secret", `{"nonsense": "hush"}`, false},
	} {
		value := &structpb.Struct{}
		if err := protojson.Unmarshal([]byte(c.value), value); err != nil {
			t.Fatal(err)
		}
		for _, wrapped := range []proto.Message{&udpav1.TypedStruct{TypeUrl: c.url, Value: value}, &xdsv3.TypedStruct{TypeUrl: c.url, Value: value}} {
			packed, err := anypb.New(wrapped)
			if err != nil {
				t.Fatal(err)
			}
			text := string(message(&corev3.TransportSocket{ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed}}))
			if strings.Contains(text, "hush") || !strings.Contains(text, redacted) || strings.Contains(text, "shown") != c.shown || !strings.Contains(text, c.url) {
				t.Errorf("%s %s: got %s", c.url, c.value, text)
			}
		}
	}
}
