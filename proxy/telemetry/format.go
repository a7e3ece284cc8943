// Package telemetry counts, times and logs what has been done: the last step of a
// request. Everything that a request needs is resolved when configuration
// arrives; a request itself pays a few atomic adds and one line.
package telemetry

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// record is what operators read. req is a stand-in without fields for a byte
// stream, resp is nil then and for requests without an answer.
type record struct {
	req  *stream.Request
	resp *stream.Response
	// body is what a reply of the proxy's own says, while it is written.
	body string
}

// operator writes a value of a record.
type operator struct {
	// write appends the value, or reports that there is none.
	write func(b []byte, r *record) ([]byte, bool)
	// number is set where the value is a number, which JSON writes without quotes.
	number bool
	// json appends the value as JSON where it is not always text or always a number; nil
	// otherwise.
	json func(b []byte, r *record) ([]byte, bool)
}

// format is a compiled format string.
type format struct {
	pieces []piece
	// omitEmpty writes nothing in place of "-" for a missing value.
	omitEmpty bool
}

type piece struct {
	literal string
	op      operator // without write: literal
}

// compileFormat reads Envoy's format language: text with %OPERATOR(ARGUMENT):LENGTH%.
// An operator that is not known is an error that names it.
func compileFormat(text string, omitEmpty bool) (*format, error) {
	f := &format{omitEmpty: omitEmpty}
	for text != "" {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			f.pieces = append(f.pieces, piece{literal: text})
			break
		}
		if i > 0 {
			f.pieces = append(f.pieces, piece{literal: text[:i]})
		}
		text = text[i+1:]
		if strings.HasPrefix(text, "%") {
			f.pieces = append(f.pieces, piece{literal: "%"})
			text = text[1:]
			continue
		}
		word, rest, err := cutOperator(text)
		if err != nil {
			return nil, err
		}
		op, err := newOperator(word)
		if err != nil {
			return nil, err
		}
		f.pieces = append(f.pieces, piece{op: op})
		text = rest
	}
	return f, nil
}

// cutOperator splits text behind the "%" that ends an operator; one inside
// parentheses (a time format) does not.
func cutOperator(text string) (word, rest string, err error) {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '%':
			if depth == 0 {
				return text[:i], text[i+1:], nil
			}
		}
	}
	return "", "", fmt.Errorf("format: %%%s has no closing %%", text)
}

func newOperator(word string) (operator, error) {
	name, rest, hasArgument := strings.Cut(word, "(")
	argument, tail := "", rest
	if hasArgument {
		end := strings.LastIndexByte(rest, ')')
		if end < 0 {
			return operator{}, fmt.Errorf("format: %%%s%% has no closing parenthesis", word)
		}
		argument, tail = rest[:end], rest[end+1:]
	} else {
		name, tail, _ = strings.Cut(word, ":")
		if tail != "" {
			tail = ":" + tail
		}
	}
	op, err := named(name, argument, hasArgument)
	if err != nil {
		return operator{}, fmt.Errorf("format: %%%s%%: %w", word, err)
	}
	if tail == "" {
		return op, nil
	}
	limit, err := strconv.Atoi(strings.TrimPrefix(tail, ":"))
	if err != nil || limit < 0 {
		return operator{}, fmt.Errorf("format: %%%s%%: want a length behind the colon", word)
	}
	return cut(op, limit), nil
}

// named is the operator of a name.
func named(name, argument string, hasArgument bool) (operator, error) {
	if simple, ok := plain[name]; ok && !hasArgument {
		return simple, nil
	}
	if name == "COALESCE" { // whose own operators are any
		return coalesce(argument)
	}
	if withArgument, ok := parameterised[name]; ok {
		return withArgument(argument)
	}
	if why, ok := refused[name]; ok {
		return operator{}, errors.New(why)
	}
	return operator{}, errors.New("it is not an operator that is supported")
}

// refused are the operators of Envoy's that we do not have, and why.
var refused = map[string]string{
	"DOWNSTREAM_TLS_SESSION_ID": "sessions have no ids here: use %CONNECTION_ID%",
	"UPSTREAM_TLS_SESSION_ID":   "sessions have no ids here: use %UPSTREAM_CONNECTION_ID%",
}

// cut shortens an operator's value. What is no text in JSON stays whole there.
func cut(op operator, limit int) operator {
	short := operator{write: func(b []byte, r *record) ([]byte, bool) {
		start := len(b)
		b, ok := op.write(b, r)
		return b[:min(len(b), start+limit)], ok
	}}
	if op.json != nil {
		text := jsonOperator(operator{write: short.write})
		short.json = func(b []byte, r *record) ([]byte, bool) {
			whole, ok := op.json(nil, r)
			if ok && whole[0] == '"' {
				return text(b, r)
			}
			return append(b, whole...), ok
		}
	}
	return short
}

// appendTo writes the line for a record.
func (f *format) appendTo(b []byte, r *record) []byte {
	for i := range f.pieces {
		p := &f.pieces[i]
		if p.op.write == nil {
			b = append(b, p.literal...)
			continue
		}
		start := len(b)
		var ok bool
		if b, ok = p.op.write(b, r); !ok {
			if b = b[:start]; !f.omitEmpty {
				b = append(b, '-')
			}
		}
	}
	return b
}

// timeFormat compiles a format for times in strftime's letters, with %f for
// fractions of a second (%3f milliseconds), as Envoy extends it.
func timeFormat(layout string) (func([]byte, time.Time) []byte, error) {
	if layout == "" {
		return envoyTime, nil
	}
	letters := map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday",
		'y': "06", 'Z': "UTC", 'z': "+0000", 'T': "15:04:05", 'F': "2006-01-02", 'e': "_2", 'I': "03", 'p': "PM"}
	var parts []func([]byte, time.Time) []byte
	for i := 0; i < len(layout); i++ {
		if layout[i] != '%' || i+1 == len(layout) {
			c := layout[i]
			parts = append(parts, func(b []byte, _ time.Time) []byte { return append(b, c) })
			continue
		}
		i++
		digits := 9
		if layout[i] >= '1' && layout[i] <= '9' && i+1 < len(layout) && layout[i+1] == 'f' {
			digits = int(layout[i] - '0')
			i++
		}
		switch c := layout[i]; {
		case c == 'f':
			parts = append(parts, func(b []byte, t time.Time) []byte {
				return append(b, fmt.Sprintf("%09d", t.Nanosecond())[:digits]...)
			})
		case c == 's':
			parts = append(parts, func(b []byte, t time.Time) []byte { return strconv.AppendInt(b, t.Unix(), 10) })
		case c == '%':
			parts = append(parts, func(b []byte, _ time.Time) []byte { return append(b, '%') })
		default:
			text, ok := letters[c]
			if !ok {
				return nil, fmt.Errorf("%%%c is not a time letter that is supported", c)
			}
			parts = append(parts, func(b []byte, t time.Time) []byte { return t.AppendFormat(b, text) })
		}
	}
	return func(b []byte, t time.Time) []byte {
		t = t.UTC()
		for _, part := range parts {
			b = part(b, t)
		}
		return b
	}, nil
}
