package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer signs tokens, and shows its public key.
type issuer struct {
	signer jose.Signer
	jwks   string
}

var trusted, stranger = newIssuer("k1"), newIssuer("k1")

func newIssuer(id string) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		panic(err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: id, Algorithm: "ES256"}}})
	if err != nil {
		panic(err)
	}
	return &issuer{signer, string(jwks)}
}

// token signs claims; exp is added where it is missing.
func (i *issuer) token(claims map[string]any) string {
	if _, set := claims["exp"]; !set {
		claims["exp"] = time.Now().Add(time.Hour).Unix()
	}
	payload, _ := json.Marshal(claims)
	signed, err := i.signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

func claims(pairs ...any) map[string]any {
	m := map[string]any{"iss": "https://plain.example"}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func bearer(token string) string { return "authorization: Bearer " + token }

// filters are the HTTP filters before the router. Those that routes do not ask
// for are asleep.
func filters() string {
	provider := func(name, more string) string {
		return fmt.Sprintf("      %s:\n        issuer: https://%s.example\n        local_jwks: {inline_string: %q}\n%s\n", name, name, trusted.jwks, indent(more, "        "))
	}
	return corsFilter + stateFilter + `
- name: envoy.filters.http.jwt_authn
  disabled: true
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
    providers:
` + provider("plain", "payload_in_metadata: payload") +
		provider("routing", "payload_in_metadata: payload\nclear_route_cache: true") +
		provider("audience", "audiences: [shop]\nforward: true\nforward_payload_header: x-payload") +
		provider("places", "from_headers: [{name: x-token}, {name: x-prefixed, value_prefix: \"T \"}]\nfrom_params: [token]\nfrom_cookies: [token]\nclaim_to_headers: [{header_name: x-sub, claim_name: sub}, {header_name: x-deep, claim_name: nested.key}, {header_name: x-list, claim_name: list}]") + `
    requirement_map:
      plain: {provider_name: plain}
      routing: {requires_any: {requirements: [{provider_name: routing}, {allow_missing: {}}]}}
      audience: {provider_name: audience}
      places: {provider_name: places}
      optional: {requires_any: {requirements: [{provider_name: plain}, {allow_missing: {}}]}}
      missing: {allow_missing: {}}
      failed: {allow_missing_or_failed: {}}
      either: {requires_any: {requirements: [{provider_name: plain}, {provider_name: places}]}}
      both: {requires_all: {requirements: [{provider_name: plain}, {provider_name: places}]}}
      narrowed: {provider_and_audiences: {provider_name: plain, audiences: [cart]}}
- name: envoy.filters.http.rbac
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC}
- name: authz.http
  disabled: true
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
    transport_api_version: V3
    http_service:
      server_uri: {uri: "http://auth.example", cluster: v2, timeout: 2s}
      path_prefix: /authz
      authorization_request: {headers_to_add: [{key: x-asked-by, value: proxy}]}
      authorization_response:
        allowed_upstream_headers: {patterns: [{exact: x-user}]}
        allowed_upstream_headers_to_append: {patterns: [{exact: x-more}]}
        allowed_client_headers: {patterns: [{exact: x-reason}]}
        allowed_client_headers_on_success: {patterns: [{exact: x-granted}]}
    allowed_headers: {patterns: [{prefix: x-}]}
    disallowed_headers: {patterns: [{exact: x-secret}]}
    with_request_body: {max_request_bytes: 1024, allow_partial_message: true}
- name: authz.grpc
  disabled: true
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
    transport_api_version: V3
    grpc_service: {envoy_grpc: {cluster_name: services}, timeout: 2s}
    with_request_body: {max_request_bytes: 1024}
    bootstrap_metadata_labels_key: labels
    include_peer_certificate: true
    include_tls_session: true
- name: authz.dead
  disabled: true
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
    transport_api_version: V3
    http_service: {server_uri: {uri: "http://auth.example", cluster: none, timeout: 2s}}
    status_on_error: {code: ServiceUnavailable}
- name: authz.open
  disabled: true
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
    transport_api_version: V3
    http_service: {server_uri: {uri: "http://auth.example", cluster: none, timeout: 2s}}
    failure_mode_allow: true
    failure_mode_allow_header_add: true
` + limitFilters + sessionFilters + smallFilters() + contentFilters() + credentialFilters()
}

// awake wakes a filter on a route.
func awake(name string) string {
	return fmt.Sprintf(`typed_per_filter_config: {%s: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}}`, name)
}

// needs asks for tokens on a route.
func needs(requirement string) string {
	return fmt.Sprintf(`typed_per_filter_config: {envoy.filters.http.jwt_authn: {"@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, requirement_name: %s}}`, requirement)
}

// access puts rules before a route: the policies of one action.
func access(action, policies string) string {
	return fmt.Sprintf(`typed_per_filter_config:
  envoy.filters.http.rbac:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute
    rbac:
      rules:
        action: %s
        policies:
%s`, action, indent(policies, "          "))
}

// extended tells the authorization service of further facts.
func extended(facts string) string {
	return `authz.grpc: {"@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, check_settings: {context_extensions: {` + facts + `}}}`
}

// on is a route for a path prefix with further fields.
func on(prefix, more string) string {
	return fmt.Sprintf("- match: {prefix: %s}\n  route: {cluster: v1}\n%s\n", prefix, indent(more, "  "))
}

func policyStories() []story {
	good := trusted.token(claims("sub", "jason", "aud", "shop"))
	shop := trusted.token(claims("iss", "https://audience.example", "sub", "jason", "aud", "shop"))
	place := trusted.token(claims("iss", "https://places.example", "sub", "jason", "aud", "shop"))
	routing := trusted.token(claims("iss", "https://routing.example", "sub", "jason"))
	forged := stranger.token(claims("sub", "jason"))
	cut := good[:len(good)-4]
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(good, ".")[1] + "."
	return []story{
		{name: "jwt", routes: "routes:\n" + on("/plain", needs("plain")) + on("/audience", needs("audience")) + on("/places", needs("places")) + on("/optional", needs("optional")) +
			on("/missing", needs("missing")) + on("/failed", needs("failed")) + on("/either", needs("either")) + on("/both", needs("both")) + on("/narrowed", needs("narrowed")),
			asks: []ask{
				get("/plain"), get("/plain", bearer(good)), get("/plain", bearer(forged)), get("/plain", bearer(cut)), get("/plain", bearer("nonsense")), get("/plain", bearer("a.b.c")), get("/plain", bearer(unsigned)),
				get("/plain", "authorization: Basic abc"), get("/plain", "authorization: bearer "+good), get("/plain?access_token=" + good + "&x=1"), get("/plain?x=1&access_token=" + good),
				get("/plain", bearer(trusted.token(claims("iss", "https://other.example")))), get("/plain", bearer(trusted.token(claims("exp", time.Now().Add(-time.Hour).Unix())))),
				get("/plain", bearer(trusted.token(claims("nbf", time.Now().Add(time.Hour).Unix())))), get("/plain", bearer(trusted.token(claims("exp", time.Now().Add(-30*time.Second).Unix())))),
				get("/plain", bearer(good), "x-payload: mine", "x-sub: mine"),
				get("/audience", bearer(shop)), get("/audience", bearer(trusted.token(claims("iss", "https://audience.example", "aud", []string{"a", "shop"})))), get("/audience", bearer(trusted.token(claims("iss", "https://audience.example", "aud", "other")))), get("/audience", bearer(trusted.token(claims("iss", "https://audience.example")))),
				get("/audience", bearer(trusted.token(claims("iss", "https://audience.example", "aud", "https://shop/")))), get("/audience", bearer(shop), "x-payload: forged"),
				get("/places", "x-token: "+place), get("/places", "x-prefixed: T "+place), get("/places", "x-prefixed: "+place), get("/places?token=" + good), get("/places", "cookie: a=b; token="+place), get("/places", bearer(good)),
				get("/places", "x-token: "+trusted.token(claims("iss", "https://places.example", "sub", "ann", "nested", map[string]any{"key": 7}, "list", []int{1, 2}))), get("/places", "x-token: "+place, "x-deep: forged"),
				get("/places", "x-token: "+place, "x-prefixed: T "+forged),
				get("/optional"), get("/optional", bearer(good)), get("/optional", bearer(forged)), get("/optional", bearer("nonsense")),
				get("/missing"), get("/missing", bearer(good)), get("/missing", bearer(forged)),
				get("/failed"), get("/failed", bearer(good)), get("/failed", bearer(forged)), get("/failed", bearer("nonsense")),
				get("/either", bearer(good)), get("/either", "x-token: "+place), get("/either"), get("/either", bearer(forged)), get("/either", bearer(forged), "x-token: "+place),
				get("/both", bearer(good)), get("/both", bearer(good), "x-token: "+place), get("/both", "x-token: "+place),
				get("/narrowed", bearer(good)), get("/narrowed", bearer(trusted.token(claims("aud", "cart")))),
				get("/none", bearer(good)),
			}},
		{name: "claims", routes: `
typed_per_filter_config: {envoy.filters.http.jwt_authn: {"@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, requirement_name: optional}}
routes:
` + on("/sub", access("ALLOW", claim("sub", "string_match: {exact: jason}"))) + on("/prefix", access("ALLOW", claim("sub", "string_match: {prefix: ja}"))) +
			on("/list", access("ALLOW", claim("groups", "list_match: {one_of: {string_match: {exact: admin}}}"))) + on("/either", access("ALLOW", claim("groups", "or_match: {value_matchers: [{string_match: {exact: admin}}, {list_match: {one_of: {string_match: {exact: admin}}}}]}"))) +
			on("/present", access("ALLOW", claim("sub", "present_match: true"))) + on("/bool", access("ALLOW", claim("staff", "bool_match: true"))) + on("/number", access("ALLOW", claim("age", "double_match: {range: {start: 18, end: 99}}"))) +
			on("/deny", access("DENY", claim("sub", "string_match: {exact: jason}"))),
			asks: []ask{
				get("/sub"), get("/sub", bearer(good)), get("/sub", bearer(trusted.token(claims("sub", "ann")))), get("/prefix", bearer(good)),
				get("/list", bearer(trusted.token(claims("groups", []string{"dev", "admin"})))), get("/list", bearer(trusted.token(claims("groups", []string{"dev"})))), get("/list", bearer(trusted.token(claims("groups", "admin")))),
				get("/either", bearer(trusted.token(claims("groups", "admin")))), get("/either", bearer(trusted.token(claims("groups", []string{"admin"})))), get("/either", bearer(good)),
				get("/present", bearer(good)), get("/present"), get("/bool", bearer(trusted.token(claims("staff", true)))), get("/bool", bearer(trusted.token(claims("staff", "true")))),
				get("/number", bearer(trusted.token(claims("age", 40)))), get("/number", bearer(trusted.token(claims("age", 12)))), get("/deny", bearer(good)), get("/deny"),
			}},
		{name: "claim-routes", routes: `
typed_per_filter_config: {envoy.filters.http.jwt_authn: {"@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, requirement_name: routing}}
routes:
- name: told
  match: {prefix: /told, dynamic_metadata: [{filter: envoy.filters.http.jwt_authn, path: [{key: payload}, {key: sub}], value: {string_match: {exact: jason}}}]}
  route: {cluster: v2}
  request_headers_to_add: [{header: {key: x-for, value: jason}}]
  response_headers_to_add: [{header: {key: x-from, value: told}}]
- name: direct
  match: {prefix: /direct, dynamic_metadata: [{filter: envoy.filters.http.jwt_authn, path: [{key: payload}, {key: sub}], value: {string_match: {exact: jason}}}]}
  direct_response: {status: 200, body: {inline_string: for jason}}
- name: others
  match: {prefix: /direct, dynamic_metadata: [{filter: envoy.filters.http.jwt_authn, path: [{key: payload}, {key: sub}], value: {string_match: {exact: jason}}, invert: true}]}
  direct_response: {status: 200, body: {inline_string: for others}}
- name: guarded
  match: {prefix: /guarded, dynamic_metadata: [{filter: envoy.filters.http.jwt_authn, path: [{key: payload}, {key: staff}], value: {bool_match: true}}]}
  route: {cluster: v2}
` + indent(access("DENY", claim("sub", "string_match: {exact: jason}")), "  ") + `
- name: gone
  match: {prefix: /gone, headers: [{name: authorization, present_match: true}]}
  route: {cluster: v1}
- name: rest
  match: {prefix: /}
  route: {cluster: v1}
  request_headers_to_add: [{header: {key: x-for, value: all}}]
  response_headers_to_add: [{header: {key: x-from, value: rest}}]
`, asks: []ask{
			get("/told"), get("/told", bearer(routing)), get("/told", bearer(trusted.token(claims("iss", "https://routing.example", "sub", "ann")))), get("/told", bearer(forged)), get("/direct"), get("/direct", bearer(routing)),
			get("/guarded", bearer(routing)), get("/guarded", bearer(trusted.token(claims("iss", "https://routing.example", "sub", "ann", "staff", true)))), get("/guarded", bearer(trusted.token(claims("iss", "https://routing.example", "sub", "jason", "staff", true)))),
			get("/gone", bearer(routing)), get("/gone"),
		}},
		{name: "mutation-order", routes: "routes:\n" +
			on("/removed", access("DENY", `p: {permissions: [{any: true}], principals: [{header: {name: x-bad, present_match: true}}]}`)+"\nrequest_headers_to_remove: [x-bad]") +
			on("/added", access("ALLOW", `p: {permissions: [{any: true}], principals: [{header: {name: x-user, string_match: {exact: jason}}}]}`)+"\nrequest_headers_to_add: [{header: {key: x-user, value: jason}}]"),
			asks: []ask{get("/removed"), get("/removed", "x-bad: 1"), get("/added"), get("/added", "x-user: jason")}},
		{name: "proxy-protocol", routes: "response_headers_to_add:\n" +
			"- header: {key: x-remote, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}\n" +
			"- header: {key: x-direct, value: '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%'}\n" +
			"- header: {key: x-local, value: '%DOWNSTREAM_LOCAL_ADDRESS%'}\n" +
			"- header: {key: x-direct-local, value: '%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%'}\nroutes:\n" +
			on("/direct", access("ALLOW", `p: {permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}]}`)) +
			on("/remote", access("ALLOW", `p: {permissions: [{any: true}], principals: [{remote_ip: {address_prefix: 192.0.2.0, prefix_len: 24}}]}`)) +
			on("/destination", access("ALLOW", `p: {permissions: [{destination_ip: {address_prefix: 198.51.100.0, prefix_len: 24}}], principals: [{any: true}]}`)) +
			on("/port", access("ALLOW", `p: {permissions: [{destination_port: 443}], principals: [{any: true}]}`)),
			asks: proxied("PROXY TCP4 192.0.2.7 198.51.100.9 4321 443\r\n", "PROXY TCP6 2001:db8::1 2001:db8::2 4321 443\r\n", "PROXY UNKNOWN\r\n", "PROXY UNKNOWN a b c d\r\n", "",
				proxyV2+"\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x09\x10\xe1\x01\xbb", proxyV2+"\x20\x00\x00\x00", proxyV2+"\x20\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x09\x10\xe1\x01\xbb",
				proxyV2+"\x21\x11\x00\x13\xc0\x00\x02\x07\xc6\x33\x64\x09\x10\xe1\x01\xbb\x02\x00\x04host")},
		{name: "rbac", routes: "routes:\n" +
			on("/allow-any", access("ALLOW", "p: {permissions: [{any: true}], principals: [{any: true}]}")) +
			on("/allow-none", access("ALLOW", "{}")) +
			on("/deny-any", access("DENY", "p: {permissions: [{any: true}], principals: [{any: true}]}")) +
			on("/deny-none", access("DENY", "{}")) +
			on("/log", access("LOG", "p: {permissions: [{any: true}], principals: [{any: true}]}")) +
			on("/method", access("ALLOW", `p: {permissions: [{header: {name: ":method", string_match: {exact: GET}}}], principals: [{any: true}]}`)) +
			on("/header", access("ALLOW", `p: {permissions: [{any: true}], principals: [{header: {name: X-User, string_match: {exact: jason}}}]}`)) +
			on("/present", access("ALLOW", `p: {permissions: [{header: {name: x-key, present_match: true}}], principals: [{any: true}]}`)) +
			on("/host", access("ALLOW", `p: {permissions: [{header: {name: ":authority", string_match: {prefix: RB, ignore_case: true}}}], principals: [{any: true}]}`)) +
			on("/path", access("ALLOW", `
exact: {permissions: [{url_path: {path: {exact: /path/exact}}}], principals: [{any: true}]}
prefix: {permissions: [{url_path: {path: {prefix: /path/pre}}}], principals: [{any: true}]}
suffix: {permissions: [{url_path: {path: {suffix: .jpg}}}], principals: [{any: true}]}
regex: {permissions: [{url_path: {path: {safe_regex: {regex: "/path/[0-9]+"}}}}], principals: [{any: true}]}`)) +
			on("/template", access("ALLOW", `
one: {permissions: [{uri_template: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/template/*/end"}}}], principals: [{any: true}]}
many: {permissions: [{uri_template: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/template/**/tail"}}}], principals: [{any: true}]}
named: {permissions: [{uri_template: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/template/{lang}/item"}}}], principals: [{any: true}]}`)) +
			on("/ip", access("ALLOW", `p: {permissions: [{destination_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}]}`)) +
			on("/farip", access("ALLOW", `p: {permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}]}`)) +
			on("/remote", access("ALLOW", `p: {permissions: [{any: true}], principals: [{remote_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}]}`)) +
			on("/port", access("DENY", `p: {permissions: [{destination_port: 1}], principals: [{any: true}]}`)) +
			on("/range", access("ALLOW", `p: {permissions: [{destination_port_range: {start: 1024, end: 65535}}], principals: [{any: true}]}`)) +
			on("/authenticated", access("ALLOW", `p: {permissions: [{any: true}], principals: [{authenticated: {}}]}`)) +
			on("/not", access("ALLOW", `p: {permissions: [{not_rule: {url_path: {path: {prefix: /not/admin}}}}], principals: [{not_id: {header: {name: x-bad, present_match: true}}}]}`)) +
			on("/all", access("ALLOW", `p: {permissions: [{and_rules: {rules: [{header: {name: x-a, string_match: {exact: "1"}}}, {or_rules: {rules: [{header: {name: x-b, string_match: {exact: "1"}}}, {header: {name: x-c, string_match: {exact: "1"}}}]}}]}}], principals: [{and_ids: {ids: [{any: true}, {or_ids: {ids: [{any: true}]}}]}}]}`)) +
			on("/two", access("DENY", `
b: {permissions: [{any: true}], principals: [{header: {name: x-b, present_match: true}}]}
a: {permissions: [{any: true}], principals: [{header: {name: x-a, present_match: true}}]}`)),
			asks: []ask{
				get("/allow-any"), get("/allow-none"), get("/deny-any"), get("/deny-none"), get("/log"), get("/method"), {method: "POST", path: "/method", body: "x"}, {method: "DELETE", path: "/method"},
				get("/header"), get("/header", "x-user: jason"), get("/header", "x-user: Jason"), get("/header", "x-user: jason", "x-user: ann"), get("/present"), get("/present", "x-key: "), get("/host"),
				get("/path/exact"), get("/path/exact?q=1"), get("/path/exact/"), get("/path/prefix/x"), get("/path/x.jpg"), get("/path/x.jpg?y"), get("/path/12"), get("/path/12x"), get("/path/other"),
				get("/template/a/end"), get("/template/a/b/end"), get("/template/a/b/tail"), get("/template/tail"), get("/template/en/item"), get("/template/en/item?x=1"), get("/template//item"),
				get("/ip"), get("/farip"), get("/remote"), get("/remote", "x-forwarded-for: 10.1.2.3"), get("/remote", "x-forwarded-for: 10.1.2.3, 11.0.0.1"), get("/remote", "x-forwarded-for: 11.0.0.1,10.9.9.9"), get("/remote", "x-forwarded-for: nonsense"),
				get("/port"), get("/range"), get("/authenticated"), get("/not"), get("/not/admin"), get("/not", "x-bad: 1"),
				get("/all"), get("/all", "x-a: 1"), get("/all", "x-a: 1", "x-b: 1"), get("/all", "x-a: 1", "x-c: 1"), get("/all", "x-b: 1"), get("/two"), get("/two", "x-a: 1"), get("/two", "x-b: 1"), get("/two", "x-a: 1", "x-b: 1"),
			}},
		{name: "authz", routes: "routes:\n" + on("/ask", awake("authz.http")) + on("/dead", awake("authz.dead")) + on("/open", awake("authz.open")) + on("/off", ""),
			asks: []ask{
				get("/ask/allow"), get("/ask/allow", "x-more: mine", "x-user: forged"), get("/ask/deny"), get("/ask/401"), get("/ask/500"), get("/ask/302"), get("/ask/allow?q=1", "authorization: Bearer x", "cookie: a=b", "x-secret: s", "x-told: t"),
				{method: "POST", path: "/ask/allow", body: "hello"}, {method: "POST", path: "/ask/allow", body: strings.Repeat("x", 2000)}, {method: "POST", path: "/ask/deny", body: "hello"}, {method: "HEAD", path: "/ask/deny"},
				get("/dead"), {method: "POST", path: "/dead", body: "x"}, get("/open"), {path: "/open", headers: []string{"x-envoy-auth-failure-mode-allowed: forged"}, deviates: "a client's own `x-envoy-auth-failure-mode-allowed` is replaced, not kept beside the filter's"}, get("/off"),
			}},
		{name: "authz-levels", routes: "typed_per_filter_config: {" + extended("shop: books, level: host") + "}\nroutes:\n" + on("/host", "") + on("/route", awakeAll(extended("level: route, more: yes please"))) + on("/woken", awake("authz.grpc")),
			asks: []ask{get("/host/allow"), get("/route/allow"), get("/woken/allow")}},
		{name: "authz-grpc", routes: "routes:\n" + on("/ask", awake("authz.grpc")) + on("/told", `typed_per_filter_config: {authz.grpc: {"@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, check_settings: {context_extensions: {shop: books}}}}`),
			asks: []ask{
				get("/ask/allow"), get("/ask/allow?q=1", "x-more: mine", "x-secret: s", "cookie: a=b", "x-two: 1", "x-two: 2"), get("/ask/allow?gone=1&kept=2", "x-add: mine", "x-absent: mine", "x-over: mine", "x-exists: mine"), get("/ask/plain"), get("/ask/deny"), get("/ask/401"), get("/ask/error"),
				{method: "POST", path: "/ask/allow", body: "hello"}, {method: "POST", path: "/ask/allow", body: strings.Repeat("x", 2000)}, {method: "HEAD", path: "/ask/401"}, get("/told/allow"),
				get("/ask/401", "content-type: application/grpc"), get("/ask/deny", "content-type: application/grpc"),
			}},
	}
}

// proxyV2 is how a PROXY header of version 2 begins.
const proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"

// proxied asks for each path of the story behind each header.
func proxied(headers ...string) []ask {
	var asks []ask
	for _, h := range headers {
		for _, path := range []string{"/direct", "/remote", "/destination", "/port"} {
			asks = append(asks, ask{path: path, preamble: h})
		}
	}
	return asks
}

// claim is a policy for those whose token says so.
func claim(name, value string) string {
	return fmt.Sprintf("p: {permissions: [{any: true}], principals: [{metadata: {filter: envoy.filters.http.jwt_authn, path: [{key: payload}, {key: %s}], value: {%s}}}]}", name, value)
}
