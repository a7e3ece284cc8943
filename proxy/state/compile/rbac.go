package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/rbac"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// rbacFilter compiles access rules. A route's own replace the filter's.
func rbacFilter(_ *Compiler, m *rbacv3.RBAC) (builder, error) {
	base, err := rbacRules(m)
	if err != nil {
		return nil, err
	}
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		f := base
		if override != nil {
			per, err := as[*rbacv3.RBACPerRoute](override)
			if err != nil {
				return nil, err
			}
			if f, err = rbacRules(per.GetRbac()); err != nil {
				return nil, fieldcheck.At("rbac", err)
			}
		}
		if f.Rules == nil && f.Shadow == nil {
			return nil, nil
		}
		own := *f
		own.Allowed, own.Denied = on.count("rbac."+joined(f.Prefix)+"allowed"), on.count("rbac."+joined(f.Prefix)+"denied")
		own.ShadowAllowed, own.ShadowDenied = on.count("rbac."+joined(f.ShadowPrefix)+"shadow_allowed"), on.count("rbac."+joined(f.ShadowPrefix)+"shadow_denied")
		return &own, nil
	}, nil
}

// joined is a prefix of statistics with the dot that ends it.
func joined(prefix string) string {
	if prefix == "" || strings.HasSuffix(prefix, ".") {
		return prefix
	}
	return prefix + "."
}

func rbacRules(m *rbacv3.RBAC) (*rbac.Filter, error) {
	f := &rbac.Filter{Prefix: m.GetRulesStatPrefix(), ShadowPrefix: m.GetShadowRulesStatPrefix()}
	var err error
	if f.Rules, err = rules(m.GetRules()); err != nil {
		return nil, fieldcheck.At("rules", err)
	}
	f.Shadow, err = rules(m.GetShadowRules())
	return f, fieldcheck.At("shadow_rules", err)
}

// gate compiles the access rules of a byte stream.
func rbacGate(m *networkrbacv3.RBAC) (*rbac.Gate, error) {
	g := &rbac.Gate{ShadowPrefix: m.GetShadowRulesStatPrefix()}
	var err error
	if g.Rules, err = rules(m.GetRules()); err != nil {
		return nil, fieldcheck.At("rules", err)
	}
	g.Shadow, err = rules(m.GetShadowRules())
	return g, fieldcheck.At("shadow_rules", err)
}

var actions = map[rulesv3.RBAC_Action]rbac.Action{rulesv3.RBAC_ALLOW: rbac.Allow, rulesv3.RBAC_DENY: rbac.Deny, rulesv3.RBAC_LOG: rbac.Log}

func rules(m *rulesv3.RBAC) (*rbac.Rules, error) {
	if m == nil {
		return nil, nil
	}
	out := &rbac.Rules{Action: actions[m.GetAction()]}
	for _, name := range slices.Sorted(maps.Keys(m.GetPolicies())) {
		p := rbac.Policy{Name: name}
		at := fmt.Sprintf("policies[%q]", name)
		for i, permission := range m.GetPolicies()[name].GetPermissions() {
			t, err := permissionTest(permission)
			if err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("%s.permissions[%d]", at, i), err)
			}
			p.Permissions = append(p.Permissions, t)
		}
		for i, principal := range m.GetPolicies()[name].GetPrincipals() {
			t, err := principalTest(principal)
			if err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("%s.principals[%d]", at, i), err)
			}
			p.Principals = append(p.Principals, t)
		}
		out.Policies = append(out.Policies, p)
	}
	return out, nil
}

// each compiles a list of tests.
func each[M any](list []M, field string, compile func(M) (rbac.Test, error)) ([]rbac.Test, error) {
	tests := make([]rbac.Test, 0, len(list))
	for i, m := range list {
		t, err := compile(m)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("%s[%d]", field, i), err)
		}
		tests = append(tests, t)
	}
	return tests, nil
}

func permissionTest(m *rulesv3.Permission) (rbac.Test, error) {
	switch r := m.GetRule().(type) {
	case *rulesv3.Permission_Any:
		return rbac.Anything{}, nil
	case *rulesv3.Permission_AndRules:
		list, err := each(r.AndRules.GetRules(), "and_rules.rules", permissionTest)
		return rbac.All(list), err
	case *rulesv3.Permission_OrRules:
		list, err := each(r.OrRules.GetRules(), "or_rules.rules", permissionTest)
		return rbac.Any(list), err
	case *rulesv3.Permission_NotRule:
		t, err := permissionTest(r.NotRule)
		return rbac.Not{Test: t}, fieldcheck.At("not_rule", err)
	case *rulesv3.Permission_Header:
		h, err := headerMatch(r.Header)
		return &rbac.Header{Match: h}, fieldcheck.At("header", err)
	case *rulesv3.Permission_UrlPath:
		return pathTest(r.UrlPath)
	case *rulesv3.Permission_UriTemplate:
		return templateTest(r.UriTemplate)
	case *rulesv3.Permission_DestinationIp:
		return rangeTest(rbac.Destination, r.DestinationIp, "destination_ip")
	case *rulesv3.Permission_DestinationPort:
		return rbac.Port{Low: uint16(r.DestinationPort), High: uint16(r.DestinationPort)}, nil
	case *rulesv3.Permission_DestinationPortRange:
		low, end := r.DestinationPortRange.GetStart(), r.DestinationPortRange.GetEnd()
		if low < 0 || end > 1<<16 || low >= end {
			return nil, fieldcheck.Refuse("destination_port_range", "[%d, %d) is no range of ports", low, end)
		}
		return rbac.Port{Low: uint16(low), High: uint16(end - 1)}, nil
	case *rulesv3.Permission_Metadata:
		return metadataTest(r.Metadata)
	case *rulesv3.Permission_SourcedMetadata:
		return sourcedTest(r.SourcedMetadata)
	case *rulesv3.Permission_RequestedServerName:
		s, err := stringMatch(r.RequestedServerName)
		return &rbac.ServerName{Match: s}, fieldcheck.At("requested_server_name", err)
	case nil:
		return nil, fieldcheck.Refuse("", "names no rule")
	default:
		return nil, fieldcheck.Refuse("", "is of a kind that is not supported")
	}
}

func principalTest(m *rulesv3.Principal) (rbac.Test, error) {
	switch r := m.GetIdentifier().(type) {
	case *rulesv3.Principal_Any:
		return rbac.Anything{}, nil
	case *rulesv3.Principal_AndIds:
		list, err := each(r.AndIds.GetIds(), "and_ids.ids", principalTest)
		return rbac.All(list), err
	case *rulesv3.Principal_OrIds:
		list, err := each(r.OrIds.GetIds(), "or_ids.ids", principalTest)
		return rbac.Any(list), err
	case *rulesv3.Principal_NotId:
		t, err := principalTest(r.NotId)
		return rbac.Not{Test: t}, fieldcheck.At("not_id", err)
	case *rulesv3.Principal_Authenticated_:
		name := r.Authenticated.GetPrincipalName()
		if name == nil {
			return rbac.Authenticated{}, nil
		}
		s, err := stringMatch(name)
		return rbac.Authenticated{Match: &s}, fieldcheck.At("authenticated.principal_name", err)
	case *rulesv3.Principal_SourceIp: //nolint:staticcheck // older rules still say so
		return rangeTest(rbac.Source, r.SourceIp, "source_ip")
	case *rulesv3.Principal_DirectRemoteIp:
		return rangeTest(rbac.DirectRemote, r.DirectRemoteIp, "direct_remote_ip")
	case *rulesv3.Principal_RemoteIp:
		return rangeTest(rbac.Remote, r.RemoteIp, "remote_ip")
	case *rulesv3.Principal_Header:
		h, err := headerMatch(r.Header)
		return &rbac.Header{Match: h}, fieldcheck.At("header", err)
	case *rulesv3.Principal_UrlPath:
		return pathTest(r.UrlPath)
	case *rulesv3.Principal_Metadata:
		return metadataTest(r.Metadata)
	case *rulesv3.Principal_SourcedMetadata:
		return sourcedTest(r.SourcedMetadata)
	case *rulesv3.Principal_FilterState:
		s := r.FilterState.GetStringMatch()
		if s == nil {
			return nil, fieldcheck.Refuse("filter_state", "compares no string: write string_match")
		}
		match, err := stringMatch(s)
		return &rbac.State{Key: r.FilterState.GetKey(), Match: match}, fieldcheck.At("filter_state.string_match", err)
	case nil:
		return nil, fieldcheck.Refuse("", "names no identifier")
	default:
		return nil, fieldcheck.Refuse("", "is of a kind that is not supported")
	}
}

func pathTest(m *matcherv3.PathMatcher) (rbac.Test, error) {
	s, err := stringMatch(m.GetPath())
	return &rbac.Path{Match: s}, fieldcheck.At("url_path.path", err)
}

func templateTest(m *corev3.TypedExtensionConfig) (rbac.Test, error) {
	expression, err := uriTemplate(m)
	return &rbac.Template{Expression: expression}, fieldcheck.At("uri_template", err)
}

func rangeTest(which rbac.Address, m *corev3.CidrRange, field string) (rbac.Test, error) {
	p, err := cidr(m)
	return rbac.In{Which: which, Range: p}, fieldcheck.At(field, err)
}

func cidr(m *corev3.CidrRange) (netip.Prefix, error) {
	a, err := netip.ParseAddr(m.GetAddressPrefix())
	if err != nil {
		return netip.Prefix{}, fieldcheck.Refuse("address_prefix", "%q is not an IP address", m.GetAddressPrefix())
	}
	p, err := a.Unmap().Prefix(int(m.GetPrefixLen().GetValue()))
	if err != nil {
		return netip.Prefix{}, fieldcheck.Refuse("prefix_len", "%d is too long for %s", m.GetPrefixLen().GetValue(), a)
	}
	return p, nil
}

func sourcedTest(m *rulesv3.SourcedMetadata) (rbac.Test, error) {
	if s := m.GetMetadataSource(); s != rulesv3.MetadataSource_DYNAMIC {
		return nil, fieldcheck.Refuse("sourced_metadata.metadata_source", "%s is not supported, write DYNAMIC", s)
	}
	holds, err := metadataHolds(m.GetMetadataMatcher())
	return rbac.Metadata(holds), fieldcheck.At("sourced_metadata.metadata_matcher", err)
}

func metadataTest(m *matcherv3.MetadataMatcher) (rbac.Test, error) {
	holds, err := metadataHolds(m)
	return rbac.Metadata(holds), fieldcheck.At("metadata", err)
}
