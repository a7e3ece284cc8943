package mesh

import "fmt"

// Severity says whether a problem keeps an object from taking effect.
type Severity uint8

// The severities of a problem.
const (
	// Warning is worth the user's attention; the object is in force.
	Warning Severity = iota
	// Error keeps the object, or the part that Field names, out of force.
	Error
)

// String gives the word that users see.
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// Problem is something wrong with one object of a user.
type Problem struct {
	Object   Meta
	Severity Severity
	// Field is the path in the object: "spec.http[0].route[1].weight".
	Field string
	// Message says what is wrong and what to do about it.
	Message string
}

// String names the object, the field and what is wrong there.
func (p Problem) String() string {
	return fmt.Sprintf("%s: %s: %s", p.Object, p.Field, p.Message)
}
