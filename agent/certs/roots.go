package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
)

// readRoots looks whether the root file has changed.
func (s *Source) readRoots() {
	more := s.fileRoots()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trust(more) {
		s.announce()
	}
}

// fileRoots is what the root file holds; nothing when it cannot be read.
func (s *Source) fileRoots() []byte {
	if s.config.RootFile == "" {
		return nil
	}
	text, err := os.ReadFile(s.config.RootFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.config.Log.Warn("root certificates not read", "file", s.config.RootFile, "error", err)
	}
	return text
}

// trust sets the bundle to the roots that came with the certificate and more.
// It reports whether the bundle changed. The caller holds mu.
func (s *Source) trust(more []byte) bool {
	bundle := union(s.issued, more)
	if len(bundle) == 0 || bytes.Equal(bundle, s.roots.Roots) {
		return false
	}
	s.roots = Secret{Name: RootCA, Roots: bundle}
	return true
}

// union is the certificates of several PEM texts, each once, in order. What is
// no certificate is left out.
func union(texts ...[]byte) []byte {
	var out []byte
	seen := map[string]bool{}
	for _, text := range texts {
		for {
			var block *pem.Block
			if block, text = pem.Decode(text); block == nil {
				break
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil || seen[string(block.Bytes)] {
				continue
			}
			seen[string(block.Bytes)] = true
			out = append(out, pem.EncodeToMemory(block)...)
		}
	}
	return out
}
