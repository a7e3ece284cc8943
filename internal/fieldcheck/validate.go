package fieldcheck

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lateenmesh/lateen/internal/protoerr"
)

// invalid is the error of a generated Validate method.
type invalid interface {
	Field() string // as Go calls it, "FilterChains[0]"
	Reason() string
	Cause() error
}

// validate checks the values of a message by the rules that are written beside its
// fields: limits, patterns, what must not be missing. A message without rules is
// valid.
func validate(m proto.Message) error {
	v, ok := m.(interface{ Validate() error })
	if !ok {
		return nil
	}
	err := v.Validate()
	if err == nil {
		return nil
	}
	out := &Error{}
	d := m.ProtoReflect().Descriptor()
	for err != nil {
		e, ok := err.(invalid)
		if !ok {
			out.Reason += ": " + protoerr.Text(err)
			break
		}
		var name string
		name, d = named(d, e.Field())
		out.Path, out.Reason, err = Join(out.Path, name), e.Reason(), e.Cause()
	}
	return out
}

// named is a field as users write it, and the message that it holds; nil for none.
func named(d protoreflect.MessageDescriptor, field string) (string, protoreflect.MessageDescriptor) {
	field, index, indexed := strings.Cut(field, "[")
	if d == nil {
		return field, nil
	}
	plain := func(n protoreflect.Name) string { return strings.ReplaceAll(string(n), "_", "") }
	for i := range d.Oneofs().Len() {
		if o := d.Oneofs().Get(i); strings.EqualFold(plain(o.Name()), field) {
			return string(o.Name()), nil
		}
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if !strings.EqualFold(plain(f.Name()), strings.ReplaceAll(field, "_", "")) {
			continue
		}
		name, inner := string(f.Name()), f.Message()
		switch {
		case indexed && f.IsMap():
			name, inner = name+"["+strconv.Quote(strings.TrimSuffix(index, "]"))+"]", f.MapValue().Message()
		case indexed:
			name += "[" + index
		}
		return name, inner
	}
	return field, nil
}
