package telemetry

import (
	"cmp"
	"io"
	"strconv"
	"sync/atomic"

	"github.com/lateenmesh/lateen/internal/promtext"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// WritePrometheus writes Istio's standard metrics in Prometheus' text format.
// Families without a sample are left out.
func (t *Telemetry) WritePrometheus(w io.Writer) error {
	all := t.book.sorted()
	p := page{b: []byte("# TYPE istio_build gauge\nistio_build{component=\"proxy\",tag=")}
	p.b = append(promtext.AppendQuoted(p.b, t.cfg.Version), "} 1\n"...)
	for i, name := range metricNames {
		p.family(all, "istio_"+name, 1<<i)
	}
	_, err := w.Write(p.b)
	return err
}

// page is Prometheus text in the making.
type page struct{ b []byte }

// family writes a metric of all series that show it.
func (p *page) family(all []*series, name string, m metrics) {
	first := true
	for _, s := range all {
		if metrics(s.shown.Load())&m == 0 {
			continue
		}
		count, spread := s.of(m)
		if first {
			kind := "counter"
			if spread != nil {
				kind = "histogram"
			}
			p.b = append(p.b, "# TYPE "+name+" "+kind+"\n"...)
			first = false
		}
		if spread != nil {
			d := spread.Read()
			p.b = promtext.AppendHistogram(p.b, name, s.text, promtext.Distribution{Bounds: stream.Bounds[:], UpTo: d.UpTo[:], Sum: d.Sum, Total: d.Total})
			continue
		}
		p.b = append(p.b, name+"{"+s.text+"} "...)
		p.b = append(strconv.AppendInt(p.b, count.Load(), 10), '\n')
	}
}

// of is where a metric is counted: one of the two.
func (s *series) of(m metrics) (*atomic.Int64, *stream.Histogram) {
	switch m {
	case requestDuration:
		return nil, &s.duration
	case requestBytes:
		return nil, &s.requestSize
	case responseBytes:
		return nil, &s.reply
	case requestMessages:
		return &s.messagesIn, nil
	case responseMessages:
		return &s.messagesOut, nil
	case connectionsOpened:
		return &s.opened, nil
	case connectionsClosed:
		return &s.closed, nil
	case receivedBytes:
		return &s.received, nil
	case sentBytes:
		return &s.sent, nil
	}
	return &s.requests, nil
}

// text writes the labels in Istio's order. What is missing is "unknown".
func (t *Telemetry) text(l labels) []byte {
	const unknown = "unknown"
	reporter, security := "destination", "none"
	from, to := l.peer, t.cfg.Local
	fromPrincipal, toPrincipal := l.principal, ""
	if l.mutual {
		security, toPrincipal = "mutual_tls", t.cfg.Principal
	}
	if l.source {
		reporter, security = "source", unknown
		from, to = to, from
		fromPrincipal, toPrincipal = "", l.principal
		if l.principal != "" {
			fromPrincipal = t.cfg.Principal
		}
	}
	var b []byte
	add, rest := l.group.change(l.values, func(name, value, missing string) {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(append(b, name...), '=')
		b = promtext.AppendQuoted(b, cmp.Or(value, missing))
	})
	add("reporter", reporter, "")
	add("source_workload", from.Workload, unknown)
	add("source_canonical_service", from.CanonicalName, unknown)
	add("source_canonical_revision", from.CanonicalRevision, "latest")
	add("source_workload_namespace", from.Namespace, unknown)
	add("source_principal", fromPrincipal, unknown)
	add("source_app", from.App, unknown)
	add("source_version", from.Version, unknown)
	add("source_cluster", from.KubeCluster, unknown)
	addDestination(add, to, toPrincipal, l.service)
	add("request_protocol", l.protocol.String(), "")
	if l.protocol != bytestream {
		add("response_code", strconv.Itoa(l.code), "")
		add("grpc_response_status", l.grpc, "")
	}
	add("response_flags", l.flags.String(), "")
	add("connection_security_policy", security, "")
	rest()
	return b
}

func addDestination(add func(name, value, missing string), to stream.Peer, principal string, service stream.Service) {
	const unknown = "unknown"
	add("destination_workload", to.Workload, unknown)
	add("destination_workload_namespace", to.Namespace, unknown)
	add("destination_principal", principal, unknown)
	add("destination_app", to.App, unknown)
	add("destination_version", to.Version, unknown)
	add("destination_service", service.Host, unknown)
	add("destination_canonical_service", to.CanonicalName, unknown)
	add("destination_canonical_revision", to.CanonicalRevision, "latest")
	add("destination_service_name", service.Name, unknown)
	add("destination_service_namespace", cmp.Or(service.Namespace, to.Namespace), unknown)
	add("destination_cluster", to.KubeCluster, unknown)
}
