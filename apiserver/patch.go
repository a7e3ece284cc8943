package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/lateenmesh/lateen/apiserver/codec"
	"github.com/lateenmesh/lateen/apiserver/store"
)

func (s *Server) patch(w http.ResponseWriter, r *request) error {
	body, err := readBody(r.http)
	if err != nil {
		return err
	}
	media, _, err := mime.ParseMediaType(r.http.Header.Get("Content-Type"))
	if err != nil {
		return apierrors.NewBadRequest("patch without a valid Content-Type: " + err.Error())
	}
	if types.PatchType(media) == types.ApplyYAMLPatchType {
		return s.apply(w, r, body)
	}
	out, err := s.replace(r.http.Context(), r, func(old *store.Object) (map[string]any, error) {
		return patched(r, types.PatchType(media), body, old)
	})
	if err != nil {
		return err
	}
	return s.writeObject(w, r, http.StatusOK, out)
}

// patched is the stored object as the patch leaves it, in storage version.
func patched(r *request, kind types.PatchType, patch []byte, old *store.Object) (map[string]any, error) {
	view, err := r.kind.In(r.version, old.Content())
	if err != nil {
		return nil, err
	}
	view = runtime.DeepCopyJSON(view)
	obj, err := applyPatch(kind, patch, view, r.kind.Rules.New(r.version))
	if err != nil {
		return nil, patchError(r, err)
	}
	raw, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: obj}
	if u.GetName() != r.name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", u.GetName(), r.name))
	}
	if err := sameObject(r, u, old); err != nil {
		return nil, err
	}
	return normalize(r, codec.Body{Object: obj, Raw: raw})
}

// errNoStrategy is the error for a strategic merge patch of a custom resource.
var errNoStrategy = errors.New("strategic merge patch needs a built-in kind")

// applyPatch changes doc, which it may use up. typed is an empty object of the
// document's Go type, nil if it has none.
func applyPatch(kind types.PatchType, patch []byte, doc map[string]any, typed any) (map[string]any, error) {
	switch kind {
	case types.JSONPatchType:
		return jsonPatch(patch, doc)
	case types.MergePatchType:
		var p map[string]any
		if err := utiljson.Unmarshal(patch, &p); err != nil {
			return nil, fmt.Errorf("decode merge patch: %w", err)
		}
		return mergePatch(doc, p), nil
	case types.StrategicMergePatchType:
		if typed == nil {
			return nil, errNoStrategy
		}
		var p map[string]any
		if err := utiljson.Unmarshal(patch, &p); err != nil {
			return nil, fmt.Errorf("decode strategic merge patch: %w", err)
		}
		return strategicpatch.StrategicMergeMapPatch(doc, p, typed)
	default:
		return nil, codec.ErrUnsupported{Media: string(kind)}
	}
}

func jsonPatch(patch []byte, doc map[string]any) (map[string]any, error) {
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, fmt.Errorf("decode JSON patch: %w", err)
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	if raw, err = p.Apply(raw); err != nil {
		return nil, errUnprocessable{err}
	}
	var out map[string]any
	return out, utiljson.Unmarshal(raw, &out)
}

// mergePatch is RFC 7396: null removes, objects merge, all else replaces.
func mergePatch(doc, patch map[string]any) map[string]any {
	if doc == nil {
		doc = map[string]any{}
	}
	for key, value := range patch {
		switch v := value.(type) {
		case nil:
			delete(doc, key)
		case map[string]any:
			inner, _ := doc[key].(map[string]any)
			doc[key] = mergePatch(inner, v)
		default:
			doc[key] = value
		}
	}
	return doc
}

// errUnprocessable marks a well-formed patch that does not fit the object.
type errUnprocessable struct{ error }

func patchError(r *request, err error) error {
	var unsupported codec.ErrUnsupported
	var unprocessable errUnprocessable
	switch {
	case errors.Is(err, errNoStrategy):
		return unsupportedMedia(fmt.Errorf("the body of the request was in an unknown format - accepted media types include: %s, %s, %s",
			types.JSONPatchType, types.MergePatchType, types.ApplyYAMLPatchType))
	case errors.As(err, &unsupported):
		return unsupportedMedia(fmt.Errorf("the body of the request was in an unknown format - accepted media types include: %s, %s, %s, %s",
			types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType))
	case errors.As(err, &unprocessable):
		return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", r.kind.GroupResource(), r.name, err.Error(), 0, false)
	default:
		return apierrors.NewBadRequest(err.Error())
	}
}
