package ads

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Server is where the control plane is and how to reach it.
type Server struct {
	// Address is host:port, or unix:PATH.
	Address string
	// Plaintext leaves TLS out, as on istiod's port 15010.
	Plaintext bool
	// RootFile is the PEM bundle that the server's certificate must chain to;
	// the system's roots when empty. It is read again for each connection.
	RootFile string
	// ServerName is what the server's certificate must be for; the address's
	// host when empty.
	ServerName string
	// TokenFile is a bearer token that goes with each stream; none when empty.
	// It is read again for each stream, for it is renewed in place.
	TokenFile string
	// Certificate identifies this client; nil when a token does.
	Certificate func() (*tls.Certificate, error)
	// Authority is the host that calls name; the address when empty.
	Authority string
	// Dial opens connections; it resolves host names too. The system's
	// resolver and dialer when nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// maxMessage bounds one response: a large mesh's listeners in one message.
const maxMessage = 512 << 20

func (s Server) dial() (*grpc.ClientConn, error) {
	transport, err := s.transport()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(s.open),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(), // a proxy's way to its control plane is not the environment's affair
	}
	if s.Authority != "" {
		options = append(options, grpc.WithAuthority(s.Authority))
	}
	if s.TokenFile != "" {
		options = append(options, grpc.WithPerRPCCredentials(token{s.TokenFile, !s.Plaintext}))
	}
	return grpc.NewClient("passthrough:///"+s.Address, options...)
}

func (s Server) open(ctx context.Context, address string) (net.Conn, error) {
	dial := s.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return dial(ctx, "unix", path)
	}
	return dial(ctx, "tcp", address)
}

func (s Server) transport() (credentials.TransportCredentials, error) {
	if s.Plaintext {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{ServerName: s.ServerName, MinVersion: tls.VersionTLS12}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(s.Address)
	}
	if s.RootFile != "" {
		pem, err := os.ReadFile(s.RootFile)
		if err != nil {
			return nil, fmt.Errorf("read the control plane's root certificate: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the control plane's root certificate: %s holds no PEM certificate", s.RootFile)
		}
	}
	if s.Certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.Certificate() }
	}
	return credentials.NewTLS(config), nil
}

// token sends the content of a file as a bearer token.
type token struct {
	file   string
	secure bool
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	text, err := os.ReadFile(t.file)
	if err != nil {
		return nil, fmt.Errorf("read the token for the control plane: %w", err)
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(text))}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (t token) RequireTransportSecurity() bool { return t.secure }
