package samples

import "testing"

func TestImageNamesOfManifestsFindTheirApplication(t *testing.T) {
	for image, want := range map[string]string{
		"registry.istio.io/release/examples-bookinfo-reviews-v2:1.20.3": "reviews",
		"docker.io/kennethreitz/httpbin":                                "httpbin",
		"docker.io/mccutchen/go-httpbin:v2.15.0":                        "httpbin",
		"governmentpaas/curl-ssl":                                       "curl",
		"docker.io/redis:alpine":                                        "redis",
		"docker.io/library/redis@sha256:00":                             "redis",
		"localhost:5000/laravelapp:0.0.2":                               "counter",
	} {
		if app, ok := Lookup(image); !ok || app.Name != want {
			t.Errorf("Lookup(%q) = %q, %v; want %q", image, app.Name, ok, want)
		}
	}
	for _, image := range []string{"", "nginx:1.25", "example.com/httpbin"} {
		if app, ok := Lookup(image); ok {
			t.Errorf("Lookup(%q) = %q; want none", image, app.Name)
		}
	}
}
