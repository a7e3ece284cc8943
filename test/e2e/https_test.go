//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A gateway ends TLS with a secret's certificate and carries plain TCP on another
// port.
func TestGatewayServesHTTPSAndTCP(t *testing.T) {
	roots := secret(t, "shop-cert", "shop.example.com")
	apply(t, "default", `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    tls: {mode: SIMPLE, credentialName: shop-cert}
    hosts: [shop.example.com]
  - port: {number: 31400, name: tcp, protocol: TCP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [shop]
  http:
  - route: [{destination: {host: productpage, port: {number: 9080}}}]
  tcp:
  - match: [{port: 31400}]
    route: [{destination: {host: details, port: {number: 9080}}}]
`)
	t.Cleanup(func() { must(t, "delete", "gateway/shop", "virtualservice/shop") })
	port := func(name string) string {
		return must(t, "-n", "istio-system", "get", "service", "istio-ingressgateway", "-o", fmt.Sprintf(`jsonpath={.spec.ports[?(@.name==%q)].nodePort}`, name))
	}
	address := "127.0.0.1:" + port("https")
	browser := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		ForceAttemptHTTP2: true, // it offers both, as browsers do
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
	for name, call := range map[string]func() (*http.Response, error){
		"https": func() (*http.Response, error) { return browser.Get("https://shop.example.com/productpage") },
		"tcp":   func() (*http.Response, error) { return client.Get("http://127.0.0.1:" + port("tcp") + "/details/0") },
	} {
		eventually(t, name+" answers", func() error {
			resp, err := call()
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s", resp.Status)
			}
			return nil
		})
	}
}

// secret stores a self-signed certificate for a host as a TLS secret of the
// gateway's namespace.
func secret(t *testing.T, name, host string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	dir := t.TempDir()
	for file, text := range map[string][]byte{"tls.crt": cert, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "create", "-n", "istio-system", "secret", "tls", name, "--cert", filepath.Join(dir, "tls.crt"), "--key", filepath.Join(dir, "tls.key"))
	t.Cleanup(func() { must(t, "delete", "-n", "istio-system", "secret", name) })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots
}
