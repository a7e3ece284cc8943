package router

import (
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// follow makes the request the one that an upstream's redirect asks for, if the
// route follows such redirects here, and reports whether it did. Only a request
// that has been read and kept as a whole can be made again.
func (a *attempt) follow(req *stream.Request, resp *stream.Response) bool {
	p := a.router.Redirects
	if p == nil || !p.Follows(resp.Status) || resp.Upgraded != nil {
		return false
	}
	location := resp.Header.Get("location")
	if location == "" || !a.body.whole(req) || !redirected(p, req, resp, location) {
		a.cluster.Stats.RedirectsFailed.Add(1)
		return false
	}
	a.cluster.Stats.RedirectsSucceeded.Add(1)
	if req.Body != nil {
		a.body.rewind(req)
		req.Info.BytesReceived = 0
	}
	return true
}

// whole reports whether the request's body is kept to its end.
func (b *replay) whole(req *stream.Request) bool {
	if b == nil {
		return req.Body == nil || int64(len(req.Body.Buffered())) == req.Length
	}
	return b.read(req) && !b.over && b.Body.Complete()
}

// redirected changes the request to what the location says, and finds out where it
// would go. If it may not go there it stays as it was, and its reply is its own route's;
// the route that was found stays the one that its record tells of.
func redirected(p *route.Redirects, req *stream.Request, resp *stream.Response, location string) bool {
	scheme, authority, path, ok := absolute(location)
	secure := req.Scheme == "https" && req.Conn.TLS != nil
	hops := req.Info.Hops
	if !ok || !p.CrossScheme && secure != (scheme == "https") || uint32(len(hops)) >= p.Max {
		return false
	}
	oldScheme, oldAuthority, oldPath, oldHeader := req.Scheme, req.Authority, req.Path, req.Header.Clone()
	for _, name := range p.Copy {
		req.Header.Del(name)
		for i := range resp.Header.Len() {
			if f := resp.Header.At(i); stream.EqualName(f.Name, name) {
				req.Header.Add(name, strings.Clone(f.Value))
			}
		}
	}
	from, own := req.Info.Route, route.Matched(req)
	original := "http://" + req.Authority + req.Path
	if secure {
		original = "https" + original[len("http"):]
	}
	req.Scheme, req.Authority, req.Path = scheme, authority, path
	to, _ := route.Choose(p.Table.For(req), req)
	hop := stream.Hop{From: from, To: req.Info.Route}
	if to == nil || !p.Allows(hop, hops, secure, scheme == "https") {
		req.Scheme, req.Authority, req.Path = oldScheme, oldAuthority, oldPath
		oldHeader.CopyTo(&req.Header)
		own.Keep(req)
		return false
	}
	if resp.Status == 303 && req.Method != "GET" && req.Method != "HEAD" { // RFC 9110 section 15.4.4
		req.Method, req.Body, req.Length = "GET", nil, 0
	}
	req.Info.Hops = append(slices.Clip(hops), hop)
	req.Header.Set("x-envoy-original-url", original)
	return true
}

// absolute splits an absolute address. What is behind "#" is not sent.
func absolute(location string) (scheme, authority, path string, ok bool) {
	location = strings.Clone(location)
	scheme, rest, found := strings.Cut(location, "://")
	scheme = strings.ToLower(scheme)
	if !found || scheme != "http" && scheme != "https" {
		return "", "", "", false
	}
	authority, path = rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	path, _, _ = strings.Cut(path, "#")
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	if path == "" {
		path = "/"
	}
	return scheme, authority, path, authority != "" && stream.ValidHost(authority) && stream.ValidTarget(path)
}
