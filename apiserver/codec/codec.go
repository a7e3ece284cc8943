package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Body is a decoded request body.
type Body struct {
	// Object is the body, numbers as int64 or float64.
	Object map[string]any
	// Raw is the body as JSON.
	Raw []byte
	// Duplicates are the complaints about fields that occur twice.
	Duplicates []string
}

// ErrUnsupported is the error for a media type that does not exist here.
type ErrUnsupported struct{ Media string }

func (e ErrUnsupported) Error() string {
	return fmt.Sprintf("the body of the request was in an unknown format - accepted media types include: %s, %s, %s", JSON, YAML, Protobuf)
}

// Decode reads a body of the given media type. Protobuf needs the kind's Go type in scheme.
func Decode(scheme *runtime.Scheme, media string, body []byte) (Body, error) {
	switch media {
	case JSON:
		return decodeJSON(body)
	case YAML:
		raw, err := yaml.YAMLToJSON(body)
		if err != nil {
			return Body{}, err
		}
		b, err := decodeJSON(raw)
		if _, strictly := yaml.YAMLToJSONStrict(body); err == nil && strictly != nil {
			b.Duplicates = append(b.Duplicates, strictly.Error())
		}
		return b, err
	case Protobuf:
		s := protobuf.NewSerializer(scheme, scheme)
		obj, gvk, err := s.Decode(body, nil, nil)
		if err != nil {
			return Body{}, err
		}
		obj.GetObjectKind().SetGroupVersionKind(*gvk)
		raw, err := json.Marshal(obj)
		if err != nil {
			return Body{}, err
		}
		return decodeJSON(raw)
	default:
		return Body{}, ErrUnsupported{media}
	}
}

func decodeJSON(raw []byte) (Body, error) {
	b := Body{Raw: raw}
	strict, err := kjson.UnmarshalStrict(raw, &b.Object, kjson.DisallowDuplicateFields)
	if err != nil {
		return b, err
	}
	if b.Object == nil {
		return b, fmt.Errorf("the body is not an object")
	}
	for _, e := range strict {
		b.Duplicates = append(b.Duplicates, e.Error())
	}
	return b, nil
}

// Encode writes obj in a media type. obj is a pointer to an API type, a map, or
// [json.RawMessage]; protobuf needs the first.
func Encode(media string, obj any) ([]byte, error) {
	switch media {
	case Protobuf:
		o, ok := obj.(runtime.Object)
		if !ok {
			return nil, fmt.Errorf("encode %T as protobuf: no Go type", obj)
		}
		var b bytes.Buffer
		if err := protobuf.NewSerializer(nil, nil).Encode(o, &b); err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	case YAML:
		raw, err := json.Marshal(obj)
		if err != nil {
			return nil, err
		}
		return yaml.JSONToYAML(raw)
	default:
		if raw, ok := obj.(json.RawMessage); ok {
			return raw, nil
		}
		return json.Marshal(obj)
	}
}

// Frame is one event of a watch: an object that was encoded in media, framed for
// the stream.
func Frame(media, eventType string, object []byte) ([]byte, error) {
	if media != Protobuf {
		b := make([]byte, 0, len(object)+40)
		b = append(b, `{"type":"`...)
		b = append(b, eventType...)
		b = append(b, `","object":`...)
		b = append(b, object...)
		return append(b, '}', '\n'), nil
	}
	event := &metav1.WatchEvent{Type: eventType, Object: runtime.RawExtension{Raw: object}}
	raw, err := event.Marshal()
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...), nil
}

// Partial is the metadata of an object and nothing else.
func Partial(obj map[string]any) (*metav1.PartialObjectMetadata, error) {
	p := &metav1.PartialObjectMetadata{}
	meta, _ := obj["metadata"].(map[string]any)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(map[string]any{"metadata": meta}, p); err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	p.APIVersion, p.Kind = metav1.SchemeGroupVersion.String(), "PartialObjectMetadata"
	return p, nil
}
