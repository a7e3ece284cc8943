package compile

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The tables of understood fields name only messages and fields that exist.
func TestFieldTables(t *testing.T) {
	wrong := Fields.Unknown(func(n protoreflect.FullName) protoreflect.MessageDescriptor {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(n)
		if err != nil {
			return nil
		}
		return d.(protoreflect.MessageDescriptor)
	})
	for _, name := range wrong {
		t.Errorf("no such message or field: %s", name)
	}
}
