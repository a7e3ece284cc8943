package envoyjson

import (
	"errors"
	"regexp"
	"strings"
)

// unresolved is how the decoder says that it does not know a message's type.
var unresolved = regexp.MustCompile(`unable to resolve "[^"]*/([^"/]+)": "not found"`)

// plain is an error of the JSON decoder in our words: without the prefix that it
// puts before each message, and with extensions that are not there by name.
func plain(err error) error {
	text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: ")
	return errors.New(unresolved.ReplaceAllString(text, "$1 is not supported"))
}
