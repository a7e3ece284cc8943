package compile

import (
	"net/url"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/router"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// caller makes calls through a cluster, each within the given time; 0 is no
// limit.
func (c *Compiler) caller(cluster, authority string, timeout time.Duration) *upcall.Caller {
	f := route.Forward{Clusters: []route.Weighted{{Cluster: c.Handle(cluster)}}, Timeout: timeout}
	return &upcall.Caller{Handler: router.New(f, router.Options{}), Authority: authority}
}

// grpcCaller reads a gRPC service. unset is the time for a call where none is
// written.
func (c *Compiler) grpcCaller(s *corev3.GrpcService, unset time.Duration) (*upcall.Caller, error) {
	e := s.GetEnvoyGrpc()
	if e == nil {
		return nil, fieldcheck.Refuse("", "names no cluster: write envoy_grpc.cluster_name")
	}
	timeout := unset
	if d := s.GetTimeout(); d != nil {
		timeout = d.AsDuration()
	}
	authority := e.GetAuthority()
	if authority == "" {
		authority = e.GetClusterName()
	}
	out := c.caller(e.GetClusterName(), authority, timeout)
	for _, h := range s.GetInitialMetadata() {
		out.Header = append(out.Header, stream.Field{Name: h.GetKey(), Value: h.GetValue()})
	}
	return out, nil
}

// httpCaller reads where an HTTP service is. The address may lack its scheme, which
// nobody needs: the cluster says how it is spoken to.
func (c *Compiler) httpCaller(u *corev3.HttpUri) (*upcall.Caller, *url.URL, error) {
	uri := u.GetUri()
	if !strings.Contains(uri, "://") { // "host:port/path"
		uri = "http://" + uri
	}
	at, err := url.Parse(uri)
	if err != nil {
		return nil, nil, fieldcheck.Refuse("uri", "%v", err)
	}
	if u.GetCluster() == "" {
		return nil, nil, fieldcheck.Refuse("cluster", "is missing: calls go through a cluster")
	}
	return c.caller(u.GetCluster(), at.Host, u.GetTimeout().AsDuration()), at, nil
}

// httpService reads an HTTP service that is told something.
func (c *Compiler) httpService(m *corev3.HttpService) (*upcall.Caller, string, error) {
	caller, at, err := c.httpCaller(m.GetHttpUri())
	if err != nil {
		return nil, "", fieldcheck.At("http_uri", err)
	}
	if caller.Header, err = ownFields(m.GetRequestHeadersToAdd()); err != nil {
		return nil, "", fieldcheck.At("request_headers_to_add", err)
	}
	return caller, at.RequestURI(), nil
}

// names compiles a list of comparisons.
func names(m *matcherv3.ListStringMatcher) ([]route.StringMatch, error) {
	if m == nil {
		return nil, nil
	}
	out := make([]route.StringMatch, 0, len(m.GetPatterns()))
	for _, p := range m.GetPatterns() {
		s, err := stringMatch(p)
		if err != nil {
			return nil, fieldcheck.At("patterns", err)
		}
		out = append(out, s)
	}
	return out, nil
}
