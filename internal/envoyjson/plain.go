package envoyjson

import (
	"errors"
	"regexp"

	"github.com/lateenmesh/lateen/internal/protoerr"
)

// unresolved is how the decoder says that it does not know a message's type.
var unresolved = regexp.MustCompile(`unable to resolve "[^"]*/([^"/]+)": "not found"`)

// plain is an error of the JSON decoder in our words, with extensions that are not
// there by name.
func plain(err error) error {
	return errors.New(unresolved.ReplaceAllString(protoerr.Text(err), "$1 is not supported"))
}
