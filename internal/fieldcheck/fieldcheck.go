// Package fieldcheck refuses protobuf messages that set a field which nobody
// reads, so that no setting is silently ignored.
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
func (e *Error) Error() string { return e.Path + ": " + e.Reason }

// Check walks m and returns an [*Error] for the first set field that t does
// not name. It does not look into google.protobuf messages: an Any is checked
// when it is unpacked, a Struct is the reader's affair.
func (t Table) Check(m proto.Message) error {
	return t.check(m.ProtoReflect(), "")
}

func (t Table) check(m protoreflect.Message, path string) error {
	name := m.Descriptor().FullName()
	if strings.HasPrefix(string(name), "google.protobuf.") {
		return nil
	}
	known, ok := t[name]
	if !ok {
		return &Error{cmp.Or(path, string(name)), "is not supported (" + string(name) + ")"}
	}
	if known.Read == "*" {
		return nil
	}
	read := strings.Fields(known.Read)
	for _, set := range inOrder(m) {
		field := string(set.Name())
		at := join(path, field)
		if _, fine := known.Ignored[field]; fine {
			continue
		}
		if !slices.Contains(read, field) {
			return &Error{at, "is not supported"}
		}
		if err := t.value(set, m.Get(set), at); err != nil {
			return err
		}
	}
	return nil
}

// inOrder lists the set fields by number, so that errors are the same each
// time.
func inOrder(m protoreflect.Message) []protoreflect.FieldDescriptor {
	var set []protoreflect.FieldDescriptor
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = append(set, f)
		return true
	})
	slices.SortFunc(set, func(a, b protoreflect.FieldDescriptor) int { return cmp.Compare(a.Number(), b.Number()) })
	return set
}

func (t Table) value(f protoreflect.FieldDescriptor, v protoreflect.Value, at string) error {
	switch {
	case f.IsMap():
		if f.MapValue().Message() == nil {
			return nil
		}
		var err error
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			err = t.check(v.Message(), at+"["+strconv.Quote(k.String())+"]")
			return err == nil
		})
		return err
	case f.Message() == nil:
		return nil
	case f.IsList():
		for i := range v.List().Len() {
			if err := t.check(v.List().Get(i).Message(), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	default:
		return t.check(v.Message(), at)
	}
}

// At prefixes the path of an [*Error] within err; other errors get the prefix
// as text.
func At(path string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok {
		return &Error{join(path, e.Path), e.Reason}
	}
	return &Error{path, err.Error()}
}

func join(path, field string) string {
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
