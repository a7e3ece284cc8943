// Package injector puts the workload's own credential into requests that it makes:
// a secret as it is, or a token that an authorization server gives for it. It
// stands behind whatever looks at the client's credentials.
package injector

import "github.com/lateenmesh/lateen/proxy/stream"

// Filter injects a credential.
type Filter struct {
	Credential Credential
	// Header is the field that gets it, with Prefix before it.
	Header, Prefix string
	// Overwrite replaces a field that is there; otherwise that stays.
	Overwrite bool
	// Optional lets requests go on without a credential when there is none.
	Optional bool
}

// Credential is what a request proves itself with.
type Credential interface {
	// Value is the credential as it is now; ok is false when there is none. It may
	// wait for it, as long as w is not abandoned.
	Value(w *stream.Waiting) (value string, ok bool)
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if !f.Overwrite && req.Header.Has(f.Header) {
		return next.Handle(req)
	}
	value, ok := f.Credential.Value(&req.Waiting)
	switch {
	case ok && fit(value):
		if f.Prefix != "" {
			value = f.Prefix + value
		}
		req.Header.Set(f.Header, value)
	case !f.Optional:
		return nil, stream.Refuse(401, "failed_to_inject_credential", "Failed to inject credential.")
	}
	return next.Handle(req)
}

// fit reports whether a credential may stand in a field.
func fit(value string) bool { return value != "" && stream.ValidValue(value) }

// Secret is a credential that is kept elsewhere, and may change there.
type Secret func() (value string, ok bool)

// Value implements [Credential].
func (s Secret) Value(*stream.Waiting) (string, bool) { return s() }

var _ stream.Filter = (*Filter)(nil)
