package source

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/lateenmesh/lateen/control/mesh"
)

// Secret reads a TLS credential in any form that Istio's gateways take:
// kubernetes.io/tls, or generic with cert, key and cacert. It is false for a
// Secret of any other kind.
func Secret(s *corev1.Secret) (*mesh.Secret, bool) {
	out := &mesh.Secret{
		Namespace: s.Namespace, Name: s.Name,
		Cert: either(s.Data, corev1.TLSCertKey, "cert"), Key: either(s.Data, corev1.TLSPrivateKeyKey, "key"),
		CA: either(s.Data, "ca.crt", "cacert"), CRL: either(s.Data, "ca.crl", "crl"),
	}
	if s.Type == corev1.SecretTypeServiceAccountToken || len(out.Cert)+len(out.CA) == 0 {
		return nil, false
	}
	return out, true
}

func either(data map[string][]byte, keys ...string) []byte {
	for _, key := range keys {
		if v := data[key]; len(v) > 0 {
			return v
		}
	}
	return nil
}
