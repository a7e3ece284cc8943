package telemetry

import (
	"cmp"
	"io"
	"slices"
	"strconv"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// WritePrometheus writes Istio's standard metrics in Prometheus' text format.
func (t *Telemetry) WritePrometheus(w io.Writer) error {
	type row struct {
		text string
		*series
	}
	var rows []row
	for key, s := range *t.series.Load() {
		rows = append(rows, row{string(key.append(nil)), s})
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.text, b.text) })
	b := []byte("# TYPE istio_build gauge\nistio_build{component=\"proxy\",tag=" + strconv.Quote(t.cfg.Version) + "} 1\n")
	counter := func(name string, tcp bool, get func(*series) int64) {
		b = append(b, "# TYPE "+name+" counter\n"...)
		for _, r := range rows {
			if r.tcp == tcp {
				b = append(b, name+"{"+r.text+"} "...)
				b = append(strconv.AppendInt(b, get(r.series), 10), '\n')
			}
		}
	}
	counter("istio_requests_total", false, func(s *series) int64 { return s.requests.Load() })
	for _, h := range []struct {
		name string
		get  func(*series) *histogram
	}{
		{"istio_request_duration_milliseconds", func(s *series) *histogram { return &s.duration }},
		{"istio_request_bytes", func(s *series) *histogram { return &s.requestSize }},
		{"istio_response_bytes", func(s *series) *histogram { return &s.reply }},
	} {
		b = append(b, "# TYPE "+h.name+" histogram\n"...)
		for _, r := range rows {
			if !r.tcp {
				b = h.get(r.series).append(b, h.name, r.text)
			}
		}
	}
	counter("istio_tcp_connections_opened_total", true, func(s *series) int64 { return s.opened.Load() })
	counter("istio_tcp_connections_closed_total", true, func(s *series) int64 { return s.closed.Load() })
	counter("istio_tcp_received_bytes_total", true, func(s *series) int64 { return s.received.Load() })
	counter("istio_tcp_sent_bytes_total", true, func(s *series) int64 { return s.sent.Load() })
	_, err := w.Write(b)
	return err
}

// append writes a histogram's samples.
func (h *histogram) append(b []byte, name, labels string) []byte {
	var total int64
	for i := range h.counts {
		total += h.counts[i].Load()
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i], 'g', -1, 64)
		}
		b = append(b, name+"_bucket{"+labels+",le=\""+le+"\"} "...)
		b = append(strconv.AppendInt(b, total, 10), '\n')
	}
	b = append(b, name+"_sum{"+labels+"} "...)
	b = append(strconv.AppendFloat(b, float64(h.micro.Load())/1e6, 'g', -1, 64), '\n')
	b = append(b, name+"_count{"+labels+"} "...)
	return append(strconv.AppendInt(b, total, 10), '\n')
}

var unknownPeer stream.Peer

// append writes the labels in Istio's order. What is missing is "unknown".
func (l labels) append(b []byte) []byte {
	from, to := l.from, l.to
	if from == nil {
		from = &unknownPeer
	}
	if to == nil {
		to = &unknownPeer
	}
	add := func(name, value, missing string) {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(append(b, name...), '=')
		b = strconv.AppendQuote(b, cmp.Or(value, missing))
	}
	const unknown = "unknown"
	reporter, security := "destination", "none"
	if l.source {
		reporter, security = "source", unknown
	} else if l.mutual {
		security = "mutual_tls"
	}
	add("reporter", reporter, "")
	add("source_workload", from.Workload, unknown)
	add("source_canonical_service", from.CanonicalName, unknown)
	add("source_canonical_revision", from.CanonicalRevision, "latest")
	add("source_workload_namespace", from.Namespace, unknown)
	add("source_principal", l.fromPrincipal, unknown)
	add("source_app", from.App, unknown)
	add("source_version", from.Version, unknown)
	add("source_cluster", from.KubeCluster, unknown)
	add("destination_workload", to.Workload, unknown)
	add("destination_workload_namespace", to.Namespace, unknown)
	add("destination_principal", l.toPrincipal, unknown)
	add("destination_app", to.App, unknown)
	add("destination_version", to.Version, unknown)
	add("destination_service", l.service, unknown)
	add("destination_canonical_service", to.CanonicalName, unknown)
	add("destination_canonical_revision", to.CanonicalRevision, "latest")
	add("destination_service_name", l.serviceName, unknown)
	add("destination_service_namespace", cmp.Or(l.serviceNamespace, to.Namespace), unknown)
	add("destination_cluster", to.KubeCluster, unknown)
	add("request_protocol", l.protocol, unknown)
	if !l.tcp {
		add("response_code", strconv.Itoa(l.code), "0")
		add("grpc_response_status", l.grpc, "")
	}
	add("response_flags", l.flags.String(), "-")
	add("connection_security_policy", security, "")
	return b
}
