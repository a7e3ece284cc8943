package compile

import "github.com/lateenmesh/lateen/internal/fieldcheck"

// policyFields are those of the filters that decide who may do what.
var policyFields = fieldcheck.Table{
	"envoy.extensions.filters.http.rbac.v3.RBAC": {
		Read:    "rules rules_stat_prefix shadow_rules shadow_rules_stat_prefix",
		Ignored: map[string]string{"track_per_rule_stats": "the log tells which rule it was"},
	},
	"envoy.extensions.filters.http.rbac.v3.RBACPerRoute": {Read: "rbac"},
	"envoy.extensions.filters.network.rbac.v3.RBAC": {
		Read: "rules shadow_rules shadow_rules_stat_prefix",
		Ignored: map[string]string{
			"stat_prefix":      "only a name in statistics",
			"enforcement_type": "a connection is judged once, before its first byte",
			"delay_deny":       "a refused connection is closed at once",
		},
	},
	"envoy.config.rbac.v3.RBAC":                                              {Read: "action policies", Ignored: map[string]string{"audit_logging_options": "the access log tells of refusals"}},
	"envoy.config.rbac.v3.Policy":                                            {Read: "permissions principals"},
	"envoy.config.rbac.v3.Permission":                                        {Read: "and_rules or_rules any header url_path uri_template destination_ip destination_port destination_port_range metadata sourced_metadata not_rule requested_server_name"},
	"envoy.config.rbac.v3.Permission.Set":                                    {Read: "rules"},
	"envoy.config.rbac.v3.Principal":                                         {Read: "and_ids or_ids any authenticated source_ip direct_remote_ip remote_ip header url_path metadata sourced_metadata filter_state not_id"},
	"envoy.config.rbac.v3.SourcedMetadata":                                   {Read: "metadata_matcher metadata_source"},
	"envoy.config.rbac.v3.Principal.Set":                                     {Read: "ids"},
	"envoy.config.rbac.v3.Principal.Authenticated":                           {Read: "principal_name"},
	"envoy.type.v3.DoubleRange":                                              {Read: "start end"},
	"envoy.type.matcher.v3.PathMatcher":                                      {Read: "path"},
	"envoy.type.matcher.v3.FilterStateMatcher":                               {Read: "key string_match"},
	"envoy.type.matcher.v3.MetadataMatcher":                                  {Read: "filter path value invert"},
	"envoy.type.matcher.v3.MetadataMatcher.PathSegment":                      {Read: "key"},
	"envoy.type.matcher.v3.ValueMatcher":                                     {Read: "null_match double_match string_match bool_match present_match list_match or_match"},
	"envoy.type.matcher.v3.ValueMatcher.NullMatch":                           {},
	"envoy.type.matcher.v3.DoubleMatcher":                                    {Read: "exact range"},
	"envoy.type.matcher.v3.ListMatcher":                                      {Read: "one_of"},
	"envoy.type.matcher.v3.OrMatcher":                                        {Read: "value_matchers"},
	"envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig":     {Read: "path_template"},
	"envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig": {Read: "path_template_rewrite"},

	"envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication": {
		Read:    "providers rules bypass_cors_preflight requirement_map strip_failure_response",
		Ignored: map[string]string{"stat_prefix": "only a name in statistics"},
	},
	"envoy.extensions.filters.http.jwt_authn.v3.JwtProvider": {
		Read: "issuer audiences subjects require_expiration max_lifetime remote_jwks local_jwks forward from_headers from_params from_cookies forward_payload_header " +
			"pad_forward_payload_header payload_in_metadata normalize_payload_in_metadata header_in_metadata failed_status_in_metadata clock_skew_seconds claim_to_headers clear_route_cache",
		Ignored: map[string]string{
			"jwt_cache_config": "verified tokens are always remembered",
		},
	},
	"envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.NormalizePayload": {Read: "space_delimited_claims"},
	"envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks": {
		Read: "http_uri cache_duration",
		Ignored: map[string]string{
			"async_fetch":  "keys are fetched when the first token needs them, and the old ones serve while new ones come",
			"retry_policy": "a failed fetch is repeated by the next request, at most once a second",
		},
	},
	"envoy.extensions.filters.http.jwt_authn.v3.JwtHeader":                    {Read: "name value_prefix"},
	"envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader":             {Read: "header_name claim_name claim_path"},
	"envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader.PathSegment": {Read: "key"},
	"envoy.extensions.filters.http.jwt_authn.v3.RequirementRule":              {Read: "match requires requirement_name"},
	"envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement":               {Read: "provider_name provider_and_audiences requires_any requires_all allow_missing_or_failed allow_missing"},
	"envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementOrList":         {Read: "requirements"},
	"envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementAndList":        {Read: "requirements"},
	"envoy.extensions.filters.http.jwt_authn.v3.ProviderWithAudiences":        {Read: "provider_name audiences"},
	"envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig":               {Read: "disabled requirement_name"},
	"envoy.config.core.v3.HttpUri":                                            {Read: "uri cluster timeout"},
	"envoy.config.core.v3.GrpcService":                                        {Read: "envoy_grpc timeout initial_metadata", Ignored: map[string]string{"retry_policy": "the cluster's balancing and circuit breakers hold"}},
	"envoy.config.core.v3.GrpcService.EnvoyGrpc":                              {Read: "cluster_name authority", Ignored: map[string]string{"retry_policy": "a call is made once", "max_receive_message_length": "replies are bounded by 4 MiB", "skip_envoy_headers": "no x-envoy-* fields are added to calls"}},
	"envoy.type.matcher.v3.ListStringMatcher":                                 {Read: "patterns"},
	"envoy.type.v3.HttpStatus":                                                {Read: "code"},
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthz": {
		Read: "stat_prefix grpc_service http_service transport_api_version failure_mode_allow failure_mode_allow_header_add with_request_body status_on_error metadata_context_namespaces filter_enabled " +
			"filter_enabled_metadata deny_at_disable allowed_headers disallowed_headers clear_route_cache include_peer_certificate include_tls_session charge_cluster_response_stats bootstrap_metadata_labels_key",
		Ignored: map[string]string{
			"emit_filter_state_stats": "only statistics",
		},
	},
	"envoy.extensions.filters.network.ext_authz.v3.ExtAuthz": {
		Read:    "grpc_service failure_mode_allow include_peer_certificate transport_api_version filter_enabled_metadata include_tls_session bootstrap_metadata_labels_key",
		Ignored: map[string]string{"stat_prefix": "only statistics", "send_tls_alert_on_denial": "the connection is closed"},
	},
	"envoy.extensions.filters.http.ext_authz.v3.BufferSettings":       {Read: "max_request_bytes allow_partial_message pack_as_bytes"},
	"envoy.extensions.filters.http.ext_authz.v3.HttpService":          {Read: "server_uri path_prefix authorization_request authorization_response"},
	"envoy.extensions.filters.http.ext_authz.v3.AuthorizationRequest": {Read: "allowed_headers headers_to_add"},
	"envoy.extensions.filters.http.ext_authz.v3.AuthorizationResponse": {
		Read: "allowed_upstream_headers allowed_upstream_headers_to_append allowed_client_headers allowed_client_headers_on_success dynamic_metadata_from_headers",
	},
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute": {Read: "disabled check_settings"},
	"envoy.extensions.filters.http.ext_authz.v3.CheckSettings":    {Read: "context_extensions disable_request_body_buffering with_request_body"},
	"envoy.config.core.v3.RuntimeFeatureFlag":                     {Read: "default_value runtime_key"},
}
