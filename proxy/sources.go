package proxy

import (
	"github.com/lateenmesh/lateen/proxy/bootstrap"
	"github.com/lateenmesh/lateen/proxy/state"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// sources sends wishes for resources to whoever has them: the endpoints of some
// static clusters to a server of their own, everything else to the control
// plane.
func (p *Proxy) sources(c *state.Config) {
	b := p.config.Bootstrap
	p.endpoints = map[*bootstrap.ADS]*ads.Client{}
	for _, a := range b.Endpoints {
		if p.endpoints[a] == nil {
			p.endpoints[a] = ads.New(ads.Config{
				Node: b.Node, SotW: a.SotW, Server: controlServer(a, p.config.DialControl), Service: ads.EndpointType, Sink: sink{p}, Log: p.config.Log,
			})
		}
	}
	byName := b.Endpoints
	c.OwnSource = func(service string) bool { return byName[service] != nil }
	c.Want = func(typeURL string, names []string) {
		if typeURL == ads.EndpointType && len(byName) > 0 {
			names = p.wantEndpoints(byName, names)
		}
		if p.control != nil {
			p.control.Want(typeURL, names)
		}
	}
}

// wantEndpoints asks for the endpoints that have a server of their own, and
// returns the names of the others.
func (p *Proxy) wantEndpoints(byName map[string]*bootstrap.ADS, names []string) []string {
	of := map[*bootstrap.ADS][]string{}
	var others []string
	for _, name := range names {
		if a := byName[name]; a != nil {
			of[a] = append(of[a], name)
		} else {
			others = append(others, name)
		}
	}
	for a, list := range of {
		p.endpoints[a].Want(ads.EndpointType, list)
	}
	return others
}
