package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// folder holds the files that a proxy follows.
type folder struct {
	dir     string
	version int
}

// put replaces a file in one step.
func (f *folder) put(t *testing.T, name, text string) {
	t.Helper()
	next := filepath.Join(f.dir, ".next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(f.dir, name)); err != nil {
		t.Fatal(err)
	}
}

// tell replaces a file of resources.
func (f *folder) tell(t *testing.T, name, resource string) {
	t.Helper()
	f.version++
	f.put(t, name, fmt.Sprintf("version_info: v%d\nresources:\n- %s\n", f.version, resource))
}

func (f *folder) source(name string) string {
	return fmt.Sprintf("{resource_api_version: V3, path_config_source: {path: %q}}", filepath.Join(f.dir, name))
}

// Clusters, endpoints, listeners, routes and secrets come from files, and change
// when the files are replaced; so do certificates that a secret names by file. A
// broken file changes nothing. Envoy follows the same files in the same way.
func TestFiles(t *testing.T) {
	t.Run("ours", func(t *testing.T) { followFiles(t, runOurs) })
	t.Run("Envoy", func(t *testing.T) { followFiles(t, runEnvoy) })
}

func followFiles(t *testing.T, run runner) {
	one, two := newBackend(t, "one"), newBackend(t, "two")
	address := freeAddress(t)
	f := &folder{dir: t.TempDir()}
	endpoints := func(b *backend) {
		f.tell(t, "eds.yaml", fmt.Sprintf(`{"@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, cluster_name: web,
  endpoints: [{lb_endpoints: [{endpoint: {address: %s}}]}]}`, socketAddress(b.port)))
	}
	routes := func(route string) {
		f.tell(t, "rds.yaml", `{"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: web, virtual_hosts: [{name: all, domains: ["*"], routes: [`+route+`]}]}`)
	}
	certificate := func(name string) *x509.Certificate {
		cert, chain, key := selfSigned(t, name)
		f.put(t, "chain.pem", chain)
		f.put(t, "key.pem", key)
		return cert
	}
	endpoints(one)
	routes("{match: {prefix: /}, route: {cluster: web}}")
	first := certificate("first.test")
	f.tell(t, "sds.yaml", fmt.Sprintf(`{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: web,
  tls_certificate: {certificate_chain: {filename: %q}, private_key: {filename: %q}}}`, filepath.Join(f.dir, "chain.pem"), filepath.Join(f.dir, "key.pem")))
	f.tell(t, "cds.yaml", `{"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: web, connect_timeout: 1s, type: EDS, eds_cluster_config: {eds_config: `+f.source("eds.yaml")+`}}`)
	f.tell(t, "lds.yaml", fmt.Sprintf(`{"@type": type.googleapis.com/envoy.config.listener.v3.Listener, name: web, address: %s,
  filter_chains: [{
    filters: [{name: http, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: web,
      rds: {route_config_name: web, config_source: %s},
      http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}],
    transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext,
      common_tls_context: {tls_certificate_sds_secret_configs: [{name: web, sds_config: %s}]}}}}]}`, socketAddress(address), f.source("rds.yaml"), f.source("sds.yaml")))
	run(t, fmt.Sprintf("node: {id: me, cluster: us}\ndynamic_resources: {cds_config: %s, lds_config: %s}\n", f.source("cds.yaml"), f.source("lds.yaml")))

	answered := func(by string, shown *x509.Certificate) {
		t.Helper()
		eventually(t, func() error {
			client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			resp, err := client.Get("https://" + address + "/")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if got := resp.Header.Get("x-backend") + unusual(resp.StatusCode, body); got != by || !resp.TLS.PeerCertificates[0].Equal(shown) {
				return fmt.Errorf("answered by %s with the certificate of %v", got, resp.TLS.PeerCertificates[0].DNSNames)
			}
			return nil
		})
	}
	answered("one", first)
	endpoints(two)
	answered("two", first)
	second := certificate("second.test")
	answered("two", second)
	f.put(t, "eds.yaml", "nonsense")
	routes("{match: {prefix: /}, direct_response: {status: 418, body: {inline_string: teapot}}}")
	answered("418 teapot", second)
	routes("{match: {prefix: /}, route: {cluster: web}}")
	answered("two", second)
	f.put(t, "lds.yaml", `{"version_info": "none"}`)
	eventually(t, func() error {
		resp, err := http.Get("https://" + address)
		if err == nil {
			resp.Body.Close()
			return fmt.Errorf("a listener that is gone answers")
		}
		return nil
	})
}

// unusual is a status and what came with it, empty for 200.
func unusual(status int, body []byte) string {
	if status == http.StatusOK {
		return ""
	}
	return fmt.Sprintf("%d %s", status, body)
}

// selfSigned is a certificate for a name, and PEM texts of its chain and key.
func selfSigned(t *testing.T, name string) (cert *x509.Certificate, chain, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err == nil {
		cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, body []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: body}))
	}
	return cert, text("CERTIFICATE", der), text("PRIVATE KEY", secret)
}
