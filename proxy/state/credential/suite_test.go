package credential

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
)

// A list of ciphers may have groups and names of TLS 1.3, which choose nothing; one
// that chooses nothing at all, or names what there is not, is refused.
func TestCipherSuites(t *testing.T) {
	const gcm, chacha = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
	for _, c := range []struct {
		entries []string
		want    []uint16
		refused string
	}{
		{nil, nil, ""},
		{[]string{""}, nil, ""},
		{[]string{"[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]", "AES128-SHA"}, []uint16{gcm, chacha, tls.TLS_RSA_WITH_AES_128_CBC_SHA}, ""},
		{[]string{"[ECDHE-ECDSA-AES128-GCM-SHA256]:ECDHE-ECDSA-CHACHA20-POLY1305:"}, []uint16{gcm, chacha}, ""},
		{[]string{"TLS_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"}, []uint16{gcm}, ""},
		{[]string{"[TLS_AES_128_GCM_SHA256|ECDHE-ECDSA-AES128-GCM-SHA256]", "TLS_CHACHA20_POLY1305_SHA256"}, []uint16{gcm}, ""},
		{[]string{"TLS_AES_256_GCM_SHA384"}, nil, "cipher_suites: selects none below TLS 1.3"},
		{[]string{"AES128-SHA", "NONSENSE"}, nil, `cipher_suites[1]: "NONSENSE" is not supported`},
		{[]string{"[AES128-SHA|NONSENSE]"}, nil, `cipher_suites[0]: "NONSENSE" is not supported`},
		{[]string{"[AES128-SHA:AES256-SHA]"}, nil, `cipher_suites[0]: "[AES128-SHA" is not supported`},
		{[]string{"AES128-SHA|AES256-SHA"}, nil, `cipher_suites[0]: "AES128-SHA|AES256-SHA" is not supported`},
	} {
		got, err := cipherSuites(c.entries)
		if c.refused != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.refused) {
				t.Errorf("%q: got %v, want %s", c.entries, err, c.refused)
			}
			continue
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: got %x, %v; want %x", c.entries, got, err, c.want)
		}
	}
}
