package bootstrap

import (
	"fmt"
	"slices"
	"strconv"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/runtime"
)

// RTDS is a layer of the runtime that comes from a control plane.
type RTDS struct {
	Layer, Resource string
	Source          *Source // nil is the aggregated control plane
}

// maxConnections is the runtime key that limited connections before the overload
// manager did.
const maxConnections = "overload.global_downstream_max_connections"

func (c *Config) readRuntime(b *bootstrapv3.Bootstrap) error {
	var fixed []runtime.Layer
	for i, l := range b.GetLayeredRuntime().GetLayers() {
		at := fmt.Sprintf("layered_runtime.layers[%d]", i)
		layer := runtime.Layer{Name: l.GetName()}
		if slices.ContainsFunc(c.Runtime, func(other runtime.Layer) bool { return other.Name == layer.Name }) {
			return fieldcheck.Refuse(at+".name", "%q is an earlier layer's", layer.Name)
		}
		switch t := l.GetLayerSpecifier().(type) {
		case *bootstrapv3.RuntimeLayer_StaticLayer:
			layer.Values = SettingsOf(t.StaticLayer)
			fixed = append(fixed, layer)
		case *bootstrapv3.RuntimeLayer_DiskLayer_:
			if t.DiskLayer.GetSymlinkRoot() == "" {
				return fieldcheck.Refuse(at+".disk_layer.symlink_root", "is missing: it is the link that is replaced when the layer changes")
			}
			c.Disks = append(c.Disks, diskOf(l.GetName(), t.DiskLayer, c.Node))
		case *bootstrapv3.RuntimeLayer_AdminLayer_:
			if slices.ContainsFunc(c.Runtime, func(other runtime.Layer) bool { return other.Admin }) {
				return fieldcheck.Refuse(at+".admin_layer", "there is another one")
			}
			layer.Admin = true
		case *bootstrapv3.RuntimeLayer_RtdsLayer_:
			source, err := c.dynamic(t.RtdsLayer.GetRtdsConfig())
			if err != nil {
				return fieldcheck.At(at+".rtds_layer.rtds_config", err)
			}
			if source == nil {
				return fieldcheck.Refuse(at+".rtds_layer.rtds_config", "is missing")
			}
			if source == c.ADS {
				source = nil
			}
			c.RTDS = append(c.RTDS, RTDS{Layer: l.GetName(), Resource: t.RtdsLayer.GetName(), Source: source})
		default:
			return fieldcheck.Refuse(at, "has no layer: write static_layer, disk_layer, admin_layer or rtds_layer")
		}
		c.Runtime = append(c.Runtime, layer)
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = int64(runtime.New(fixed).Key(maxConnections).Number(0))
	}
	return nil
}

// SettingsOf gives the settings of a runtime layer by their key: the names on the way to
// each, with dots between.
func SettingsOf(layer *structpb.Struct) map[string]string {
	out := map[string]string{}
	flatten(out, "", layer)
	return out
}

func flatten(out map[string]string, prefix string, s *structpb.Struct) {
	for name, v := range s.GetFields() {
		key := prefix + name
		switch k := v.GetKind().(type) {
		case *structpb.Value_StringValue:
			out[key] = k.StringValue
		case *structpb.Value_BoolValue:
			out[key] = strconv.FormatBool(k.BoolValue)
		case *structpb.Value_NumberValue:
			out[key] = strconv.FormatFloat(k.NumberValue, 'f', -1, 64)
		case *structpb.Value_StructValue:
			if share := fraction(k.StructValue); share != "" {
				out[key] = share
			} else {
				flatten(out, key+".", k.StructValue)
			}
		}
	}
}

// fraction is the text form of a fraction; empty when s is none.
func fraction(s *structpb.Struct) string {
	fields := s.GetFields()
	numerator, isNumber := fields["numerator"].GetKind().(*structpb.Value_NumberValue)
	denominator, told := fields["denominator"]
	if !isNumber || len(fields) > 2 || len(fields) == 2 && !told {
		return ""
	}
	text := fmt.Sprintf("numerator: %.0f", numerator.NumberValue)
	if told {
		text += "\ndenominator: " + denominator.GetStringValue()
	}
	return text
}
