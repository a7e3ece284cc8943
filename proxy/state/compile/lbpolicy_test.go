package compile

import (
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/proxy/cluster"
)

// policies is a load_balancing_policy with these extensions: a name, then its
// fields.
func policies(each ...string) string {
	for i, e := range each {
		name, fields, _ := strings.Cut(e, " ")
		each[i] = `{"typed_extension_config": {"name": "p", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.` + name + `"` + fields + `}}}`
	}
	return `{"policies": [` + strings.Join(each, ",") + `]}`
}

// A balancing policy in its newer spelling is the same as in the older one.
func TestBalancingPolicies(t *testing.T) {
	const slow = `"slow_start_config": {"slow_start_window": "30s", "min_weight_percent": {"value": 20}}`
	for _, tc := range []struct {
		policy, older string
	}{
		{policies("round_robin.v3.RoundRobin , " + slow), `"round_robin_lb_config": {` + slow + `}`},
		{
			policies(`least_request.v3.LeastRequest , "choice_count": 4, "locality_lb_config": {"locality_weighted_lb_config": {}}`),
			`"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 4}, "common_lb_config": {"locality_weighted_lb_config": {}}`,
		},
		{policies("random.v3.Random "), `"lb_policy": "RANDOM"`},
		{
			policies(`ring_hash.v3.RingHash , "minimum_ring_size": 64, "maximum_ring_size": 128`),
			`"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 64, "maximum_ring_size": 128}`,
		},
		{policies(`maglev.v3.Maglev , "table_size": 101`), `"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 101}`},
		{
			policies(`wrr_locality.v3.WrrLocality , "endpoint_picking_policy": ` + policies("random.v3.Random ")),
			`"lb_policy": "RANDOM", "common_lb_config": {"locality_weighted_lb_config": {}}`,
		},
		// What is not supported is passed over for what is.
		{policies(`common.v3.ConsistentHashingLbConfig `, "random.v3.Random "), `"lb_policy": "RANDOM"`},
	} {
		got, want := balanced(t, `"load_balancing_policy": `+tc.policy), balanced(t, tc.older)
		if got.Policy != want.Policy || got.Choices != want.Choices || got.RingMin != want.RingMin || got.RingMax != want.RingMax || got.TableSize != want.TableSize || got.LocalityWeighted != want.LocalityWeighted {
			t.Errorf("%s: got %+v; want %+v", tc.policy, got, want)
		}
		if (got.SlowStart == nil) != (want.SlowStart == nil) || got.SlowStart != nil && (*got.SlowStart != *want.SlowStart || got.SlowStart.Window != 30*time.Second || got.SlowStart.Least != 0.2) {
			t.Errorf("%s: slow start %+v; want %+v", tc.policy, got.SlowStart, want.SlowStart)
		}
	}
	for policy, want := range map[string]string{
		`{"policies": []}`: "load_balancing_policy.policies: is empty",
		policies(`common.v3.ConsistentHashingLbConfig `):               "ConsistentHashingLbConfig",
		policies(`ring_hash.v3.RingHash , "hash_balance_factor": 100`): "hash_balance_factor",
	} {
		_, err := compiler().Cluster(clusterOf(t, `"load_balancing_policy": `+policy))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q named", policy, err, want)
		}
	}
}

func clusterOf(t *testing.T, fields string) *clusterv3.Cluster {
	t.Helper()
	m := &clusterv3.Cluster{}
	if err := protojson.Unmarshal([]byte(`{"name": "c", `+fields+`}`), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func balanced(t *testing.T, fields string) cluster.Config {
	t.Helper()
	c, err := compiler().Cluster(clusterOf(t, fields))
	if err != nil {
		t.Fatalf("%s: %v", fields, err)
	}
	return c.Config
}
