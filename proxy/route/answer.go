package route

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// RedirectHandler answers with r.
func RedirectHandler(r Redirect) stream.Handler { return &redirect{r} }

type redirect struct{ Redirect }

// Handle implements [stream.Handler].
func (r *redirect) Handle(req *stream.Request) (*stream.Response, error) {
	req.Info.Details = "direct_response"
	status, location := cmp.Or(r.Status, 301), stream.Field{Name: "location", Value: r.location(req)}
	if r.Refuses {
		return nil, &stream.Refusal{Status: status, Details: req.Info.Details, Header: []stream.Field{location}}
	}
	resp := &stream.Response{Status: status}
	resp.Header.Add(location.Name, location.Value)
	return resp, nil
}

func (r *redirect) location(req *stream.Request) string {
	scheme := cmp.Or(r.Scheme, req.Scheme, "http")
	host, port := splitPort(req.Authority)
	if r.Host != "" {
		host = r.Host
	}
	switch {
	case r.Port != 0:
		port = strconv.FormatUint(uint64(r.Port), 10)
	case r.Scheme != "" && r.Scheme != req.Scheme:
		// The port belonged to the other scheme.
		if req.Scheme == "http" && port == "80" || req.Scheme == "https" && port == "443" {
			port = ""
		}
	}
	if port != "" && !(scheme == "http" && port == "80") && !(scheme == "https" && port == "443") {
		host += ":" + port
	}
	return scheme + "://" + host + r.path(req)
}

func (r *redirect) path(req *stream.Request) string {
	path, query, hasQuery := strings.Cut(req.Path, "?")
	switch {
	case r.Path != "":
		path = r.Path
		if own, _, found := strings.Cut(r.Path, "?"); found {
			// A path with a query of its own replaces both.
			return cmp.Or(r.Path, own)
		}
	case r.Prefix != "":
		path = r.Prefix + path[min(len(r.MatchedPrefix), len(path)):]
	case r.Regex != nil:
		path = r.Regex.ReplaceAllString(path, r.Substitution)
	}
	if hasQuery && !r.StripQuery {
		path += "?" + query
	}
	return path
}

func splitPort(authority string) (host, port string) {
	host = withoutPort(authority)
	if len(host) < len(authority) {
		port = authority[len(host)+1:]
	}
	return host, port
}

// DirectHandler answers with d.
func DirectHandler(d Direct) stream.Handler { return &direct{d, []byte(d.Body)} }

type direct struct {
	Direct
	body []byte
}

// Handle implements [stream.Handler].
func (d *direct) Handle(req *stream.Request) (*stream.Response, error) {
	req.Info.Details = "direct_response"
	if d.Refuses {
		return nil, &stream.Refusal{Status: d.Status, Details: req.Info.Details, Body: d.Body}
	}
	resp := &stream.Response{Status: d.Status, Length: int64(len(d.body))}
	if len(d.body) > 0 {
		resp.Header.Add("content-type", "text/plain")
		resp.Body = stream.NewBytes(d.body)
	}
	return resp, nil
}
