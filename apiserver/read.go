package apiserver

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lateenmesh/lateen/apiserver/store"
)

func (s *Server) get(w http.ResponseWriter, r *request) error {
	o, ok := s.store.Get(r.key())
	if !ok {
		return r.notFound()
	}
	f, err := r.format()
	if err != nil {
		return err
	}
	body, err := s.encodeObject(r, f, o.Content(), o.JSON)
	if err != nil {
		return err
	}
	r.write(w, f.Media, http.StatusOK, body)
	return nil
}

func (s *Server) list(w http.ResponseWriter, r *request) error {
	sel, err := newSelection(r)
	if err != nil {
		return err
	}
	objects, rev := s.store.List(r.kind.StorageResource(), r.namespace)
	objects = slices.DeleteFunc(objects, func(o *store.Object) bool { return !sel.matches(o) })
	meta := metav1.ListMeta{ResourceVersion: strconv.FormatUint(rev, 10)}
	if err := page(r, &objects, &meta); err != nil {
		return err
	}
	return s.writeList(w, r, objects, meta)
}

// continuation is where the next page of a list begins. Later pages carry the
// revision of the first, so that a watch from there misses nothing.
type continuation struct {
	Revision  string `json:"rv"`
	Namespace string `json:"ns"`
	Name      string `json:"name"`
}

// page cuts objects to the page that r asks for.
func page(r *request, objects *[]*store.Object, meta *metav1.ListMeta) error {
	limit, err := queryInt(r, "limit")
	if err != nil {
		return err
	}
	if token := r.query.Get("continue"); token != "" {
		var from continuation
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err == nil {
			err = json.Unmarshal(raw, &from)
		}
		if err != nil {
			return apierrors.NewBadRequest(fmt.Sprintf("continue key is not valid: %v", err))
		}
		meta.ResourceVersion = from.Revision
		start := store.Key{Resource: r.kind.StorageResource(), Namespace: from.Namespace, Name: from.Name}
		*objects = slices.DeleteFunc(*objects, func(o *store.Object) bool { return o.Key.Compare(start) <= 0 })
	}
	if limit <= 0 || int64(len(*objects)) <= limit {
		return nil
	}
	rest := int64(len(*objects)) - limit
	*objects = (*objects)[:limit]
	last := (*objects)[limit-1].Key
	raw, err := json.Marshal(continuation{meta.ResourceVersion, last.Namespace, last.Name})
	if err != nil {
		return err
	}
	meta.Continue = base64.RawURLEncoding.EncodeToString(raw)
	if r.query.Get("labelSelector") == "" && r.query.Get("fieldSelector") == "" {
		meta.RemainingItemCount = &rest
	}
	return nil
}

func queryInt(r *request, name string) (int64, error) {
	v := r.query.Get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("parameter %s=%q is not a number", name, v))
	}
	return n, nil
}
