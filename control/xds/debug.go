package xds

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/lateenmesh/lateen/control/mesh"
)

// SyncStatus is one proxy's line of Istio's debug page syncz: the nonces that
// were sent and acknowledged, by type.
type SyncStatus struct {
	KubeCluster   string `json:"cluster_id,omitempty"`
	Proxy         string `json:"proxy,omitempty"`
	ProxyType     string `json:"proxy_type,omitempty"`
	ClusterSent   string `json:"cluster_sent,omitempty"`
	ClusterAcked  string `json:"cluster_acked,omitempty"`
	ListenerSent  string `json:"listener_sent,omitempty"`
	ListenerAcked string `json:"listener_acked,omitempty"`
	RouteSent     string `json:"route_sent,omitempty"`
	RouteAcked    string `json:"route_acked,omitempty"`
	EndpointSent  string `json:"endpoint_sent,omitempty"`
	EndpointAcked string `json:"endpoint_acked,omitempty"`
	// Errors are the refusals that stand, by type.
	Errors map[string]string `json:"errors,omitempty"`
	// Connected is when the stream was opened.
	Connected time.Time `json:"connected"`
	// Synced is true when the proxy has acknowledged everything that it should
	// have.
	Synced bool `json:"synced"`
}

// Syncz lists the connected proxies.
func (s *Server) Syncz() []SyncStatus {
	out := []SyncStatus{}
	for _, st := range s.connected() {
		line := SyncStatus{
			KubeCluster: st.proxy.KubeCluster, Proxy: st.name(), ProxyType: string(st.proxy.Type), Connected: st.opened.UTC(),
		}
		var states []TypeState
		st.locked(func(p *Planner) { states, line.Synced = p.State(), p.Quiet() })
		for _, t := range states {
			line.add(t)
		}
		out = append(out, line)
	}
	return out
}

func (s *SyncStatus) add(t TypeState) {
	switch t.Type {
	case mesh.ClusterType:
		s.ClusterSent, s.ClusterAcked = t.Sent, t.Acked
	case mesh.ListenerType:
		s.ListenerSent, s.ListenerAcked = t.Sent, t.Acked
	case mesh.RouteType:
		s.RouteSent, s.RouteAcked = t.Sent, t.Acked
	case mesh.EndpointType:
		s.EndpointSent, s.EndpointAcked = t.Sent, t.Acked
	}
	if t.Error != "" {
		if s.Errors == nil {
			s.Errors = map[string]string{}
		}
		s.Errors[kind(t.Type)] = t.Error
	}
}

// Proxies is what the connected proxies should have now, by "NAME.NAMESPACE".
func (s *Server) Proxies() map[string]*mesh.Snapshot {
	out := map[string]*mesh.Snapshot{}
	for _, st := range s.connected() {
		out[st.name()] = st.feed.Snapshot()
	}
	return out
}

// ConfigDump writes what a connected proxy ("NAME.NAMESPACE") should have, in
// the JSON of Envoy's admin page config_dump. Keys of secrets are left out.
func (s *Server) ConfigDump(proxy string) ([]byte, error) {
	snap, ok := s.Proxies()[proxy]
	if !ok {
		return nil, fmt.Errorf("proxy %q is not connected: see /debug/syncz for those that are", proxy)
	}
	return json.MarshalIndent(configDump(snap), "", " ")
}
