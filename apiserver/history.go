package apiserver

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// historyList is the answer of GET /history/PATH, where PATH is the ordinary path
// of an object, such as /history/apis/networking.istio.io/v1/namespaces/shop/virtualservices/cart.
type historyList struct {
	metav1.TypeMeta `json:",inline"`
	Items           []historyItem `json:"items"`
}

type historyItem struct {
	Revision string          `json:"revision"`
	Time     time.Time       `json:"time"`
	Deleted  bool            `json:"deleted,omitempty"`
	Object   json.RawMessage `json:"object"`
}

// serveHistory answers which revisions an object had, oldest first. It is not part
// of Kubernetes' API.
func (s *Server) serveHistory(w http.ResponseWriter, h *http.Request, path string) error {
	p, ok := parsePath(path)
	if !ok || p.name == "" || p.subresource != "" {
		return unknownPath()
	}
	if h.Method != http.MethodGet {
		return apierrors.NewMethodNotSupported(p.gvr.GroupResource(), h.Method)
	}
	r, err := s.newRequest(h, admin(), p)
	if err != nil {
		return err
	}
	revisions := s.store.History(r.key())
	if len(revisions) == 0 {
		return r.notFound()
	}
	list := historyList{TypeMeta: metav1.TypeMeta{Kind: "History", APIVersion: "v1"}}
	for _, rev := range revisions {
		raw, err := viewJSON(r, rev.Object)
		if err != nil {
			return err
		}
		list.Items = append(list.Items, historyItem{strconv.FormatUint(rev.Revision, 10), rev.Time, rev.Deleted, raw})
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}
