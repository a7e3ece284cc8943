package interop

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Whether a trace is kept is decided by its ID or by its caller as Envoy decides it, of
// the share that the listener traces.
func TestSamplersAsEnvoy(t *testing.T) {
	const always = "AlwaysOnSamplerConfig"
	ratio := func(percentage string) string {
		return "TraceIdRatioBasedSamplerConfig, sampling_percentage: {" + percentage + "}"
	}
	config := func(text string) string {
		return fmt.Sprintf(`{name: sampler, typed_config: {"@type": type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.%s}}`, text)
	}
	samplers := []string{
		always, ratio("numerator: 0"), ratio("numerator: 30"), ratio("numerator: 5000, denominator: TEN_THOUSAND"), ratio("numerator: 1000000, denominator: MILLION"),
		"ParentBasedSamplerConfig, wrapped_sampler: " + config(always), "ParentBasedSamplerConfig, wrapped_sampler: " + config(ratio("numerator: 0")),
	}
	agree(t, func(name string, run runner) []string {
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			told := r.Header.Get("traceparent")
			fmt.Fprint(w, told[max(0, len(told)-2):])
		}))
		t.Cleanup(up.Close)
		var listeners string
		var addresses []string
		for i := range 2 * len(samplers) {
			s := samplers[i/2]
			addresses = append(addresses, freeAddress(t))
			listeners += web{
				name: fmt.Sprint("l", i), address: addresses[i], routes: "- {match: {prefix: /}, route: {cluster: up}}",
				manager: fmt.Sprintf(`tracing: {random_sampling: {value: %d}, provider: {name: o, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, service_name: s, grpc_service: {envoy_grpc: {cluster_name: gone}}, sampler: %s}}}`, i%2*100, config(s)),
			}.String()
		}
		run(t, "node: {id: me, cluster: service}"+static(listeners, upstream("up", up.Listener.Addr().String())+upstream("gone", "1", speakHTTP2)))
		var out []string
		ask := func(i int, traceparent string) {
			req, err := http.NewRequest("GET", "http://"+addresses[i]+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if traceparent != "" {
				req.Header.Set("traceparent", traceparent)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			flags, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			out = append(out, fmt.Sprintf("%s %d%% %q: %s", samplers[i/2], i%2*100, traceparent, flags))
		}
		for i, address := range addresses {
			waitFor(t, address)
			if i/2 != 2 && i/2 != 3 {
				ask(i, "") // what is by chance is not told alike
			}
			for n := range byte(24) {
				id := []byte{n * 11, 7, n * 3, n, n * 53, 1, n * 17, n * 91, 255 - n, n * 5, 3, n * 7, 9, n * 13, n, n * 29}
				ask(i, fmt.Sprintf("00-%s-00f067aa0ba902b7-0%d", hex.EncodeToString(id), n%2))
			}
		}
		return out
	})
}
