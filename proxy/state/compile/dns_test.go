package compile

import (
	"strings"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
)

func TestNames(t *testing.T) {
	got := balanced(t, `"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED", "dns_refresh_rate": "2s", "dns_jitter": "3s", "respect_dns_ttl": true, "dns_failure_refresh_rate": {"base_interval": "4s", "max_interval": "5s"}`).DNS
	if got.Resolve != nil || got.Family != cluster.V4Preferred || got.Refresh != 2*time.Second || got.Jitter != 3*time.Second || !got.FollowTTL || got.Retry != 4*time.Second || got.MostRetry != 5*time.Second {
		t.Errorf("got %+v", got)
	}
	const servers = `[{"socket_address": {"address": "10.0.0.1", "port_value": 53}}]`
	cares := func(fields string) string {
		return `"typed_dns_resolver_config": {"name": "c", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", ` + fields + `}}`
	}
	for fields, own := range map[string]bool{
		`"dns_resolvers": ` + servers:                                       true,
		`"use_tcp_for_dns_lookups": true`:                                   true,
		`"dns_resolution_config": {"resolvers": ` + servers + `}`:           true,
		cares(`"resolvers": ` + servers):                                    true,
		cares(`"dns_resolver_options": {"no_default_search_domain": true}`): true,
		cares(`"udp_max_queries": 1`):                                       false,
	} {
		if got := balanced(t, `"type": "STRICT_DNS", `+fields).DNS; (got.Resolve != nil) != own {
			t.Errorf("%s: resolved in its own way %v; want %v", fields, got.Resolve != nil, own)
		}
	}
	for fields, want := range map[string]string{
		`"type": "STRICT_DNS", "dns_resolvers": [{"socket_address": {"address": "dns.example", "port_value": 53}}]`: "dns_resolvers[0].socket_address.address",
		`"type": "STRICT_DNS", ` + cares(`"query_tries": 2`):                                                        "query_tries",
		`"type": "STRICT_DNS", "dns_failure_refresh_rate": {"base_interval": "4s", "max_interval": "3s"}`:           "dns_failure_refresh_rate.max_interval",
		`"type": "LOGICAL_DNS"`: "load_assignment.endpoints",
	} {
		if _, err := compiler().Cluster(clusterOf(t, fields)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q named", fields, err, want)
		}
	}
}
