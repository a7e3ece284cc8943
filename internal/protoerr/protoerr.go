// Package protoerr says errors of the protocol buffers library in the same words in
// every build. The library varies their spaces from binary to binary, so that nobody
// relies on them; what users read and what is compared must not vary.
package protoerr

import "strings"

// Text is err's text with single plain spaces, and without the prefix that the library
// puts before it.
func Text(err error) string {
	return strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "proto: ")
}
