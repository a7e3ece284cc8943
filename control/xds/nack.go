package xds

import (
	"strings"

	"github.com/lateenmesh/lateen/control/mesh"
)

// refused takes a refusal of what is in flight. The client keeps what it had,
// and what it refused is not sent again. A refusal stands for the whole
// response, so the planner finds the resource that caused it: by its name in
// the client's words, or else by sending smaller responses until one resource
// alone is refused. The innocent ones still arrive.
func (p *Planner) refused(t *subscribed, text string) *Rejection {
	f := t.flight
	t.lastError = text
	culprits := named(text, f.changed)
	switch {
	case len(culprits) > 0:
	case len(f.changed) == 0:
		t.have = f.after // a removal that fails is not worth repeating
	case len(f.changed) == 1 || p.variant == StateOfTheWorld && complete(t.url):
		culprits = f.changed
	default:
		t.limit = len(f.changed) / 2
	}
	for _, r := range culprits {
		t.refused[r.Name] = r.Version
		delete(t.owed, r.Name)
	}
	p.landed(t)
	return &Rejection{Type: t.url, Text: text, Culprits: culprits}
}

// named picks the resources whose names stand in text as whole words.
func named(text string, rs []*mesh.Resource) []*mesh.Resource {
	var found []*mesh.Resource
	for _, r := range rs {
		if mentions(text, r.Name) {
			found = append(found, r)
		}
	}
	return found
}

// mentions reports whether name stands in text on its own. A name that is only
// a number (a route's) must stand in quotes, or any port would do.
func mentions(text, name string) bool {
	if strings.Trim(name, "0123456789") == "" {
		return strings.Contains(text, `"`+name+`"`) || strings.Contains(text, "'"+name+"'")
	}
	for rest := text; ; {
		i := strings.Index(rest, name)
		if i < 0 {
			return false
		}
		at := len(text) - len(rest) + i
		if starts(text[:at]) && ends(text[at+len(name):]) {
			return true
		}
		rest = text[at+1:]
	}
}

func starts(before string) bool {
	return before == "" || !nameByte(before[len(before)-1])
}

func ends(after string) bool {
	after = strings.TrimLeft(after, ".:,;") // punctuation, if a word does not go on behind it
	return after == "" || !nameByte(after[0])
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_|.:/-", c) >= 0
}
