// Package helloworld says which version and which instance of it answered.
package helloworld

import (
	"fmt"
	"net/http"

	"github.com/lateenmesh/lateen/samples/app"
)

// Handler serves /hello.
func Handler(s app.Settings) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello version: %s, instance: %s\n", s.Get("SERVICE_VERSION", "v1"), s.Instance())
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Helloworld is healthy") })
	return mux
}
