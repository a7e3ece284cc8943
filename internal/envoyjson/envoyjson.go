// Package envoyjson reads messages as people write them for Envoy: YAML or JSON, with
// the liberties that Envoy's own reader takes.
package envoyjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"sigs.k8s.io/yaml"
)

// Tree reads YAML or JSON. Numbers are [json.Number].
func Tree(text []byte) (any, error) {
	if !json.Valid(text) {
		var err error
		if text, err = yaml.YAMLToJSONStrict(text); err != nil {
			return nil, err
		}
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // not all integers are floats
	err := d.Decode(&tree)
	return tree, err
}

// Unmarshal reads YAML or JSON into a message. What cannot be read is a
// [fieldcheck.Error]. One value may stand for a list of one, the seconds and nanos of
// a duration may be written one by one, the names of enums in any case, truth values
// as strings, and numbers that may be missing as messages with a value.
func Unmarshal(text []byte, m proto.Message) error {
	if json.Valid(text) {
		if protojson.Unmarshal(text, m) == nil {
			return nil
		}
		proto.Reset(m)
	}
	tree, err := Tree(text)
	if err != nil {
		return err
	}
	return UnmarshalTree(tree, m)
}

// UnmarshalTree does the same with what [Tree] has read, which it may change.
func UnmarshalTree(tree any, m proto.Message) error {
	asJSON, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	problem := protojson.Unmarshal(asJSON, m)
	if problem == nil {
		return nil
	}
	var l loosen
	if tree = l.message(tree, m.ProtoReflect().Descriptor()); !l.changed {
		return plain(problem, asJSON)
	}
	if asJSON, err = json.Marshal(tree); err != nil {
		return err
	}
	proto.Reset(m)
	if err := protojson.Unmarshal(asJSON, m); err != nil {
		return plain(err, asJSON)
	}
	return nil
}

// loosen rewrites what Envoy's reader takes and the JSON mapping of protocol buffers
// does not.
type loosen struct{ changed bool }

func (l *loosen) message(node any, d protoreflect.MessageDescriptor) any {
	n, ok := node.(map[string]any)
	if !ok && wraps(d) {
		return l.scalar(node, d.Fields().ByNumber(1))
	}
	if !ok {
		return node
	}
	switch name := d.FullName(); {
	case name == "google.protobuf.Duration":
		return l.duration(n)
	case name == "google.protobuf.Struct", name == "google.protobuf.Value", name == "google.protobuf.ListValue":
		return node
	case wraps(d):
		if value, only := n["value"]; only && len(n) == 1 {
			l.changed = true
			return l.scalar(value, d.Fields().ByNumber(1))
		}
	case name == "google.protobuf.Any":
		url, _ := n["@type"].(string)
		t, err := protoregistry.GlobalTypes.FindMessageByURL(url)
		if err != nil {
			return node
		}
		d = t.Descriptor()
	}
	for key, value := range n {
		f := d.Fields().ByJSONName(key)
		if f == nil {
			f = d.Fields().ByName(protoreflect.Name(key))
		}
		if f != nil {
			n[key] = l.field(value, f)
		}
	}
	return n
}

func (l *loosen) field(value any, f protoreflect.FieldDescriptor) any {
	switch {
	case f.IsMap():
		if of := f.MapValue().Message(); of != nil {
			if all, ok := value.(map[string]any); ok {
				for key, each := range all {
					all[key] = l.message(each, of)
				}
			}
		}
	case f.IsList():
		list, ok := value.([]any)
		if !ok && value != nil {
			list, l.changed = []any{value}, true
		}
		for i, each := range list {
			list[i] = l.single(each, f)
		}
		if list != nil {
			return list
		}
	default:
		return l.single(value, f)
	}
	return value
}

// single is one value of a field.
func (l *loosen) single(value any, f protoreflect.FieldDescriptor) any {
	if m := f.Message(); m != nil {
		return l.message(value, m)
	}
	return l.scalar(value, f)
}

// scalar is a value that is no message.
func (l *loosen) scalar(value any, f protoreflect.FieldDescriptor) any {
	text, ok := value.(string)
	switch {
	case !ok:
	case f.Enum() != nil:
		name := protoreflect.Name(strings.ReplaceAll(strings.ToUpper(text), "-", "_"))
		if values := f.Enum().Values(); values.ByName(protoreflect.Name(text)) == nil && values.ByName(name) != nil {
			l.changed = true
			return string(name)
		}
	case f.Kind() == protoreflect.BoolKind && (text == "true" || text == "false"):
		l.changed = true
		return text == "true"
	}
	return value
}

// wraps reports whether a message is one of those that stand for a value that may be
// missing.
func wraps(d protoreflect.MessageDescriptor) bool {
	return d.ParentFile().Path() == "google/protobuf/wrappers.proto"
}

// duration is seconds and nanos as the JSON mapping writes them together.
func (l *loosen) duration(n map[string]any) any {
	seconds, isS := integer(n["seconds"])
	nanos, isN := integer(n["nanos"])
	known := 0
	for _, present := range []bool{isS, isN} {
		if present {
			known++
		}
	}
	if known != len(n) || nanos < 0 || seconds < 0 {
		return n
	}
	l.changed = true
	return fmt.Sprintf("%d.%09ds", seconds, nanos)
}

// integer is a number without a fraction.
func integer(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if text, quoted := v.(string); quoted {
		n, ok = json.Number(text), true
	}
	if !ok {
		return 0, false
	}
	if i, err := n.Int64(); err == nil {
		return i, true
	}
	const exact = 1 << 53 // below it floats are
	f, err := n.Float64()
	return int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) < exact
}
