package entry

import (
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Slashes is what becomes of %2F and %5C in a path.
type Slashes uint8

// The ways to treat them.
const (
	KeepSlashes Slashes = iota
	RejectSlashes
	RedirectSlashes
	UnescapeSlashes
)

// PathRules normalise paths, so that policies and routes see what the service
// will see.
type PathRules struct {
	Normalize, MergeSlashes bool
	Escaped                 Slashes
}

// apply rewrites the request's path. It must come before anything that looks
// at it. A redirect leads to the path that all of the rules have been applied to.
func (p PathRules) apply(req *stream.Request) error {
	if req.Method == "CONNECT" || req.Path == "*" {
		return nil
	}
	if strings.IndexByte(req.Path, '#') >= 0 { // RFC 9112 section 3.2: a target has no fragment
		return noNormalForm()
	}
	path, query := req.Path, ""
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path, query = path[:i], path[i:]
	}
	before := path
	escaped := false
	if p.Escaped != KeepSlashes && strings.IndexByte(path, '%') >= 0 {
		path = unescapeSlashes(path)
		if escaped = path != before; escaped && p.Escaped == RejectSlashes {
			return noNormalForm()
		}
	}
	if p.Normalize {
		var ok bool
		if path, ok = normalize(path); !ok {
			return noNormalForm()
		}
	}
	if p.MergeSlashes && strings.Contains(path, "//") {
		path = mergeSlashes(path)
	}
	if path != before {
		req.Path = path + query
	}
	if escaped && p.Escaped == RedirectSlashes {
		return &stream.Refusal{Status: 307, Details: "path_normalization_failed", Header: []stream.Field{{Name: "location", Value: req.Path}}}
	}
	return nil
}

// noNormalForm refuses a path. Who sends one such is not heard any more: where its
// next request begins may be as much a matter of opinion.
func noNormalForm() error {
	return &stream.Refusal{Status: 400, Details: "path_normalization_failed", Close: true}
}

// unescapeSlashes decodes %2F and %5C only.
func unescapeSlashes(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			switch strings.ToLower(path[i+1 : i+3]) {
			case "2f":
				out.WriteByte('/')
				i += 2
				continue
			case "5c":
				out.WriteByte('\\')
				i += 2
				continue
			}
		}
		out.WriteByte(path[i])
	}
	return out.String()
}

// normalize turns "\" to "/", decodes what needs no escape, and resolves "."
// and ".." (RFC 3986, section 6.2.2). ok is false for a path that has no normal
// form.
func normalize(path string) (string, bool) {
	if !strings.HasPrefix(path, "/") {
		return path, false
	}
	if plain(path) {
		return path, true
	}
	decoded, ok := decodeUnreserved(path)
	if !ok {
		return path, false
	}
	segments := strings.Split(decoded, "/")
	kept := segments[:1]
	for i, s := range segments[1:] {
		last := i == len(segments)-2
		switch s {
		case ".", "..":
			if s == ".." && len(kept) > 1 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, s)
		}
	}
	if len(kept) == 1 {
		return "/", true
	}
	return strings.Join(kept, "/"), true
}

// plain reports whether there is nothing to normalise.
func plain(path string) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '%' || c == '\\':
			return false
		case c == '.' && i > 0 && path[i-1] == '/':
			return false
		}
	}
	return true
}

func decodeUnreserved(path string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\':
			out.WriteByte('/')
		case c != '%':
			out.WriteByte(c)
		case i+2 >= len(path):
			out.WriteByte(c)
		default:
			value, ok := hexByte(path[i+1], path[i+2])
			switch {
			case !ok:
				out.WriteByte(c)
			case value == 0:
				return "", false
			case unreserved(value):
				out.WriteByte(value)
				i += 2
			default:
				out.WriteString(path[i : i+3])
				i += 2
			}
		}
	}
	return out.String(), true
}

func hexByte(a, b byte) (byte, bool) {
	x, ok := nibble(a)
	y, ok2 := nibble(b)
	return x<<4 | y, ok && ok2
}

func nibble(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func mergeSlashes(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '/' && i > 0 && path[i-1] == '/' {
			continue
		}
		out.WriteByte(path[i])
	}
	return out.String()
}
