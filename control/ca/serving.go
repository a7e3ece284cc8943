package ca

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// ServerTLS is the control plane's own TLS: a certificate for these DNS names
// signed by the authority, renewed at half-life, and client certificates
// accepted from the mesh's roots but not asked for.
func (k *Keeper) ServerTLS(names []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cert, err := k.certificate(names, time.Now())
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{*cert},
				ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: k.Authority().Pool(),
			}, nil
		},
	}
}

// certificate is the serving certificate, made anew at half of its life and
// when another authority signs.
func (k *Keeper) certificate(names []string, now time.Time) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.Authority()
	if k.serving != nil && k.by == a && now.Before(k.until) {
		return k.serving, nil
	}
	signer, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	chain, err := a.Sign(signer.Public(), Subject{DNS: names, TTL: DefaultTTL}, now)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair([]byte(strings.Join(chain[:len(chain)-1], "")), keyPEM)
	if err != nil {
		return nil, fmt.Errorf("load the serving certificate: %w", err)
	}
	if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
		return nil, fmt.Errorf("parse the serving certificate: %w", err)
	}
	k.serving, k.by, k.until = &cert, a, now.Add(cert.Leaf.NotAfter.Sub(now)/2)
	return k.serving, nil
}
