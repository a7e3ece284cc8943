package compile

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	csrfv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/csrf/v3"
	grpcbridgev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_http1_bridge/v3"
	tometadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	setmetadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_metadata/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/buffer"
	"github.com/lateenmesh/lateen/proxy/filter/csrf"
	"github.com/lateenmesh/lateen/proxy/filter/grpcbridge"
	"github.com/lateenmesh/lateen/proxy/filter/grpcweb"
	"github.com/lateenmesh/lateen/proxy/filter/metadata"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// always is the builder of a filter that routes do not override.
func always(f stream.Filter) builder {
	return func(override proto.Message, _ *spot) (stream.Filter, error) {
		return f, notForRoutes(override)
	}
}

// notForRoutes refuses what a route overrides; nil is nothing.
func notForRoutes(override proto.Message) error {
	if override == nil {
		return nil
	}
	return fieldcheck.Refuse("", "%s is not a setting of this filter for routes", override.ProtoReflect().Descriptor().FullName())
}

// as gives what a route overrides as the filter's own type.
func as[M proto.Message](override proto.Message) (M, error) {
	m, ok := override.(M)
	if !ok {
		return m, notForRoutes(override)
	}
	return m, nil
}

func grpcWebFilter[M proto.Message](*Compiler, M) (builder, error) {
	return always(grpcweb.Filter{}), nil
}

func grpcBridgeFilter(_ *Compiler, m *grpcbridgev3.Config) (builder, error) {
	return always(grpcbridge.Filter{Upgrade: m.GetUpgradeProtobufToGrpc(), NoQuery: m.GetIgnoreQueryParameters()}), nil
}

func bufferFilter(_ *Compiler, m *bufferv3.Buffer) (builder, error) {
	return func(override proto.Message, _ *spot) (stream.Filter, error) {
		most := m.GetMaxRequestBytes().GetValue()
		if override != nil {
			per, err := as[*bufferv3.BufferPerRoute](override)
			if err != nil {
				return nil, err
			}
			if per.GetDisabled() {
				return nil, nil
			}
			most = per.GetBuffer().GetMaxRequestBytes().GetValue()
		}
		return buffer.Filter{Max: int(most)}, nil
	}, nil
}

func csrfFilter(c *Compiler, m *csrfv3.CsrfPolicy) (builder, error) {
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		policy := m
		if override != nil {
			var err error
			if policy, err = as[*csrfv3.CsrfPolicy](override); err != nil {
				return nil, err
			}
		}
		f := &csrf.Filter{
			Enabled: c.share(policy.GetFilterEnabled()), Valid: on.count("csrf.request_valid"), Invalid: on.count("csrf.request_invalid"), Missing: on.count("csrf.missing_source_origin"),
		}
		for i, o := range policy.GetAdditionalOrigins() {
			s, err := stringMatch(o)
			if err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("additional_origins[%d]", i), err)
			}
			f.Others = append(f.Others, s)
		}
		return f, nil
	}, nil
}

func setMetadataFilter(_ *Compiler, m *setmetadatav3.Config) (builder, error) {
	var f metadata.Set
	//nolint:staticcheck // the old form is still written
	if m.GetMetadataNamespace() != "" {
		f = append(f, metadata.Fact{Namespace: m.GetMetadataNamespace(), Values: m.GetValue().AsMap()})
	}
	for _, each := range m.GetMetadata() {
		f = append(f, metadata.Fact{Namespace: each.GetMetadataNamespace(), Values: each.GetValue().AsMap(), Keep: !each.GetAllowOverwrite()})
	}
	return always(f), nil
}

func toMetadataFilter(_ *Compiler, m *tometadatav3.Config) (builder, error) {
	base, err := toMetadata(m)
	if err != nil {
		return nil, err
	}
	return func(override proto.Message, _ *spot) (stream.Filter, error) {
		if override == nil {
			return base, nil
		}
		own, err := as[*tometadatav3.Config](override)
		if err != nil {
			return nil, err
		}
		return toMetadata(own)
	}, nil
}

func toMetadata(m *tometadatav3.Config) (*metadata.FromHeaders, error) {
	f := &metadata.FromHeaders{}
	for _, side := range []struct {
		field string
		from  []*tometadatav3.Config_Rule
		to    *[]metadata.Rule
	}{{"request_rules", m.GetRequestRules(), &f.Request}, {"response_rules", m.GetResponseRules(), &f.Response}} {
		for i, r := range side.from {
			out := metadata.Rule{Header: strings.ToLower(r.GetHeader()), Cookie: r.GetCookie(), Remove: r.GetRemove()}
			var err error
			if out.Present, err = target(r.GetOnHeaderPresent()); err == nil {
				out.Missing, err = target(r.GetOnHeaderMissing())
			}
			if err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("%s[%d]", side.field, i), err)
			}
			*side.to = append(*side.to, out)
		}
	}
	return f, nil
}

func target(m *tometadatav3.Config_KeyValuePair) (*metadata.Target, error) {
	if m == nil {
		return nil, nil
	}
	t := &metadata.Target{
		Namespace: m.GetMetadataNamespace(), Key: m.GetKey(), Value: m.GetValue(), //nolint:staticcheck // still written
		Number: m.GetType() == tometadatav3.Config_NUMBER, Base64: m.GetEncode() == tometadatav3.Config_BASE64,
	}
	if t.Namespace == "" {
		t.Namespace = metadata.Default
	}
	if m.GetType() == tometadatav3.Config_PROTOBUF_VALUE {
		return nil, fieldcheck.Refuse("type", "PROTOBUF_VALUE is not supported, write STRING or NUMBER")
	}
	if r := m.GetRegexValueRewrite(); r != nil {
		var err error
		if t.Pattern, t.Substitution, err = substitute(r); err != nil {
			return nil, fieldcheck.At("regex_value_rewrite", err)
		}
	}
	return t, nil
}
