package xds

import (
	"io"
	"strings"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/internal/promtext"
)

// metrics are the server's counters, under Istio's names.
type metrics struct {
	connections, pushes, resources, rejects, rejectedTyped, staleNonces, refusedStreams promtext.Counter

	convergence, sendTime, size *promtext.Histogram
}

func newMetrics() *metrics {
	seconds := []float64{.001, .003, .01, .03, .1, .3, 1, 3, 5, 10, 20, 30}
	return &metrics{
		convergence: promtext.NewHistogram(seconds...),
		sendTime:    promtext.NewHistogram(seconds...),
		size:        promtext.NewHistogram(1, 10e3, 1e6, 4e6, 10e6, 40e6),
	}
}

// WriteMetrics writes the counters in Prometheus' text format.
func (s *Server) WriteMetrics(w io.Writer) {
	m := s.metrics
	s.mu.Lock()
	connected := len(s.streams)
	s.mu.Unlock()
	promtext.Gauge(w, "pilot_xds", "Proxies that are connected.", float64(connected))
	m.connections.Write(w, "pilot_xds_connections_total", "", "Streams that were opened.")
	m.pushes.Write(w, "pilot_xds_pushes", "type", "Responses that were sent.")
	m.resources.Write(w, "pilot_xds_resources_sent_total", "type", "Resources that were sent.")
	m.rejects.Write(w, "pilot_total_xds_rejects", "type", "Responses that a proxy refused.")
	for _, kind := range []string{"cds", "eds", "lds", "rds"} {
		promtext.Gauge(w, "pilot_xds_"+kind+"_reject", "Responses of this type that a proxy refused.", m.rejectedTyped.Value(kind))
	}
	m.staleNonces.Write(w, "pilot_xds_expired_nonce", "type", "Requests with a stale nonce.")
	m.refusedStreams.Write(w, "pilot_total_xds_internal_errors", "", "Streams that were refused.")
	m.convergence.Write(w, "pilot_proxy_convergence_time", "Seconds from a change to the last acknowledgement of it, per proxy.")
	m.sendTime.Write(w, "pilot_xds_send_time", "Seconds that sending a response took.")
	m.size.Write(w, "pilot_xds_config_size_bytes", "Size of responses.")
}

// kind is the short word for a type URL that metrics and logs use.
func kind(url string) string {
	switch url {
	case mesh.ClusterType:
		return "cds"
	case mesh.EndpointType:
		return "eds"
	case mesh.ListenerType:
		return "lds"
	case mesh.RouteType:
		return "rds"
	case mesh.SecretType:
		return "sds"
	}
	return url[strings.LastIndexAny(url, "./")+1:]
}
