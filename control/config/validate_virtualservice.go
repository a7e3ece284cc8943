package config

import (
	"math"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

func (c *check) virtualService(vs *networking.VirtualService) {
	if len(vs.Hosts) == 0 && (len(vs.Tcp)+len(vs.Tls) > 0 || len(vs.Gateways) > 0) {
		c.errorf("spec.hosts", "there are no hosts: name at least one (only a delegate has none, and it has no gateways, tcp or tls)")
	}
	for i, h := range vs.Hosts {
		c.host(at("spec.hosts", i), h)
		if h == "*" && (len(vs.Gateways) == 0 || slices.Contains(vs.Gateways, "mesh")) {
			c.errorf(at("spec.hosts", i), "host * would rule every service of the mesh: bind the VirtualService to a gateway, or name hosts")
		}
	}
	if len(vs.Http)+len(vs.Tcp)+len(vs.Tls) == 0 {
		c.errorf("spec", "there are no routes: set http, tcp or tls")
	}
	for i, r := range vs.Http {
		c.httpRoute(at("spec.http", i), r, len(vs.Hosts) == 0)
	}
	c.unreachable(vs.Http)
	for i, r := range vs.Tls {
		field := at("spec.tls", i)
		if len(r.Match) == 0 {
			c.errorf(field+".match", "TLS is routed by SNI: name sniHosts")
		}
		for j, m := range r.Match {
			for k, h := range m.SniHosts {
				c.host(at(at(field+".match", j)+".sniHosts", k), h)
			}
			if len(m.SniHosts) == 0 {
				c.errorf(at(field+".match", j)+".sniHosts", "name at least one host")
			}
		}
		c.tcpDestinations(field, r.Route)
	}
	for i, r := range vs.Tcp {
		c.tcpDestinations(at("spec.tcp", i), r.Route)
	}
}

// httpRoute checks one route. What it does must be exactly one thing.
func (c *check) httpRoute(field string, r *networking.HTTPRoute, delegate bool) {
	actions := []string{}
	for name, set := range map[string]bool{
		"route": len(r.Route) > 0, "redirect": r.Redirect != nil, "directResponse": r.DirectResponse != nil, "delegate": r.Delegate != nil,
	} {
		if set {
			actions = append(actions, name)
		}
	}
	slices.Sort(actions)
	switch {
	case len(actions) == 0:
		c.errorf(field, "the route leads nowhere: set route, redirect, directResponse or delegate")
	case len(actions) > 1:
		c.errorf(field, "%s exclude one another: keep one", strings.Join(actions, " and "))
	}
	if r.Delegate != nil && delegate {
		c.errorf(field+".delegate", "a delegate may not delegate again")
	}
	for i, m := range r.Match {
		c.httpMatch(at(field+".match", i), m)
	}
	c.httpDestinations(field, r.Route)
	c.redirect(field+".redirect", r.Redirect)
	if d := r.DirectResponse; d != nil && (d.Status < 200 || d.Status > 599) {
		c.errorf(field+".directResponse.status", "status %d is not between 200 and 599", d.Status)
	}
	c.retries(field+".retries", r.Retries)
	if t := r.Timeout; t != nil && t.AsDuration() < 0 {
		c.errorf(field+".timeout", "timeout %v is negative", t.AsDuration())
	}
	if r.Rewrite != nil && (r.Redirect != nil || r.DirectResponse != nil) {
		c.errorf(field+".rewrite", "there is nothing to rewrite: the request goes to no service")
	}
	c.fault(field+".fault", r.Fault)
	for i, m := range r.Mirrors {
		c.destination(at(field+".mirrors", i)+".destination", m.Destination)
	}
	if r.Mirror != nil {
		c.destination(field+".mirror", r.Mirror)
	}
}

func (c *check) httpMatch(field string, m *networking.HTTPMatchRequest) {
	for name, s := range map[string]*networking.StringMatch{"uri": m.Uri, "scheme": m.Scheme, "method": m.Method, "authority": m.Authority} {
		c.stringMatch(field+"."+name, s)
	}
	for name, list := range map[string]map[string]*networking.StringMatch{"headers": m.Headers, "withoutHeaders": m.WithoutHeaders, "queryParams": m.QueryParams} {
		for key, s := range list {
			if key == "" {
				c.errorf(field+"."+name, "a name is empty")
			}
			c.stringMatch(field+"."+name+"."+key, s)
		}
	}
	if m.Port != 0 {
		c.port(field+".port", m.Port)
	}
}

func (c *check) stringMatch(field string, s *networking.StringMatch) {
	if r := s.GetRegex(); r != "" {
		c.regex(field+".regex", r)
	}
	if p, ok := s.GetMatchType().(*networking.StringMatch_Prefix); ok && p.Prefix == "" && strings.HasSuffix(field, "uri") {
		c.errorf(field+".prefix", "the prefix is empty: every path begins with /")
	}
}

func (c *check) httpDestinations(field string, list []*networking.HTTPRouteDestination) {
	var weights []int32
	for i, d := range list {
		c.destination(at(field+".route", i)+".destination", d.Destination)
		weights = append(weights, d.Weight)
	}
	c.weights(field+".route", weights)
}

func (c *check) tcpDestinations(field string, list []*networking.RouteDestination) {
	if len(list) == 0 {
		c.errorf(field+".route", "the route leads nowhere: name a destination")
	}
	var weights []int32
	for i, d := range list {
		c.destination(at(field+".route", i)+".destination", d.Destination)
		weights = append(weights, d.Weight)
	}
	c.weights(field+".route", weights)
}

// weights checks how a route's traffic is shared out. Weights are relative, so
// a sum other than 100 works, but is seldom what was meant.
func (c *check) weights(field string, weights []int32) {
	sum, bad := int64(0), false
	for i, w := range weights {
		if w < 0 {
			c.errorf(at(field, i)+".weight", "weight %d is negative", w)
			bad = true
		}
		sum += int64(w)
	}
	switch {
	case bad || len(weights) < 2:
	case sum == 0:
		c.errorf(field, "every weight is 0: no destination would get traffic")
	case sum > math.MaxUint32:
		c.errorf(field, "the weights add up to %d, more than is possible", sum)
	case sum != 100:
		c.warnf(field, "the weights add up to %d, not 100: each destination gets its share of %d", sum, sum)
	}
}

func (c *check) destination(field string, d *networking.Destination) {
	switch {
	case d == nil:
		c.errorf(field, "there is no destination")
	case d.Host == "*" || strings.HasPrefix(d.Host, "*."):
		c.errorf(field+".host", "host %q: traffic cannot be sent to a wildcard", d.Host)
	default:
		c.name(field+".host", d.Host)
	}
	if d.GetPort() != nil {
		c.port(field+".port.number", d.Port.Number)
	}
}

func (c *check) redirect(field string, r *networking.HTTPRedirect) {
	if r == nil {
		return
	}
	if code := r.RedirectCode; code != 0 && (code < 301 || code > 308 || code > 303 && code < 307) {
		c.errorf(field+".redirectCode", "code %d does not redirect: want 301, 302, 303, 307 or 308", code)
	}
	if r.Uri != "" && r.PrefixRewrite != "" {
		c.errorf(field, "uri and prefixRewrite exclude one another: keep one")
	}
}

// retryWords are the conditions that a proxy knows.
var retryWords = strings.Fields(`5xx gateway-error reset reset-before-request connect-failure envoy-ratelimited retriable-4xx refused-stream
	retriable-status-codes retriable-headers http3-post-connect-failure cancelled deadline-exceeded internal resource-exhausted unavailable`)

func (c *check) retries(field string, r *networking.HTTPRetry) {
	if r == nil {
		return
	}
	if r.Attempts < 0 {
		c.errorf(field+".attempts", "%d attempts: the number may not be negative (0 turns retries off)", r.Attempts)
	}
	if r.Attempts == 0 && (r.PerTryTimeout != nil || r.RetryOn != "") {
		c.errorf(field+".attempts", "attempts is 0, which turns retries off: set it, or remove perTryTimeout and retryOn")
	}
	if t := r.PerTryTimeout; t != nil && t.AsDuration() < 1e6 {
		c.errorf(field+".perTryTimeout", "%v is less than 1ms", t.AsDuration())
	}
	for _, word := range strings.Split(r.RetryOn, ",") {
		word = strings.TrimSpace(word)
		if word != "" && !slices.Contains(retryWords, word) && strings.Trim(word, "0123456789") != "" {
			c.errorf(field+".retryOn", "condition %q is not known: want a status code or one of %s", word, strings.Join(retryWords, ", "))
		}
	}
}

func (c *check) fault(field string, f *networking.HTTPFaultInjection) {
	if f == nil {
		return
	}
	if f.Delay == nil && f.Abort == nil {
		c.errorf(field, "there is neither a delay nor an abort")
	}
	if d := f.Delay.GetFixedDelay(); f.Delay != nil && (d == nil || d.AsDuration() < 1e6) {
		c.errorf(field+".delay.fixedDelay", "a delay of at least 1ms is needed")
	}
	if s, ok := f.Abort.GetErrorType().(*networking.HTTPFaultInjection_Abort_HttpStatus); ok && (s.HttpStatus < 200 || s.HttpStatus > 600) {
		c.errorf(field+".abort.httpStatus", "status %d is not between 200 and 600", s.HttpStatus)
	}
	for name, p := range map[string]*networking.Percent{"delay": f.Delay.GetPercentage(), "abort": f.Abort.GetPercentage()} {
		if v := p.GetValue(); v < 0 || v > 100 {
			c.errorf(field+"."+name+".percentage", "%v is not between 0 and 100", v)
		}
	}
}

// unreachable warns about routes behind one that takes everything.
func (c *check) unreachable(routes []*networking.HTTPRoute) {
	for i, r := range routes {
		if len(r.Match) == 0 && i < len(routes)-1 {
			c.warnf(at("spec.http", i+1), "no request comes here: spec.http[%d] has no match and takes all", i)
			return
		}
	}
}
