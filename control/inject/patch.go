package inject

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// operation is one step of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// jsonPatch is the patch that turns before into after, both anything that
// marshals to JSON.
func jsonPatch(before, after any) ([]byte, error) {
	a, err := plain(before)
	if err != nil {
		return nil, err
	}
	b, err := plain(after)
	if err != nil {
		return nil, err
	}
	ops := []operation{}
	compare(&ops, "", a, b)
	return json.Marshal(ops)
}

func plain(v any) (out any, err error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("marshal: %w", err)
	}
	return out, json.Unmarshal(text, &out)
}

var pointer = strings.NewReplacer("~", "~0", "/", "~1")

// compare appends the operations that turn a into b at path.
func compare(ops *[]operation, path string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	switch b := b.(type) {
	case map[string]any:
		if a, ok := a.(map[string]any); ok {
			compareObjects(ops, path, a, b)
			return
		}
	case []any:
		if a, ok := a.([]any); ok && len(a) <= len(b) {
			for i := range a {
				compare(ops, path+"/"+strconv.Itoa(i), a[i], b[i])
			}
			for _, v := range b[len(a):] {
				*ops = append(*ops, operation{"add", path + "/-", v})
			}
			return
		}
	}
	*ops = append(*ops, operation{"replace", path, b})
}

func compareObjects(ops *[]operation, path string, a, b map[string]any) {
	for _, key := range sortedKeys(a) {
		if _, ok := b[key]; !ok {
			*ops = append(*ops, operation{Op: "remove", Path: path + "/" + pointer.Replace(key)})
		}
	}
	for _, key := range sortedKeys(b) {
		at := path + "/" + pointer.Replace(key)
		if old, ok := a[key]; ok {
			compare(ops, at, old, b[key])
		} else {
			*ops = append(*ops, operation{"add", at, b[key]})
		}
	}
}
