// Package csrf refuses requests that change something when a browser sends them
// for another site. It stands before everything that acts on a request.
package csrf

import (
	"net/url"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter compares the origin with the host that is asked.
type Filter struct {
	// Enabled says which share of the requests is checked.
	Enabled runtime.Share
	// Others are further origins that may.
	Others []route.StringMatch
	// The counters: of requests that say from where they are and may, that may not, and
	// that do not say it.
	Valid, Invalid, Missing *stream.Counter
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	switch req.Method {
	case "POST", "PUT", "DELETE", "PATCH":
	default:
		return next.Handle(req)
	}
	if !f.Enabled.Drawn() {
		return next.Handle(req)
	}
	if f.allows(req) {
		f.Valid.Count()
		return next.Handle(req)
	}
	return nil, stream.Refuse(403, "csrf_origin_mismatch", "Invalid origin")
}

func (f *Filter) allows(req *stream.Request) bool {
	from := hostOf(req.Header.Get("origin"))
	if from == "" {
		from = hostOf(req.Header.Get("referer"))
	}
	if from == "" {
		f.Missing.Count()
		return false
	}
	if from == req.Authority {
		return true
	}
	for i := range f.Others {
		if f.Others[i].Holds(from) {
			return true
		}
	}
	f.Invalid.Count()
	return false
}

// hostOf is an origin's host with its port.
func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Host
}

var _ stream.Filter = (*Filter)(nil)
