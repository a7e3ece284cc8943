package kind

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Every row of the table is whole: names, a printable table, and a round trip
// through its Go type that fills as many cells as there are columns.
func TestBuiltinIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Builtin() {
		id := k.GroupResource().String()
		if seen[id] {
			t.Errorf("%s occurs twice", id)
		}
		seen[id] = true
		if k.Kind == "" || k.Plural == "" || k.Singular == "" || len(k.Versions) == 0 {
			t.Errorf("%s: %+v is not whole", id, k)
		}
		obj := map[string]any{"apiVersion": k.StorageVersion().String(), "kind": k.Kind, "metadata": map[string]any{"name": "x"}}
		for _, v := range k.Versions {
			out, unknown, err := k.Rules.Normalize(v, map[string]any{"metadata": map[string]any{"name": "x"}}, nil)
			if err != nil || len(unknown) > 0 {
				t.Errorf("%s %s: %v %v", id, v, unknown, err)
			}
			if _, err := k.Stored(v, out); err != nil {
				t.Errorf("%s %s: %v", id, v, err)
			}
			if table := k.TableIn(v); table.Row != nil {
				if cells, err := table.Row(obj); err != nil || len(cells) != len(table.Columns) {
					t.Errorf("%s %s: got %d cells, %v; want %d", id, v, len(cells), err, len(table.Columns))
				}
			}
			if k.Rules.Fields(v).Field("metadata") == nil {
				t.Errorf("%s %s: no metadata field", id, v)
			}
		}
	}
}

// check completes and validates an object of a built-in kind.
func check(t *testing.T, resource, text string) (map[string]any, string) {
	t.Helper()
	for _, k := range Builtin() {
		if k.Plural != resource {
			continue
		}
		var obj map[string]any
		if err := yaml.Unmarshal([]byte(text), &obj); err != nil {
			t.Fatal(err)
		}
		out, _, err := k.Rules.Normalize(k.Storage, obj, nil)
		if err != nil {
			t.Fatal(err)
		}
		if out, err = k.Rules.Default(out); err != nil {
			t.Fatal(err)
		}
		errs := k.Rules.Validate(context.Background(), out, nil, "")
		if errs == nil {
			return out, ""
		}
		return out, errs.ToAggregate().Error()
	}
	t.Fatalf("no kind %s", resource)
	return nil, ""
}

// What people forget or mistype is refused in Kubernetes' words.
func TestValidation(t *testing.T) {
	pod := func(container string) string { return "spec: {containers: [{name: a, image: b, " + container + "}]}" }
	tests := []struct{ resource, text, want string }{
		{"pods", "spec: {}", "spec.containers: Required value"},
		{"pods", pod("imagePullPolicy: Sometimes"), `spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes"`},
		{"pods", pod("ports: [{containerPort: 70000}]"), "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"},
		{"pods", pod("ports: [{}]"), "spec.containers[0].ports[0].containerPort: Required value"},
		{"pods", pod("readinessProbe: {}"), "spec.containers[0].readinessProbe: Required value: must specify a handler type"},
		{"pods", pod("env: [{value: x}]"), "spec.containers[0].env[0].name: Required value"},
		{"pods", pod("resources: {requests: {cpu: 2}, limits: {cpu: 1}}"), "must be less than or equal to cpu limit of 1"},
		{"pods", "spec: {containers: [{name: a, image: b}, {name: a, image: b}]}", `spec.containers[1].name: Duplicate value: "a"`},
		{"services", "spec: {}", "spec.ports: Required value"},
		{"services", "spec: {ports: [{port: 80}, {port: 81}]}", "spec.ports[0].name: Required value"},
		{"services", "spec: {type: Balancer, ports: [{port: 80}]}", `spec.type: Unsupported value: "Balancer"`},
		{"services", "spec: {type: ExternalName}", "spec.externalName: Required value"},
		{"configmaps", `data: {"a/b": c}`, `data[a/b]: Invalid value: "a/b"`},
		{"secrets", "type: kubernetes.io/tls", "data[tls.crt]: Required value"},
		{"deployments", "spec: {template: {spec: {containers: [{name: a, image: b}]}}}", "spec.selector: Required value"},
		{"jobs", "spec: {template: {spec: {containers: [{name: a, image: b}]}}}", `spec.template.spec.restartPolicy: Unsupported value: "Always"`},
		{"horizontalpodautoscalers", "spec: {maxReplicas: 1, minReplicas: 2, scaleTargetRef: {kind: Deployment, name: x}}", "must be greater than or equal to `minReplicas`"},
		{"ingresses", "spec: {rules: [{http: {paths: [{path: /, backend: {service: {name: a}}}]}}]}", "pathType must be specified"},
	}
	for _, test := range tests {
		if _, got := check(t, test.resource, test.text); !strings.Contains(got, test.want) {
			t.Errorf("%s %s: got %q, want %q", test.resource, test.text, got, test.want)
		}
	}
}

// What is left out gets the value that Kubernetes gives it.
func TestDefaults(t *testing.T) {
	tests := []struct{ resource, text, path, want string }{
		{"pods", "spec: {containers: [{name: a, image: b}]}", "spec.containers.0.imagePullPolicy", `"Always"`},
		{"pods", "spec: {containers: [{name: a, image: 'r.io:5000/b:1'}]}", "spec.containers.0.imagePullPolicy", `"IfNotPresent"`},
		{"pods", "spec: {containers: [{name: a, image: 'r.io:5000/b'}]}", "spec.containers.0.imagePullPolicy", `"Always"`},
		{"pods", "spec: {containers: [{name: a, image: b}]}", "spec.terminationGracePeriodSeconds", "30"},
		{"pods", "spec: {containers: [{name: a, image: b, livenessProbe: {httpGet: {port: 80}}}]}", "spec.containers.0.livenessProbe",
			`{"failureThreshold":3,"httpGet":{"path":"/","port":80,"scheme":"HTTP"},"periodSeconds":10,"successThreshold":1,"timeoutSeconds":1}`},
		{"pods", "spec: {containers: [{name: a, image: b, resources: {limits: {cpu: 1, memory: 1Gi}}}]}", "status.qosClass", `"Guaranteed"`},
		{"pods", "spec: {containers: [{name: a, image: b, resources: {requests: {cpu: 1}}}]}", "status.qosClass", `"Burstable"`},
		{"pods", "spec: {containers: [{name: a, image: b}], volumes: [{name: v}]}", "spec.volumes.0", `{"emptyDir":{},"name":"v"}`},
		{"deployments", "spec: {template: {spec: {}}}", "spec.progressDeadlineSeconds", "600"},
		{"services", "spec: {ports: [{port: 80}]}", "spec.ports.0", `{"port":80,"protocol":"TCP","targetPort":80}`},
		{"secrets", "stringData: {a: b}", "data", `{"a":"Yg=="}`},
		{"secrets", "{}", "type", `"Opaque"`},
	}
	for _, test := range tests {
		obj, _ := check(t, test.resource, test.text)
		raw, err := json.Marshal(at(obj, test.path))
		if err != nil || string(raw) != test.want {
			t.Errorf("%s %s: got %s, %v; want %s", test.resource, test.text, raw, err, test.want)
		}
	}
}

func at(v any, path string) any {
	for _, p := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[p]
		case []any:
			v = x[int(p[0]-'0')]
		}
	}
	return v
}
