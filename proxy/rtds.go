package proxy

import (
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"

	"github.com/lateenmesh/lateen/proxy/bootstrap"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// wantRuntime asks for the layers of the runtime that come from elsewhere.
func (p *Proxy) wantRuntime() {
	names := map[string][]string{}
	for ref := range p.layers {
		names[ref.Source] = append(names[ref.Source], ref.Name)
	}
	for source, list := range names {
		p.sources.want(source, ads.RuntimeType, list)
	}
}

// takeRuntime gives layers their new values. A layer whose resource is gone has none.
func (p *Proxy) takeRuntime(u ads.Update) error {
	_, err := ads.Each(u, "runtime", func(_ ads.Resource, m *runtimev3.Runtime) error {
		if layer, wanted := p.layers[ads.Ref{Name: m.GetName(), Source: u.Source}]; wanted {
			p.runtime.Replace(layer, bootstrap.SettingsOf(m.GetLayer()))
		}
		return nil
	})
	for _, name := range u.Removed {
		if layer, wanted := p.layers[ads.Ref{Name: name, Source: u.Source}]; wanted {
			p.runtime.Replace(layer, nil)
		}
	}
	return err
}
