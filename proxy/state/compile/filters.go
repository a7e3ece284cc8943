package compile

import (
	"fmt"
	"maps"
	"slices"

	statsv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	injectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/compress"
	"github.com/lateenmesh/lateen/proxy/filter/entry"
	"github.com/lateenmesh/lateen/proxy/filter/grpcstats"
	"github.com/lateenmesh/lateen/proxy/filter/mutation"
	"github.com/lateenmesh/lateen/proxy/filter/router"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filters is the list of HTTP filters of a connection manager. Which of them
// stand on a route is decided route by route, when it is compiled.
type Filters struct {
	list    []httpFilter
	options router.Options
	// stats are the metrics filters' settings: they watch from outside the
	// chain.
	stats []*statsv3.PluginConfig
	// fixed are the filters that are the same on all routes, by name.
	fixed map[string]bool
	// spawn is set where the router is told to give exchanges with upstreams a span
	// of their own, which is where that was said before tracing said it.
	spawn bool
	// secrets names the secrets that the filters wait for.
	secrets []ads.Ref
	// rewrites is set where replies of the proxy's own are rewritten.
	rewrites bool
	// table is where the routes in force are.
	table *route.Current
	// counter gives the filters' counters by their name behind the connection
	// manager's.
	counter func(name string) *stream.Counter
}

// httpFilter is one filter of the list. build makes it for a route, given what
// the route overrides; nil stands for nothing to do there.
type httpFilter struct {
	name string
	// asleep filters stand only on routes that override them.
	asleep bool
	// reroutes is set on one that changes what routes are chosen by.
	reroutes bool
	// discovery is how it comes by its configuration; nil when that was written.
	discovery *discovery
	build     func(override proto.Message, on *spot) (stream.Filter, error)
}

// spot is where a filter is built for.
type spot struct {
	// forward is what the route does; nil when it does not go upstream.
	forward *route.Forward
	// unrouted is where the table is that has no route for the requests there; nil on
	// a route.
	unrouted *route.Current
	// limits are its rate limits.
	limits limits
	// cors are its policies beside the filters' settings, the innermost first.
	cors []*corsv3.CorsPolicy
	// metered is true where metrics filters watch.
	metered bool
	// counter gives a filter's counters.
	counter func(name string) *stream.Counter
	// levels are all settings of the filter that is built, the innermost first.
	levels []proto.Message
	// compressors are the route's filters that compress; filters join as they are
	// built, the last one first.
	compressors compress.Group
}

// count gives a filter's counter; nil where nobody reads it.
func (s *spot) count(name string) *stream.Counter {
	if s.counter == nil {
		return nil
	}
	return s.counter(name)
}

// overrides are settings of filters by the filter's name.
type overrides map[string]*override

// override is settings of a filter over those of what encloses them; a nil message
// disables the filter.
type override struct {
	message proto.Message
	outer   *override // nil for none
}

// levels are all settings that are not just to wake a filter, the innermost first,
// as far as the filter is not disabled.
func (o *override) levels() []proto.Message {
	var out []proto.Message
	for ; o != nil && o.message != nil; o = o.outer {
		if _, woken := o.message.(*routev3.FilterConfig); !woken {
			out = append(out, o.message)
		}
	}
	return out
}

func (c *Compiler) filters(list []*hcmv3.HttpFilter, inbound bool) (*Filters, error) {
	out := &Filters{table: &route.Current{}, fixed: map[string]bool{}}
	routed := false
	for i, f := range list {
		if f.GetConfigDiscovery() != nil {
			if routed {
				return nil, fieldcheck.Refuse(fmt.Sprintf("[%d].config_discovery", i), "stands behind the router, which is the last filter")
			}
			if err := c.discover(out, f, inbound); err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("[%d].config_discovery", i), err)
			}
			out.list[len(out.list)-1].asleep = f.GetDisabled()
			continue
		}
		at := fmt.Sprintf("[%d].typed_config", i)
		m, err := unpack(f.GetTypedConfig())
		if err != nil {
			if f.GetIsOptional() && !known(f.GetTypedConfig()) {
				c.Log.Info("optional filter left out", "filter", f.GetName(), "reason", err.Error())
				continue
			}
			return nil, fieldcheck.At(at, err)
		}
		if routed {
			return nil, fieldcheck.Refuse(at, "stands behind the router, which is the last filter")
		}
		if r, ok := m.(*routerv3.Router); ok {
			if f.GetDisabled() {
				return nil, fieldcheck.Refuse(fmt.Sprintf("[%d].disabled", i), "is not possible for the router, which answers")
			}
			out.options, routed = router.Options{Suppress: r.GetSuppressEnvoyHeaders(), RespectExpected: r.GetRespectExpectedRqTimeout()}, true
			out.spawn, out.fixed[f.GetName()] = r.GetStartChildSpan(), true //nolint:staticcheck // still written
			continue
		}
		if s, ok := m.(*statsv3.PluginConfig); ok {
			if out.fixed[f.GetName()] = true; !f.GetDisabled() {
				out.stats = append(out.stats, s)
			}
			continue
		}
		had := len(out.list)
		if err := c.filter(out, f.GetName(), m, inbound); err != nil {
			return nil, fieldcheck.At(at, err)
		}
		for j := range out.list[had:] {
			out.list[had+j].asleep = f.GetDisabled()
		}
	}
	if !routed {
		return nil, fieldcheck.Refuse("", "has no router, which must be the last filter")
	}
	return out, nil
}

// filter adds one filter to the list.
func (c *Compiler) filter(out *Filters, name string, m proto.Message, inbound bool) error {
	switch t := m.(type) {
	case *grpcstatsv3.FilterConfig:
		out.list = append(out.list, httpFilter{name: name, build: func(override proto.Message, on *spot) (stream.Filter, error) {
			if override != nil || !on.metered {
				return nil, notForRoutes(override) // or nobody asks
			}
			return grpcstats.Filter{}, nil
		}})
		return nil
	case *injectorv3.CredentialInjector:
		f, secret, err := c.injector(t)
		out.list, out.secrets = append(out.list, httpFilter{name: name, build: always(f)}), append(out.secrets, secret)
		return err
	}
	kind := m.ProtoReflect().Descriptor().FullName()
	compile := filterKinds[kind]
	if compile == nil {
		return fieldcheck.Refuse("", "%s is not a filter that is supported", kind)
	}
	build, err := compile(c, m, inbound)
	if err != nil {
		return err
	}
	out.list = append(out.list, httpFilter{name: name, build: build, reroutes: reroutes(m)})
	return nil
}

// overrides reads settings of filters over those of what encloses them.
func (c *Compiler) overrides(m map[string]*anypb.Any, outer overrides) (overrides, error) {
	if len(m) == 0 {
		return outer, nil
	}
	out := maps.Clone(outer)
	if out == nil {
		out = overrides{}
	}
	for name, packed := range m {
		set := func(m proto.Message) { out[name] = &override{m, outer[name]} }
		at := fmt.Sprintf("typed_per_filter_config[%q]", name)
		opened, err := unpack(packed)
		if err != nil {
			return nil, fieldcheck.At(at, err)
		}
		wrapped, ok := opened.(*routev3.FilterConfig)
		if !ok {
			set(opened)
			continue
		}
		if wrapped.GetDisabled() {
			set(nil)
			continue
		}
		if wrapped.GetConfig().GetTypeUrl() == "" {
			set(wrapped) // wakes a filter that is disabled elsewhere
			continue
		}
		if opened, err = unpack(wrapped.GetConfig()); err != nil {
			if wrapped.GetIsOptional() && !known(wrapped.GetConfig()) {
				c.Log.Info("optional settings of a filter left out", "filter", name, "reason", err.Error())
				continue
			}
			return nil, fieldcheck.At(at+".config", err)
		}
		set(opened)
	}
	return out, nil
}

// chain puts the filters that have something to do in front of last. Beside the
// whole chain it gives the tails for [route.Route.Behind].
func (f *Filters) chain(last stream.Handler, o overrides, on *spot) (whole stream.Handler, behind []stream.Handler, err error) {
	whole = last
	var replying mutation.Behind
	for name := range o {
		if f.fixed[name] {
			return nil, nil, fieldcheck.Refuse(fmt.Sprintf("typed_per_filter_config[%q]", name), "is a filter that is the same on all routes")
		}
	}
	for i := len(f.list) - 1; i >= 0; i-- {
		hf := &f.list[i]
		tail := whole
		if hf.reroutes {
			behind = append(behind, stream.Chain(whole, slices.Clone(replying)))
			tail = stream.Chain(tail, &route.Again{Table: f.table, Place: len(behind) - 1})
		}
		own, set := o[hf.name]
		if set && own.message == nil || !set && hf.asleep {
			continue
		}
		var message proto.Message
		on.counter, on.metered = f.counter, len(f.stats) > 0
		if on.levels = own.levels(); len(on.levels) > 0 {
			message = on.levels[0]
		}
		filter, err := hf.build(message, on)
		if err != nil {
			return nil, nil, fieldcheck.At(fmt.Sprintf("typed_per_filter_config[%q]", hf.name), err)
		}
		if filter == nil {
			continue
		}
		if m, ok := filter.(mutation.Filter); ok && m.Replies() {
			replying = slices.Insert(replying, 0, m)
		}
		whole = stream.Chain(tail, filter)
	}
	if len(replying) > 0 {
		whole = stream.Chain(whole, replying)
	}
	return whole, behind, nil
}

// routing is where requests go that meet these filters; what no route takes is answered
// also from the places on where a request may lose its route.
func (f *Filters) routing() (entry.Routing, error) {
	whole, behind, err := f.chain(route.NotFound{}, nil, &spot{unrouted: f.table})
	f.table.Unrouted = behind
	return entry.Routing{NotFound: whole, Table: f.table}, err
}

func (f *Filters) router(forward route.Forward) stream.Handler {
	return router.New(forward, f.options)
}

// reroutes reports whether a filter is told to have the route chosen anew behind
// it.
func reroutes(m proto.Message) bool {
	switch m := m.(type) {
	case *jwtv3.JwtAuthentication:
		for _, p := range m.GetProviders() {
			if p.GetClearRouteCache() {
				return true
			}
		}
	case *extauthzv3.ExtAuthz:
		return m.GetClearRouteCache()
	case *setstatev3.Config:
		return m.GetClearRouteCache()
	}
	return false
}
