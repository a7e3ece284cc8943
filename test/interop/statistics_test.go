package interop

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// counted are statistics of requests, filters and clusters.
var counted = strings.Fields(`
http.web;.downstream_cx_total http.web;.downstream_cx_destroy http.web;.downstream_rq_total http.web;.downstream_rq_http1_total http.web;.downstream_rq_completed http.web;.downstream_rq_active
http.web;.downstream_rq_2xx http.web;.downstream_rq_3xx http.web;.downstream_rq_4xx http.web;.downstream_rq_5xx http.web;.downstream_cx_rx_bytes_total http.web;.no_route http.web;.rq_direct_response
http.web;.fault.aborts_injected http.web;.rbac.allowed http.web;.rbac.denied http.web;.rbac.istio_dry_run_deny_.shadow_allowed http.web;.rbac.istio_dry_run_deny_.shadow_denied
http.web;.ext_authz.ok http.web;.ext_authz.denied http.web;.ext_authz.error http.web;.ext_authz.failure_mode_allowed cluster.up;.ext_authz.ok cluster.up;.ext_authz.denied cluster.up;.ext_authz.error cluster.up;.ext_authz.failure_mode_allowed
cluster.up;.ratelimit.shared.ok cluster.up;.ratelimit.shared.over_limit cluster.up;.ratelimit.shared.error cluster.up;.ratelimit.shared.failure_mode_allowed
http.web;.cors.origin_valid http.web;.cors.origin_invalid http.web;.csrf.missing_source_origin http.web;.csrf.request_invalid http.web;.csrf.request_valid
http.web;.jwt_authn.allowed http.web;.jwt_authn.denied rl.http_local_rate_limit.enabled rl.http_local_rate_limit.ok rl.http_local_rate_limit.rate_limited rl.http_local_rate_limit.enforced
cluster.up;.upstream_rq_total cluster.up;.upstream_rq_completed cluster.up;.upstream_rq_2xx cluster.up;.upstream_rq_200 cluster.up;.upstream_rq_404 cluster.up;.membership_total cluster.up;.membership_healthy cluster.up;.membership_degraded
cluster.gone;.upstream_rq_completed cluster.gone;.upstream_rq_5xx cluster.gone;.upstream_rq_503 cluster.gone;.upstream_cx_connect_fail cluster.gone;.upstream_rq_retry`)

// families are the Prometheus metrics of those statistics, with the tags of Istio's
// bootstrap.
var families = strings.Fields(`
envoy_http_downstream_cx_total envoy_http_downstream_rq_total envoy_http_downstream_rq_completed envoy_http_downstream_rq envoy_http_no_route envoy_http_fault_aborts_injected
envoy_http_rbac envoy_http_jwt_authn_allowed envoy_http_jwt_authn_denied envoy_rl_http_local_rate_limit_enabled envoy_rl_http_local_rate_limit_ok envoy_rl_http_local_rate_limit_enforced
envoy_cluster_upstream_rq_total envoy_cluster_upstream_rq_completed envoy_cluster_upstream_rq envoy_cluster_membership_healthy envoy_cluster_upstream_cx_connect_fail envoy_cluster_upstream_rq_retry
envoy_cluster_circuit_breakers_default_remaining_rq envoy_cluster_upstream_rq_time envoy_http_downstream_rq_time envoy_http_downstream_cx_length_ms
envoy_cluster_upstream_cx_rx_bytes_total envoy_cluster_upstream_cx_tx_bytes_total`)

// The same requests count the same, under the same names.
func TestStatisticsAsEnvoy(t *testing.T) {
	count := func(run runner) map[string]string {
		up := newBackend(t, "up")
		address, admin := freeAddress(t), freeAddress(t)
		run(t, statisticsBootstrap(address, admin, up.port, newServices(t).address))
		waitFor(t, admin)
		waitFor(t, address)
		for _, path := range []string{"/", "/deny", "/gone", "/none", "/direct", "/moved", "/fault", "/token", "/", "/", "/limited", "/limited", "/status/404", "/ask/allow", "/ask/deny", "/unasked", "/page", "/page?evil", "POST /page", "POST /form", "POST /form?evil", "/much", "/little", "/unknown"} {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			method, path, posts := strings.Cut(path, " ")
			if !posts {
				method, path = http.MethodGet, method
			}
			req, err := http.NewRequest(method, "http://"+address+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.HasSuffix(path, "?evil"):
				req.Header.Set("origin", "http://evil.example")
			case path == "/page":
				req.Header.Set("origin", "http://web.example")
			}
			req.Host = "web.example"
			if path == "/fault" {
				req.Header.Set("x-fault", "1")
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		out := map[string]string{}
		eventually(t, func() error { // the last connection's end may not have been seen yet
			resp, err := http.Get("http://" + admin + "/stats")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			for line := range strings.SplitSeq(string(text), "\n") {
				if name, value, found := strings.Cut(line, ": "); found {
					out[name] = value
				}
			}
			if err := scrape(admin, out); err != nil {
				return err
			}
			if done, timed := out["http.web;.downstream_rq_completed"], out[`envoy_http_downstream_rq_time{http_conn_manager_prefix="web"}`]; done != timed {
				return fmt.Errorf("of %s requests %s have a time", done, timed) // Envoy takes its time
			}
			if out["http.web;.downstream_cx_destroy"] != out["http.web;.downstream_cx_total"] {
				return fmt.Errorf("%s of %s connections have ended", out["http.web;.downstream_cx_destroy"], out["http.web;.downstream_cx_total"])
			}
			return nil
		})
		told := map[string]string{}
		for _, name := range counted {
			told[name] = out[name]
		}
		for name, value := range out {
			if family, labels, _ := strings.Cut(name, "{"); value != "0" && !strings.Contains(labels, "services") && slices.Contains(families, family) {
				told[name] = value
			}
		}
		return told
	}
	theirs, ours := count(runEnvoy), count(runOurs)
	if diff := cmp.Diff(ours, theirs); diff != "" {
		t.Errorf("(-ours +Envoy):\n%s", diff)
	}
}

// scrape adds the Prometheus metrics, each by its name and its labels in order.
func scrape(admin string, out map[string]string) error {
	resp, err := http.Get("http://" + admin + "/stats/prometheus")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return err
	}
	for name, family := range all {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(labels)
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue() + float64(m.GetHistogram().GetSampleCount())
			out[name+"{"+strings.Join(labels, ",")+"}"] = strconv.FormatFloat(value, 'f', -1, 64)
		}
	}
	return nil
}

func statisticsBootstrap(address, admin, up, services string) string {
	return "admin: {address: " + socketAddress(admin) + "}" + `
stats_flush_interval: 0.1s
stats_config:
  use_all_default_tags: false
  stats_tags:
  - {tag_name: cluster_name, regex: '^cluster(\.(.+);)'}
  - {tag_name: http_conn_manager_prefix, regex: '^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)'}
  - {tag_name: response_code, regex: '_rq(_(\d{3}))$'}
  - {tag_name: response_code_class, regex: '_rq(_(\dxx))$'}
  - {tag_name: authz_enforce_result, regex: 'rbac(\.(allowed|denied))'}
  - {tag_name: authz_dry_run_action, regex: '(\.istio_dry_run_(allow|deny)_)'}
  - {tag_name: authz_dry_run_result, regex: '(\.shadow_(allowed|denied))'}` +
		static(web{
			name: "web;", address: address,
			filters: fmt.Sprintf(`
- name: jwt
  typed_config:
    "@type": %[1]sjwt_authn.v3.JwtAuthentication
    providers: {p: {issuer: someone, local_jwks: {inline_string: %[2]q}}}
    rules: [{match: {prefix: /token}, requires: {provider_name: p}}]
- name: rbac
  typed_config:
    "@type": %[1]srbac.v3.RBAC
    rules: {action: DENY, policies: {p: {permissions: [{url_path: {path: {prefix: /deny}}}], principals: [{any: true}]}}}
    shadow_rules: {action: DENY, policies: {p: {permissions: [{url_path: {path: {prefix: /direct}}}], principals: [{any: true}]}}}
    shadow_rules_stat_prefix: istio_dry_run_deny_
- {name: fault, typed_config: {"@type": %[1]sfault.v3.HTTPFault, abort: {http_status: 418, percentage: {numerator: 100}}, headers: [{name: x-fault, present_match: true}]}}
- name: ask
  disabled: true
  typed_config:
    "@type": %[1]sext_authz.v3.ExtAuthz
    http_service: {server_uri: {uri: "http://auth.example", cluster: up, timeout: 2s}, path_prefix: /authz}
- name: unasked
  disabled: true
  typed_config:
    "@type": %[1]sext_authz.v3.ExtAuthz
    http_service: {server_uri: {uri: "http://auth.example", cluster: gone, timeout: 2s}}
    failure_mode_allow: true
- name: shared
  disabled: true
  typed_config:
    "@type": %[1]sratelimit.v3.RateLimit
    domain: web
    stat_prefix: shared
    rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: services}}}
- {name: cors, typed_config: {"@type": %[1]scors.v3.Cors}}
- {name: csrf, disabled: true, typed_config: {"@type": %[1]scsrf.v3.CsrfPolicy, filter_enabled: {default_value: {numerator: 100}}}}
- {name: limit, typed_config: {"@type": %[1]slocal_ratelimit.v3.LocalRateLimit, stat_prefix: rl}}`, httpFilters, trusted.jwks),
			hosts: `
- name: all
  domains: [web.example]
  routes:
  - {match: {prefix: /gone}, route: {cluster: gone, retry_policy: {retry_on: 5xx, num_retries: 1}}}
  - {match: {prefix: /direct}, direct_response: {status: 200}}
  - {match: {prefix: /moved}, redirect: {path_redirect: /new}}
  - match: {prefix: /limited}
    route: {cluster: up}
    typed_per_filter_config:
      limit: {"@type": ` + httpFilters + `local_ratelimit.v3.LocalRateLimit, stat_prefix: rl, token_bucket: {max_tokens: 1, tokens_per_fill: 1, fill_interval: 600s}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}}
  - {match: {path: /}, route: {cluster: up}}
  - {match: {prefix: /ask}, route: {cluster: up}, ` + awakeAll("ask") + `}
  - {match: {prefix: /unasked}, route: {cluster: up}, ` + awakeAll("unasked") + `}
  - {match: {prefix: /much}, route: {cluster: up, rate_limits: [{actions: [{generic_key: {descriptor_key: limit, descriptor_value: over}}]}]}, ` + awakeAll("shared") + `}
  - {match: {prefix: /little}, route: {cluster: up, rate_limits: [{actions: [{generic_key: {descriptor_key: limit, descriptor_value: none}}]}]}, ` + awakeAll("shared") + `}
  - {match: {prefix: /unknown}, route: {cluster: up, rate_limits: [{actions: [{generic_key: {descriptor_key: limit, descriptor_value: error}}]}]}, ` + awakeAll("shared") + `}
  - {match: {prefix: /form}, route: {cluster: up}, ` + awakeAll("csrf") + `}
  - {match: {prefix: /page}, route: {cluster: up}, ` + awakeAll("csrf", `cors: {"@type": `+httpFilters+`cors.v3.CorsPolicy, allow_origin_string_match: [{exact: "http://web.example"}]}`) + `}
  - {match: {prefix: /status}, route: {cluster: up}}
  - {match: {prefix: /deny}, route: {cluster: up}}
  - {match: {prefix: /fault}, route: {cluster: up}}
  - {match: {prefix: /token}, route: {cluster: up}}`,
		}.String(), upstream("up", up, `alt_stat_name: "up;"`)+upstream("gone", "1", `alt_stat_name: "gone;"`)+upstream("services", services, speakHTTP2))
}
