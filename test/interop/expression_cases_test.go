package interop

import "fmt"

// expressions are in the Common Expression Language.
var expressions = []string{
	"request.path", "request.url_path", "request.query", "request.host", "request.scheme", "request.method", "request.protocol", "request.headers['x-a']", "request.headers['none']",
	"request.useragent", "request.referer", "request.size", "request.total_size > 0", "response.code", "response.code_details", "response.flags", "response.grpc_status",
	"response.headers['x-backend']", "source.address.startsWith('127.0.0.1:')", "source.port > 1024", "destination.port > 1024", "connection.mtls", "connection.id > 0u",
	"connection.requested_server_name", "connection.tls_version", "upstream.address.startsWith('127.0.0.1:')", "upstream.port > 1024", "upstream.request_attempt_count",
	"xds.cluster_name", "xds.route_name", "xds.virtual_host_name", "metadata.filter_metadata['none']", "1.5", "request.headers['x-a'] == '1' ? 'one' : 'other'",
	"request.path.matches('^/e')", "size(request.headers['x-a'])", "'x-a' in request.headers", "duration('1s')",
}

// expressionStory asks for the value of each expression.
func expressionStory() story {
	s := story{name: "expressions", routes: "routes:\n"}
	for i, e := range expressions {
		s.routes += fmt.Sprintf("- {match: {path: /e%d}, name: r%d, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: \"<%%CEL(%s)%%>\"}}]}\n", i, i, e)
		s.asks = append(s.asks, get(fmt.Sprintf("/e%d?a=b", i), "x-a: 1", "user-agent: curl"))
	}
	return s
}
