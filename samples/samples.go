// Package samples knows the sample applications by the image names under which
// manifests ask for them, so that those manifests run unmodified and offline.
//
// The applications themselves are in the folders below, each with its
// manifests, and are linked into one program, lateen-samples; this package
// links none of them.
package samples

import (
	"path"
	"strings"
)

// App is a sample application as a pod's container runs it.
type App struct {
	// Name is the application's name in lateen-samples; it is run as
	// "lateen-samples run NAME ARGS...".
	Name string
	// Args stand before the container's own arguments.
	Args []string
	// Ports are the ports that the image listens on when the container
	// declares none.
	Ports []int32
	// Env are settings that the image has built in.
	Env map[string]string
}

// images maps the last part of an image name, without its tag, to the
// application that stands for it.
var images = map[string]App{
	"examples-bookinfo-details-v1":     {Name: "details", Ports: []int32{9080}, Env: version("v1")},
	"examples-bookinfo-details-v2":     {Name: "details", Ports: []int32{9080}, Env: version("v2")},
	"examples-bookinfo-ratings-v1":     {Name: "ratings", Ports: []int32{9080}, Env: version("v1")},
	"examples-bookinfo-reviews-v1":     {Name: "reviews", Ports: []int32{9080}, Env: version("v1")},
	"examples-bookinfo-reviews-v2":     {Name: "reviews", Ports: []int32{9080}, Env: version("v2")},
	"examples-bookinfo-reviews-v3":     {Name: "reviews", Ports: []int32{9080}, Env: version("v3")},
	"examples-bookinfo-productpage-v1": {Name: "productpage", Ports: []int32{9080}, Env: version("v1")},
	"examples-helloworld-v1":           {Name: "helloworld", Ports: []int32{5000}, Env: version("v1")},
	"examples-helloworld-v2":           {Name: "helloworld", Ports: []int32{5000}, Env: version("v2")},
	"tcp-echo-server":                  {Name: "tcp-echo", Ports: []int32{9000}},
	"kennethreitz/httpbin":             {Name: "httpbin", Ports: []int32{80}},
	"mccutchen/go-httpbin":             {Name: "httpbin", Ports: []int32{8080}},
	"curlimages/curl":                  {Name: "curl"},
	"governmentpaas/curl-ssl":          {Name: "curl"},
	"redis":                            {Name: "redis", Ports: []int32{6379}},
	"laravelapp":                       {Name: "counter", Ports: []int32{8080}},
	"lateenmesh/counter":               {Name: "counter", Ports: []int32{8080}},
}

func version(v string) map[string]string { return map[string]string{"SERVICE_VERSION": v} }

// Lookup finds the application that stands for an image. Registry and tag do
// not matter: "docker.io/redis:alpine" and "redis" are the same.
func Lookup(image string) (App, bool) {
	name, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	if app, ok := images[path.Base(path.Dir(name))+"/"+path.Base(name)]; ok {
		return app, true
	}
	app, ok := images[path.Base(name)]
	return app, ok
}
