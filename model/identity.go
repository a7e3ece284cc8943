package model

import (
	"fmt"
	"strings"
)

// Identity is who a workload is: a service account in a trust domain.
type Identity struct {
	TrustDomain    string
	Namespace      string
	ServiceAccount string
}

// IsZero reports whether there is no identity.
func (id Identity) IsZero() bool { return id == Identity{} }

// String gives the SPIFFE ID: spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT.
// It is empty for the zero identity.
func (id Identity) String() string {
	if id.IsZero() {
		return ""
	}
	return "spiffe://" + id.Principal()
}

// Principal gives the form that AuthorizationPolicy and metrics use: the
// SPIFFE ID without its scheme.
func (id Identity) Principal() string {
	if id.IsZero() {
		return ""
	}
	return id.TrustDomain + "/ns/" + id.Namespace + "/sa/" + id.ServiceAccount
}

// ParseIdentity reads a SPIFFE ID of the form that String writes.
func ParseIdentity(uri string) (Identity, error) {
	rest, ok := strings.CutPrefix(uri, "spiffe://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" || parts[0] == "" || parts[2] == "" || parts[4] == "" {
		return Identity{}, fmt.Errorf("parse identity %q: want spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT", uri)
	}
	return Identity{TrustDomain: parts[0], Namespace: parts[2], ServiceAccount: parts[4]}, nil
}
