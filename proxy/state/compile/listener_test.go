package compile

import (
	"fmt"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// Where a listener listens.
func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		`{"address": {"socketAddress": {"address": "1.2.3.4", "portValue": 5}}}`:                                                                                             "[1.2.3.4:5]",
		`{"address": {"socketAddress": {"address": "0.0.0.0", "portValue": 5}}, "additionalAddresses": [{"address": {"socketAddress": {"address": "::", "portValue": 6}}}]}`: "[0.0.0.0:5 [::]:6]",
		`{"address": {"socketAddress": {"address": "::", "portValue": 5, "ipv4Compat": true}}}`:                                                                              "[[::]:5 0.0.0.0:5]",
		`{"address": {"socketAddress": {"address": "1.2.3.4", "portValue": 5}}, "additionalAddresses": [{"address": {"pipe": {"path": "/x"}}}]}`:                             "[1.2.3.4:5 /x]",
		`{"address": {"envoyInternalAddress": {"serverListenerName": "x"}}}`:                                                                                                 "address.envoy_internal_address: is not supported",
	} {
		m := &listenerv3.Listener{}
		if err := protojson.Unmarshal([]byte(in), m); err != nil {
			t.Fatal(err)
		}
		l, err := compiler().Listener(m)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(l.Config.Addresses())
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
