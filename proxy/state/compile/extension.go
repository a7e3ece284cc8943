package compile

import (
	"errors"
	"strings"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/internal/protoerr"
)

// unpack gives the message within a typed configuration, looking into both
// kinds of TypedStruct, and checks that all its fields are understood.
func unpack(a *anypb.Any) (proto.Message, error) {
	m, err := open(a)
	if err != nil {
		return nil, err
	}
	return m, Fields.Check(m)
}

func open(a *anypb.Any) (proto.Message, error) {
	if a == nil {
		return nil, fieldcheck.Refuse("", "is missing")
	}
	m, err := a.UnmarshalNew()
	switch {
	case errors.Is(err, protoregistry.NotFound):
		return nil, fieldcheck.Refuse("", "%s is not supported", short(a.GetTypeUrl()))
	case err != nil:
		return nil, fieldcheck.Refuse("", "is no %s: %v", short(a.GetTypeUrl()), err)
	}
	switch t := m.(type) {
	case *udpav1.TypedStruct:
		return fromStruct(t.GetTypeUrl(), t.GetValue())
	case *xdsv3.TypedStruct:
		return fromStruct(t.GetTypeUrl(), t.GetValue())
	}
	return m, nil
}

// known reports whether the type of a packed message is one that is understood, if
// only in part.
func known(a *anypb.Any) bool {
	name := a.MessageName()
	if m, err := a.UnmarshalNew(); err == nil {
		if t, wrapped := m.(interface{ GetTypeUrl() string }); wrapped {
			name = protoreflect.FullName(short(t.GetTypeUrl()))
		}
	}
	_, found := allFields[name]
	return found
}

// fromStruct reads a message that travels as a Struct with its type's name.
func fromStruct(url string, value *structpb.Struct) (proto.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		return nil, fieldcheck.Refuse("", "%s is not supported", short(url))
	}
	text, err := protojson.Marshal(value)
	if err != nil {
		return nil, err
	}
	m := t.New().Interface()
	if err := protojson.Unmarshal(text, m); err != nil {
		return nil, fieldcheck.Refuse("", "read as %s: %s", short(url), protoerr.Text(err))
	}
	return m, nil
}

// short is a type URL without its host.
func short(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
