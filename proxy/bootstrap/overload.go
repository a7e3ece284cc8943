package bootstrap

import (
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	downstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
)

// maxConnections reads how many connections may be open at once, over all
// listeners: from the overload manager, else from the runtime key that did the same
// before. 0 is no limit.
func maxConnections(b *bootstrapv3.Bootstrap) (int64, error) {
	var limit int64
	for i, m := range b.GetOverloadManager().GetResourceMonitors() {
		at := fmt.Sprintf("overload_manager.resource_monitors[%d].typed_config", i)
		opened, err := m.GetTypedConfig().UnmarshalNew()
		if err != nil {
			return 0, fieldcheck.At(at, err)
		}
		d, ok := opened.(*downstreamv3.DownstreamConnectionsConfig)
		if !ok {
			return 0, fieldcheck.Refuse(at, "%s is not supported, write a DownstreamConnectionsConfig", opened.ProtoReflect().Descriptor().FullName())
		}
		if limit = d.GetMaxActiveDownstreamConnections(); limit <= 0 {
			return 0, fieldcheck.Refuse(at+".max_active_downstream_connections", "must be positive")
		}
	}
	if limit > 0 {
		return limit, nil
	}
	for _, l := range b.GetLayeredRuntime().GetLayers() {
		if n := runtimeNumber(l.GetStaticLayer(), "overload", "global_downstream_max_connections"); n > 0 {
			limit = n // the last layer counts
		}
	}
	return limit, nil
}

// runtimeNumber looks up a key of two words, written with a dot or as nested maps.
func runtimeNumber(layer *structpb.Struct, first, second string) int64 {
	fields := layer.GetFields()
	if v, flat := fields[first+"."+second]; flat {
		return int64(v.GetNumberValue())
	}
	return int64(fields[first].GetStructValue().GetFields()[second].GetNumberValue())
}
