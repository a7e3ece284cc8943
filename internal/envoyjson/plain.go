package envoyjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/internal/protoerr"
)

var (
	// unresolved is how the decoder says that it does not know a message's type.
	unresolved = regexp.MustCompile(`unable to resolve "[^"]*/([^"/]+)": "not found"`)
	// position is where in the text a problem is: a line, of which there is one, and a
	// character of it.
	position = regexp.MustCompile(`(?:syntax error )?\(line 1:(\d+)\): `)
)

// plain is an error of the JSON decoder in our words: with the path of the field
// instead of its place in a text that nobody has written, and with extensions that are
// not there by name.
func plain(err error, text []byte) error {
	said := unresolved.ReplaceAllString(protoerr.Text(err), "$1 is not supported")
	at := position.FindStringSubmatchIndex(said)
	if at == nil {
		return fieldcheck.Refuse("", "%s", said)
	}
	column, _ := strconv.Atoi(said[at[2]:at[3]]) // only digits
	return fieldcheck.Refuse(strings.TrimSuffix(pathTo(text, offset(text, column)), ".@type"), "%s", said[:at[0]]+said[at[1]:])
}

// offset is where the character of a number, from 1, begins.
func offset(text []byte, column int) int64 {
	at := 0
	for range column - 1 {
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return int64(at)
}

// pathTo is the path of the value at a place in JSON: of what has the field when its
// name stands there.
func pathTo(text []byte, at int64) string {
	d := json.NewDecoder(bytes.NewReader(text))
	var open []level
	for {
		token, err := d.Token()
		if err != nil {
			return pathOf(open)
		}
		inner := len(open) - 1
		named := inner >= 0 && open[inner].object && !open[inner].named // it is a field's name
		begins := token == json.Delim('{') || token == json.Delim('[')
		ends := token == json.Delim('}') || token == json.Delim(']')
		if reached := d.InputOffset() > at; reached && (named || ends) {
			return pathOf(open[:inner])
		} else if reached {
			return pathOf(open)
		}
		switch {
		case named && !ends:
			open[inner].named, open[inner].name = true, token.(string)
		case begins:
			open = append(open, level{object: token == json.Delim('{')})
		case ends:
			if open = open[:inner]; inner > 0 {
				open[inner-1].next()
			}
		case inner >= 0:
			open[inner].next()
		}
	}
}

// level is an object or a list that is being read.
type level struct {
	object bool
	named  bool // of an object: name is whose value comes
	name   string
	index  int // of a list: which value comes
}

// next says that a value is over.
func (l *level) next() {
	l.named = false
	l.index++
}

// pathOf is the path of the value that comes.
func pathOf(open []level) string {
	path := ""
	for _, l := range open {
		switch {
		case !l.object:
			path += fmt.Sprintf("[%d]", l.index)
		case l.named:
			path = fieldcheck.Join(path, l.name)
		}
	}
	return path
}
