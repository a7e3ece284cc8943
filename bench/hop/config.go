package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// envoyConfig is the bootstrap that lateen-proxy and Envoy both read: one
// listener before the backend, or for a pair of sidecars a second one between.
func envoyConfig(port int, backend string, certs certificates, sc scenario) string {
	var out strings.Builder
	out.WriteString("node: {id: hop, cluster: hop}\nstatic_resources:\n  listeners:\n")
	if sc.tcp {
		fmt.Fprintf(&out, `  - name: hop
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: hop, cluster: backend}
  clusters:
%s`, port, clusterConfig("backend", backend, false, nil))
		return out.String()
	}
	first := listenerConfig{port: port, cluster: "backend", sidecar: sc.sidecar, http2: sc.grpc, routes: sc.routes}
	if sc.tls {
		first.certs = &certs
	}
	clusters := clusterConfig("backend", backend, sc.grpc, nil)
	if sc.pair {
		first.cluster = "peer"
		out.WriteString(listenerConfig{port: port + 5, cluster: "backend", sidecar: true, rbac: true, certs: &certs}.yaml())
		clusters += clusterConfig("peer", fmt.Sprintf("127.0.0.1:%d", port+5), false, &certs)
	}
	out.WriteString(first.yaml())
	out.WriteString("  clusters:\n" + clusters)
	return out.String()
}

type listenerConfig struct {
	port          int
	cluster       string
	sidecar, rbac bool // Istio's filters and access log, and its access rules
	http2         bool
	routes        int // before the last one, which takes the requests
	certs         *certificates
}

const istioLog = `[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n`

func (l listenerConfig) yaml() string {
	codec, log, filters, transport, routes := "HTTP1", "", "", "", ""
	if l.http2 {
		codec = "HTTP2"
	}
	filter := func(name, message, more string) string {
		return fmt.Sprintf("\n          - name: %s\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.%s%s}", name, message, more)
	}
	if l.rbac {
		filters += filter("rbac", "rbac.v3.RBAC", `, rules: {action: ALLOW, policies: {p: {permissions: [{and_rules: {rules: [{or_rules: {rules: [{url_path: {path: {prefix: /index}}}]}}, {header: {name: ":method", string_match: {exact: GET}}}]}}], principals: [{authenticated: {principal_name: {exact: "spiffe://cluster.local/ns/a/sa/b"}}}]}}}`)
	}
	if l.sidecar {
		filters += filter("grpc_stats", "grpc_stats.v3.FilterConfig", ", emit_filter_state: true, stats_for_all_methods: false") + filter("fault", "fault.v3.HTTPFault", "") + filter("cors", "cors.v3.Cors", "")
		log = fmt.Sprintf(`
          access_log:
          - name: file
            typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null, log_format: {text_format_source: {inline_string: "%s"}}}`, istioLog)
	}
	if l.certs != nil {
		transport = fmt.Sprintf(`
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: %s}, private_key: {filename: %s}}]
            validation_context: {trusted_ca: {filename: %s}}`, l.certs.cert, l.certs.key, l.certs.ca)
	}
	for i := range l.routes {
		routes += fmt.Sprintf("\n              - match: {prefix: /service-%d/}\n                route: {cluster: %s, timeout: 0s}", i, l.cluster)
	}
	return fmt.Sprintf(`  - name: hop-%d
    address: {socket_address: {address: 127.0.0.1, port_value: %[1]d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: hop
          codec_type: %s
          generate_request_id: false%s
          http_filters:%s%s
          route_config:
            name: hop
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:%s
              - match: {prefix: /}
                route: {cluster: %s, timeout: 0s}%s
`, l.port, codec, log, filters, filter("envoy.filters.http.router", "router.v3.Router", ""), routes, l.cluster, transport)
}

func clusterConfig(name, address string, http2 bool, certs *certificates) string {
	host, port, _ := net.SplitHostPort(address)
	options := ""
	if http2 {
		options = `
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}`
	}
	if certs != nil {
		options += fmt.Sprintf(`
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          tls_certificates: [{certificate_chain: {filename: %s}, private_key: {filename: %s}}]
          validation_context: {trusted_ca: {filename: %s}}`, certs.cert, certs.key, certs.ca)
	}
	return fmt.Sprintf(`  - name: %s
    type: STATIC
    connect_timeout: 1s%s
    load_assignment: {cluster_name: %[1]s, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %[3]s, port_value: %[4]s}}}}]}]}
`, name, options, host, port)
}

func nginxConfig(dir string, port int, backend string, certs certificates, sc scenario) string {
	listen, extra := fmt.Sprintf("127.0.0.1:%d", port), ""
	pass := `proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;`
	if sc.grpc {
		listen += " http2"
		pass = "grpc_pass grpc://backend;"
	}
	if sc.tls {
		listen += " ssl"
		extra = fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s; ssl_client_certificate %s; ssl_verify_client on;", certs.cert, certs.key, certs.ca)
	}
	return fmt.Sprintf(`daemon off; master_process off; pid %s/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  upstream backend { server %s; keepalive 64; keepalive_requests 1000000000; keepalive_timeout 1h; }
  server { listen %s; %s location / { %s } }
}
`, dir, backend, listen, extra, pass)
}

func haproxyConfig(port int, backend string) string {
	return fmt.Sprintf(`global
  nbthread 1
defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  option splice-auto
listen hop
  bind 127.0.0.1:%d
  server backend %s
`, port, backend)
}

// certificates are one CA and one certificate that serves both sides.
type certificates struct {
	ca, cert, key string // files
	client        *tls.Config
}

func writeCertificates(dir string) (certificates, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificates{}, err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hop CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificates{}, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "hop"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, URIs: []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/a/sa/b"}}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return certificates{}, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return certificates{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return certificates{}, err
	}
	c := certificates{ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{c.ca, "CERTIFICATE", caDER}, {c.cert, "CERTIFICATE", leafDER}, {c.key, "PRIVATE KEY", keyDER}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			return certificates{}, err
		}
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return certificates{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}))
	c.client = &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "127.0.0.1"}
	return c, nil
}
