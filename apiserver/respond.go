package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/lateenmesh/lateen/apiserver/codec"
	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

// format settles which representation of r's kind the client gets.
func (r *request) format() (codec.Format, error) {
	f, ok := codec.Choose(r.http.Header.Get("Accept"), func(f codec.Format) bool {
		switch f.As {
		case "", "PartialObjectMetadata", "PartialObjectMetadataList":
			return f.Media != codec.Protobuf || f.As != "" || kind.Scheme().Recognizes(r.kind.GVK(r.version))
		case "Table":
			return f.Media != codec.Protobuf && f.Group == metav1.GroupName
		default:
			return false
		}
	})
	if !ok {
		return f, &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
			Message: fmt.Sprintf("only the following media types are accepted: %s, %s, %s", codec.JSON, codec.YAML, codec.Protobuf),
		}}
	}
	return f, nil
}

// writeObject answers with one object, given in storage version.
func (s *Server) writeObject(w http.ResponseWriter, r *request, code int, stored map[string]any) error {
	f, err := r.format()
	if err != nil {
		return err
	}
	body, err := s.encodeObject(r, f, stored, nil)
	if err != nil {
		return err
	}
	r.write(w, f.Media, code, body)
	return nil
}

// encodeObject is one object in the client's format. raw is its stored JSON, if at hand.
func (s *Server) encodeObject(r *request, f codec.Format, stored map[string]any, raw []byte) ([]byte, error) {
	switch f.As {
	case "Table":
		t, err := tableOf(r, []map[string]any{stored}, metav1.ListMeta{ResourceVersion: revisionOf(stored)})
		if err != nil {
			return nil, err
		}
		return codec.Encode(f.Media, t)
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		p, err := codec.Partial(stored)
		if err != nil {
			return nil, err
		}
		return codec.Encode(f.Media, p)
	}
	if raw != nil && r.version == r.kind.Storage && f.Media == codec.JSON {
		return raw, nil
	}
	obj, err := r.kind.In(r.version, stored)
	if err != nil {
		return nil, err
	}
	if f.Media != codec.Protobuf {
		return codec.Encode(f.Media, obj)
	}
	t, err := typedObject(r.kind, r.version, obj)
	if err != nil {
		return nil, err
	}
	return codec.Encode(f.Media, t)
}

func typedObject(k *kind.Kind, version string, obj map[string]any) (runtime.Object, error) {
	t := k.Rules.New(version)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj, t); err != nil {
		return nil, fmt.Errorf("decode %s: %w", k.Kind, err)
	}
	t.GetObjectKind().SetGroupVersionKind(k.GVK(version))
	return t, nil
}

// writeList answers with a list.
func (s *Server) writeList(w http.ResponseWriter, r *request, objects []*store.Object, meta metav1.ListMeta) error {
	f, err := r.format()
	if err != nil {
		return err
	}
	body, err := encodeList(r, f, objects, meta)
	if err != nil {
		return err
	}
	r.write(w, f.Media, http.StatusOK, body)
	return nil
}

func encodeList(r *request, f codec.Format, objects []*store.Object, meta metav1.ListMeta) ([]byte, error) {
	switch f.As {
	case "Table":
		contents := make([]map[string]any, len(objects))
		for i, o := range objects {
			contents[i] = o.Content()
		}
		t, err := tableOf(r, contents, meta)
		if err != nil {
			return nil, err
		}
		return codec.Encode(f.Media, t)
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		l := &metav1.PartialObjectMetadataList{ListMeta: meta}
		l.APIVersion, l.Kind = metav1.SchemeGroupVersion.String(), "PartialObjectMetadataList"
		l.Items = make([]metav1.PartialObjectMetadata, len(objects))
		for i, o := range objects {
			p, err := codec.Partial(o.Content())
			if err != nil {
				return nil, err
			}
			l.Items[i] = *p
		}
		return codec.Encode(f.Media, l)
	}
	if f.Media == codec.Protobuf {
		return encodeTypedList(r, objects, meta)
	}
	list := struct {
		Kind       string            `json:"kind"`
		APIVersion string            `json:"apiVersion"`
		Metadata   metav1.ListMeta   `json:"metadata"`
		Items      []json.RawMessage `json:"items"`
	}{r.kind.ListKind(), r.gvr.GroupVersion().String(), meta, make([]json.RawMessage, len(objects))}
	for i, o := range objects {
		raw, err := viewJSON(r, o)
		if err != nil {
			return nil, err
		}
		list.Items[i] = raw
	}
	return codec.Encode(f.Media, list)
}

// viewJSON is a stored object in the version of the request.
func viewJSON(r *request, o *store.Object) ([]byte, error) {
	if r.version == r.kind.Storage {
		return o.JSON, nil
	}
	obj, err := r.kind.In(r.version, o.Content())
	if err != nil {
		return nil, err
	}
	return json.Marshal(obj)
}

func encodeTypedList(r *request, objects []*store.Object, meta metav1.ListMeta) ([]byte, error) {
	gvk := r.kind.GVK(r.version)
	gvk.Kind = r.kind.ListKind()
	list, err := kind.Scheme().New(gvk)
	if err != nil {
		return nil, err
	}
	items := make([]any, len(objects))
	for i, o := range objects {
		if items[i], err = r.kind.In(r.version, o.Content()); err != nil {
			return nil, err
		}
	}
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&meta)
	if err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(map[string]any{"metadata": m, "items": items}, list); err != nil {
		return nil, err
	}
	list.GetObjectKind().SetGroupVersionKind(gvk)
	return codec.Encode(codec.Protobuf, list)
}

// write sends warnings, headers and the body.
func (r *request) write(w http.ResponseWriter, media string, code int, body []byte) {
	r.sendWarnings(w)
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(code)
	w.Write(body)
}

func (r *request) sendWarnings(w http.ResponseWriter) {
	for _, text := range r.warnings {
		if header, err := utilnet.NewWarningHeader(299, "-", text); err == nil {
			w.Header().Add("Warning", header)
		}
	}
}

// writeJSON answers with any API type.
func writeJSON(w http.ResponseWriter, code int, obj any) { writeAs(w, codec.JSON, code, obj) }

// writeAs answers in JSON under a media type that says more.
func writeAs(w http.ResponseWriter, media string, code int, obj any) {
	body, err := json.Marshal(obj)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(code)
	w.Write(body)
}

// writeError answers with the Status of an error. This is the one place where
// errors become answers.
func (s *Server) writeError(w http.ResponseWriter, h *http.Request, err error) {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
		s.log.Error("request failed", "method", h.Method, "path", h.URL.Path, "error", err)
	}
	status := known.Status()
	status.Kind, status.APIVersion = "Status", "v1"
	if d := status.Details; d != nil && d.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(d.RetryAfterSeconds))
	}
	writeJSON(w, int(status.Code), status)
}

func revisionOf(obj map[string]any) string {
	meta, _ := obj["metadata"].(map[string]any)
	rv, _ := meta["resourceVersion"].(string)
	return rv
}
