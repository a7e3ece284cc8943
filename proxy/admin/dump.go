package admin

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/state"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// message is a proto as JSON, with Envoy's field names and without secrets.
func message(m proto.Message) json.RawMessage {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(redact(m))
	if err != nil {
		text, _ = json.Marshal(map[string]string{"error": err.Error()})
	}
	return text
}

// entry is one resource of a dump.
type entry map[string]any

func dumpEntry(r state.Resource, key string) entry {
	e := entry{"last_updated": r.Updated.UTC().Format(time.RFC3339Nano)}
	if r.Version != "" {
		e["version_info"] = r.Version
	}
	if r.Body != nil {
		e[key] = message(r.Body)
	}
	return e
}

func problem(p *state.Problem) any {
	if p == nil {
		return nil
	}
	return map[string]any{"last_update_attempt": p.At.UTC().Format(time.RFC3339Nano), "details": p.Text, "version_info": p.Version}
}

const dumpType = "type.googleapis.com/envoy.admin.v3."

// configDump shows the resources as they came, in the shape of Envoy's
// ConfigDump.
func (s *Server) configDump(w http.ResponseWriter, r *http.Request) {
	var match *regexp.Regexp
	if pattern := r.URL.Query().Get("name_regex"); pattern != "" {
		var err error
		if match, err = regexp.Compile("^(?:" + pattern + ")$"); err != nil {
			http.Error(w, "name_regex: "+err.Error(), http.StatusBadRequest)
			return
		}
	}
	of := func(url string) []state.Resource {
		all := s.config.State.Resources(url)
		if match == nil {
			return all
		}
		kept := all[:0]
		for _, r := range all {
			if match.MatchString(r.Name) {
				kept = append(kept, r)
			}
		}
		return kept
	}
	dumps := []map[string]any{}
	if s.config.Bootstrap != nil {
		dumps = append(dumps, map[string]any{"@type": dumpType + "BootstrapConfigDump", "bootstrap": message(s.config.Bootstrap)})
	} else {
		dumps = append(dumps, map[string]any{"@type": dumpType + "BootstrapConfigDump", "bootstrap": map[string]any{"node": message(s.config.Node)}})
	}
	dumps = append(dumps, s.clusterDump(of(ads.ClusterType)), extensionDump(of(ads.ExtensionType)))
	if r.URL.Query().Has("include_eds") {
		dumps = append(dumps, grouped("EndpointsConfigDump", "endpoint_configs", "endpoint_config", of(ads.EndpointType)))
	}
	dumps = append(dumps, s.listenerDump(of(ads.ListenerType)), s.scopeDump(match),
		grouped("RoutesConfigDump", "route_configs", "route_config", of(ads.RouteType)), secretDump(of(ads.SecretType)))
	var shown any = dumps
	if want := r.URL.Query().Get("resource"); want != "" {
		shown = only(dumps, want)
	}
	if paths := r.URL.Query().Get("mask"); paths != "" {
		shown = masked(shown, paths)
	}
	writeJSON(w, map[string]any{"configs": shown})
}

// masked keeps of every entry the fields that a field mask names: paths of
// field names, joined by commas.
func masked(shown any, paths string) any {
	text, err := json.Marshal(shown)
	if err != nil {
		return shown // what cannot be written is told by whoever writes it
	}
	var entries []any
	if err := json.Unmarshal(text, &entries); err != nil {
		return shown
	}
	for i, e := range entries {
		kept := map[string]any{}
		for _, path := range append(strings.Split(paths, ","), "@type") {
			keep(kept, e, strings.Split(path, "."))
		}
		entries[i] = kept
	}
	return entries
}

// keep copies the field at a path; a list on the way stands for all that is in
// it.
func keep(to map[string]any, from any, path []string) {
	fields, _ := from.(map[string]any)
	value, found := fields[path[0]]
	if !found {
		return
	}
	if len(path) == 1 {
		to[path[0]] = value
		return
	}
	switch v := value.(type) {
	case map[string]any:
		inner, _ := to[path[0]].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
		}
		keep(inner, v, path[1:])
		to[path[0]] = inner
	case []any:
		list, _ := to[path[0]].([]any)
		if list == nil {
			list = make([]any, len(v))
		}
		for i, each := range v {
			inner, _ := list[i].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
			}
			keep(inner, each, path[1:])
			list[i] = inner
		}
		to[path[0]] = list
	}
}

// only gives the entries of one list, such as "dynamic_active_clusters".
func only(dumps []map[string]any, list string) any {
	for _, d := range dumps {
		if entries, found := d[list]; found {
			return entries
		}
	}
	return []any{}
}

func (s *Server) clusterDump(all []state.Resource) map[string]any {
	static, active, warming := []entry{}, []entry{}, []entry{}
	for _, r := range all {
		e := dumpEntry(r, "cluster")
		if r.Problem != nil {
			e["error_state"] = problem(r.Problem)
		}
		switch {
		case r.Static:
			static = append(static, e)
		case r.Warming:
			warming = append(warming, e)
		default:
			active = append(active, e)
		}
	}
	return map[string]any{
		"@type": dumpType + "ClustersConfigDump", "version_info": s.config.Control().Types[ads.ClusterType].Version,
		"static_clusters": static, "dynamic_active_clusters": active, "dynamic_warming_clusters": warming,
	}
}

func (s *Server) listenerDump(all []state.Resource) map[string]any {
	static, dynamic := []entry{}, []entry{}
	for _, r := range all {
		e := dumpEntry(r, "listener")
		if r.Static {
			static = append(static, e)
			continue
		}
		d := entry{"name": r.Name}
		if r.Warming {
			d["warming_state"] = e
		} else {
			d["active_state"] = e
		}
		if r.Problem != nil {
			d["error_state"] = problem(r.Problem)
		}
		dynamic = append(dynamic, d)
	}
	return map[string]any{
		"@type": dumpType + "ListenersConfigDump", "version_info": s.config.Control().Types[ads.ListenerType].Version,
		"static_listeners": static, "dynamic_listeners": dynamic,
	}
}

func grouped(kind, list, key string, all []state.Resource) map[string]any {
	static, dynamic := []entry{}, []entry{}
	for _, r := range all {
		if r.Static {
			static = append(static, dumpEntry(r, key))
		} else {
			dynamic = append(dynamic, dumpEntry(r, key))
		}
	}
	return map[string]any{"@type": dumpType + kind, "static_" + list: static, "dynamic_" + list: dynamic}
}

// extensionDump shows filters' configurations that have been discovered.
func extensionDump(all []state.Resource) map[string]any {
	filters := []entry{}
	for _, r := range all {
		filters = append(filters, dumpEntry(r, "ecds_filter"))
	}
	return map[string]any{"@type": dumpType + "EcdsConfigDump", "ecds_filters": filters}
}

// scopeDump shows connection managers' scopes, by the name of their list.
func (s *Server) scopeDump(match *regexp.Regexp) map[string]any {
	static, dynamic := []entry{}, []entry{}
	for _, r := range s.config.State.ScopedRoutes() {
		if match != nil && !match.MatchString(r.Name) {
			continue
		}
		e := dumpEntry(state.Resource{Version: r.Version, Updated: r.Updated}, "")
		list := []any{}
		for _, body := range r.Bodies {
			list = append(list, message(body))
		}
		e["name"], e["scoped_route_configs"] = r.Name, list
		if r.Static {
			static = append(static, e)
		} else {
			dynamic = append(dynamic, e)
		}
	}
	return map[string]any{"@type": dumpType + "ScopedRoutesConfigDump", "inline_scoped_route_configs": static, "dynamic_scoped_route_configs": dynamic}
}

// secretDump names secrets and never shows them.
func secretDump(all []state.Resource) map[string]any {
	active := []entry{}
	for _, r := range all {
		active = append(active, entry{"name": r.Name, "version_info": r.Version, "last_updated": r.Updated.UTC().Format(time.RFC3339Nano)})
	}
	return map[string]any{"@type": dumpType + "SecretsConfigDump", "dynamic_active_secrets": active}
}
