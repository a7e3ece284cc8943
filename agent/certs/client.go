package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	securityapi "istio.io/api/security/v1alpha1"
)

// Client asks the authority over Istio's CSR API. It connects anew for each
// certificate: that is twice a day, and the token and root files may have
// changed since.
type Client struct {
	// Address is the authority's, "istiod.istio-system.svc:15012"; its host is
	// the name that its certificate must show.
	Address string
	// RootFile (PEM) says whom to believe to be the authority, TokenFile holds
	// the workload's service-account token for audience istio-ca.
	RootFile, TokenFile string
	// Dial connects; nil is the net package's.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

var _ Signer = Client{}

// signTimeout bounds one call.
const signTimeout = 10 * time.Second

// Sign implements [Signer].
func (c Client) Sign(ctx context.Context, csr []byte, life time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	transport, err := c.credentials()
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("read service-account token: %w", err)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if c.Dial != nil {
		options = append(options, grpc.WithContextDialer(c.Dial))
	}
	conn, err := grpc.NewClient("passthrough:"+c.Address, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.Address, err)
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+string(bytes.TrimSpace(token)))
	r, err := securityapi.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &securityapi.IstioCertificateRequest{
		Csr: string(csr), ValidityDuration: int64(life / time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Address, err)
	}
	return r.GetCertChain(), nil
}

func (c Client) credentials() (credentials.TransportCredentials, error) {
	roots, err := os.ReadFile(c.RootFile)
	if err != nil {
		return nil, fmt.Errorf("read the authority's root: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("root file %s holds no certificate", c.RootFile)
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("authority's address %q: %w", c.Address, err)
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: host}), nil
}
