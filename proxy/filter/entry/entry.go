// Package entry is what happens to every request before a route is chosen and to
// every reply before it leaves: what Envoy's connection manager does beside
// carrying bytes. It stands between the codec and the route table.
package entry

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// ServerHeader is what becomes of the field "server" of a reply.
type ServerHeader uint8

// The ways to treat it.
const (
	Overwrite ServerHeader = iota
	AppendIfAbsent
	PassThrough
)

// Config is a connection manager's settings.
type Config struct {
	// UseRemoteAddress takes the socket's peer for the client and notes it in
	// x-forwarded-for; otherwise the field is trusted and left alone.
	UseRemoteAddress bool
	// TrustedHops is how many proxies in front are believed.
	TrustedHops uint32
	SkipAppend  bool // leaves x-forwarded-for as it came
	// Detectors find the client in other ways, where UseRemoteAddress and TrustedHops are
	// not set; empty are none.
	Detectors []Detector
	// UserAgent tells upstreams who calls; nil does not.
	UserAgent *UserAgent
	// Internal are the addresses whose requests are from inside, when no proxy stood
	// between: they may steer the router, and keep their ids.
	Internal []netip.Prefix
	// InternalSockets does the same for requests that come by a Unix socket.
	InternalSockets bool
	// AppendPort notes the port in x-forwarded-port.
	AppendPort bool

	ServerName string // default "envoy"
	Server     ServerHeader
	Via        string // added to the field "via" both ways; empty adds none

	// NoRequestID leaves x-request-id as it came.
	NoRequestID bool
	// KeepRequestID keeps one that came from outside.
	KeepRequestID bool
	// EchoRequestID puts it on the reply.
	EchoRequestID bool

	// Upgrades are the protocols that may be changed to, where a route does not say
	// otherwise; [stream.Connect] allows CONNECT.
	Upgrades []string

	ClientCert ClientCert
	Path       PathRules
	// StripDot takes the dot off hosts that end in one, StripPort then the port.
	StripDot  bool
	StripPort StripPort
	// Scheme replaces the request's; empty leaves it.
	Scheme string
	// RefuseUnderscores answers 400 to a field name with "_", DropUnderscores
	// leaves such a field out.
	RefuseUnderscores, DropUnderscores bool
	// RequestTimeout is how long a request may take to arrive; 0 is for ever. It ends
	// when the answer begins.
	RequestTimeout time.Duration
	// LocalReply changes what is answered here; nil leaves it.
	LocalReply *LocalReply
	// Overloaded reports whether a request is not to be taken; nil is never.
	Overloaded func() bool
	// Began is told of each request; may be nil.
	Began func(*stream.Request)
	// Tracer makes requests' spans; nil when requests are not traced.
	Tracer Tracer
	// Followed is told of a request whose redirect was followed here, before it begins
	// anew; it may be nil.
	Followed stream.Observer
}

// Routing is where requests go: the route tables and the filters before them, which
// change together.
type Routing struct {
	// NotFound answers what no route takes: the filters that see every request,
	// then [route.NotFound]; nil is the latter alone.
	NotFound stream.Handler
	// Table is where the table in force is; nil is a place without one. One whose
	// filters are replaced changes no more: requests that are among these go on there.
	Table *route.Current
}

// Handler is the connection manager in front of a route table.
type Handler struct {
	config  Config
	routing atomic.Pointer[Routing] // immutable and swapped
}

// New makes a handler; it answers 404 until it has a table.
func New(c Config, r Routing) *Handler {
	if c.ServerName == "" {
		c.ServerName = "envoy"
	}
	h := &Handler{config: c}
	h.SetRouting(r)
	return h
}

// SetRouting replaces the filters and the route table for the requests to come.
func (h *Handler) SetRouting(r Routing) {
	if r.NotFound == nil {
		r.NotFound = route.NotFound{}
	}
	if r.Table == nil {
		r.Table = &route.Current{}
	}
	h.routing.Store(&r)
}

// A Tracer makes the spans of a listener's requests.
type Tracer interface {
	// Start begins the span of a request whose route has been chosen.
	Start(*stream.Request)
	// Reply sees the head of the answer.
	Reply(*stream.Request, *stream.Header)
}

// Handle implements [stream.Handler].
func (h *Handler) Handle(req *stream.Request) (*stream.Response, error) {
	if h.config.Began != nil {
		h.config.Began(req)
	}
	if h.config.Overloaded != nil && h.config.Overloaded() {
		return h.reply(req, nil, nil, overloaded)
	}
	received := h.receive(req)
	resp, err := h.answer(req)
	for r := stream.AsRedirected(err); r != nil; r = stream.AsRedirected(err) {
		if err = nil; r.Response != nil {
			h.followed(req, r.Response)
			err = h.config.Path.apply(req)
		}
		if err == nil {
			resp, err = h.route(req, r.Response != nil)
		}
	}
	received()
	if err != nil && stream.IsSource(err) && !stream.IsRefusal(err) {
		err = req.GivenUp() // a filter has waited for the body
	}
	return h.reply(req, route.Matched(req), resp, err)
}

var overloaded = &stream.Refusal{Status: 503, Details: "overload", Body: "envoy overloaded"}

// answer lets the request's route answer.
func (h *Handler) answer(req *stream.Request) (*stream.Response, error) {
	if err := h.admit(req); err != nil {
		return nil, err
	}
	return h.route(req, true)
}

// followed ends the record of a request whose redirect is followed, and begins that
// of the request that it has become.
func (h *Handler) followed(req *stream.Request, resp *stream.Response) {
	info := req.Info
	info.Status, info.Details, info.End = resp.Status, "internal_redirect", time.Now()
	if h.config.Followed != nil {
		h.config.Followed.Request(req, resp)
	}
	if resp.Done != nil {
		resp.Done.Settle()
		resp.Done.Release(true)
	}
	info.Again()
	req.ALPN = nil
	if h.config.Began != nil {
		h.config.Began(req)
	}
}

// route lets a route answer a request that has been admitted, whose span is begun
// unless it was before.
func (h *Handler) route(req *stream.Request, begin bool) (*stream.Response, error) {
	routing := h.routing.Load()
	r, err := route.Choose(routing.Table.For(req), req)
	if h.config.Tracer != nil && begin {
		h.config.Tracer.Start(req)
	}
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return routing.NotFound.Handle(req)
	case req.Upgrade != "" && !h.mayUpgrade(r, req.Upgrade):
		req.Info.Matched = nil // it is not the route's answer
		return nil, &stream.Refusal{Status: 403, Details: "upgrade_failed"}
	}
	return r.Handler.Handle(req)
}

// mayUpgrade reports whether requests of a route may change to a protocol.
func (h *Handler) mayUpgrade(r *route.Route, protocol string) bool {
	if enabled, set := r.Upgrades[strings.ToLower(protocol)]; set {
		return enabled
	}
	return slices.ContainsFunc(h.config.Upgrades, func(u string) bool { return strings.EqualFold(u, protocol) })
}

// admit checks and completes a request's head.
func (h *Handler) admit(req *stream.Request) error {
	c := &h.config
	req.Scratch = req.Scratch[:0]
	if (c.RefuseUnderscores || c.DropUnderscores) && !h.underscores(req) {
		return &stream.Refusal{Status: 400, Details: "http1.unexpected_underscore", Close: true}
	}
	if err := c.Path.apply(req); err != nil {
		return err
	}
	if req.Scheme == "" {
		req.Scheme = "http"
		if req.Conn.TLS != nil {
			req.Scheme = "https"
		}
	}
	c.strip(req)
	found, err := c.detect(req)
	if err != nil {
		return err
	}
	internal := c.internal(req, found)
	edge := c.UseRemoteAddress && !internal
	h.forwarded(req, edge, found)
	if c.Scheme != "" {
		req.Scheme = c.Scheme
		req.Header.Set("x-forwarded-proto", c.Scheme)
	}
	if internal {
		req.Header.Set("x-envoy-internal", "true")
	} else {
		clean(req, edge)
	}
	if c.UserAgent != nil {
		c.UserAgent.tell(&req.Header)
	}
	if req.Upgrade == "" {
		acceptTrailers(&req.Header)
	}
	c.ClientCert.apply(req)
	if !c.NoRequestID {
		if edge && !c.KeepRequestID || !req.Header.Has("x-request-id") {
			at := len(req.Scratch)
			req.Scratch = stream.AppendUUID(req.Scratch)
			req.Header.Set("x-request-id", view(req.Scratch[at:]))
		}
	}
	if c.Via != "" {
		appendList(&req.Header, "via", c.Via)
	}
	return nil
}

// acceptTrailers leaves of the field "te" that trailers are accepted: codings of the
// transfer are this proxy's own affair (RFC 9110 section 10.1.4).
func acceptTrailers(h *stream.Header) {
	list, found := h.Joined("te")
	if !found || list == "" || list == "trailers" {
		return
	}
	h.Del("te")
	for each := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(each) == "trailers" {
			h.Set("te", "trailers")
			return
		}
	}
}

// forwarded notes where the request came from.
func (h *Handler) forwarded(req *stream.Request, edge bool, found Detected) {
	c := &h.config
	if len(c.Detectors) > 0 {
		req.Info.Client = found.Client
	} else if !c.UseRemoteAddress || c.TrustedHops > 0 {
		req.Info.Client = c.client(req)
	}
	if (c.UseRemoteAddress && !c.SkipAppend || found.Append) && req.Conn.Remote.IsValid() {
		at := len(req.Scratch)
		if before, found := req.Header.Joined("x-forwarded-for"); found && before != "" {
			req.Scratch = append(append(req.Scratch, before...), ',')
		}
		req.Scratch = req.Conn.Remote.Addr().Unmap().AppendTo(req.Scratch)
		req.Header.Set("x-forwarded-for", view(req.Scratch[at:]))
	}
	if c.UseRemoteAddress && c.TrustedHops == 0 || !req.Header.Has("x-forwarded-proto") {
		proto := "http"
		if req.Conn.TLS != nil {
			proto = "https"
		}
		req.Header.Set("x-forwarded-proto", proto)
	} else if proto := req.Header.Get("x-forwarded-proto"); proto == "http" || proto == "https" {
		req.Scheme = proto
	}
	if c.AppendPort && req.Conn.Local.IsValid() && !req.Header.Has("x-forwarded-port") {
		req.Header.Set("x-forwarded-port", portText(req.Conn.Local))
	}
	if edge {
		at := len(req.Scratch)
		external := req.Info.Client
		if !external.IsValid() {
			external = req.Conn.Remote.Addr().Unmap()
		}
		if req.Scratch = external.AppendTo(req.Scratch); external.IsValid() {
			req.Header.Set("x-envoy-external-address", view(req.Scratch[at:]))
		}
	}
}

// view is b as a string without a copy: it lives as long as the request.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// internal reports whether a request is from inside: from an address that is, with
// at most that one in x-forwarded-for, or as it was found.
func (c *Config) internal(req *stream.Request, found Detected) bool {
	if len(c.Detectors) > 0 {
		return found.Inside && among(c.Internal, found.Client)
	}
	if len(c.Internal) == 0 && !c.InternalSockets {
		return false
	}
	list, forwarded := req.Header.Joined("x-forwarded-for")
	from := req.Conn.Remote.Addr().Unmap()
	switch {
	case c.UseRemoteAddress && forwarded, !c.UseRemoteAddress && (!forwarded || c.TrustedHops > 0 || strings.Contains(list, ",")):
		return false
	case !c.UseRemoteAddress:
		from = c.client(req)
	case !from.IsValid():
		return c.InternalSockets
	}
	return among(c.Internal, from)
}

// client is the address that counts as the client's as the hops before tell it;
// invalid when that is the socket's peer. Where the peer's own address is used,
// it is the first of the trusted hops itself.
func (c *Config) client(req *stream.Request) netip.Addr {
	list, found := req.Header.Joined("x-forwarded-for")
	if !found {
		return netip.Addr{}
	}
	skip := int(c.TrustedHops)
	if c.UseRemoteAddress {
		skip--
	}
	return hopBefore(list, skip)
}

// fromOutside are fields with which a caller would steer the proxy; they are
// only for the proxy itself.
var fromOutside = []string{
	"x-envoy-retriable-status-codes", "x-envoy-retriable-header-names", "x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries",
	"x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
	"x-envoy-upstream-rq-timeout-alt-response", "x-envoy-ip-tags", "x-envoy-original-url", "x-envoy-hedge-on-per-try-timeout",
	"x-envoy-expected-rq-timeout-ms", "x-envoy-internal", "x-envoy-force-trace",
}

// fromOutsideEdge are those that only an edge strips.
var fromOutsideEdge = []string{"x-envoy-decorator-operation", "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node", "x-envoy-original-path", "x-envoy-original-host"}

// clean removes what a caller may not say. One scan of the fields decides
// whether there is anything to remove at all.
func clean(req *stream.Request, edge bool) {
	steering := false
	for i := range req.Header.Len() {
		if n := req.Header.At(i).Name; len(n) > 8 && stream.EqualName(n[:8], "x-envoy-") {
			steering = true
			break
		}
	}
	if !steering {
		return
	}
	for _, name := range fromOutside {
		req.Header.Del(name)
	}
	if edge {
		for _, name := range fromOutsideEdge {
			req.Header.Del(name)
		}
	}
}

// reply completes what is answered.
func (h *Handler) reply(req *stream.Request, from *route.Route, resp *stream.Response, err error) (*stream.Response, error) {
	if h.config.LocalReply != nil && err != nil && stream.AsRedirected(err) == nil {
		if from != nil {
			_, err = stream.OnHead(nil, err, func(resp *stream.Response) { from.MutateResponse(req, resp) })
		}
		from, err = nil, h.config.LocalReply.Rewrite(req, stream.AsRefusal(err))
	}
	return stream.OnHead(resp, err, func(resp *stream.Response) {
		if from != nil {
			from.MutateResponse(req, resp)
		}
		h.finish(req, &resp.Header)
	})
}

// finish puts what every reply has on its head.
func (h *Handler) finish(req *stream.Request, header *stream.Header) {
	c := &h.config
	if c.Tracer != nil {
		c.Tracer.Reply(req, header)
	}
	if !header.Has("date") {
		header.Add("date", date(time.Now()))
	}
	switch {
	case c.Server == Overwrite, c.Server == AppendIfAbsent && !header.Has("server"):
		header.Set("server", c.ServerName)
	}
	if c.Via != "" {
		appendList(header, "via", c.Via)
	}
	if c.EchoRequestID {
		if id := req.Header.Get("x-request-id"); id != "" {
			header.Set("x-request-id", id)
		}
	}
}

// underscores looks for field names with "_" and reports whether the request
// may go on.
func (h *Handler) underscores(req *stream.Request) bool {
	for i := 0; i < req.Header.Len(); i++ {
		name := req.Header.At(i).Name
		if strings.IndexByte(name, '_') < 0 {
			continue
		}
		if h.config.RefuseUnderscores {
			return false
		}
		req.Header.Del(name)
		i--
	}
	return true
}

// appendList adds a value to a comma-separated field.
func appendList(h *stream.Header, name, value string) {
	if have, found := h.Joined(name); found && have != "" {
		value = have + "," + value
	}
	h.Set(name, value)
}

func portText(a netip.AddrPort) string {
	s := a.String()
	return s[strings.LastIndexByte(s, ':')+1:]
}
