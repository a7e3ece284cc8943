// Package envoyjson reads messages as people write them for Envoy: YAML or JSON, with
// the liberties that Envoy's own reader takes.
package envoyjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

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

// Unmarshal reads YAML or JSON into a message. A field that does not exist is an
// error that names it. One value may stand for a list of one, and the seconds and
// nanos of a duration may be written one by one.
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
		return plain(problem)
	}
	if asJSON, err = json.Marshal(tree); err != nil {
		return err
	}
	proto.Reset(m)
	if err := protojson.Unmarshal(asJSON, m); err != nil {
		return plain(err)
	}
	return nil
}

// loosen rewrites what Envoy's reader takes and the JSON mapping of protocol buffers
// does not.
type loosen struct{ changed bool }

func (l *loosen) message(node any, d protoreflect.MessageDescriptor) any {
	n, ok := node.(map[string]any)
	if !ok {
		return node
	}
	switch d.FullName() {
	case "google.protobuf.Duration":
		return l.duration(n)
	case "google.protobuf.Any":
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
		if f.Message() != nil {
			for i, each := range list {
				list[i] = l.message(each, f.Message())
			}
		}
		if list != nil {
			return list
		}
	case f.Message() != nil:
		return l.message(value, f.Message())
	}
	return value
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
