package compile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/jwt"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// tokens compiles token checks.
type tokens struct {
	compiler  *Compiler
	providers map[string]*jwt.Provider
	named     map[string]jwt.Requirement
}

func jwtFilter(c *Compiler, m *jwtv3.JwtAuthentication) (builder, error) {
	t := tokens{compiler: c, providers: map[string]*jwt.Provider{}, named: map[string]jwt.Requirement{}}
	base := jwt.Filter{BypassPreflight: m.GetBypassCorsPreflight(), Strip: m.GetStripFailureResponse()}
	for _, name := range slices.Sorted(maps.Keys(m.GetProviders())) {
		p, err := c.jwtProvider(name, m.GetProviders()[name])
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("providers[%q]", name), err)
		}
		t.providers[name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetRequirementMap())) {
		r, err := t.requirement(m.GetRequirementMap()[name])
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("requirement_map[%q]", name), err)
		}
		t.named[name] = r
	}
	for i, rule := range m.GetRules() {
		r, err := t.rule(rule)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("rules[%d]", i), err)
		}
		base.Rules = append(base.Rules, r)
	}
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		f := base
		f.Allowed, f.Denied, f.Bypassed = on.count("jwt_authn.allowed"), on.count("jwt_authn.denied"), on.count("jwt_authn.cors_preflight_bypassed")
		if override == nil {
			return &f, nil
		}
		per, err := as[*jwtv3.PerRouteConfig](override)
		if err != nil {
			return nil, err
		}
		if per.GetDisabled() {
			return nil, nil
		}
		needs, found := t.named[per.GetRequirementName()]
		if !found {
			return nil, fieldcheck.Refuse("requirement_name", "%q is not in requirement_map", per.GetRequirementName())
		}
		f.Rules = []jwt.Rule{{Match: route.Match{Path: route.Prefix}, Needs: needs}}
		return &f, nil
	}, nil
}

func (t *tokens) rule(m *jwtv3.RequirementRule) (jwt.Rule, error) {
	var out jwt.Rule
	var err error
	if out.Match, err = t.compiler.match(m.GetMatch()); err != nil {
		return out, fieldcheck.At("match", err)
	}
	switch r := m.GetRequirementType().(type) {
	case *jwtv3.RequirementRule_Requires:
		out.Needs, err = t.requirement(r.Requires)
		err = fieldcheck.At("requires", err)
	case *jwtv3.RequirementRule_RequirementName:
		var found bool
		if out.Needs, found = t.named[r.RequirementName]; !found {
			err = fieldcheck.Refuse("requirement_name", "%q is not in requirement_map", r.RequirementName)
		}
	}
	return out, err
}

func (t *tokens) requirement(m *jwtv3.JwtRequirement) (jwt.Requirement, error) {
	switch r := m.GetRequiresType().(type) {
	case *jwtv3.JwtRequirement_ProviderName:
		p, err := t.provider(r.ProviderName)
		return &jwt.By{Provider: p}, err
	case *jwtv3.JwtRequirement_ProviderAndAudiences:
		p, err := t.provider(r.ProviderAndAudiences.GetProviderName())
		return &jwt.By{Provider: p, Audiences: r.ProviderAndAudiences.GetAudiences()}, err
	case *jwtv3.JwtRequirement_RequiresAny:
		list, err := t.list(r.RequiresAny.GetRequirements(), "requires_any.requirements")
		return jwt.AnyOf(list), err
	case *jwtv3.JwtRequirement_RequiresAll:
		list, err := t.list(r.RequiresAll.GetRequirements(), "requires_all.requirements")
		return jwt.AllOf(list), err
	case *jwtv3.JwtRequirement_AllowMissing:
		return &jwt.Optional{Providers: t.all()}, nil
	case *jwtv3.JwtRequirement_AllowMissingOrFailed:
		return &jwt.Optional{Providers: t.all(), Failed: true}, nil
	default:
		return nil, fieldcheck.Refuse("", "is of a kind that is not supported")
	}
}

// list compiles alternatives or parts. What is optional among providers is their
// tokens only.
func (t *tokens) list(list []*jwtv3.JwtRequirement, at string) ([]jwt.Requirement, error) {
	var out []jwt.Requirement
	var among []*jwt.Provider
	for i, m := range list {
		r, err := t.requirement(m)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("%s[%d]", at, i), err)
		}
		if by, ok := r.(*jwt.By); ok {
			among = append(among, by.Provider)
		}
		out = append(out, r)
	}
	for _, r := range out {
		if o, ok := r.(*jwt.Optional); ok && len(among) > 0 {
			o.Providers = among
		}
	}
	return out, nil
}

func (t *tokens) provider(name string) (*jwt.Provider, error) {
	p := t.providers[name]
	if p == nil {
		return nil, fieldcheck.Refuse("provider_name", "%q is not among the providers", name)
	}
	return p, nil
}

func (t *tokens) all() []*jwt.Provider {
	var all []*jwt.Provider
	for _, name := range slices.Sorted(maps.Keys(t.providers)) {
		all = append(all, t.providers[name])
	}
	return all
}

func (c *Compiler) jwtProvider(name string, m *jwtv3.JwtProvider) (*jwt.Provider, error) {
	p := &jwt.Provider{
		Name: name, Issuer: m.GetIssuer(), Audiences: m.GetAudiences(), RequireExpiration: m.GetRequireExpiration(), MaxLifetime: m.GetMaxLifetime().AsDuration(),
		Skew: time.Minute, Params: m.GetFromParams(), Cookies: m.GetFromCookies(), Forward: m.GetForward(), PayloadHeader: m.GetForwardPayloadHeader(),
		Pad: m.GetPadForwardPayloadHeader(), ClaimsKey: m.GetPayloadInMetadata(), HeaderKey: m.GetHeaderInMetadata(), FailureKey: m.GetFailedStatusInMetadata(),
		SplitClaims: m.GetNormalizePayloadInMetadata().GetSpaceDelimitedClaims(),
	}
	if s := m.GetClockSkewSeconds(); s > 0 {
		p.Skew = time.Duration(s) * time.Second
	}
	if s := m.GetSubjects(); s != nil {
		match, err := stringMatch(s)
		if err != nil {
			return nil, fieldcheck.At("subjects", err)
		}
		p.Subject = &match
	}
	for _, h := range m.GetFromHeaders() {
		p.Headers = append(p.Headers, jwt.HeaderPlace{Name: h.GetName(), Prefix: h.GetValuePrefix()})
	}
	if len(p.Headers)+len(p.Params)+len(p.Cookies) == 0 {
		p.Headers, p.Params = []jwt.HeaderPlace{{Name: "authorization", Prefix: "Bearer "}}, []string{"access_token"}
	}
	for _, h := range m.GetClaimToHeaders() {
		path := strings.Split(h.GetClaimName(), ".")
		if steps := h.GetClaimPath(); len(steps) > 0 {
			path = nil
			for _, s := range steps {
				path = append(path, s.GetKey())
			}
		}
		p.ClaimHeaders = append(p.ClaimHeaders, jwt.ClaimHeader{Header: h.GetHeaderName(), Claim: path})
	}
	var err error
	p.Keys, err = c.jwtKeys(m)
	return p, err
}

func (c *Compiler) jwtKeys(m *jwtv3.JwtProvider) (*jwt.Keys, error) {
	if l := m.GetLocalJwks(); l != nil {
		set, err := text(l)
		if err != nil {
			return nil, fieldcheck.At("local_jwks", err)
		}
		keys, err := jwt.Given(set)
		return keys, fieldcheck.At("local_jwks", err)
	}
	r := m.GetRemoteJwks()
	if r == nil {
		return nil, fieldcheck.Refuse("", "has no keys: write local_jwks or remote_jwks")
	}
	caller, at, err := c.httpCaller(r.GetHttpUri())
	if err != nil {
		return nil, fieldcheck.At("remote_jwks.http_uri", err)
	}
	keys := &jwt.Keys{Caller: caller, URL: jwt.URL{Scheme: at.Scheme, Authority: at.Host, Path: at.RequestURI()}, Keep: 10 * time.Minute}
	if d := r.GetCacheDuration(); d != nil {
		keys.Keep = d.AsDuration()
	}
	return keys, nil
}
