package interop

import (
	"fmt"
	"strings"
)

// credentialFilters inject credentials, asleep.
func credentialFilters() string {
	filter := func(name, fields, kind string) string {
		return fmt.Sprintf("- {name: %s, disabled: true, typed_config: {\"@type\": %scredential_injector.v3.CredentialInjector%s, credential: {name: c, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.injected_credentials.%s}}}}\n", name, httpFilters, fields, kind)
	}
	generic := func(name, fields, credential string) string {
		return filter(name, fields, "generic.v3.Generic, "+credential)
	}
	oauth2 := func(name, cluster, fields, more string) string {
		return filter(name, fields, fmt.Sprintf(`oauth2.v3.OAuth2, token_endpoint: {uri: "http://auth.example/token?x=1", cluster: %s, timeout: 2s}, client_credentials: {client_id: shop, client_secret: {name: plain}, auth_type: URL_ENCODED_BODY}%s`, cluster, more))
	}
	return generic("cred.plain", "", "credential: {name: basic}") + generic("cred.over", ", overwrite: true", "credential: {name: basic}") +
		generic("cred.prefix", ", overwrite: true", `credential: {name: plain}, header: X-Key, header_value_prefix: "Key "`) +
		generic("cred.file", "", "credential: {name: filed, sds_config: {path_config_source: {path: testdata/secret.yaml}}}") + oauth2("cred.token", "v2", "", `, scopes: [read, write], endpoint_params: [{name: audience, value: cart}]`) + oauth2("cred.none", "none", "", "") + oauth2("cred.any", "none", ", allow_request_without_credential: true", "")
}

// credentialStory asks what upstreams get of the workload's credentials.
func credentialStory() story {
	var routes strings.Builder
	var asks []ask
	for _, name := range []string{"plain", "over", "prefix", "file", "token", "none", "any"} {
		routes.WriteString(on("/"+name, awake("cred."+name)))
		asks = append(asks, get("/"+name), get("/"+name, "authorization: mine"), get("/"+name, "x-key: mine"))
	}
	return story{name: "credentials", routes: "routes:\n" + routes.String(), asks: asks}
}
