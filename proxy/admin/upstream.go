package admin

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/credential"
)

func (s *Server) clusters(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("format") == "json" {
		s.clustersJSON(w)
		return
	}
	for _, c := range s.config.State.Clusters() {
		line := func(format string, args ...any) {
			fmt.Fprintf(w, "%s::%s\n", c.Name, fmt.Sprintf(format, args...))
		}
		line("observability_name::%s", statName(c))
		for _, p := range []struct {
			name   string
			limits cluster.Limits
		}{{"default", c.Limits}, {"high", c.HighLimits}} {
			line("%s_priority::max_connections::%d", p.name, p.limits.Connections)
			line("%s_priority::max_pending_requests::%d", p.name, p.limits.Pending)
			line("%s_priority::max_requests::%d", p.name, p.limits.Requests)
			line("%s_priority::max_retries::%d", p.name, p.limits.Retries)
		}
		for _, h := range c.Hosts() {
			line("%s::cx_active::%d", h.Text(), h.Open())
			line("%s::rq_active::%d", h.Text(), h.Active.Load())
			line("%s::rq_error::%d", h.Text(), h.Errors.Load())
			line("%s::rq_total::%d", h.Text(), h.Total.Load())
			line("%s::hostname::%s", h.Text(), h.Name)
			line("%s::health_flags::%s", h.Text(), healthText(h))
			line("%s::weight::%d", h.Text(), max(1, h.Weight))
			line("%s::region::%s", h.Text(), h.Where().Region)
			line("%s::zone::%s", h.Text(), h.Where().Zone)
			line("%s::sub_zone::%s", h.Text(), h.Where().SubZone)
			line("%s::priority::%d", h.Text(), h.Priority)
		}
	}
}

func statName(c *cluster.Cluster) string {
	if c.StatName != "" {
		return c.StatName
	}
	return c.Name
}

func healthText(h *cluster.Host) string {
	flags := ""
	if h.Failing() {
		flags += "/failed_active_hc"
	}
	if h.Ejected(time.Now()) {
		flags += "/failed_outlier_check"
	}
	switch h.Health {
	case model.Healthy:
	case model.Degraded:
		flags += "/degraded_eds_health"
	default:
		flags += "/failed_eds_health"
	}
	return cmp.Or(flags, "healthy")
}

func (s *Server) clustersJSON(w http.ResponseWriter) {
	statuses, static := []map[string]any{}, map[string]bool{}
	for _, r := range s.config.State.Resources(ads.ClusterType) {
		static[r.Name] = r.Static
	}
	for _, c := range s.config.State.Clusters() {
		hosts := []map[string]any{}
		for _, h := range c.Hosts() {
			hosts = append(hosts, hostJSON(h))
		}
		statuses = append(statuses, map[string]any{
			"name": c.Name, "added_via_api": !static[c.Name], "observability_name": statName(c), "host_statuses": hosts,
			"circuit_breakers": map[string]any{"thresholds": []map[string]any{thresholdsJSON("DEFAULT", c.Limits), thresholdsJSON("HIGH", c.HighLimits)}},
		})
	}
	writeJSON(w, map[string]any{"cluster_statuses": statuses})
}

func thresholdsJSON(priority string, l cluster.Limits) map[string]any {
	return map[string]any{
		"priority": priority, "max_connections": l.Connections, "max_pending_requests": l.Pending, "max_requests": l.Requests, "max_retries": l.Retries,
	}
}

func hostJSON(h *cluster.Host) map[string]any {
	health := map[string]any{"eds_health_status": "HEALTHY"}
	if h.Health != model.Healthy {
		health["eds_health_status"] = map[model.Health]string{model.Unhealthy: "UNHEALTHY", model.Draining: "DRAINING", model.Degraded: "DEGRADED"}[h.Health]
	}
	if h.Ejected(time.Now()) {
		health["failed_outlier_check"] = true
	}
	if h.Failing() {
		health["failed_active_health_check"] = true
	}
	address := map[string]any{"socket_address": map[string]any{"address": h.Address.Addr().String(), "port_value": h.Address.Port()}}
	if path := h.Socket(); path != "" {
		address = map[string]any{"pipe": map[string]any{"path": path}}
	}
	counter := func(name string, v int64) map[string]any {
		return map[string]any{"name": name, "value": fmt.Sprint(v)}
	}
	gauge := func(name string, v int64) map[string]any {
		return map[string]any{"type": "GAUGE", "name": name, "value": fmt.Sprint(v)}
	}
	return map[string]any{
		"address": address, "health_status": health, "weight": max(1, h.Weight), "hostname": h.Name, "priority": h.Priority,
		"locality": map[string]any{"region": h.Where().Region, "zone": h.Where().Zone, "sub_zone": h.Where().SubZone},
		"stats": []map[string]any{
			gauge("cx_active", h.Open()), counter("rq_error", h.Errors.Load()), counter("rq_total", h.Total.Load()), gauge("rq_active", h.Active.Load()),
		},
	}
}

func (s *Server) listeners(w http.ResponseWriter, r *http.Request) {
	bound := s.config.Listeners.Addresses()
	asJSON := r.URL.Query().Get("format") == "json"
	statuses := []map[string]any{}
	for _, c := range s.config.State.Listeners() {
		var all []map[string]any
		for _, a := range c.Addresses() {
			at := a.String()
			if b := bound[a]; b != nil {
				at = b.String()
			}
			if !asJSON {
				fmt.Fprintf(w, "%s::%s\n", c.Name, at)
			}
			if a.Path != "" {
				all = append(all, map[string]any{"pipe": map[string]any{"path": at}})
				continue
			}
			host, port, _ := net.SplitHostPort(at)
			all = append(all, map[string]any{"socket_address": map[string]any{"address": host, "port_value": number(port)}})
		}
		status := map[string]any{"name": c.Name, "local_address": all[0]}
		if len(all) > 1 {
			status["additional_local_addresses"] = all[1:]
		}
		statuses = append(statuses, status)
	}
	if asJSON {
		writeJSON(w, map[string]any{"listener_statuses": statuses})
	}
}

func number(s string) int {
	n := 0
	_, _ = fmt.Sscan(s, &n) // a port is a number
	return n
}

// certs shows what the certificates are for and how long they last.
func (s *Server) certs(w http.ResponseWriter, _ *http.Request) {
	all := []map[string]any{}
	s.config.State.Certificates(func(name string, m *credential.Material, _ time.Time) {
		one := map[string]any{"name": name}
		var roots []map[string]any
		for _, c := range m.Trust {
			roots = append(roots, certJSON(c))
		}
		one["ca_cert"] = roots
		one["cert_chain"] = chainJSON(m.Certificate)
		all = append(all, one)
	})
	writeJSON(w, map[string]any{"certificates": all})
}

func chainJSON(c *tls.Certificate) []map[string]any {
	var out []map[string]any
	if c == nil {
		return out
	}
	for _, der := range c.Certificate {
		if parsed, err := x509.ParseCertificate(der); err == nil {
			out = append(out, certJSON(parsed))
		}
	}
	return out
}

func certJSON(c *x509.Certificate) map[string]any {
	var names []map[string]string
	for _, u := range c.URIs {
		names = append(names, map[string]string{"uri": u.String()})
	}
	for _, d := range c.DNSNames {
		names = append(names, map[string]string{"dns": d})
	}
	return map[string]any{
		"serial_number": fmt.Sprintf("%x", c.SerialNumber.Bytes()), "subject_alt_names": names,
		"days_until_expiration": fmt.Sprint(int(time.Until(c.NotAfter).Hours() / 24)),
		"valid_from":            c.NotBefore.UTC().Format(time.RFC3339), "expiration_time": c.NotAfter.UTC().Format(time.RFC3339),
	}
}
