package interop

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var chunked = []string{"transfer-encoding: chunked"}

// managed is a connection manager with settings that the common one cannot have, and
// what is asked of it.
type managed struct {
	name, manager, table string
	stories              []story
}

// managers are all of them.
var managers = slices.Concat(entryManagers, pathManagers(), portManagers(), replyManagers(), callerManagers(), []managed{codingManager})

var entryManagers = []managed{
	{name: "parameters", table: "ignore_path_parameters_in_path_matching: true", stories: []story{{name: "a.example", routes: `
routes:
- {match: {path: /exact}, route: {cluster: v1, prefix_rewrite: /new}}
- {match: {path: /exact/two}, route: {cluster: v1}}
- {match: {prefix: /prefix/}, route: {cluster: v1, prefix_rewrite: /new/}}
- {match: {path_separated_prefix: /separated}, route: {cluster: v1, prefix_rewrite: /new}}
- {match: {safe_regex: {regex: "/re[a-z]*"}}, route: {cluster: v1, regex_rewrite: {pattern: {regex: "^/re"}, substitution: "/new"}}}
- {match: {prefix: /redirect}, redirect: {prefix_rewrite: /new}}
- {match: {prefix: /value, headers: [{name: ":path", string_match: {contains: ";"}}]}, route: {cluster: v1}}`,
		asks: []ask{
			get("/exact;a=b"), get("/exact;a=b?q=1"), get("/exact?q;w"), get("/exact;a/"), get("/exact;a/two;b"), get("/exact;a/two/three"), get("/exact;"), get("/;x/exact"), get("/prefix;x/y"), get("/prefix/y;x?q;w"), get("/prefix/a;x=1/b;y/c"), get("/prefix;x"),
			get("/separated;x"), get("/separated;x/y"), get("/separatedx;y"), get("/re;xyz"), get("/rex;X?q"), get("/reX;x"), get("/redirect;x/y?q=1"), get("/redirect/y;x?q=1"), get("/value;x"), get("/value"),
		}}}},
	{name: "hosts", manager: `
strip_trailing_host_dot: true
scheme_header_transformation: {scheme_to_overwrite: https}
http_protocol_options: {accept_http_10: true, default_host_for_http_10: a.example}`, stories: []story{
		{name: "a.example", routes: `
routes:
- {match: {prefix: /redirect}, redirect: {path_redirect: /new}}
- {match: {prefix: /}, route: {cluster: v1}}`, asks: []ask{
			get("/"), {path: "/", host: "a.example."}, {path: "/", host: "A.Example."}, {path: "/", host: "a.example.."}, {path: "/", host: "a.example.:80"}, {path: "/", host: "b.example.:8080"}, {path: "/", host: "."},
			{path: "/", old: true}, {path: "/", old: true, headers: []string{"host: b.example:8080"}}, get("/redirect"), get("/", "x-forwarded-proto: http"),
		}},
		{name: "b.example:8080", routes: `
require_tls: ALL
routes:
- {match: {prefix: /}, route: {cluster: v2}}`, asks: []ask{get("/"), get("/", "x-forwarded-proto: http")}},
	}},
	{name: "request", manager: "request_timeout: 0.4s", stories: []story{{name: "a.example", routes: `
routes:
- {match: {prefix: /buffered}, route: {cluster: v1}, ` + awake("buffer") + `}
- {match: {prefix: /retried}, route: {cluster: v1, retry_policy: {retry_on: 5xx}}}
- {match: {prefix: /}, route: {cluster: v1}}`, asks: []ask{
		get("/"), get("/sleep/800"), {method: "POST", path: "/sleep/800", body: "hello"}, {method: "POST", path: "/", headers: chunked, body: "5\r\nhello\r\n0\r\n\r\n"},
		{method: "POST", path: "/echo", headers: chunked, body: "5\r\nhello\r\n"}, {method: "POST", path: "/buffered", headers: chunked, body: "5\r\nhello\r\n"}, {method: "POST", path: "/retried", headers: chunked, body: "5\r\nhello\r\n"},
		{method: "POST", path: "/echo", headers: chunked, body: "5\r\nhel"}, {method: "POST", path: "/early", headers: chunked, body: "5\r\nhello\r\n"},
	}}}},
	{name: "stalled", manager: "stream_idle_timeout: 0.5s", stories: []story{{name: "a.example", routes: `
routes:
- {match: {prefix: /buffered}, route: {cluster: v1}, ` + awake("buffer") + `}
- {match: {prefix: /}, route: {cluster: v1, timeout: 3s}}`, asks: []ask{
		get("/"), get("/sleep/1200"), {method: "POST", path: "/sleep/1200", body: "hello"}, {method: "POST", path: "/echo", headers: chunked, body: "5\r\nhello\r\n"}, {method: "POST", path: "/buffered", headers: chunked, body: "5\r\nhello\r\n"},
	}}}},
	{name: "long", manager: "common_http_protocol_options: {max_stream_duration: 0.5s}", stories: []story{{name: "a.example", routes: `
routes:
- {match: {prefix: /buffered}, route: {cluster: v1}, ` + awake("buffer") + `}
- {match: {prefix: /}, route: {cluster: v1, timeout: 3s}}`, asks: []ask{
		get("/"), get("/sleep/1200"), {method: "POST", path: "/sleep/1200", body: "hello"}, {method: "POST", path: "/echo", headers: chunked, body: "5\r\nhello\r\n"}, {method: "POST", path: "/buffered", headers: chunked, body: "5\r\nhello\r\n"},
	}}}},
	{name: "http", manager: "scheme_header_transformation: {scheme_to_overwrite: http}", stories: []story{{name: "a.example", routes: `
require_tls: ALL
response_headers_to_add: [{header: {key: x-host, value: h}}]
routes:
- {match: {prefix: /}, name: named, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-route, value: r}}]}`, asks: []ask{get("/"), get("/", "x-forwarded-proto: https")}}}},
	{name: "upstream's", manager: "scheme_header_transformation: {match_upstream: true}", stories: []story{{name: "a.example", routes: `
routes:
- {match: {prefix: /}, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-scheme, value: "%REQ(:SCHEME)%"}}]}`, asks: []ask{get("/"), get("/", "x-forwarded-proto: https")}}}},
	{name: "cookies", stories: []story{{name: "a.example", routes: `
routes:
- {match: {prefix: /all}, route: {cluster: again.ring, hash_policy: [{cookie: {name: c, ttl: 5s, path: /p, attributes: [{name: SameSite, value: Strict}, {name: Secure}]}}]}}
- {match: {prefix: /session}, route: {cluster: again.ring, hash_policy: [{cookie: {name: c, ttl: 0s, attributes: [{name: SameSite, value: None}]}}]}}
- {match: {prefix: /read}, route: {cluster: again.ring, hash_policy: [{cookie: {name: c, path: /p, attributes: [{name: SameSite, value: None}]}}]}}
- {match: {prefix: /two}, route: {cluster: again.ring, hash_policy: [{cookie: {name: c, ttl: 1.5s}}, {cookie: {name: d, ttl: 2s, path: /}}]}}
- {match: {prefix: /other}, route: {cluster: v1, hash_policy: [{cookie: {name: c, ttl: 5s}}]}}`, asks: []ask{
		get("/all"), get("/all", "cookie: c=1; x=y"), get("/all", "cookie: x=y"), get("/all", "cookie: c="), get("/session"), get("/read"), get("/two"), get("/two", "cookie: d=1"), get("/other"),
	}}}},
}

// Connection managers with these settings answer as Envoy's.
func TestManagersAsEnvoy(t *testing.T) {
	envoyBinary(t) // or none of them is compared
	up := upstreams{v1: newBackend(t, "v1"), v2: newBackend(t, "v2"), services: newServices(t), proxied: newProxied(t)}
	for _, m := range managers {
		t.Run(m.name, func(t *testing.T) {
			up := up
			up.manager, up.table, up.stories = m.manager, m.table, m.stories
			theirs, ours := both(t, up.bootstrap)
			for _, s := range m.stories {
				for _, a := range s.asks {
					want, got := theirs.ask(t, s.name, a), ours.ask(t, s.name, a)
					if diff := cmp.Diff(got, want); diff != "" {
						t.Errorf("%s %s%s %q (-ours +Envoy):\n%s", a.method, s.name, a.path, a.headers, diff)
					}
				}
			}
		})
	}
}
