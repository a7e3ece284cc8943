package credential

import "github.com/lateenmesh/lateen/internal/fieldcheck"

// Fields says what of Envoy's TLS messages is understood.
var Fields = fieldcheck.Table{
	"envoy.extensions.transport_sockets.tls.v3.Secret":        {Read: "name tls_certificate validation_context generic_secret"},
	"envoy.extensions.transport_sockets.tls.v3.GenericSecret": {Read: "secret"},
	"envoy.extensions.transport_sockets.tls.v3.TlsCertificate": {
		Read: "certificate_chain private_key watched_directory",
	},
	"envoy.config.core.v3.DataSource":       {Read: "filename inline_bytes inline_string"},
	"envoy.config.core.v3.WatchedDirectory": {Read: "path"},
	"envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext": {
		Read: "trusted_ca watched_directory match_typed_subject_alt_names match_subject_alt_names trust_chain_verification system_root_certs crl only_verify_leaf_cert_crl verify_certificate_hash verify_certificate_spki max_verify_depth allow_expired_certificate",
	},
	"envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.SystemRootCerts": {},
	"envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher":                        {Read: "san_type matcher"},
	"envoy.type.matcher.v3.StringMatcher":                                                    {Read: "exact prefix suffix contains safe_regex ignore_case"},
	"envoy.type.matcher.v3.RegexMatcher": {
		Read:    "regex",
		Ignored: map[string]string{"google_re2": "the syntax is RE2's"},
	},
	"envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext": {
		Read: "common_tls_context require_client_certificate",
		Ignored: map[string]string{
			"disable_stateless_session_resumption": "tickets are bound to the certificates in force",
			"disable_stateful_session_resumption":  "no session is kept",
			"session_timeout":                      "tickets live as long as their key",
			"ocsp_staple_policy":                   "lenient is what happens",
			"require_sni":                          "Envoy 1.39 does not ask for it either: clients without a name are kept out by filter chains that match server_names",
			"prefer_client_ciphers":                "the order is fixed and safe",
		},
	},
	"envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext": {
		Read: "common_tls_context sni",
		Ignored: map[string]string{
			"max_session_keys":    "a fixed number is kept",
			"allow_renegotiation": "renegotiation is never done",
		},
	},
	"envoy.extensions.transport_sockets.tls.v3.CommonTlsContext": {
		Read: "tls_params tls_certificates tls_certificate_sds_secret_configs validation_context validation_context_sds_secret_config combined_validation_context alpn_protocols",
	},
	"envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext": {
		Read: "default_validation_context validation_context_sds_secret_config",
	},
	"envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig": {Read: "name sds_config"},
	"envoy.config.core.v3.ConfigSource":                         {Read: "*"}, // by whoever locates the source
	"envoy.extensions.transport_sockets.tls.v3.TlsParameters": {
		Read: "tls_minimum_protocol_version tls_maximum_protocol_version ecdh_curves cipher_suites",
		Ignored: map[string]string{
			"signature_algorithms": "the library chooses by key",
		},
	},
}
