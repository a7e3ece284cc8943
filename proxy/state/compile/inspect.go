package compile

import (
	"cmp"
	"fmt"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	origv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/listener"
)

// inspectors reads which ports' first bytes are looked at.
func inspectors(list []*listenerv3.ListenerFilter, out *listener.Config) error {
	for i, f := range list {
		m, err := unpack(f.GetTypedConfig())
		if err != nil {
			return fieldcheck.At(fmt.Sprintf("[%d].typed_config", i), err)
		}
		looks, err := notDisabled(f.GetFilterDisabled())
		if err != nil {
			return fieldcheck.At(fmt.Sprintf("[%d].filter_disabled", i), err)
		}
		switch m := m.(type) {
		case *tlsv3.TlsInspector:
			out.InspectTLS = looks
			out.JA3, out.JA4 = m.GetEnableJa3Fingerprinting().GetValue(), m.GetEnableJa4Fingerprinting().GetValue()
		case *httpv3.HttpInspector:
			out.InspectHTTP = looks
		case *proxyprotocolv3.ProxyProtocol:
			if out.ProxyProtocol, err = proxyProtocol(m); err != nil {
				return fieldcheck.At(fmt.Sprintf("[%d].typed_config", i), err)
			}
			out.ProxyProtocol.When = looks
		case *origv3.OriginalDst: // every connection knows its original destination
		default:
			return fieldcheck.Refuse(fmt.Sprintf("[%d]", i), "%s is not a listener filter that is supported", m.ProtoReflect().Descriptor().FullName())
		}
	}
	return nil
}

func proxyProtocol(m *proxyprotocolv3.ProxyProtocol) (*listener.ProxyProtocol, error) {
	out := &listener.ProxyProtocol{
		Optional: m.GetAllowRequestsWithoutProxyProtocol(), Note: map[byte]listener.Noted{},
		InState: m.GetTlvLocation() == proxyprotocolv3.ProxyProtocol_FILTER_STATE, Pass: passedTLVs(m.GetPassThroughTlvs()),
	}
	for _, r := range m.GetRules() {
		if to := r.GetOnTlvPresent(); to != nil {
			out.Note[byte(r.GetTlvType())] = listener.Noted{
				Namespace: cmp.Or(to.GetMetadataNamespace(), "envoy.filters.listener.proxy_protocol"), Key: to.GetKey(),
				Base64: to.GetValueStringEncoding() == proxyprotocolv3.ProxyProtocol_KeyValuePair_BASE64,
			}
		}
	}
	for _, v := range m.GetDisallowedVersions() {
		switch v {
		case corev3.ProxyProtocolConfig_V1:
			out.NoV1 = true
		case corev3.ProxyProtocolConfig_V2:
			out.NoV2 = true
		}
	}
	if out.Optional && (out.NoV1 || out.NoV2) {
		return nil, fieldcheck.Refuse("disallowed_versions", "together with allow_requests_without_proxy_protocol is not supported: a header would be served as if it were a request")
	}
	return out, nil
}

// notDisabled turns the predicate that switches a filter off into one that
// switches it on, by destination port.
func notDisabled(m *listenerv3.ListenerFilterChainMatchPredicate) (func(uint16) bool, error) {
	if m == nil {
		return func(uint16) bool { return true }, nil
	}
	off, err := predicate(m)
	if err != nil {
		return nil, err
	}
	return func(port uint16) bool { return !off(port) }, nil
}

func predicate(m *listenerv3.ListenerFilterChainMatchPredicate) (func(uint16) bool, error) {
	switch r := m.GetRule().(type) {
	case *listenerv3.ListenerFilterChainMatchPredicate_AnyMatch:
		return func(uint16) bool { return r.AnyMatch }, nil
	case *listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange:
		low, high := r.DestinationPortRange.GetStart(), r.DestinationPortRange.GetEnd()
		if low < 0 || high > 1<<16 || low >= high {
			return nil, fieldcheck.Refuse("destination_port_range", "[%d, %d) is no range of ports", low, high)
		}
		return func(port uint16) bool { return int32(port) >= low && int32(port) < high }, nil
	case *listenerv3.ListenerFilterChainMatchPredicate_NotMatch:
		inner, err := predicate(r.NotMatch)
		return func(port uint16) bool { return !inner(port) }, err
	case *listenerv3.ListenerFilterChainMatchPredicate_OrMatch:
		return predicates(r.OrMatch.GetRules(), false)
	case *listenerv3.ListenerFilterChainMatchPredicate_AndMatch:
		return predicates(r.AndMatch.GetRules(), true)
	default:
		return nil, fieldcheck.Refuse("", "is of a kind that is not supported")
	}
}

func predicates(list []*listenerv3.ListenerFilterChainMatchPredicate, all bool) (func(uint16) bool, error) {
	var each []func(uint16) bool
	for _, m := range list {
		one, err := predicate(m)
		if err != nil {
			return nil, err
		}
		each = append(each, one)
	}
	return func(port uint16) bool {
		for _, one := range each {
			if one(port) != all {
				return !all
			}
		}
		return all
	}, nil
}

func chainMatch(m *listenerv3.FilterChainMatch) (listener.Match, error) {
	out := listener.Match{
		Port: uint16(m.GetDestinationPort().GetValue()), ServerNames: m.GetServerNames(),
		Transport: m.GetTransportProtocol(), ALPN: m.GetApplicationProtocols(),
	}
	var err error
	if out.Prefixes, err = ranges(m.GetPrefixRanges()); err != nil {
		return out, fieldcheck.At("prefix_ranges", err)
	}
	if out.SourcePrefixes, err = ranges(m.GetSourcePrefixRanges()); err != nil {
		return out, fieldcheck.At("source_prefix_ranges", err)
	}
	if out.DirectPrefixes, err = ranges(m.GetDirectSourcePrefixRanges()); err != nil {
		return out, fieldcheck.At("direct_source_prefix_ranges", err)
	}
	for _, p := range m.GetSourcePorts() {
		out.SourcePorts = append(out.SourcePorts, uint16(p))
	}
	if t := m.GetSourceType(); t != listenerv3.FilterChainMatch_ANY {
		return out, fieldcheck.Refuse("source_type", "%s is not supported", t)
	}
	return out, nil
}

func ranges(list []*corev3.CidrRange) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, r := range list {
		p, err := cidr(r)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("[%d]", i), err)
		}
		out = append(out, p)
	}
	return out, nil
}
