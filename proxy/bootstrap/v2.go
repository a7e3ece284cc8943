package bootstrap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// renamed are the filters, access loggers and transport sockets that had other
// names in Envoy's v2 API: what they are called now, and the message that
// configures them.
var renamed = map[string]struct{ name, message string }{
	"envoy.http_connection_manager":              {"envoy.filters.network.http_connection_manager", "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"},
	"envoy.tcp_proxy":                            {"envoy.filters.network.tcp_proxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"},
	"envoy.router":                               {"envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router"},
	"envoy.cors":                                 {"envoy.filters.http.cors", "envoy.extensions.filters.http.cors.v3.Cors"},
	"envoy.fault":                                {"envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault"},
	"envoy.rate_limit":                           {"envoy.filters.http.ratelimit", "envoy.extensions.filters.http.ratelimit.v3.RateLimit"},
	"envoy.ext_authz":                            {"envoy.filters.http.ext_authz", "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"},
	"envoy.filters.http.rbac":                    {"envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC"},
	"envoy.file_access_log":                      {"envoy.access_loggers.file", "envoy.extensions.access_loggers.file.v3.FileAccessLog"},
	"envoy.listener.tls_inspector":               {"envoy.filters.listener.tls_inspector", "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"},
	"envoy.listener.original_dst":                {"envoy.filters.listener.original_dst", "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"},
	"envoy.listener.http_inspector":              {"envoy.filters.listener.http_inspector", "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"},
	"envoy.transport_sockets.tls":                {"envoy.transport_sockets.tls", ""}, // which end is known where it stands
	"envoy.retry_host_predicates.previous_hosts": {"envoy.retry_host_predicates.previous_hosts", "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
}

// messages are those that moved: from the v2 API's name to the present one.
var messages = map[string]string{
	"envoy.config.filter.network.http_connection_manager.v2.HttpConnectionManager": "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
	"envoy.config.filter.network.tcp_proxy.v2.TcpProxy":                            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
	"envoy.config.filter.http.router.v2.Router":                                    "envoy.extensions.filters.http.router.v3.Router",
	"envoy.config.filter.http.fault.v2.HTTPFault":                                  "envoy.extensions.filters.http.fault.v3.HTTPFault",
	"envoy.config.filter.http.rbac.v2.RBAC":                                        "envoy.extensions.filters.http.rbac.v3.RBAC",
	"envoy.config.filter.http.jwt_authn.v2alpha.JwtAuthentication":                 "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
	"envoy.config.filter.http.ext_authz.v2.ExtAuthz":                               "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
	"envoy.config.accesslog.v2.FileAccessLog":                                      "envoy.extensions.access_loggers.file.v3.FileAccessLog",
	"envoy.api.v2.auth.UpstreamTlsContext":                                         "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
	"envoy.api.v2.auth.DownstreamTlsContext":                                       "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
	"envoy.api.v2.Cluster":                                                         "envoy.config.cluster.v3.Cluster",
	"envoy.api.v2.Listener":                                                        "envoy.config.listener.v3.Listener",
	"envoy.api.v2.RouteConfiguration":                                              "envoy.config.route.v3.RouteConfiguration",
	"envoy.api.v2.ClusterLoadAssignment":                                           "envoy.config.endpoint.v3.ClusterLoadAssignment",
}

const typePrefix = "type.googleapis.com/"

// upgrade rewrites the spellings of Envoy's v2 API in a bootstrap, and lists what
// it has rewritten.
type upgrade struct{ notes []string }

func (u *upgrade) note(path, old, now string) {
	u.notes = append(u.notes, fmt.Sprintf("%s: %s is Envoy's v2 API, write %s", path, old, now))
}

func (u *upgrade) walk(node any, path string) {
	switch n := node.(type) {
	case map[string]any:
		u.object(n, path)
		for _, key := range slices.Sorted(maps.Keys(n)) {
			u.walk(n[key], dotted(path, key))
		}
	case []any:
		for i, v := range n {
			u.walk(v, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

func (u *upgrade) object(n map[string]any, path string) {
	u.extension(n, path)
	if url, _ := n["@type"].(string); url != "" {
		if now, old := messages[strings.TrimPrefix(url, typePrefix)]; old {
			n["@type"] = typePrefix + now
			u.note(dotted(path, "@type"), url, now)
		}
	}
	_, timed := n["connect_timeout"]
	cluster := timed || n["lb_policy"] != nil
	if hosts, old := n["hosts"].([]any); old && (cluster || n["type"] != nil) {
		delete(n, "hosts")
		n["load_assignment"] = assignment(n["name"], hosts)
		u.note(dotted(path, "hosts"), "hosts", "load_assignment")
	}
	if context, old := n["tls_context"].(map[string]any); old {
		delete(n, "tls_context")
		end := "Downstream"
		if cluster {
			end = "Upstream"
		}
		context["@type"] = typePrefix + "envoy.extensions.transport_sockets.tls.v3." + end + "TlsContext"
		n["transport_socket"] = map[string]any{"name": "envoy.transport_sockets.tls", "typed_config": context}
		u.note(dotted(path, "tls_context"), "tls_context", "transport_socket")
	}
	if names, old := n["cluster_names"].([]any); old && n["api_type"] != nil && n["api_type"] != "REST" {
		delete(n, "cluster_names")
		var services []any
		for _, name := range names {
			services = append(services, map[string]any{"envoy_grpc": map[string]any{"cluster_name": name}})
		}
		n["grpc_services"] = services
		u.note(dotted(path, "cluster_names"), "cluster_names", "grpc_services")
	}
}

// extension rewrites what is named and configured as extensions are.
func (u *upgrade) extension(n map[string]any, path string) {
	name, _ := n["name"].(string)
	now, old := renamed[name]
	if !old {
		return
	}
	if now.name != name {
		n["name"] = now.name
		u.note(dotted(path, "name"), name, now.name)
	}
	if n["typed_config"] != nil || now.message == "" {
		return
	}
	config, had := n["config"].(map[string]any)
	if had {
		u.note(dotted(path, "config"), "config", "typed_config with an @type")
	} else {
		config = map[string]any{}
	}
	delete(n, "config")
	config["@type"] = typePrefix + now.message
	n["typed_config"] = config
}

func assignment(name any, hosts []any) map[string]any {
	var endpoints []any
	for _, h := range hosts {
		endpoints = append(endpoints, map[string]any{"endpoint": map[string]any{"address": h}})
	}
	return map[string]any{"cluster_name": name, "endpoints": []any{map[string]any{"lb_endpoints": endpoints}}}
}

func dotted(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
