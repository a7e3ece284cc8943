package telemetry

import (
	"crypto/sha1" //nolint:gosec // the operator's name asks for it
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// certificateFacts are what operators tell of a certificate, by the end of their
// names.
var certificateFacts = map[string]func(*x509.Certificate) string{
	"SUBJECT":         func(c *x509.Certificate) string { return c.Subject.String() },
	"ISSUER":          func(c *x509.Certificate) string { return c.Issuer.String() },
	"SERIAL":          serial,
	"FINGERPRINT_256": fingerprint256,
	"FINGERPRINT_1":   fingerprint1,
	"CERT_V_START":    func(c *x509.Certificate) string { return string(envoyTime(nil, c.NotBefore)) },
	"CERT_V_END":      func(c *x509.Certificate) string { return string(envoyTime(nil, c.NotAfter)) },
	"CERT": func(c *x509.Certificate) string {
		return stream.QuotePEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	},
	"DNS_SAN":   func(c *x509.Certificate) string { return strings.Join(c.DNSNames, ",") },
	"EMAIL_SAN": func(c *x509.Certificate) string { return strings.Join(c.EmailAddresses, ",") },
	"URI_SAN": func(c *x509.Certificate) string {
		var all []string
		for _, u := range c.URIs {
			all = append(all, u.String())
		}
		return strings.Join(all, ",")
	},
	"OTHERNAME_SAN": otherNames,
	"IP_SAN": func(c *x509.Certificate) string {
		var all []string
		for _, ip := range c.IPAddresses {
			all = append(all, ip.String())
		}
		return strings.Join(all, ",")
	},
}

// serial is a serial number in whole bytes.
func serial(c *x509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }

func fingerprint256(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func fingerprint1(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

// withCertificates adds the operators of certificates, which are named for whose it is
// and for the fact: not each pair is one of Envoy's.
func withCertificates(all map[string]operator) map[string]operator {
	mine := func(r *record) *x509.Certificate {
		if t := r.req.Conn.TLS; t != nil {
			return t.Local
		}
		return nil
	}
	for _, whose := range []struct {
		prefix, facts string
		get           func(*record) *x509.Certificate
	}{
		{"DOWNSTREAM_PEER_", "ISSUER SERIAL FINGERPRINT_1 CERT_V_START CERT_V_END CERT EMAIL_SAN IP_SAN OTHERNAME_SAN", downstreamPeer},
		{"DOWNSTREAM_LOCAL_", "SUBJECT DNS_SAN EMAIL_SAN URI_SAN IP_SAN OTHERNAME_SAN", mine},
		{"UPSTREAM_LOCAL_", "DNS_SAN URI_SAN IP_SAN", func(r *record) *x509.Certificate { return r.req.Info.UpstreamShown }},
		{"UPSTREAM_PEER_", "SUBJECT ISSUER CERT_V_START CERT_V_END CERT DNS_SAN URI_SAN IP_SAN", upstreamPeer},
	} {
		for fact := range strings.FieldsSeq(whose.facts) {
			tell := certificateFacts[fact]
			all[whose.prefix+fact] = text(func(r *record) string {
				if c := whose.get(r); c != nil {
					return tell(c)
				}
				return ""
			})
		}
	}
	return all
}

func downstreamPeer(r *record) *x509.Certificate {
	if t := r.req.Conn.TLS; t != nil {
		return t.Peer
	}
	return nil
}

func upstreamPeer(r *record) *x509.Certificate {
	if t := r.req.Info.UpstreamTLS; t != nil && len(t.PeerCertificates) > 0 {
		return t.PeerCertificates[0]
	}
	return nil
}

func validFrom(c *x509.Certificate) time.Time { return c.NotBefore }
func validTo(c *x509.Certificate) time.Time   { return c.NotAfter }

// validity makes operators for one end of the time in which a certificate is valid,
// written as the argument says.
func validity(whose func(*record) *x509.Certificate, end func(*x509.Certificate) time.Time) func(string) (operator, error) {
	return func(layout string) (operator, error) {
		write, err := timeFormat(layout)
		return operator{write: func(b []byte, r *record) ([]byte, bool) {
			c := whose(r)
			if c == nil {
				return b, false
			}
			return write(b, end(c)), true
		}}, err
	}
}

// chain tells a fact of each certificate that the peer showed.
func chain(tell func(*x509.Certificate) string) operator {
	return peer(func(t *stream.TLS) string {
		var all []string
		for _, c := range t.Chain {
			all = append(all, tell(c))
		}
		return strings.Join(all, ",")
	})
}

func upstreamTLS(get func(*tls.ConnectionState) string) operator {
	return text(func(r *record) string {
		if t := r.req.Info.UpstreamTLS; t != nil {
			return get(t)
		}
		return ""
	})
}

// groups are the names of key exchanges as TLS's registry has them.
var groups = map[tls.CurveID]string{tls.CurveP256: "P-256", tls.CurveP384: "P-384", tls.CurveP521: "P-521", tls.X25519: "X25519", tls.X25519MLKEM768: "X25519MLKEM768"}

func groupName(id tls.CurveID) string { return groups[id] }

// versionName is a version of TLS as Envoy has it, "TLSv1.3".
func versionName(version uint16) string {
	return strings.ReplaceAll(tls.VersionName(version), " ", "v")
}

// cipherNames are OpenSSL's, which differ from TLS's registry below TLS 1.3.
var cipherNames = map[uint16]string{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256", tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256", tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305", tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA", tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256", tls.TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384", tls.TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA", tls.TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
}

func cipherName(id uint16) string {
	if name, old := cipherNames[id]; old {
		return name
	}
	return tls.CipherSuiteName(id)
}

var subjectAlternativeNames = asn1.ObjectIdentifier{2, 5, 29, 17}

// otherNames are the names of forms that only their owners know, by their values.
func otherNames(c *x509.Certificate) string {
	var all []string
	for _, e := range c.Extensions {
		var names asn1.RawValue
		if !e.Id.Equal(subjectAlternativeNames) || !parsed(e.Value, &names) {
			continue
		}
		for rest := names.Bytes; len(rest) > 0; {
			var name, form, value asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &name); err != nil {
				break
			}
			if name.Class != asn1.ClassContextSpecific || name.Tag != 0 {
				continue
			}
			if explicit, err := asn1.Unmarshal(name.Bytes, &form); err == nil && parsed(explicit, &value) && parsed(value.Bytes, &value) {
				if text, known := asn1Text(value); known {
					all = append(all, text)
				}
			}
		}
	}
	return strings.Join(all, ",")
}

func parsed(p []byte, to *asn1.RawValue) bool {
	_, err := asn1.Unmarshal(p, to)
	return err == nil
}

// asn1Text is a value as Envoy shows it: strings and octets as they are.
func asn1Text(v asn1.RawValue) (string, bool) {
	switch v.Tag {
	case asn1.TagBoolean:
		return strconv.FormatBool(len(v.Bytes) == 1 && v.Bytes[0] != 0), true
	case asn1.TagInteger, asn1.TagEnum:
		return new(big.Int).SetBytes(v.Bytes).String(), true
	case asn1.TagBitString, asn1.TagSequence, asn1.TagSet, asn1.TagNull, asn1.TagOID:
		return "", false
	}
	return strings.ToValidUTF8(string(v.Bytes), "?"), true
}
