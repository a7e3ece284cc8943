package stream

import "errors"

// A SourceError is a failure of the side that a body is read from, as opposed to
// the one it is written to.
type SourceError struct{ Err error }

// Error gives the failure's text.
func (e SourceError) Error() string { return e.Err.Error() }

// Unwrap gives the failure.
func (e SourceError) Unwrap() error { return e.Err }

// IsSource reports whether err came from the side that a body is read from.
func IsSource(err error) bool {
	var source SourceError
	return errors.As(err, &source)
}

// IsSyntax reports whether err says that the peer broke its protocol: such an
// error has a method Syntax.
func IsSyntax(err error) bool {
	var broken interface {
		error
		Syntax()
	}
	return errors.As(err, &broken)
}

// A ResetError says that the peer has given up one exchange while its connection
// goes on, or that it will not begin one.
type ResetError struct {
	// Reason is the peer's, as its protocol names it.
	Reason string
	// Unprocessed says that the peer has done nothing for the exchange: it may be
	// made again.
	Unprocessed bool
}

// Error tells of the reset.
func (e *ResetError) Error() string { return "the peer has reset the exchange: " + e.Reason }
