package compile

import (
	"cmp"
	"fmt"
	"time"

	injectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	genericv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	oauth2v3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/oauth2/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/injector"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// injector compiles a filter that injects credentials. Beside it, it gives the
// name of the secret that it waits for.
func (c *Compiler) injector(m *injectorv3.CredentialInjector) (*injector.Filter, ads.Ref, error) {
	opened, err := unpack(m.GetCredential().GetTypedConfig())
	if err != nil {
		return nil, ads.Ref{}, fieldcheck.At("credential.typed_config", err)
	}
	f := &injector.Filter{Header: "authorization", Overwrite: m.GetOverwrite(), Optional: m.GetAllowRequestWithoutCredential()}
	var secret ads.Ref
	switch k := opened.(type) {
	case *genericv3.Generic:
		f.Header, f.Prefix = cmp.Or(k.GetHeader(), f.Header), k.GetHeaderValuePrefix()
		f.Credential, secret, err = c.secret(k.GetCredential(), "credential")
	case *oauth2v3.OAuth2:
		f.Prefix = "Bearer "
		f.Credential, secret, err = c.oauth2(k)
	default:
		err = fieldcheck.Refuse("", "%s is not supported, write Generic or OAuth2", opened.ProtoReflect().Descriptor().FullName())
	}
	return f, secret, fieldcheck.At("credential.typed_config", err)
}

// secret is a secret that filters read, as it is at each moment.
func (c *Compiler) secret(m *tlsv3.SdsSecretConfig, at string) (injector.Secret, ads.Ref, error) {
	if m.GetName() == "" {
		return nil, ads.Ref{}, fieldcheck.Refuse(at+".name", "is missing")
	}
	ref, err := c.Secrets.Ref(m)
	return func() (string, bool) { return c.Secrets.Generic(ref) }, ref, fieldcheck.At(at, err)
}

func (c *Compiler) oauth2(m *oauth2v3.OAuth2) (injector.Credential, ads.Ref, error) {
	credentials := m.GetClientCredentials()
	if credentials == nil {
		return nil, ads.Ref{}, fieldcheck.Refuse("client_credentials", "is missing")
	}
	if a := credentials.GetAuthType(); a != oauth2v3.OAuth2_BASIC_AUTH && a != oauth2v3.OAuth2_URL_ENCODED_BODY {
		return nil, ads.Ref{}, fieldcheck.Refuse("client_credentials.auth_type", "%s is not supported, write BASIC_AUTH or URL_ENCODED_BODY", a)
	}
	retry := m.GetTokenFetchRetryInterval().AsDuration()
	if m.GetTokenFetchRetryInterval() != nil && retry < time.Second {
		return nil, ads.Ref{}, fieldcheck.Refuse("token_fetch_retry_interval", "must be 1s at least")
	}
	secret, name, err := c.secret(credentials.GetClientSecret(), "client_credentials.client_secret")
	if err != nil {
		return nil, ads.Ref{}, err
	}
	if m.GetTokenEndpoint().GetTimeout().AsDuration() <= 0 {
		return nil, ads.Ref{}, fieldcheck.Refuse("token_endpoint.timeout", "is missing: requests wait for the first token")
	}
	caller, at, err := c.httpCaller(m.GetTokenEndpoint())
	if err != nil {
		return nil, ads.Ref{}, fieldcheck.At("token_endpoint", err)
	}
	o := &injector.OAuth2{
		Caller: caller, Scheme: at.Scheme, Path: at.RequestURI(), Client: credentials.GetClientId(), Secret: secret, InBody: credentials.GetAuthType() == oauth2v3.OAuth2_URL_ENCODED_BODY,
		Scopes: m.GetScopes(), Retry: retry, Failed: func(err error) {
			c.Log.Warn("no token for requests", "endpoint", m.GetTokenEndpoint().GetUri(), "error", err)
		},
	}
	for i, p := range m.GetEndpointParams() {
		if p.GetName() == "" {
			return nil, ads.Ref{}, fieldcheck.Refuse(fmt.Sprintf("endpoint_params[%d].name", i), "is missing")
		}
		o.Params = append(o.Params, stream.Field{Name: p.GetName(), Value: p.GetValue()})
	}
	return o, name, nil
}
