package bootstrap

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
)

// filterNames maps the names that filters had in Envoy's v2 API to the message
// that configures each now.
var filterNames = map[string]string{
	"envoy.http_connection_manager": "envoy.filters.network.http_connection_manager with typed_config type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
	"envoy.tcp_proxy":               "envoy.filters.network.tcp_proxy with typed_config type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
	"envoy.router":                  "envoy.filters.http.router with typed_config type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
	"envoy.cors":                    "envoy.filters.http.cors with typed_config type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors",
	"envoy.fault":                   "envoy.filters.http.fault with typed_config type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
	"envoy.file_access_log":         "envoy.access_loggers.file with typed_config type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
	"envoy.listener.tls_inspector":  "envoy.filters.listener.tls_inspector with its typed_config",
	"envoy.listener.original_dst":   "envoy.filters.listener.original_dst with its typed_config",
}

// refuseV2 finds spellings of Envoy's v2 API, so that their author is told what
// to write now rather than that a field is unknown.
func refuseV2(text []byte) error {
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return err
	}
	return walk(tree, "")
}

func walk(node any, path string) error {
	switch n := node.(type) {
	case map[string]any:
		if err := oldSpelling(n, path); err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(n)) {
			if err := walk(n[key], dotted(path, key)); err != nil {
				return err
			}
		}
	case []any:
		for i, v := range n {
			if err := walk(v, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func oldSpelling(n map[string]any, path string) error {
	name, _ := n["name"].(string)
	if now, old := filterNames[name]; old {
		return fieldcheck.Refuse(dotted(path, "name"), "%q is Envoy's v2 name; write %s", name, now)
	}
	if _, has := n["config"]; has && name != "" {
		return fieldcheck.Refuse(dotted(path, "config"), "is Envoy's v2 API; write typed_config with an @type")
	}
	if url, _ := n["@type"].(string); strings.Contains(url, ".v2.") || strings.Contains(url, "envoy.api.v2") || strings.Contains(url, "envoy.config.filter.") {
		if !strings.Contains(url, "/istio.") {
			return fieldcheck.Refuse(dotted(path, "@type"), "%s is Envoy's v2 API; write the v3 message (envoy.config.….v3 or envoy.extensions.….v3)", url)
		}
	}
	_, isCluster := n["connect_timeout"]
	if _, has := n["hosts"]; has && (isCluster || n["lb_policy"] != nil || n["type"] != nil) {
		return fieldcheck.Refuse(dotted(path, "hosts"), "is Envoy's v2 API; write load_assignment {cluster_name, endpoints: [{lb_endpoints: [{endpoint: {address}}]}]}")
	}
	if _, has := n["tls_context"]; has {
		return fieldcheck.Refuse(dotted(path, "tls_context"), "is Envoy's v2 API; write transport_socket {name: envoy.transport_sockets.tls, typed_config} with a DownstreamTlsContext or UpstreamTlsContext")
	}
	return nil
}

func dotted(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
