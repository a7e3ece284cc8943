package compile

import (
	"cmp"
	"fmt"
	"slices"

	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	netstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/metadata"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// stringFactory makes strings, the only objects that something reads here.
const stringFactory = "envoy.string"

const onRequest = "on_request_headers"

func setStateFilter(c *Compiler, m *setstatev3.Config) (builder, error) {
	base, err := c.objects(m.GetOnRequestHeaders(), onRequest)
	if err != nil {
		return nil, err
	}
	return func(_ proto.Message, on *spot) (stream.Filter, error) {
		f := base[:len(base):len(base)]
		for _, each := range slices.Backward(on.levels) { // the innermost has the last word
			per, err := as[*setstatev3.Config](each)
			if err != nil {
				return nil, err
			}
			own, err := c.objects(per.GetOnRequestHeaders(), onRequest)
			if err != nil {
				return nil, err
			}
			f = append(f, own...)
		}
		if len(f) == 0 {
			return nil, nil
		}
		return f, nil
	}, nil
}

// connectionState compiles the network filter. A connection gets to its filters when
// its handshake is over.
func (c *Compiler) connectionState(m *netstatev3.Config) (metadata.State, error) {
	if len(m.GetOnDownstreamData()) > 0 {
		return nil, fieldcheck.Refuse("on_downstream_data", "is not supported, write on_new_connection or on_downstream_tls_handshake")
	}
	out, err := c.objects(m.GetOnNewConnection(), "on_new_connection")
	if err != nil {
		return nil, err
	}
	behind, err := c.objects(m.GetOnDownstreamTlsHandshake(), "on_downstream_tls_handshake")
	return append(out, behind...), err
}

func (c *Compiler) objects(list []*statev3.FilterStateValue, field string) (metadata.State, error) {
	var out metadata.State
	for i, v := range list {
		o, err := c.object(v)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("%s[%d]", field, i), err)
		}
		out = append(out, o)
	}
	return out, nil
}

func (c *Compiler) object(m *statev3.FilterStateValue) (metadata.Object, error) {
	out := metadata.Object{Key: m.GetObjectKey(), SkipEmpty: m.GetSkipIfEmpty(), Shared: m.GetSharedWithUpstream() != statev3.FilterStateValue_NONE}
	if out.Key == "" {
		return out, fieldcheck.Refuse("object_key", "is missing")
	}
	if factory := cmp.Or(m.GetFactoryKey(), out.Key); factory != stringFactory {
		return out, fieldcheck.Refuse("factory_key", "%q is not supported: nothing here reads such an object, write %s", factory, stringFactory)
	}
	f := m.GetFormatString()
	if f.GetJsonFormat() != nil {
		return out, fieldcheck.Refuse("format_string.json_format", "is not supported, write text_format_source")
	}
	if err := formatters(f.GetFormatters()); err != nil {
		return out, fieldcheck.At("format_string.formatters", err)
	}
	format := f.GetTextFormat() //nolint:staticcheck // still written
	if s := f.GetTextFormatSource(); s != nil {
		var err error
		if format, err = text(s); err != nil {
			return out, fieldcheck.At("format_string.text_format_source", err)
		}
	}
	value, err := c.Telemetry.Text(format, f.GetOmitEmptyValues())
	out.Value = func(req *stream.Request) string { return value(req, nil) }
	return out, fieldcheck.At("format_string", err)
}
