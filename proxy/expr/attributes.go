package expr

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"time"

	"github.com/google/cel-go/cel"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// attribute is a name that expressions may use. Its value is nil where a request
// has none.
type attribute struct {
	kind  *cel.Type
	value func(*facts) any
}

var (
	text    = cel.StringType
	number  = cel.IntType
	fields  = cel.MapType(cel.StringType, cel.StringType)
	objects = cel.MapType(cel.StringType, cel.DynType)
)

// attributes after Envoy's documentation ("Attributes").
var attributes = map[string]attribute{
	"request.path":       {text, http(func(r *stream.Request) any { return r.Path })},
	"request.url_path":   {text, http(func(r *stream.Request) any { return r.PathOnly() })},
	"request.host":       {text, http(func(r *stream.Request) any { return r.Authority })},
	"request.scheme":     {text, http(func(r *stream.Request) any { return r.Scheme })},
	"request.method":     {text, http(func(r *stream.Request) any { return r.Method })},
	"request.headers":    {fields, http(func(r *stream.Request) any { return header(&r.Header) })},
	"request.referer":    {text, http(func(r *stream.Request) any { return field(&r.Header, "referer") })},
	"request.useragent":  {text, http(func(r *stream.Request) any { return field(&r.Header, "user-agent") })},
	"request.id":         {text, http(func(r *stream.Request) any { return field(&r.Header, "x-request-id") })},
	"request.protocol":   {text, http(func(r *stream.Request) any { return r.Protocol.String() })},
	"request.query":      {text, http(query)},
	"request.time":       {cel.TimestampType, func(f *facts) any { return f.req.Info.Start }},
	"request.duration":   {cel.DurationType, func(f *facts) any { return end(f).Sub(f.req.Info.Start) }},
	"request.size":       {number, func(f *facts) any { return f.req.Info.BytesReceived }},
	"request.total_size": {number, func(f *facts) any { return f.req.Info.BytesReceived + f.req.HeadSize() }},

	"response.code":            {number, func(f *facts) any { return positive(stream.StatusOf(f.req, f.resp)) }},
	"response.code_details":    {text, func(f *facts) any { return some(f.req.Info.Details) }},
	"response.flags":           {number, func(f *facts) any { return int64(f.req.Info.Flags.Envoy()) }},
	"response.grpc_status":     {number, grpcStatus},
	"response.headers":         {fields, reply(func(r *stream.Response) any { return header(&r.Header) })},
	"response.trailers":        {fields, reply(trailers)},
	"response.size":            {number, func(f *facts) any { return f.req.Info.BytesSent }},
	"response.total_size":      {number, func(f *facts) any { return f.req.Info.BytesSent + f.req.Info.ReplyHead }},
	"response.backend_latency": {cel.DurationType, latency},

	"source.address":      {text, func(f *facts) any { return side(f, f.req.Conn.Remote) }},
	"source.port":         {number, func(f *facts) any { return port(f.req.Conn.Remote) }},
	"destination.address": {text, func(f *facts) any { return side(f, f.req.Conn.Local) }},
	"destination.port":    {number, func(f *facts) any { return port(f.req.Conn.Local) }},

	"connection.id":                             {cel.UintType, func(f *facts) any { return f.req.Conn.ID }},
	"connection.mtls":                           {cel.BoolType, func(f *facts) any { return f.req.Conn.TLS.Mutual() }},
	"connection.requested_server_name":          {text, serverName},
	"connection.tls_version":                    {text, secured(func(t *stream.TLS) any { return version(t.Version) })},
	"connection.subject_peer_certificate":       {text, secured(func(t *stream.TLS) any { return some(t.Subject) })},
	"connection.uri_san_peer_certificate":       {text, secured(func(t *stream.TLS) any { return first(t.URISANs) })},
	"connection.dns_san_peer_certificate":       {text, secured(func(t *stream.TLS) any { return first(t.DNSSANs) })},
	"connection.uri_san_local_certificate":      {text, secured(func(t *stream.TLS) any { return some(t.LocalURI) })},
	"connection.sha256_peer_certificate_digest": {text, secured(func(t *stream.TLS) any { return some(t.PeerHash) })},
	"connection.termination_details":            {text, func(f *facts) any { return some(f.req.Info.Termination) }},
	"upstream.address":                          {text, func(f *facts) any { return address(f.req.Info.Upstream) }},
	"upstream.port":                             {number, func(f *facts) any { return port(f.req.Info.Upstream) }},
	"upstream.local_address":                    {text, func(f *facts) any { return address(f.req.Info.UpstreamLocal) }},
	"upstream.transport_failure_reason":         {text, func(f *facts) any { return some(f.req.Info.UpstreamFailure) }},
	"upstream.uri_san_peer_certificate":         {text, func(f *facts) any { return some(f.req.Info.UpstreamURI) }},
	"upstream.request_attempt_count":            {number, func(f *facts) any { return int64(f.req.Info.Attempts) }},
	"xds.cluster_name":                          {text, func(f *facts) any { return some(f.req.Info.Cluster) }},
	"xds.route_name":                            {text, func(f *facts) any { return some(f.req.Info.Route) }},
	"xds.virtual_host_name":                     {text, func(f *facts) any { return some(f.req.Info.VirtualHost) }},
	"xds.filter_chain_name":                     {text, func(f *facts) any { return some(f.req.Conn.Chain) }},
	"metadata":                                  {objects, metadata},
	"filter_state":                              {objects, state},
	"downstream_peer":                           {objects, func(f *facts) any { return peer(f.req.Info.DownstreamPeer) }},
	"upstream_peer":                             {objects, func(f *facts) any { return peer(f.req.Info.UpstreamPeer) }},
}

// http is the value of a request, none of a byte stream.
func http(value func(*stream.Request) any) func(*facts) any {
	return func(f *facts) any {
		if f.req.Method == "" {
			return nil
		}
		return value(f.req)
	}
}

func reply(value func(*stream.Response) any) func(*facts) any {
	return func(f *facts) any {
		if f.resp == nil {
			return nil
		}
		return value(f.resp)
	}
}

func secured(value func(*stream.TLS) any) func(*facts) any {
	return func(f *facts) any {
		if f.req.Conn.TLS == nil {
			return nil
		}
		return value(f.req.Conn.TLS)
	}
}

// some is a text, nothing where it is empty.
func some(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func first(list []string) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func positive(n int) any {
	if n == 0 {
		return nil
	}
	return int64(n)
}

// header is a map of the fields, by their names in lower case.
func header(h *stream.Header) map[string]string {
	all := make(map[string]string, h.Len())
	for i := range h.Len() {
		name := strings.ToLower(h.At(i).Name)
		if have, found := all[name]; found {
			all[name] = have + "," + h.At(i).Value
		} else {
			all[name] = h.At(i).Value
		}
	}
	return all
}

func field(h *stream.Header, name string) any {
	if !h.Has(name) {
		return nil
	}
	return h.Get(name)
}

func trailers(r *stream.Response) any {
	if r.Body != nil {
		if t := r.Body.Trailers(); t != nil {
			return header(t)
		}
	}
	return map[string]string{}
}

func query(r *stream.Request) any {
	_, query, _ := strings.Cut(r.Path, "?")
	return query
}

func end(f *facts) time.Time {
	if f.req.Info.End.IsZero() {
		return time.Now()
	}
	return f.req.Info.End
}

func grpcStatus(f *facts) any {
	n, found := stream.GRPCStatusOf(f.req, f.resp)
	if !found {
		return nil
	}
	return int64(n)
}

func latency(f *facts) any {
	if f.req.Info.UpstreamRecv.IsZero() {
		return nil
	}
	return f.req.Info.UpstreamRecv.Sub(f.req.Info.UpstreamSent)
}

func address(a netip.AddrPort) any {
	if !a.IsValid() {
		return nil
	}
	return a.String()
}

// side is the address of one of the downstream connection's ends, or the path of its
// Unix socket.
func side(f *facts, a netip.AddrPort) any {
	if f.req.Conn.Path == "" {
		return address(a)
	}
	return f.req.Conn.Name(a)
}

func port(a netip.AddrPort) any {
	if !a.IsValid() {
		return nil
	}
	return int64(a.Port())
}

func serverName(f *facts) any {
	if t := f.req.Conn.TLS; t != nil {
		return some(t.SNI)
	}
	return some(f.req.Conn.SNI)
}

func version(v uint16) any {
	switch v {
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return nil
}

// metadata is what filters left, as {"filter_metadata": {namespace: values}}.
func metadata(f *facts) any {
	spaces := map[string]any{}
	for name, values := range f.req.Info.Metadata.Namespaces() {
		spaces[name] = values
	}
	return map[string]any{"filter_metadata": spaces}
}

// state is what filters left for the log, with the two peers.
func state(f *facts) any {
	all := map[string]any{}
	for name, value := range f.req.Info.State {
		all[name] = value
	}
	if f.req.Conn != nil {
		for name, value := range f.req.Conn.State {
			all[name] = value
		}
	}
	for name, p := range map[string]*stream.Peer{"downstream_peer": f.req.Info.DownstreamPeer, "upstream_peer": f.req.Info.UpstreamPeer} {
		if p != nil {
			all[name] = peer(p)
		}
	}
	return all
}

// peer is a workload, by the names that Istio gives.
func peer(p *stream.Peer) any {
	if p == nil {
		return nil
	}
	return map[string]any{
		"name": p.Name, "namespace": p.Namespace, "workload": p.Workload, "type": p.OwnerKind, "cluster": p.KubeCluster,
		"service": p.CanonicalName, "revision": p.CanonicalRevision, "app": p.App, "version": p.Version,
		"labels": map[string]any{"app": p.App, "version": p.Version, "service.istio.io/canonical-name": p.CanonicalName, "service.istio.io/canonical-revision": p.CanonicalRevision},
	}
}
