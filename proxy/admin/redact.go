package admin

import (
	"github.com/cncf/xds/go/udpa/annotations"
	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
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
	switch t := m.Interface().(type) {
	case *anypb.Any:
		hidePacked(t, sensitive)
		return
	case *udpav1.TypedStruct:
		t.Value = withoutSecrets(t.GetTypeUrl(), t.GetValue(), sensitive)
		return
	case *xdsv3.TypedStruct:
		t.Value = withoutSecrets(t.GetTypeUrl(), t.GetValue(), sensitive)
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
		return // nor is it shown
	}
	hide(inner.ProtoReflect(), sensitive)
	if body, err := (proto.MarshalOptions{}).Marshal(inner); err == nil {
		packed.Value = body
	}
}

// withoutSecrets is a message that travels as a struct, with nothing in it where it
// is not known which of its fields are secret.
func withoutSecrets(url string, value *structpb.Struct, sensitive bool) *structpb.Struct {
	nothing := &structpb.Struct{Fields: map[string]*structpb.Value{"value": structpb.NewStringValue(redacted)}}
	t, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		return nothing
	}
	m, shown := t.New().Interface(), &structpb.Struct{}
	if text, err := protojson.Marshal(value); err != nil || protojson.Unmarshal(text, m) != nil {
		return nothing
	}
	hide(m.ProtoReflect(), sensitive)
	if text, err := (protojson.MarshalOptions{UseProtoNames: true}).Marshal(m); err != nil || protojson.Unmarshal(text, shown) != nil {
		return nothing
	}
	return shown
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
