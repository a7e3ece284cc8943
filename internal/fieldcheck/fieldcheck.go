// Package fieldcheck refuses protobuf messages that set a field which nobody
// reads, so that no setting is silently ignored, or a value that is not allowed.
//
// A [Table] says per message which fields its reader understands and which it
// knowingly passes over, with the reason. Everything else that is set is an
// error that names the field by its path, as the user would write it.
package fieldcheck

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Fields says what is understood of one message.
type Fields struct {
	// Read names the fields that are read, separated by spaces; "*" is all.
	Read string
	// Ignored maps a field without effect here to the reason why that is
	// right.
	Ignored map[string]string
}

// Table maps the full name of a message to its fields. A message that is set
// but not in the table is refused.
type Table map[protoreflect.FullName]Fields

// Error is one field that is not understood.
type Error struct {
	Path   string // "filter_chains[0].filter_chain_match.source_type"
	Reason string
}

// Error says which field and why.
func (e *Error) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Check walks m as a [Checker] does. Whoever checks often makes a Checker once.
func (t Table) Check(m proto.Message) error { return NewChecker(t).Check(m) }

// Checker is a table in a form that is fast to ask. It may be used from any
// goroutine.
type Checker struct {
	table Table
	// known maps a message's full name to a map[protoreflect.FieldNumber]verdict,
	// made when the message is first seen.
	known sync.Map
}

type verdict uint8

const (
	refused verdict = iota
	ignored
	read
)

// NewChecker joins tables; a message may be in only one of them.
func NewChecker(tables ...Table) *Checker { return &Checker{table: Merge(tables...)} }

// Check walks m and returns an [*Error] for the first set field that the table
// does not name, or whose value its own rules forbid. It does not look into
// google.protobuf messages: an Any is checked when it is unpacked, a Struct is the
// reader's affair.
func (c *Checker) Check(m proto.Message) error {
	if err := c.CheckFields(m); err != nil {
		return err
	}
	return validate(m)
}

// CheckFields is Check for a message whose values Envoy takes as they are, whatever
// its rules say.
func (c *Checker) CheckFields(m proto.Message) error { return c.check(m.ProtoReflect(), nil) }

// Unknown lists what the table names and messages do not have.
func (c *Checker) Unknown(find func(protoreflect.FullName) protoreflect.MessageDescriptor) []string {
	return c.table.Unknown(find)
}

// step is one step of the path to a message; the path is only spelled out for
// an error.
type step struct {
	parent *step
	field  protoreflect.FieldDescriptor
	index  int    // in a list, or -1
	key    string // in a map
}

func (s *step) String() string {
	if s == nil {
		return ""
	}
	text := string(s.field.Name())
	switch {
	case s.field.IsMap():
		text += "[" + strconv.Quote(s.key) + "]"
	case s.index >= 0:
		text += fmt.Sprintf("[%d]", s.index)
	}
	return Join(s.parent.String(), text)
}

func (c *Checker) check(m protoreflect.Message, at *step) error {
	d := m.Descriptor()
	if d.ParentFile().Package() == "google.protobuf" {
		return nil
	}
	known, all, found := c.verdicts(d)
	if !found {
		return &Error{cmp.Or(at.String(), string(d.FullName())), "is not supported (" + string(d.FullName()) + ")"}
	}
	if all {
		return nil
	}
	var first error
	var lowest protoreflect.FieldNumber
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		var err error
		switch known[f.Number()] {
		case ignored:
			return true
		case refused:
			err = &Error{(&step{at, f, -1, ""}).trimmed(), "is not supported"}
		default:
			err = c.value(f, v, at)
		}
		// Errors are the same each time: the lowest field's.
		if err != nil && (first == nil || f.Number() < lowest) {
			first, lowest = err, f.Number()
		}
		return true
	})
	return first
}

// trimmed is the path without a map's key.
func (s *step) trimmed() string { return Join(s.parent.String(), string(s.field.Name())) }

func (c *Checker) verdicts(d protoreflect.MessageDescriptor) (known map[protoreflect.FieldNumber]verdict, all, found bool) {
	if v, seen := c.known.Load(d.FullName()); seen {
		known = v.(map[protoreflect.FieldNumber]verdict)
		return known, known == nil, true
	}
	fields, found := c.table[d.FullName()]
	if !found {
		return nil, false, false
	}
	if fields.Read != "*" {
		known = map[protoreflect.FieldNumber]verdict{}
		for _, name := range strings.Fields(fields.Read) {
			if f := d.Fields().ByName(protoreflect.Name(name)); f != nil {
				known[f.Number()] = read
			}
		}
		for name := range fields.Ignored {
			if f := d.Fields().ByName(protoreflect.Name(name)); f != nil {
				known[f.Number()] = ignored
			}
		}
	}
	c.known.Store(d.FullName(), known)
	return known, known == nil, true
}

func (c *Checker) value(f protoreflect.FieldDescriptor, v protoreflect.Value, at *step) error {
	switch {
	case f.IsMap():
		if f.MapValue().Message() == nil {
			return nil
		}
		var err error
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			err = c.check(v.Message(), &step{at, f, -1, k.String()})
			return err == nil
		})
		return err
	case f.Message() == nil:
		return nil
	case f.IsList():
		for i := range v.List().Len() {
			if err := c.check(v.List().Get(i).Message(), &step{at, f, i, ""}); err != nil {
				return err
			}
		}
		return nil
	default:
		return c.check(v.Message(), &step{at, f, -1, ""})
	}
}

// At prefixes the path of an [*Error] within err; other errors get the prefix
// as text.
func At(path string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok {
		return &Error{Join(path, e.Path), e.Reason}
	}
	return &Error{path, err.Error()}
}

// Join is the path of a field, or of an index in brackets, behind a path.
func Join(path, field string) string {
	switch {
	case path == "":
		return field
	case field == "":
		return path
	case field[0] == '[':
		return path + field
	default:
		return path + "." + field
	}
}

// Refuse makes an [*Error] at a path; the reason is formatted.
func Refuse(path, reason string, args ...any) error {
	return &Error{path, fmt.Sprintf(reason, args...)}
}

// Merge joins tables; a message may be in only one of them.
func Merge(tables ...Table) Table {
	all := Table{}
	for _, t := range tables {
		for name, f := range t {
			if _, twice := all[name]; twice {
				panic("fieldcheck: " + string(name) + " is in two tables")
			}
			all[name] = f
		}
	}
	return all
}

// Unknown lists the fields that tables name and messages do not have, a typing
// mistake in a table; find looks a message up.
func (t Table) Unknown(find func(protoreflect.FullName) protoreflect.MessageDescriptor) []string {
	var wrong []string
	for name, f := range t {
		d := find(name)
		if d == nil {
			wrong = append(wrong, string(name))
			continue
		}
		names := strings.Fields(f.Read)
		for n := range f.Ignored {
			names = append(names, n)
		}
		for _, n := range names {
			if n != "*" && d.Fields().ByName(protoreflect.Name(n)) == nil {
				wrong = append(wrong, string(name)+"."+n)
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}
