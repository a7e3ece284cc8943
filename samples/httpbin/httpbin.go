// Package httpbin answers with what it was asked, for trying rules on: headers,
// status codes, delays and more, by the library go-httpbin.
package httpbin

import (
	"net/http"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"

	"github.com/lateenmesh/lateen/samples/app"
)

// Handler serves httpbin.
func Handler(s app.Settings) http.Handler {
	return httpbin.New(
		httpbin.WithMaxDuration(60*time.Second),
		httpbin.WithHostname(s.Instance()),
	)
}
