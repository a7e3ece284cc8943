package compile

import (
	"testing"

	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// read gives a message of what JSON says.
func read(t *testing.T, m proto.Message, text string) *anypb.Any {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return packed(t, m)
}

// What is refused behind the place where a request came to a route passes through the
// filters behind it as that route has them.
func TestRefusalsBehindAPlace(t *testing.T) {
	list := []*hcmv3.HttpFilter{
		filter("state", read(t, &setstatev3.Config{}, `{"clear_route_cache": true, "on_request_headers": [{"object_key": "a", "factory_key": "envoy.string", "format_string": {"text_format": "a"}}]}`)),
		filter("fault", read(t, &faultv3.HTTPFault{}, `{"abort": {"http_status": 500, "percentage": {"numerator": 100}}}`)),
		filter("mutation", read(t, &mutationv3.HeaderMutation{}, `{}`)), filter("router", packed(t, &routerv3.Router{})),
	}
	c := compiler()
	f, err := c.filters(list, false)
	if err != nil {
		t.Fatal(err)
	}
	own, err := c.overrides(map[string]*anypb.Any{"mutation": read(t, &mutationv3.HeaderMutationPerRoute{}, `{"mutations": {"response_mutations": [{"append": {"header": {"key": "x-by", "value": "own"}}}]}}`)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, behind, err := f.chain(route.NotFound{}, own, &spot{})
	if err != nil || len(behind) != 1 {
		t.Fatalf("got %d places, %v; want one", len(behind), err)
	}
	_, err = behind[0].Handle(&stream.Request{Info: &stream.Info{}})
	if r := stream.AsRefusal(err); r.Status != 500 || len(r.Header) != 1 || r.Header[0].Value != "own" {
		t.Errorf("got %+v, want the route's field", r)
	}
}
