package compile

import (
	"time"

	demandv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/filter/ondemand"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// demandTime is how long a request waits for its cluster where nothing is written, as
// Envoy has it.
const demandTime = 5 * time.Second

func onDemandFilter(c *Compiler, m *demandv3.OnDemand) (builder, error) {
	base, err := c.demands(m.GetOdcds())
	if err != nil {
		return nil, fieldcheck.At("odcds", err)
	}
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		if on.unrouted != nil {
			return &ondemand.Hosts{Table: on.unrouted}, nil
		}
		f := base
		if override != nil {
			per, err := as[*demandv3.PerRouteConfig](override)
			if err != nil {
				return nil, err
			}
			if f, err = c.demands(per.GetOdcds()); err != nil {
				return nil, fieldcheck.At("odcds", err)
			}
		}
		if f == nil || on.forward == nil {
			return nil, nil
		}
		own := *f
		own.Forward = on.forward
		return &own, nil
	}, nil
}

// demands compiles who is asked for clusters; nil is nobody.
func (c *Compiler) demands(m *demandv3.OnDemandCds) (*ondemand.Filter, error) {
	if m == nil || c.Demand == nil {
		return nil, nil
	}
	if m.GetSource() == nil {
		return nil, fieldcheck.Refuse("source", "is missing")
	}
	from, err := c.locate(m.GetSource(), ads.ClusterType, "")
	if err != nil {
		return nil, fieldcheck.At("source", err)
	}
	f := &ondemand.Filter{Timeout: demandTime, Ask: func(name string) *cluster.Handle { return c.Demand(from.Source, name) }}
	if t := m.GetTimeout(); t != nil {
		f.Timeout = t.AsDuration()
	}
	return f, nil
}
