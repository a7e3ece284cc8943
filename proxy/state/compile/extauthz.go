package compile

import (
	"maps"
	"slices"
	"time"

	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	networkauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/extauthz"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// authTimeout is how long an authorization service may take where nothing is
// written, as Envoy has it.
const authTimeout = 200 * time.Millisecond

func extAuthzFilter(c *Compiler, m *authzv3.ExtAuthz) (builder, error) {
	base := extauthz.Filter{
		Enabled: runtime.All, DenyOthers: c.flag(m.GetDenyAtDisable()), FailOpen: m.GetFailureModeAllow(), Mark: m.GetFailureModeAllowHeaderAdd(),
		StatusOnError: int(m.GetStatusOnError().GetCode()),
	}
	authBody(&base, m.GetWithRequestBody())
	if f := m.GetFilterEnabled(); f != nil {
		base.Enabled = c.share(f)
	}
	if w := m.GetFilterEnabledMetadata(); w != nil {
		holds, err := metadataHolds(w)
		if err != nil {
			return nil, fieldcheck.At("filter_enabled_metadata", err)
		}
		base.When = holds
	}
	var err error
	switch m.GetServices().(type) {
	case *authzv3.ExtAuthz_GrpcService:
		base.Service, err = c.grpcAuthz(m)
	case *authzv3.ExtAuthz_HttpService:
		base.Service, err = c.httpAuthz(m)
	default:
		err = fieldcheck.Refuse("", "names no service: write grpc_service or http_service")
	}
	if err != nil {
		return nil, err
	}
	all := c.verdicts("ext_authz", m.GetStatPrefix(), "ok", "denied", "error", "failure_mode_allowed")
	charged := m.GetChargeClusterResponseStats() == nil || m.GetChargeClusterResponseStats().GetValue()
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		f := base
		verdicts, counters := all.on(on), map[string]*stream.Counter{}
		for outcome, name := range all.names {
			counters[outcome] = on.count(name)
		}
		f.Count = func(name, outcome string) {
			counters[outcome].Count()
			verdicts.tell(name, outcome)
		}
		if charged {
			f.Charge = verdicts.charge
		}
		if override == nil {
			return &f, nil
		}
		per, err := as[*authzv3.ExtAuthzPerRoute](override)
		if err != nil {
			return nil, err
		}
		if per.GetDisabled() {
			return nil, nil
		}
		settings := per.GetCheckSettings()
		for _, each := range slices.Backward(on.levels) { // the innermost has the last word
			if outer, ok := each.(*authzv3.ExtAuthzPerRoute); ok && len(outer.GetCheckSettings().GetContextExtensions()) > 0 {
				if f.Extensions == nil {
					f.Extensions = map[string]string{}
				}
				maps.Copy(f.Extensions, outer.GetCheckSettings().GetContextExtensions())
			}
		}
		if settings.GetDisableRequestBodyBuffering() {
			f.Body = 0
		}
		if b := settings.GetWithRequestBody(); b != nil {
			authBody(&f, b)
			if shared, ok := f.Service.(*extauthz.GRPC); ok {
				own := *shared
				own.Raw, f.Service = b.GetPackAsBytes(), &own
			}
		}
		return &f, nil
	}, nil
}

// authzGate compiles the question that each connection asks.
func (c *Compiler) authzGate(m *networkauthzv3.ExtAuthz) (*extauthz.Gate, error) {
	caller, err := c.grpcCaller(m.GetGrpcService(), authTimeout)
	if err != nil {
		return nil, fieldcheck.At("grpc_service", err)
	}
	g := &extauthz.Gate{Caller: caller, FailOpen: m.GetFailureModeAllow(), Facts: c.authFacts(m)}
	if w := m.GetFilterEnabledMetadata(); w != nil {
		g.When, err = metadataHolds(w)
	}
	return g, fieldcheck.At("filter_enabled_metadata", err)
}

// authFacts reads what both kinds of filters may tell of a connection.
func (c *Compiler) authFacts(m interface {
	GetIncludePeerCertificate() bool
	GetIncludeTlsSession() bool
	GetBootstrapMetadataLabelsKey() string
}) extauthz.Facts {
	f := extauthz.Facts{Certificate: m.GetIncludePeerCertificate(), TLS: m.GetIncludeTlsSession()}
	for name, value := range c.NodeMetadata.GetFields()[m.GetBootstrapMetadataLabelsKey()].GetStructValue().GetFields() {
		if f.Labels == nil {
			f.Labels = map[string]string{}
		}
		f.Labels[name] = value.GetStringValue()
	}
	return f
}

func authBody(f *extauthz.Filter, m *authzv3.BufferSettings) {
	f.Body, f.Partial = int(m.GetMaxRequestBytes()), m.GetAllowPartialMessage()
}

func (c *Compiler) grpcAuthz(m *authzv3.ExtAuthz) (extauthz.Service, error) {
	caller, err := c.grpcCaller(m.GetGrpcService(), authTimeout)
	if err != nil {
		return nil, fieldcheck.At("grpc_service", err)
	}
	s := &extauthz.GRPC{Caller: caller, Raw: m.GetWithRequestBody().GetPackAsBytes(), Namespaces: m.GetMetadataContextNamespaces(), Facts: c.authFacts(m)}
	return s, nameLists(
		nameList{"allowed_headers", m.GetAllowedHeaders(), &s.Tell},
		nameList{"disallowed_headers", m.GetDisallowedHeaders(), &s.Withhold},
	)
}

//nolint:staticcheck // allowed_headers is still written in its old place
func (c *Compiler) httpAuthz(m *authzv3.ExtAuthz) (extauthz.Service, error) {
	h := m.GetHttpService()
	caller, _, err := c.httpCaller(h.GetServerUri())
	if err != nil {
		return nil, fieldcheck.At("http_service.server_uri", err)
	}
	for _, v := range h.GetAuthorizationRequest().GetHeadersToAdd() {
		caller.Header = append(caller.Header, stream.Field{Name: v.GetKey(), Value: v.GetValue()})
	}
	s := &extauthz.HTTP{Caller: caller, Prefix: h.GetPathPrefix()}
	forward := m.GetAllowedHeaders()
	if forward == nil {
		forward = h.GetAuthorizationRequest().GetAllowedHeaders()
	}
	r := h.GetAuthorizationResponse()
	return s, nameLists(
		nameList{"allowed_headers", forward, &s.Forward},
		nameList{"disallowed_headers", m.GetDisallowedHeaders(), &s.Withhold},
		nameList{"http_service.authorization_response.allowed_upstream_headers", r.GetAllowedUpstreamHeaders(), &s.Upstream},
		nameList{"http_service.authorization_response.allowed_upstream_headers_to_append", r.GetAllowedUpstreamHeadersToAppend(), &s.Append},
		nameList{"http_service.authorization_response.allowed_client_headers", r.GetAllowedClientHeaders(), &s.Client},
		nameList{"http_service.authorization_response.allowed_client_headers_on_success", r.GetAllowedClientHeadersOnSuccess(), &s.ClientOK},
		nameList{"http_service.authorization_response.dynamic_metadata_from_headers", r.GetDynamicMetadataFromHeaders(), &s.Metadata},
	)
}

// nameList is a list of comparisons and where it goes.
type nameList struct {
	field string
	from  *matcherv3.ListStringMatcher
	to    *extauthz.Names
}

func nameLists(lists ...nameList) error {
	for _, l := range lists {
		compiled, err := names(l.from)
		if err != nil {
			return fieldcheck.At(l.field, err)
		}
		*l.to = compiled
	}
	return nil
}
