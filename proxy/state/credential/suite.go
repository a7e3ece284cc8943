package credential

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
)

// suites maps the names of cipher suites, which only matter below TLS 1.3, to
// their numbers. Those of TLS 1.3 may be named and select nothing: all of them are
// always offered.
var suites = map[string]uint16{
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	"AES128-GCM-SHA256":             tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	"AES256-GCM-SHA384":             tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	"AES128-SHA":                    tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	"AES256-SHA":                    tls.TLS_RSA_WITH_AES_256_CBC_SHA,
}

// cipherSuites are the numbers of the suites that entries name. An entry is a name,
// a group "[A|B]" of names that are equally welcome, or several of these with colons
// between them. Order and groups have no effect: it is the library that chooses.
func cipherSuites(entries []string) ([]uint16, error) {
	var ids []uint16
	named := false
	for i, entry := range entries {
		for rule := range strings.SplitSeq(entry, ":") {
			for _, name := range equals(rule) {
				id, ok := suites[name]
				if !ok && !isTLS13(name) {
					return nil, fieldcheck.Refuse(fmt.Sprintf("cipher_suites[%d]", i), "%q is not supported", name)
				}
				named = true
				if ok {
					ids = append(ids, id)
				}
			}
		}
	}
	if named && ids == nil {
		return nil, fieldcheck.Refuse("cipher_suites", "selects none below TLS 1.3, whose own are always offered: to allow nothing older, set tls_minimum_protocol_version")
	}
	return ids, nil
}

// equals are the names in a rule: one, or those of a group in brackets.
func equals(rule string) []string {
	switch inner, grouped := strings.CutPrefix(rule, "["); {
	case rule == "":
		return nil
	case grouped && strings.HasSuffix(inner, "]"):
		return strings.Split(strings.TrimSuffix(inner, "]"), "|")
	default:
		return []string{rule}
	}
}

func isTLS13(name string) bool {
	switch name {
	case "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256":
		return true
	}
	return false
}
