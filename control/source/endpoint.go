package source

import (
	"cmp"
	"maps"
	"slices"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/model"
)

// endpoints derives what stands behind each service.
func endpoints(t Tables, r Registry, entries *collection.Collection[*Entry]) *collection.Collection[ByPort] {
	slicesOf := collection.Group(t.Slices.Collection, "source/slicesbyservice",
		func(_ string, s *Slice) []string { return []string{s.Namespace + "/" + s.Service} })
	inNamespace := collection.Group(r.Workloads, "source/workloadsbynamespace",
		func(_ string, w *model.Workload) []string { return []string{w.Namespace} })
	declared := collection.Group(r.Workloads, "source/declaredworkloads", func(key string, w *model.Workload) []string {
		if key == entryKey(w) {
			return []string{w.Namespace}
		}
		return nil
	})
	return collection.Derive(r.Services, "source/endpoints", collection.Deep[ByPort], func(ctx *collection.Ctx, _ string, s *model.Service) (ByPort, bool) {
		domain := trustDomain(ctx, t)
		selected := func(from *collection.Collection[[]*model.Workload]) []*model.Workload {
			list, _ := collection.Get(ctx, from, s.Namespace)
			return slices.DeleteFunc(slices.Clone(list), func(w *model.Workload) bool { return !w.Ready || !selects(s.Selector, w.Labels) })
		}
		if s.Kubernetes {
			list, _ := collection.Get(ctx, slicesOf, s.Namespace+"/"+s.Name)
			all := Endpoints(s, list, func(name string) (*model.Workload, bool) {
				return collection.Get(ctx, r.Workloads, s.Namespace+"/"+name)
			}, domain)
			return ready(addWorkloads(all, s, selected(declared), domain)), true
		}
		if len(s.Selector) > 0 {
			return ready(addWorkloads(ByPort{}, s, selected(inNamespace), domain)), true
		}
		e, ok := collection.Get(ctx, entries, s.Namespace+"/"+s.Name)
		if !ok {
			return nil, false
		}
		return own(s, e), true
	}).Heavy()
}

// own are the endpoints of one host of an entry: where hosts stand for
// themselves in DNS, each has itself alone.
func own(s *model.Service, e *Entry) ByPort {
	if len(e.Services) < 2 {
		return e.Endpoints
	}
	out := ByPort{}
	for port, list := range e.Endpoints {
		out[port] = slices.DeleteFunc(slices.Clone(list), func(at model.Endpoint) bool {
			return at.Address != string(s.Host) && slices.ContainsFunc(e.Services, func(other *model.Service) bool { return string(other.Host) == at.Address })
		})
	}
	return out
}

// addWorkloads adds endpoints for workloads that a selector picked.
func addWorkloads(all ByPort, s *model.Service, list []*model.Workload, trustDomain string) ByPort {
	for _, w := range list {
		base := model.Endpoint{Address: w.Hostname, Namespace: w.Namespace}
		if len(w.Addresses) > 0 {
			base.Address = w.Addresses[0].String()
		}
		describe(&base, w, trustDomain)
		for _, p := range s.Ports {
			at := base
			at.Port, at.PortName = cmp.Or(w.Ports[cmp.Or(p.TargetName, p.Name)], p.Target, p.Number), p.Name
			all[p.Number] = append(all[p.Number], at)
		}
	}
	return all
}

// ready leaves only what may get calls, in order.
func ready(all ByPort) ByPort {
	for _, port := range slices.Sorted(maps.Keys(all)) {
		list := slices.DeleteFunc(all[port], func(e model.Endpoint) bool { return e.Health != model.Healthy })
		slices.SortStableFunc(list, compareEndpoints)
		all[port] = slices.CompactFunc(list, func(a, b model.Endpoint) bool { return compareEndpoints(a, b) == 0 })
	}
	return all
}
