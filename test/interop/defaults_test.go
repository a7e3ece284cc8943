package interop

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// A bootstrap that asks for what is the case anyway is taken, its listeners without
// names all serve, and the names of fields keep their case.
func TestDefaultsMayBeWritten(t *testing.T) {
	agree(t, func(name string, run runner) []string {
		const preserve = `header_key_format: {stateful_formatter: {name: preserve_case, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}}}`
		seen := make(chan string, 1)
		up := serve(t, func(conn net.Conn) {
			defer conn.Close()
			head := make([]byte, 4096)
			for n := 0; ; {
				read, err := conn.Read(head[n:])
				if n += read; bytes.HasSuffix(head[:n], []byte("\r\n\r\n")) {
					seen <- string(head[:n])
					fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nX-FromUp: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					return
				}
				if err != nil {
					return
				}
			}
		})
		second := freeAddress(t)
		p := start(t, name, run, func(p *peer) string {
			listening := func(address string) string {
				return strings.Replace(web{
					name: "web", address: address, listener: "transparent: false\nfreebind: false\nbind_to_port: true\nuse_original_dst: false\ncontinue_on_listener_filters_timeout: false",
					manager: "http_protocol_options: {" + preserve + "}",
					routes:  "- {match: {prefix: /}, route: {cluster: up}}",
				}.String(), "- name: \"web\"\n    address", "- address", 1)
			}
			options := fmt.Sprintf(`typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {%s}}}}`, preserve)
			return "default_regex_engine: {name: re2, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.regex_engines.v3.GoogleRE2}}\n" + static(listening(p.address)+listening(second), upstream("up", up, options))
		})
		var out []string
		for _, address := range []string{p.address, second} {
			waitFor(t, address)
			conn := (&peer{address: address}).dial(t)
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\nX-FromDown: 1\r\nx-lower: 1\r\nConnection: close\r\n\r\n")
			answer, _ := io.ReadAll(conn)
			conn.Close()
			for _, head := range []string{<-seen, string(answer)} {
				for line := range strings.SplitSeq(head, "\r\n") {
					if field, _, _ := strings.Cut(line, ":"); slices.Contains([]string{"X-Fromdown", "X-Fromup", "X-Lower"}, textproto.CanonicalMIMEHeaderKey(field)) {
						out = append(out, field)
					}
				}
			}
		}
		return out
	})
}

// A limit may count requests from within alone, or from outside alone; the service is
// asked for no others. Where an HTTP service is, may be written without a scheme.
func TestWhoseRequestsAreLimitedAsEnvoy(t *testing.T) {
	agree(t, func(name string, run runner) []string {
		up, services := newBackend(t, "up"), newServices(t)
		limit := func(kind string) string {
			return fmt.Sprintf(`- {name: limit.%[1]s, disabled: true, typed_config: {"@type": %[2]sratelimit.v3.RateLimit, domain: shop, timeout: 2s, request_type: %[1]s, rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: services}}}}}
`, kind, httpFilters)
		}
		route := func(filter string) string {
			return fmt.Sprintf(`- match: {prefix: /%s}
  route: {cluster: up, rate_limits: [{actions: [{generic_key: {descriptor_key: limit, descriptor_value: over}}]}]}
  typed_per_filter_config: {%[1]s: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}}
`, filter)
		}
		p := start(t, name, run, func(p *peer) string {
			return static(web{
				name: "web", address: p.address,
				manager: "use_remote_address: true\ninternal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}",
				filters: limit("internal") + limit("external") + limit("both") + fmt.Sprintf(`- {name: authz, disabled: true, typed_config: {"@type": %sext_authz.v3.ExtAuthz, transport_api_version: V3, http_service: {server_uri: {uri: "127.0.0.1:%s", cluster: up, timeout: 2s}}}}`, httpFilters, up.port),
				routes:  route("limit.internal") + route("limit.external") + route("limit.both") + route("authz"),
			}.String(), upstream("up", up.port)+upstream("services", services.address, speakHTTP2))
		})
		var out []string
		for _, path := range []string{"/limit.internal", "/limit.external", "/limit.both", "/authz"} {
			for _, from := range []string{"", "8.8.8.8"} {
				req, err := http.NewRequest("GET", "http://"+p.address+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if from != "" {
					req.Header.Set("x-forwarded-for", from)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				out = append(out, path+" "+from+" "+resp.Status)
			}
		}
		return out
	})
}
