package interop

import "fmt"

// boundedClusters bound what an exchange with them may be.
var boundedClusters = map[string]string{
	"brief": bounded("max_stream_duration: 0.2s, headers_with_underscores_action: REJECT_REQUEST", "http_protocol_options"),
	"few":   bounded("max_headers_count: 10", "http_protocol_options"),

	"brief2": bounded("max_stream_duration: 0.2s", "http2_protocol_options"),
	"few2":   bounded("max_headers_count: 10", "http2_protocol_options"),
}

func bounded(common, protocol string) string {
	return fmt.Sprintf(`typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, common_http_protocol_options: {%s}, explicit_http_config: {%s: {}}}`, common, protocol)
}

// boundedStory asks clusters that allow little.
func boundedStory() story {
	return story{name: "bounded", routes: `
routes:
- {match: {prefix: /retried/}, route: {cluster: brief, timeout: 0s, prefix_rewrite: /, retry_policy: {retry_on: "5xx,reset", num_retries: 1}}}
- {match: {prefix: /tried/}, route: {cluster: brief, timeout: 0s, prefix_rewrite: /, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_timeout: 0.1s}}}
- {match: {prefix: /long-tries/}, route: {cluster: brief, timeout: 0s, prefix_rewrite: /, retry_policy: {retry_on: gateway-error, num_retries: 1, per_try_timeout: 1s}}}
- {match: {prefix: /timed/}, route: {cluster: brief, timeout: 0.1s, prefix_rewrite: /}}
- {match: {prefix: /fields/}, route: {cluster: few}}
- {match: {prefix: /second/fields/}, route: {cluster: few2, prefix_rewrite: /fields/}}
- {match: {prefix: /second/}, route: {cluster: brief2, timeout: 0s, prefix_rewrite: /}}
- {match: {prefix: /again/}, route: {cluster: few, prefix_rewrite: /, retry_policy: {retry_on: reset, num_retries: 1}}}
- {match: {prefix: /}, route: {cluster: brief, timeout: 0s}}`,
		asks: []ask{
			get("/echo"), get("/sleep/1000"), get("/retried/sleep/1000"), get("/tried/sleep/1000"), get("/long-tries/sleep/1000"), get("/timed/sleep/1000"), get("/echo", "under_score: 1"),
			get("/fields/1"), get("/fields/5"), get("/fields/6"), get("/fields/7"), get("/fields/8"), get("/fields/20"), get("/second/echo"), get("/second/sleep/1000"), get("/second/fields/5"), get("/second/fields/6"), get("/second/fields/7"), get("/second/fields/8"), get("/second/fields/9"), get("/second/fields/20"), get("/again/fields/20"),
		}}
}
