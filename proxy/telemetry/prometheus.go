package telemetry

import (
	"cmp"
	"io"
	"strconv"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// WritePrometheus writes Istio's standard metrics in Prometheus' text format.
// Families without a sample are left out.
func (t *Telemetry) WritePrometheus(w io.Writer) error {
	all := t.book.sorted()
	p := page{b: []byte("# TYPE istio_build gauge\nistio_build{component=\"proxy\",tag=")}
	p.b = append(quoteLabel(p.b, t.cfg.Version), "} 1\n"...)
	p.family(all, "istio_requests_total", "counter", false, func(s *series) { p.counter(s, s.requests.Load()) })
	p.family(all, "istio_request_duration_milliseconds", "histogram", false, func(s *series) { p.histogram(s, &s.duration) })
	p.family(all, "istio_request_bytes", "histogram", false, func(s *series) { p.histogram(s, &s.requestSize) })
	p.family(all, "istio_response_bytes", "histogram", false, func(s *series) { p.histogram(s, &s.reply) })
	p.family(all, "istio_tcp_connections_opened_total", "counter", true, func(s *series) { p.counter(s, s.opened.Load()) })
	p.family(all, "istio_tcp_connections_closed_total", "counter", true, func(s *series) { p.counter(s, s.closed.Load()) })
	p.family(all, "istio_tcp_received_bytes_total", "counter", true, func(s *series) { p.counter(s, s.received.Load()) })
	p.family(all, "istio_tcp_sent_bytes_total", "counter", true, func(s *series) { p.counter(s, s.sent.Load()) })
	_, err := w.Write(p.b)
	return err
}

// page is Prometheus text in the making.
type page struct {
	b    []byte
	name string // of the family
}

func (p *page) family(all []*series, name, kind string, tcp bool, write func(*series)) {
	p.name = name
	first := true
	for _, s := range all {
		if s.tcp != tcp {
			continue
		}
		if first {
			p.b = append(p.b, "# TYPE "+name+" "+kind+"\n"...)
			first = false
		}
		write(s)
	}
}

func (p *page) counter(s *series, v int64) {
	p.b = append(p.b, p.name+"{"+s.text+"} "...)
	p.b = append(strconv.AppendInt(p.b, v, 10), '\n')
}

func (p *page) histogram(s *series, h *histogram) {
	var total int64
	for i := range h.counts {
		total += h.counts[i].Load()
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i], 'f', -1, 64)
		}
		p.b = append(p.b, p.name+"_bucket{"+s.text+",le=\""+le+"\"} "...)
		p.b = append(strconv.AppendInt(p.b, total, 10), '\n')
	}
	p.b = append(p.b, p.name+"_sum{"+s.text+"} "...)
	p.b = append(strconv.AppendFloat(p.b, float64(h.micro.Load())/1e6, 'f', -1, 64), '\n')
	p.b = append(p.b, p.name+"_count{"+s.text+"} "...)
	p.b = append(strconv.AppendInt(p.b, total, 10), '\n')
}

// quoteLabel appends a label's value in quotes, with the three escapes that the
// format knows.
func quoteLabel(b []byte, value string) []byte {
	b = append(b, '"')
	for i := range len(value) {
		switch c := value[i]; c {
		case '\\', '"':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
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
	add := func(name, value, missing string) {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(append(b, name...), '=')
		b = quoteLabel(b, cmp.Or(value, missing))
	}
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
