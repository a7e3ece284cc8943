package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

// request is a resource request: what it names, who asks, and how strict it is.
type request struct {
	http  *http.Request
	query url.Values
	user  authenticationv1.UserInfo

	kind    *kind.Kind
	version string
	resourcePath

	dryRun     bool
	validation string // Strict, Warn or Ignore
	manager    string // fieldManager, or what stands in for it

	nameGenerated bool // the name was made from generateName
	applied       bool // server-side apply has recorded the field managers

	warnings []string
}

// newRequest checks the path against the catalog, and the common parameters.
func (s *Server) newRequest(h *http.Request, user authenticationv1.UserInfo, p resourcePath) (*request, error) {
	k := s.catalog.Load().byGVR[p.gvr]
	if k == nil {
		return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
			Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
		}}
	}
	if k.Namespaced && p.namespace == "" && p.name != "" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s are namespaced: the path has no namespace", k.Plural))
	}
	r := &request{http: h, query: h.URL.Query(), user: user, kind: k, version: p.gvr.Version, resourcePath: p}
	if !k.Namespaced {
		r.namespace = ""
	}
	switch values := r.query["dryRun"]; {
	case len(values) == 1 && values[0] == metav1.DryRunAll:
		r.dryRun = true
	case len(values) > 0:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("dryRun: Unsupported value: %q: supported values: %q", values, metav1.DryRunAll))
	}
	r.validation = r.query.Get("fieldValidation")
	switch r.validation {
	case "":
		r.validation = metav1.FieldValidationWarn
	case metav1.FieldValidationWarn, metav1.FieldValidationStrict, metav1.FieldValidationIgnore:
	default:
		err := field.NotSupported(field.NewPath("fieldValidation"), r.validation,
			[]string{metav1.FieldValidationIgnore, metav1.FieldValidationWarn, metav1.FieldValidationStrict})
		return nil, apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("Options").GroupKind(), "", field.ErrorList{err})
	}
	r.manager = r.query.Get("fieldManager")
	if r.manager == "" {
		agent, _, _ := strings.Cut(h.UserAgent(), "/")
		r.manager = agent
	}
	return r, nil
}

// key names the object of the request in the store.
func (r *request) key() store.Key {
	return store.Key{Resource: r.kind.StorageResource(), Namespace: r.namespace, Name: r.name}
}

// warn sends the client a message beside the answer.
func (r *request) warn(message string) { r.warnings = append(r.warnings, message) }

// notFound is the error for an object that is not there.
func (r *request) notFound() error {
	return apierrors.NewNotFound(r.kind.GroupResource(), r.name)
}
