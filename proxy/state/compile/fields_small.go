package compile

import "github.com/lateenmesh/lateen/internal/fieldcheck"

// smallFields are those of filters with few.
var smallFields = fieldcheck.Table{
	"envoy.extensions.filters.http.buffer.v3.Buffer":                                {Read: "max_request_bytes"},
	"envoy.extensions.filters.http.buffer.v3.BufferPerRoute":                        {Read: "disabled buffer"},
	"envoy.extensions.filters.http.credential_injector.v3.CredentialInjector":       {Read: "overwrite allow_request_without_credential credential"},
	"envoy.extensions.http.injected_credentials.generic.v3.Generic":                 {Read: "credential header header_value_prefix"},
	"envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2":                   {Read: "token_endpoint scopes client_credentials token_fetch_retry_interval endpoint_params"},
	"envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2.ClientCredentials": {Read: "client_id client_secret auth_type"},
	"envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2.EndpointParameter": {Read: "name value"},
	"envoy.extensions.filters.http.csrf.v3.CsrfPolicy": {
		Read:    "filter_enabled additional_origins",
		Ignored: map[string]string{"shadow_enabled": "only statistics"},
	},
	"envoy.extensions.filters.http.grpc_web.v3.GrpcWeb":           {},
	"envoy.extensions.filters.http.set_filter_state.v3.Config":    {Read: "on_request_headers clear_route_cache"},
	"envoy.extensions.filters.network.set_filter_state.v3.Config": {Read: "on_new_connection on_downstream_tls_handshake on_downstream_data"},
	"envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue": {
		Read:    "object_key factory_key format_string skip_if_empty shared_with_upstream",
		Ignored: map[string]string{"read_only": "Envoy does not look at it any more"},
	},
	"envoy.extensions.filters.http.set_metadata.v3.Config":                    {Read: "metadata_namespace value metadata"},
	"envoy.extensions.filters.http.set_metadata.v3.Metadata":                  {Read: "metadata_namespace allow_overwrite value"},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config":              {Read: "request_rules response_rules", Ignored: map[string]string{"stat_prefix": "only a name in statistics"}},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config.Rule":         {Read: "header cookie on_header_present on_header_missing remove"},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config.KeyValuePair": {Read: "metadata_namespace key value regex_value_rewrite type encode"},
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation":         {Read: "mutations most_specific_header_mutations_wins"},
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute": {Read: "mutations"},
	"envoy.extensions.filters.http.header_mutation.v3.Mutations": {
		Read: "request_mutations response_mutations query_parameter_mutations request_trailers_mutations response_trailers_mutations formatters",
	},
	"envoy.config.core.v3.KeyValueMutation":                              {Read: "append remove"},
	"envoy.config.core.v3.KeyValueAppend":                                {Read: "record action"},
	"envoy.config.core.v3.KeyValuePair":                                  {Read: "key value"},
	"envoy.config.common.mutation_rules.v3.HeaderMutation":               {Read: "remove append remove_on_match"},
	"envoy.config.common.mutation_rules.v3.HeaderMutation.RemoveOnMatch": {Read: "key_matcher"},
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSession": {
		Read: "session_state strict status_on_strict_destination_not_found", Ignored: map[string]string{"stat_prefix": "only statistics"},
	},
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute":      {Read: "disabled stateful_session"},
	"envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState":       {Read: "cookie"},
	"envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState":       {Read: "name"},
	"envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState":        {Read: "header"},
	"envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState.Header": {Read: "name"},
	"envoy.type.http.v3.Cookie":                                 {Read: "name ttl path attributes"},
	"envoy.type.http.v3.CookieAttribute":                        {Read: "name value"},
	"envoy.extensions.filters.http.health_check.v3.HealthCheck": {Read: "pass_through_mode cache_time cluster_min_healthy_percentages headers"},
}
