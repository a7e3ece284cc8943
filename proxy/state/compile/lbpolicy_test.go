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
		{
			policies(`ring_hash.v3.RingHash , "hash_function": "MURMUR_HASH_2", "use_hostname_for_hashing": true, "hash_balance_factor": 150`),
			`"type": "STRICT_DNS", "lb_policy": "RING_HASH", "ring_hash_lb_config": {"hash_function": "MURMUR_HASH_2"}, "common_lb_config": {"consistent_hashing_lb_config": {"use_hostname_for_hashing": true, "hash_balance_factor": 150}}`,
		},
		{
			policies(`maglev.v3.Maglev , "consistent_hashing_lb_config": {"hash_balance_factor": 150}`),
			`"lb_policy": "MAGLEV", "common_lb_config": {"consistent_hashing_lb_config": {"hash_balance_factor": 150}}`,
		},
		{
			policies(`round_robin.v3.RoundRobin , "locality_lb_config": {"zone_aware_lb_config": {"routing_enabled": {"value": 50}, "min_cluster_size": 2, "fail_traffic_on_panic": true}}`),
			`"common_lb_config": {"zone_aware_lb_config": {"routing_enabled": {"value": 50}, "min_cluster_size": 2, "fail_traffic_on_panic": true}}`,
		},
		{
			policies(`least_request.v3.LeastRequest , "active_request_bias": {"default_value": 2, "runtime_key": "x"}`),
			`"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"active_request_bias": {"default_value": 2, "runtime_key": "x"}}`,
		},
		// What is not supported is passed over for what is.
		{policies(`common.v3.OrcaOobReportingConfig `, "random.v3.Random "), `"lb_policy": "RANDOM"`},
	} {
		got, want := balanced(t, `"load_balancing_policy": `+tc.policy), balanced(t, tc.older)
		if got.Policy != want.Policy || got.Choices != want.Choices || (got.Hashing == nil) != (want.Hashing == nil) || got.Hashing != nil && *got.Hashing != *want.Hashing || got.LocalityWeighted != want.LocalityWeighted {
			t.Errorf("%s: got %+v; want %+v", tc.policy, got, want)
		}
		if (got.Zones == nil) != (want.Zones == nil) || got.Zones != nil && *got.Zones != *want.Zones {
			t.Errorf("%s: zones %+v; want %+v", tc.policy, got.Zones, want.Zones)
		}
		if (got.Bias == nil) != (want.Bias == nil) || got.Bias != nil && *got.Bias != *want.Bias {
			t.Errorf("%s: bias %v; want %v", tc.policy, got.Bias, want.Bias)
		}
		if (got.SlowStart == nil) != (want.SlowStart == nil) || got.SlowStart != nil && (*got.SlowStart != *want.SlowStart || got.SlowStart.Window != 30*time.Second || got.SlowStart.Least != 0.2) {
			t.Errorf("%s: slow start %+v; want %+v", tc.policy, got.SlowStart, want.SlowStart)
		}
	}
	for policy, want := range map[string]string{
		`{"policies": []}`: "load_balancing_policy.policies: is empty",
		policies(`common.v3.OrcaOobReportingConfig `):                                        "OrcaOobReportingConfig",
		policies(`ring_hash.v3.RingHash , "minimum_ring_size": 64, "maximum_ring_size": 32`): "minimum_ring_size: 64 is more than maximum_ring_size",
		policies(`maglev.v3.Maglev , "table_size": 100`):                                     "table_size: has to be a prime number",
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
	return *c.Config
}
