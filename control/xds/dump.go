package xds

import (
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/control/mesh"
)

const adminType = "type.googleapis.com/envoy.admin.v3."

// section is one part of a config dump.
type section struct {
	url   string // type of the resources in it
	name  string // of the dump's message
	field string // of its list
	entry func(r *mesh.Resource, body json.RawMessage) any
}

// sections are the parts of Envoy's dump, in its order.
var sections = []section{
	{mesh.ClusterType, "ClustersConfigDump", "dynamic_active_clusters", under("cluster")},
	{mesh.EndpointType, "EndpointsConfigDump", "dynamic_endpoint_configs", under("endpoint_config")},
	{mesh.ListenerType, "ListenersConfigDump", "dynamic_listeners", func(r *mesh.Resource, body json.RawMessage) any {
		return map[string]any{"name": r.Name, "active_state": map[string]any{"version_info": r.Version, "listener": body}}
	}},
	{mesh.RouteType, "RoutesConfigDump", "dynamic_route_configs", under("route_config")},
	{mesh.SecretType, "SecretsConfigDump", "dynamic_active_secrets", func(r *mesh.Resource, _ json.RawMessage) any {
		return map[string]any{"name": r.Name, "version_info": r.Version} // keys stay here
	}},
}

func under(key string) func(*mesh.Resource, json.RawMessage) any {
	return func(r *mesh.Resource, body json.RawMessage) any {
		return map[string]any{"version_info": r.Version, key: body}
	}
}

// configDump is snap in the shape of envoy.admin.v3.ConfigDump.
func configDump(snap *mesh.Snapshot) any {
	configs := []any{}
	for _, s := range sections {
		list := []any{}
		for r := range snap.Tables[s.url].All() {
			list = append(list, s.entry(r, body(r)))
		}
		configs = append(configs, map[string]any{"@type": adminType + s.name, s.field: list})
	}
	return map[string]any{"configs": configs}
}

// body is a resource as JSON. One that holds a type which this program does
// not link is shown undecoded.
func body(r *mesh.Resource) json.RawMessage {
	if r.Type == mesh.SecretType {
		return nil
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&anypb.Any{TypeUrl: r.Type, Value: r.Body})
	if err != nil {
		text, _ = json.Marshal(map[string]any{"@type": r.Type, "undecoded": r.Body, "reason": err.Error()})
	}
	return text
}
