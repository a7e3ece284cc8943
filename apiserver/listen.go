package apiserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// listen opens the HTTPS port and announces its address.
func (s *Server) listen() (net.Listener, *tls.Config, error) {
	cert, err := s.keys.serving()
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for the api on %s: %w", s.cfg.Listen, err)
	}
	address := listener.Addr().String()
	s.address.Store(&address)
	return listener, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// CA is the certificate that clients verify the server with, in PEM.
func (s *Server) CA() []byte { return s.keys.caPEM }

// Token is the administrator's bearer token.
func (s *Server) Token() string { return s.keys.token }

// Kubeconfig is a kubeconfig with the administrator's token. It holds a secret:
// write it with mode 0600. It fails before [Server.Started].
func (s *Server) Kubeconfig() ([]byte, error) {
	address := s.Address()
	if address == "" {
		return nil, errors.New("make kubeconfig: the api does not listen yet")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("make kubeconfig: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	const name = "lateen"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + net.JoinHostPort(host, port), CertificateAuthorityData: s.keys.caPEM}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: s.keys.token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: "default"}
	config.CurrentContext = name
	return clientcmd.Write(*config)
}

// port is the number of the port that Run listens on, 0 before.
func (s *Server) port() int {
	_, port, err := net.SplitHostPort(s.Address())
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port)
	return n
}
