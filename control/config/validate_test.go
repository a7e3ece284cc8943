package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lateenmesh/lateen/control/mesh"
)

func object(t *testing.T, kind, spec string) *unstructured.Unstructured {
	t.Helper()
	group := map[string]string{"PeerAuthentication": "security.istio.io/v1", "AuthorizationPolicy": "security.istio.io/v1"}[kind]
	if group == "" {
		group = "networking.istio.io/v1"
	}
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(spec), &fields); err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group, "kind": kind, "metadata": map[string]any{"namespace": "shop", "name": "it"}, "spec": fields,
	}}
}

// Each mistake is named with its field; "W " is a warning; "" is fine.
func TestValidate(t *testing.T) {
	const route = `route: [{destination: {host: reviews}}]`
	for _, c := range []struct{ kind, spec, want string }{
		{"VirtualService", `{hosts: [reviews], http: [{` + route + `}]}`, ""},
		{"VirtualService", `{hosts: [reviews], http: [{retry: {attempts: 3}, ` + route + `}]}`, `spec: unknown field "retry"`},
		{"VirtualService", `{hosts: [a_b..c], http: [{` + route + `}]}`, `spec.hosts[0]: host "a_b..c" is no DNS name`},
		{"VirtualService", `{hosts: ["*"], http: [{` + route + `}]}`, `spec.hosts[0]: host * would rule every service`},
		{"VirtualService", `{hosts: ["*"], gateways: [gw], http: [{` + route + `}]}`, ""},
		{"VirtualService", `{hosts: ["*x.com"], http: [{` + route + `}]}`, `a wildcard stands for whole labels`},
		{"VirtualService", `{hosts: [a]}`, `spec: there are no routes`},
		{"VirtualService", `{hosts: [a], http: [{}]}`, `spec.http[0]: the route leads nowhere`},
		{"VirtualService", `{hosts: [a], http: [{redirect: {uri: /x}, ` + route + `}]}`, `spec.http[0]: redirect and route exclude one another`},
		{"VirtualService", `{hosts: [a], http: [{route: [{destination: {host: a}, weight: 50}, {destination: {host: b}, weight: 40}]}]}`,
			`W spec.http[0].route: the weights add up to 90, not 100`},
		{"VirtualService", `{hosts: [a], http: [{route: [{destination: {host: a}, weight: 0}, {destination: {host: b}}]}]}`, `spec.http[0].route: every weight is 0`},
		{"VirtualService", `{hosts: [a], http: [{route: [{destination: {host: a}, weight: -1}, {destination: {host: b}, weight: 101}]}]}`,
			`spec.http[0].route[0].weight: weight -1 is negative`},
		{"VirtualService", `{hosts: [a], http: [{route: [{destination: {host: "*.b"}}]}]}`, `spec.http[0].route[0].destination.host: host "*.b": traffic cannot`},
		{"VirtualService", `{hosts: [a], http: [{route: [{destination: {host: b, port: {number: 70000}}}]}]}`, `destination.port.number: port 70000`},
		{"VirtualService", `{hosts: [a], http: [{match: [{uri: {regex: "a("}}], ` + route + `}]}`, `spec.http[0].match[0].uri.regex: regular expression`},
		{"VirtualService", `{hosts: [a], http: [{retries: {attempts: 2, retryOn: "5xx,oops,503"}, ` + route + `}]}`, `retries.retryOn: condition "oops"`},
		{"VirtualService", `{hosts: [a], http: [{retries: {perTryTimeout: 1s}, ` + route + `}]}`, `retries.attempts: attempts is 0`},
		{"VirtualService", `{hosts: [a], http: [{redirect: {redirectCode: 200}}]}`, `redirect.redirectCode: code 200`},
		{"VirtualService", `{hosts: [a], http: [{fault: {}, ` + route + `}]}`, `spec.http[0].fault: there is neither`},
		{"VirtualService", `{hosts: [a], http: [{` + route + `}, {` + route + `}]}`, `W spec.http[1]: no request comes here`},
		{"VirtualService", `{hosts: [a], tls: [{match: [{port: 443}], ` + route + `}]}`, `spec.tls[0].match[0].sniHosts`},
		{"VirtualService", `{hosts: [a], tcp: [{}]}`, `spec.tcp[0].route: the route leads nowhere`},

		{"DestinationRule", `{host: reviews, subsets: [{name: v1, labels: {version: v1}}]}`, ""},
		{"DestinationRule", `{}`, `spec.host: a host is missing`},
		{"DestinationRule", `{host: a, subsets: [{name: v1, labels: {a: b}}, {name: v1, labels: {a: c}}]}`, `spec.subsets[1].name: there are two subsets "v1"`},
		{"DestinationRule", `{host: a, trafficPolicy: {outlierDetection: {consecutiveErrors: 5}}}`, `W spec.trafficPolicy.outlierDetection.consecutiveErrors: the field has no effect: write consecutive5xxErrors`},
		{"DestinationRule", `{host: a, trafficPolicy: {connectionPool: {outlierDetection: {}}}}`, `unknown field "outlierDetection"`},
		{"DestinationRule", `{host: a, trafficPolicy: {tls: {mode: MUTUAL}}}`, `spec.trafficPolicy.tls: mode MUTUAL needs`},
		{"DestinationRule", `{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}}`, `tcp.maxConnections: -1 is negative`},

		{"DestinationRule", `{host: a, subsets: [{name: v1, labels: {a: b}, trafficPolicy: {tunnel: {targetHost: x, targetPort: 1}}}]}`,
			`W spec.subsets[0].trafficPolicy.tunnel: the field is not in force yet`},
		{"VirtualService", `{hosts: [a], http: [{fault: {abort: {http2Error: x}}, ` + route + `}]}`, `W spec.http[0].fault.abort.http2Error: the field is not in force yet`},
		{"Gateway", `{selector: {a: b}, servers: [{port: {number: 443, name: x, protocol: TLS}, hosts: ["*"], tls: {mode: AUTO_PASSTHROUGH}}]}`, `mode AUTO_PASSTHROUGH is not supported yet`},

		{"Gateway", `{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}`, ""},
		{"Gateway", `{selector: {a: b}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["shop/*.x.com"], tls: {mode: SIMPLE}}]}`, `spec.servers[0].tls: mode SIMPLE needs credentialName`},
		{"Gateway", `{selector: {a: b}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"]}]}`, `spec.servers[0].tls: a server of protocol HTTPS needs TLS`},
		{"Gateway", `{selector: {a: b}, servers: [{port: {number: 80, name: x, protocol: SMTP}, hosts: ["*"]}]}`, `spec.servers[0].port.protocol: protocol "SMTP"`},
		{"Gateway", `{servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}`, `W spec.selector`},

		{"ServiceEntry", `{hosts: [a.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}`, ""},
		{"ServiceEntry", `{hosts: ["*.a.com"], ports: [{number: 80, name: http}], resolution: DNS}`, `cannot be resolved by DNS`},
		{"ServiceEntry", `{hosts: [a.com], ports: [{number: 80, name: http}], resolution: STATIC}`, `spec.endpoints: resolution STATIC needs`},
		{"ServiceEntry", `{hosts: [a.com], addresses: [x], ports: [{number: 80, name: http}]}`, `spec.addresses[0]: "x" is neither`},

		{"PeerAuthentication", `{mtls: {mode: STRICT}}`, ""},
		{"PeerAuthentication", `{portLevelMtls: {8080: {mode: DISABLE}}}`, `spec.portLevelMtls: ports are a workload's`},
		{"AuthorizationPolicy", `{}`, `AuthorizationPolicy is not enforced yet`},
		{"EnvoyFilter", `{}`, `W spec: EnvoyFilter has no effect yet`},
	} {
		var got []string
		for _, p := range Validate(object(t, c.kind, c.spec)) {
			line := p.Field + ": " + p.Message
			if p.Severity == mesh.Warning {
				line = "W " + line
			}
			got = append(got, line)
		}
		all := strings.Join(got, "\n")
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) == 0 || !strings.Contains(all, c.want)) {
			t.Errorf("%s %s:\n got %q\nwant %q", c.kind, c.spec, all, c.want)
		}
	}
}

// Istio's own samples are free of errors, where they are there to be read.
func TestIstioSamples(t *testing.T) {
	root := os.Getenv("LATEEN_ISTIO_SAMPLES")
	if root == "" {
		t.Skip("set LATEEN_ISTIO_SAMPLES to the samples folder of an Istio release")
	}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for doc := range strings.SplitSeq(string(text), "\n---") {
			obj := &unstructured.Unstructured{}
			if yaml.Unmarshal([]byte(doc), &obj.Object) != nil || obj.Object == nil {
				continue
			}
			for _, p := range Validate(obj) {
				if p.Severity == mesh.Error && !strings.Contains(p.Message, "not enforced yet") {
					t.Errorf("%s: %s", path, p)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
