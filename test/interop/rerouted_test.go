package interop

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A reply passes through the settings of the route that the request has come to: those of
// the route before only where they stand before the place where it was chosen anew.
func TestReroutedRepliesAsEnvoy(t *testing.T) {
	up := newBackend(t, "v1")
	mutation := func(kind, name, value string) string {
		return fmt.Sprintf(`{"@type": %sheader_mutation.v3.HeaderMutation%s, mutations: {response_mutations: [{append: {header: {key: x-%s, value: %s}}}]}}`, httpFilters, kind, name, value)
	}
	filters := `
- {name: m1, typed_config: {"@type": ` + httpFilters + `header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: x-new, value: "1"}}}], response_mutations: [{append: {header: {key: x-m1, value: filter}}}]}}}
- {name: state, typed_config: {"@type": ` + httpFilters + `set_filter_state.v3.Config, clear_route_cache: true, on_request_headers: [{object_key: own, factory_key: envoy.string, format_string: {text_format: own}}]}}
- {name: m2, typed_config: ` + mutation("", "m2", "filter") + `}
- {name: envoy.filters.http.fault, typed_config: {"@type": ` + httpFilters + `fault.v3.HTTPFault, abort: {header_abort: {}, percentage: {numerator: 100}}}}
- {name: m3, typed_config: ` + mutation("", "m3", "filter") + `}
`
	all := func(value string) string {
		var each []string
		for _, m := range []string{"m1", "m2", "m3"} {
			each = append(each, m+": "+mutation("PerRoute", m, value))
		}
		return "typed_per_filter_config: {" + strings.Join(each, ", ") + "}"
	}
	routes := ""
	for path, own := range map[string][2]string{"/both": {all("first"), all("second")}, "/first": {all("first"), ""}, "/second": {"", all("second")}} {
		routes += fmt.Sprintf(`
- {match: {prefix: %[1]s, headers: [{name: x-new, present_match: true}]}, route: {cluster: up}, %[3]s}
- {match: {prefix: %[1]s}, route: {cluster: up}, %[2]s}`, path, own[0], own[1])
	}
	routes += `
- {match: {prefix: /none, headers: [{name: x-new, present_match: true, invert_match: true}]}, route: {cluster: up}, ` + all("first") + `}`
	agree(t, func(name string, run runner) (out []string) {
		p := start(t, name, run, func(p *peer) string {
			return static(web{name: "web", address: p.address, filters: filters, routes: routes}.String(), upstream("up", up.port))
		})
		for _, path := range []string{"/both", "/first", "/second", "/none"} {
			for _, abort := range []string{"", "418"} {
				req, err := http.NewRequest("GET", "http://"+p.address+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if abort != "" {
					req.Header.Set("x-envoy-fault-abort-request", abort)
				}
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				out = append(out, fmt.Sprint(path, " ", resp.StatusCode, " ", resp.Header["X-M1"], resp.Header["X-M2"], resp.Header["X-M3"]))
			}
		}
		return out
	})
}
