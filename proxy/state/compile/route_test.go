package compile

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// table compiles a virtual host's fields.
func table(t *testing.T, host string) (*route.Table, error) {
	t.Helper()
	c := compiler()
	c.Handle = func(name string) *cluster.Handle {
		h := cluster.NewHandle(name)
		h.Store(cluster.New(&cluster.Config{Name: name}, cluster.Deps{})) // without endpoints
		return h
	}
	filters, err := c.filters([]*hcmv3.HttpFilter{filter("router", packed(t, &routerv3.Router{}))}, false)
	if err != nil {
		t.Fatal(err)
	}
	var m routev3.RouteConfiguration
	if err := protojson.Unmarshal([]byte(`{"virtual_hosts": [{"name": "h", "domains": ["*"], `+host+`}]}`), &m); err != nil {
		t.Fatal(err)
	}
	return c.Table(&m, filters)
}

// action is a virtual host with one route to a cluster and these fields.
func action(fields string) string {
	return `"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "c", ` + fields + `}}]`
}

// direct is a virtual host that answers with a body of so many bytes.
func direct(n int) string {
	return `"routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "` + strings.Repeat("x", n) + `"}}}]`
}

// How long the body of a direct response may be is said for all routes.
func TestDirectBodies(t *testing.T) {
	for limit, allowed := range map[uint32]bool{0: true, 10: false, 4097: true} {
		c := compiler()
		host := &routev3.VirtualHost{}
		if err := protojson.Unmarshal([]byte(`{"name": "h", "domains": ["*"], `+direct(4097)+`}`), host); err != nil {
			t.Fatal(err)
		}
		m := &routev3.RouteConfiguration{MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(limit), VirtualHosts: []*routev3.VirtualHost{host}}
		if _, err := c.Table(m, &Filters{}); (err == nil) != allowed {
			t.Errorf("limit %d: got %v", limit, err)
		}
	}
}

// What a route asks for and does not get is refused by its path.
func TestRoutesAreRefused(t *testing.T) {
	for host, want := range map[string]string{
		action(`"hedge_policy": {"initial_requests": 2}`):                                                                                                                      "routes[0].route.hedge_policy.initial_requests: is not supported",
		action(`"hedge_policy": {"additional_request_chance": {"numerator": 5}}`):                                                                                              "hedge_policy.additional_request_chance: is not supported",
		`"hedge_policy": {"initial_requests": 2}, ` + action(`"timeout": "1s"`):                                                                                                "hedge_policy.initial_requests: is not supported",
		action(`"hedge_policy": {"initial_requests": 1}`):                                                                                                                      "",
		action(`"hedge_policy": {"additional_request_chance": {"numerator": 0}}`):                                                                                              "",
		action(`"hedge_policy": {"hedge_on_per_try_timeout": true}`):                                                                                                           "",
		`"hedge_policy": {"initial_requests": 2}, ` + action(`"hedge_policy": {}`):                                                                                             "",
		action(`"retry_policy": {"retry_on": "5xx", "per_try_idle_timeout": "0.1s"}`):                                                                                          "",
		action(`"internal_redirect_policy": {"redirect_response_codes": [301, 302, 303, 307, 308, 301]}`):                                                                      "route.internal_redirect_policy.redirect_response_codes: value must contain no more than 5 item(s)",
		action(`"internal_redirect_policy": {"predicates": [{"name": "p", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}`): "route.internal_redirect_policy.predicates[0].typed_config: envoy.extensions.filters.http.router.v3.Router is not supported",
		action(`"retry_policy": {"retry_priority": {"name": "p", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"}}}`):   "route.retry_policy.retry_priority.typed_config.update_frequency: value must be greater than 0",
		action(`"retry_policy": {"retry_priority": {"name": "p", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}}`):                                    "retry_priority.typed_config: envoy.extensions.filters.http.router.v3.Router is not supported",
		action(`"retry_policy": {"retry_host_predicate": [{"name": "p", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}`):                            "retry_host_predicate[0].typed_config: envoy.extensions.filters.http.router.v3.Router is not supported",
		action(`"retry_policy": {"retry_host_predicate": [{"name": "p", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"}}]}`): "",
		direct(4096): "",
		direct(4097): "routes[0].direct_response.body: has 4097 bytes and 4096 are allowed",
		`"routes": [{"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 0}]}}}]`:                                   "route.weighted_clusters.clusters: have no weight",
		`"routes": [{"match": {"prefix": "/"}, "route": {"weighted_clusters": {"total_weight": 7, "clusters": [{"name": "a", "weight": 1}, {"name": "b"}]}}}]`: "",
	} {
		_, err := table(t, host)
		if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v; want %q", host, err, want)
		}
	}
}

// "By default, headers that should be added/removed are evaluated from most to least
// specific ... this order can be reversed": the one that comes last has the last word.
func TestWhoseFieldHolds(t *testing.T) {
	set := func(value string) []*corev3.HeaderValueOption {
		return []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x", Value: value}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}}
	}
	for specific, want := range map[bool]string{false: "table", true: "route"} {
		host := &routev3.VirtualHost{}
		if err := protojson.Unmarshal([]byte(`{"name": "h", "domains": ["*"], `+direct(1)+`}`), host); err != nil {
			t.Fatal(err)
		}
		host.RequestHeadersToAdd, host.Routes[0].RequestHeadersToAdd = set("host"), set("route")
		table, err := compiler().Table(&routev3.RouteConfiguration{VirtualHosts: []*routev3.VirtualHost{host}, RequestHeadersToAdd: set("table"), MostSpecificHeaderMutationsWins: specific}, &Filters{})
		if err != nil {
			t.Fatal(err)
		}
		req := &stream.Request{Method: "GET", Path: "/", Info: &stream.Info{}}
		table.Match(req).MutateRequest(req)
		if got, _ := req.Header.Joined("x"); got != want {
			t.Errorf("most specific wins %t: got %q, want %q", specific, got, want)
		}
	}
}

// "prefix_rewrite: indicates that during forwarding, the matched prefix (or path)
// should be swapped": behind an expression, that is the whole path before its query.
func TestRewritesBehindExpressions(t *testing.T) {
	const template = `"path_match_policy": {"name": "t", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", "path_template": "/a/*"}}`
	for match, want := range map[string]string{
		`"prefix": "/a"`: "/b$1/123456789?q", `"path": "/a/123456789"`: "/b$1?q", `"safe_regex": {"regex": "/a/[0-9]+"}`: "/b$1?q", template: "/b$1?q",
	} {
		for action, shown := range map[string]func(*stream.Request, *stream.Response) string{
			`"redirect": {"prefix_rewrite": "/b$1"}`: func(_ *stream.Request, resp *stream.Response) string {
				return strings.TrimPrefix(resp.Header.Get("location"), "http://a")
			},
			`"route": {"cluster": "c", "prefix_rewrite": "/b$1"}`: func(req *stream.Request, _ *stream.Response) string { return req.Path },
		} {
			rewriting, err := table(t, `"routes": [{"match": {`+match+`}, `+action+`}]`)
			if err != nil {
				t.Fatal(err)
			}
			req := &stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/a/123456789?q", Info: &stream.Info{}, Conn: &stream.Conn{}}
			resp, _ := rewriting.Match(req).Handler.Handle(req) // there is no endpoint
			if got := shown(req, resp); got != want {
				t.Errorf("%s %s: got %s, want %s", match, action, got, want)
			}
		}
	}
}

// "present_match: Specifies whether a query parameter should be present."
func TestAbsentParameters(t *testing.T) {
	absent, err := table(t, `"routes": [{"match": {"prefix": "/", "query_parameters": [{"name": "p", "present_match": false}]}, "direct_response": {"status": 200}}]`)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/q": true, "/q?p=1": false, "/q?r=1": true} {
		if got := absent.Match(&stream.Request{Method: "GET", Path: path, Info: &stream.Info{}}) != nil; got != want {
			t.Errorf("%s: got %t, want %t", path, got, want)
		}
	}
}

// Only routes that are discovered have further virtual hosts.
func TestHostsOfOwnRoutes(t *testing.T) {
	m := &routev3.RouteConfiguration{Vhds: &routev3.Vhds{ConfigSource: &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}}}
	if _, err := compiler().Table(m, &Filters{}); err == nil || err.Error() != "vhds: is only possible for routes that are discovered themselves: write rds" {
		t.Errorf("got %v", err)
	}
}
