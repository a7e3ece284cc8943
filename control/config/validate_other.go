package config

import (
	"net/netip"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/lateenmesh/lateen/model"
)

func (c *check) destinationRule(dr *networking.DestinationRule) {
	c.host("spec.host", dr.Host)
	c.trafficPolicy("spec.trafficPolicy", dr.TrafficPolicy)
	seen := map[string]bool{}
	for i, s := range dr.Subsets {
		field := at("spec.subsets", i)
		if !label.MatchString(s.Name) {
			c.errorf(field+".name", "name %q is not of letters, digits and -", s.Name)
		}
		if seen[s.Name] {
			c.errorf(field+".name", "there are two subsets %q", s.Name)
		}
		seen[s.Name] = true
		if len(s.Labels) == 0 {
			c.warnf(field+".labels", "subset %q has no labels: it is all endpoints of the host", s.Name)
		}
		c.trafficPolicy(field+".trafficPolicy", s.TrafficPolicy)
	}
}

func (c *check) trafficPolicy(field string, p *networking.TrafficPolicy) {
	if p == nil {
		return
	}
	c.policyBlocks(field, p.ConnectionPool, p.OutlierDetection, p.Tls)
	for i, port := range p.PortLevelSettings {
		c.port(at(field+".portLevelSettings", i)+".port.number", port.GetPort().GetNumber())
		c.policyBlocks(at(field+".portLevelSettings", i), port.ConnectionPool, port.OutlierDetection, port.Tls)
	}
}

func (c *check) policyBlocks(field string, pool *networking.ConnectionPoolSettings, o *networking.OutlierDetection, t *networking.ClientTLSSettings) {
	for name, n := range map[string]int32{
		"tcp.maxConnections": pool.GetTcp().GetMaxConnections(), "http.http1MaxPendingRequests": pool.GetHttp().GetHttp1MaxPendingRequests(),
		"http.http2MaxRequests": pool.GetHttp().GetHttp2MaxRequests(), "http.maxRequestsPerConnection": pool.GetHttp().GetMaxRequestsPerConnection(),
		"http.maxRetries": pool.GetHttp().GetMaxRetries(),
	} {
		if n < 0 {
			c.errorf(field+".connectionPool."+name, "%d is negative", n)
		}
	}
	if o.GetConsecutiveErrors() != 0 { //nolint:staticcheck // the field is checked because it is deprecated
		c.warnf(field+".outlierDetection.consecutiveErrors", "the field has no effect: write consecutive5xxErrors or consecutiveGatewayErrors")
	}
	if p := o.GetMaxEjectionPercent(); p < 0 || p > 100 {
		c.errorf(field+".outlierDetection.maxEjectionPercent", "%d is not between 0 and 100", p)
	}
	if t.GetMode() == networking.ClientTLSSettings_MUTUAL && t.CredentialName == "" && (t.ClientCertificate == "" || t.PrivateKey == "") {
		c.errorf(field+".tls", "mode MUTUAL needs credentialName, or clientCertificate and privateKey")
	}
	if t.GetMode() == networking.ClientTLSSettings_ISTIO_MUTUAL && (t.ClientCertificate != "" || t.CredentialName != "") {
		c.errorf(field+".tls", "mode ISTIO_MUTUAL uses the mesh's own certificates: remove the others, or choose MUTUAL")
	}
}

func (c *check) gateway(g *networking.Gateway) {
	if len(g.Servers) == 0 {
		c.errorf("spec.servers", "there are no servers")
	}
	if len(g.Selector) == 0 {
		c.warnf("spec.selector", "without a selector every gateway of the mesh takes this: name the pods' labels, as in istio: ingressgateway")
	}
	for i, s := range g.Servers {
		c.server(at("spec.servers", i), s)
	}
}

func (c *check) server(field string, s *networking.Server) {
	c.port(field+".port.number", s.GetPort().GetNumber())
	if s.GetPort().GetName() == "" {
		c.errorf(field+".port.name", "the port has no name")
	}
	protocol := model.ParseProtocol(s.GetPort().GetProtocol())
	if protocol == model.Unset {
		c.errorf(field+".port.protocol", "protocol %q is not known: want HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, MONGO, MYSQL, REDIS, TCP or TLS", s.GetPort().GetProtocol())
	}
	if len(s.Hosts) == 0 {
		c.errorf(field+".hosts", "there are no hosts: name at least one, or *")
	}
	for i, h := range s.Hosts {
		if _, name, ok := strings.Cut(h, "/"); ok {
			h = name
		}
		c.host(at(field+".hosts", i), h)
	}
	c.serverTLS(field+".tls", s.Tls, protocol)
}

func (c *check) serverTLS(field string, t *networking.ServerTLSSettings, p model.Protocol) {
	switch {
	case t == nil && p.IsTLS():
		c.errorf(field, "a server of protocol %s needs TLS settings: mode and credentialName, or mode PASSTHROUGH", p)
	case t == nil:
		return
	case t.Mode == networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		c.errorf(field+".mode", "mode AUTO_PASSTHROUGH is not supported yet: use PASSTHROUGH and a VirtualService with tls routes")
	case t.HttpsRedirect && p != model.HTTP && p != model.HTTPS:
		c.errorf(field+".httpsRedirect", "only a server of protocol HTTP can redirect to HTTPS")
	case t.Mode == networking.ServerTLSSettings_ISTIO_MUTUAL:
		if t.CredentialName != "" {
			c.errorf(field+".credentialName", "mode ISTIO_MUTUAL uses the mesh's own certificates: remove credentialName, or choose SIMPLE or MUTUAL")
		}
	case p.IsTLS() && t.Mode != networking.ServerTLSSettings_PASSTHROUGH:
		if t.CredentialName == "" && len(t.CredentialNames) == 0 && len(t.TlsCertificates) == 0 && (t.ServerCertificate == "" || t.PrivateKey == "") {
			c.errorf(field, "mode %s needs credentialName, or serverCertificate and privateKey", t.Mode)
		}
	}
}

func (c *check) serviceEntry(e *networking.ServiceEntry) {
	if len(e.Hosts) == 0 {
		c.errorf("spec.hosts", "there are no hosts")
	}
	for i, h := range e.Hosts {
		c.host(at("spec.hosts", i), h)
		if h == "*" {
			c.errorf(at("spec.hosts", i), "host * would be every service there is: name hosts")
		}
		if strings.HasPrefix(h, "*") && (e.Resolution == networking.ServiceEntry_DNS || e.Resolution == networking.ServiceEntry_DNS_ROUND_ROBIN) && len(e.Endpoints) == 0 {
			c.errorf(at("spec.hosts", i), "host %q: a wildcard cannot be resolved by DNS: name endpoints, or choose resolution NONE", h)
		}
	}
	names, numbers := map[string]bool{}, map[uint32]bool{}
	for i, p := range e.Ports {
		field := at("spec.ports", i)
		c.port(field+".number", p.Number)
		if p.Name == "" || names[p.Name] {
			c.errorf(field+".name", "name %q is missing or there twice", p.Name)
		}
		if numbers[p.Number] {
			c.errorf(field+".number", "port %d is there twice", p.Number)
		}
		names[p.Name], numbers[p.Number] = true, true
	}
	if e.Resolution == networking.ServiceEntry_STATIC && len(e.Endpoints) == 0 && e.WorkloadSelector == nil {
		c.errorf("spec.endpoints", "resolution STATIC needs endpoints or a workloadSelector")
	}
	if e.Resolution == networking.ServiceEntry_NONE && len(e.Endpoints) > 0 {
		c.errorf("spec.endpoints", "resolution NONE sends to the address that the caller asked for: remove the endpoints, or choose STATIC or DNS")
	}
	for i, a := range e.Addresses {
		if _, err := netip.ParsePrefix(a); err == nil {
			continue
		}
		if _, err := netip.ParseAddr(a); err != nil {
			c.errorf(at("spec.addresses", i), "%q is neither an address nor a CIDR", a)
		}
	}
}

func (c *check) peerAuthentication(p *security.PeerAuthentication) {
	if len(p.PortLevelMtls) > 0 && len(p.GetSelector().GetMatchLabels()) == 0 {
		c.errorf("spec.portLevelMtls", "ports are a workload's: name it by selector")
	}
	for number := range p.PortLevelMtls {
		c.port("spec.portLevelMtls", number)
	}
}
