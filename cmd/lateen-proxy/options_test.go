package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func pod(more map[string]string) func(string) (string, bool) {
	env := map[string]string{"POD_NAME": "cart-1", "POD_NAMESPACE": "shop", "INSTANCE_IP": "127.64.0.5"}
	for k, v := range more {
		env[k] = v
	}
	return func(k string) (string, bool) { v, ok := env[k]; return v, ok }
}

// Every flag that Istio passes works, or is named as one without effect.
func TestIstiosFlags(t *testing.T) {
	s, err := readSettings(false, []string{"--domain", "shop.svc.example.org", "--proxyLogLevel=debug", "--proxyComponentLogLevel=misc:error",
		"--log_output_level=default:info", "--concurrency", "2", "--stsPort=15463", "--log_as_json", "--serviceCluster", "cart"}, pod(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Domain != "shop.svc.example.org" || s.LogLevel != "debug" || s.Concurrency != 2 {
		t.Errorf("settings %v", s)
	}
	if diff := cmp.Diff(s.Ignored, []string{"--log_as_json", "--log_output_level", "--proxyComponentLogLevel", "--serviceCluster", "--stsPort"}); diff != "" {
		t.Errorf("ignored (-got +want):\n%s", diff)
	}
	if _, err := readSettings(false, []string{"--proxyLogLevel=loud"}, pod(nil), nil); err == nil || !strings.Contains(err.Error(), `"loud"`) {
		t.Errorf("got %v; want the level named", err)
	}
	if _, err := readSettings(false, []string{"--no-such"}, pod(nil), nil); err == nil || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("got %v; want the flag named", err)
	}
}

// ProxyConfig comes in JSON or YAML; its proxyMetadata stands for variables.
func TestProxyConfig(t *testing.T) {
	s, err := readSettings(true, nil, pod(map[string]string{"PROXY_CONFIG": `
discoveryAddress: istiod.mesh.svc:15010
terminationDrainDuration: 20s
statusPort: 16020
concurrency: 3
statsdUdpAddress: statsd:8125
proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true", EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true", MINIMUM_DRAIN_DURATION: 1s}
`}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Discovery != "istiod.mesh.svc:15010" || s.Authority != "istiod.mesh.svc:15012" || s.StatusPort != 16020 || s.AdminPort != 15000 || s.Concurrency != 3 {
		t.Errorf("settings %v", s)
	}
	if want := (drain{Time: 20 * time.Second, UntilIdle: true, Least: time.Second}); s.Drain != want {
		t.Errorf("drain %+v; want %+v", s.Drain, want)
	}
	if diff := cmp.Diff(s.Metadata, map[string]any{"DNS_CAPTURE": "true"}); diff != "" {
		t.Errorf("metadata (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(s.Ignored, []string{"PROXY_CONFIG.statsdUdpAddress"}); diff != "" {
		t.Errorf("ignored (-got +want):\n%s", diff)
	}
	if _, err := readSettings(false, nil, pod(map[string]string{"PROXY_CONFIG": `{"terminationDrainDuration": "soon"}`}), nil); err == nil || !strings.Contains(err.Error(), "soon") {
		t.Errorf("got %v; want the value named", err)
	}
}

// Envoy's options: a text is merged over the file, list behind list.
func TestStaticOptions(t *testing.T) {
	s, err := readStatic([]string{"--config-path", "f.yaml", "--config-yaml", "node: {id: x}", "-l", "debug", "--drain-time-s", "7", "--mode", "validate",
		"--service-node", "n", "--disable-hot-restart", "--base-id", "3"})
	if err != nil {
		t.Fatal(err)
	}
	if s.file != "f.yaml" || s.drain != 7*time.Second || s.mode != "validate" || s.node != "n" || s.flush != time.Second {
		t.Errorf("got %+v", s)
	}
	if diff := cmp.Diff(s.ignored, []string{"--base-id", "--disable-hot-restart"}); diff != "" {
		t.Errorf("ignored (-got +want):\n%s", diff)
	}
	got, err := mergeYAML([]byte("a: {b: 1, c: [1]}\nd: 2"), []byte("a: {b: 3, c: [4]}"))
	if err != nil || string(got) != `{"a":{"b":3,"c":[1,4]},"d":2}` {
		t.Errorf("merged %s, %v", got, err)
	}
}

// A proxy that was told to end serves for the drain time while somebody is
// there, and not for longer than a moment when nobody is.
func TestDrain(t *testing.T) {
	for _, c := range []struct {
		drain drain
		leave time.Duration // when the last connection goes
		want  time.Duration
	}{
		{drain{Time: 5 * time.Second}, time.Hour, 5 * time.Second},
		{drain{Time: 5 * time.Second}, 0, time.Second},
		{drain{Time: 5 * time.Second}, 2 * time.Second, 3 * time.Second},
		{drain{UntilIdle: true, Least: 5 * time.Second}, 0, 5 * time.Second},
		{drain{UntilIdle: true, Least: 5 * time.Second}, time.Minute, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			c.drain.wait(func() int64 {
				if time.Since(start) < c.leave {
					return 1
				}
				return 0
			})
			if took := time.Since(start); took < c.want-100*time.Millisecond || took > c.want+100*time.Millisecond {
				t.Errorf("%+v: took %v; want %v", c.drain, took, c.want)
			}
		})
	}
}

// What runs is stopped only once the leave has been taken.
func TestOutlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		left := false
		err := outlive(ctx, func(ctx context.Context) error {
			<-ctx.Done()
			if !left {
				t.Error("stopped before the leave was taken")
			}
			return nil
		}, func() { time.Sleep(time.Second); left = true })
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A sidecar keeps what Istio keeps of Envoy's statistics, and what it is asked to.
func TestInclusion(t *testing.T) {
	keeps, err := inclusion{Prefixes: []string{"cluster.outbound"}, Regexps: []string{`listener\..*\.downstream_cx_active`}}.matcher(
		map[string]string{"sidecar.istio.io/statsInclusionSuffixes": "upstream_rq_retry,upstream_rq_timeout"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"server.live": true, "cluster_manager.cds.update_success": true, "cluster.outbound|80||a.upstream_rq_total": true, "cluster.up.upstream_rq_retry": true,
		"listener.0.0.0.0_1.downstream_cx_active": true, "cluster.up.upstream_rq_total": false, "listener.0.0.0.0_1.downstream_cx_total": false,
	} {
		if keeps(name) != want {
			t.Errorf("%s: kept %v; want %v", name, !want, want)
		}
	}
	if _, err := (inclusion{Regexps: []string{"("}}).matcher(nil); err == nil {
		t.Error("a pattern that is none is taken")
	}
}
