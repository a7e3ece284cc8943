package admin

import (
	"github.com/cncf/xds/go/udpa/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// redacted stands for a text that is not shown.
const redacted = "[redacted]"

// redact gives a message without its secrets: what Envoy's API marks as sensitive,
// such as keys and passwords.
func redact(m proto.Message) proto.Message {
	m = proto.Clone(m)
	hide(m.ProtoReflect(), false)
	return m
}

// hide replaces the texts of a message that are sensitive, all of them if it is so
// itself, and drops its numbers then.
func hide(m protoreflect.Message, sensitive bool) {
	if packed, ok := m.Interface().(*anypb.Any); ok {
		hidePacked(packed, sensitive)
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		marked, _ := proto.GetExtension(f.Options(), annotations.E_Sensitive).(bool)
		switch marked = marked || sensitive; {
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, each protoreflect.Value) bool {
				if f.MapValue().Message() != nil {
					hide(each.Message(), marked)
				} else if marked {
					v.Map().Set(k, hidden(f.MapValue()))
				}
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				if f.Message() != nil {
					hide(v.List().Get(i).Message(), marked)
				} else if marked {
					v.List().Set(i, hidden(f))
				}
			}
		case f.Message() != nil:
			hide(v.Message(), marked)
		case marked:
			m.Set(f, hidden(f))
		}
		return true
	})
}

func hidePacked(packed *anypb.Any, sensitive bool) {
	inner, err := packed.UnmarshalNew()
	if err != nil {
		return // a type that is not known has been refused, or is not looked into
	}
	hide(inner.ProtoReflect(), sensitive)
	if body, err := (proto.MarshalOptions{}).Marshal(inner); err == nil {
		packed.Value = body
	}
}

// hidden is what is shown in a sensitive field's place.
func hidden(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(redacted)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(redacted))
	}
	return f.Default()
}
