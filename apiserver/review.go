package apiserver

import (
	"encoding/json"
	"errors"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lateenmesh/lateen/apiserver/codec"
	"github.com/lateenmesh/lateen/apiserver/kind"
)

// decodeInto reads a body that is not the request's own kind.
func decodeInto[T any](r *request) (*T, error) {
	body, err := readBody(r.http)
	if err != nil {
		return nil, err
	}
	b, err := codec.Decode(kind.Scheme(), codec.MediaOf(r.http.Header.Get("Content-Type")), body)
	if unsupported := (codec.ErrUnsupported{}); errors.As(err, &unsupported) {
		return nil, unsupportedMedia(err)
	}
	out := new(T)
	if err == nil {
		err = json.Unmarshal(b.Raw, out)
	}
	if err != nil {
		return nil, apierrors.NewBadRequest("read request body: " + err.Error())
	}
	return out, nil
}

// writeTyped answers with a Go value of some kind.
func (s *Server) writeTyped(w http.ResponseWriter, r *request, code int, gvk schema.GroupVersionKind, obj runtime.Object) error {
	f, ok := codec.Choose(r.http.Header.Get("Accept"), func(f codec.Format) bool { return f.As == "" })
	if !ok {
		f = codec.Format{Media: codec.JSON}
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	body, err := codec.Encode(f.Media, obj)
	if err != nil {
		return err
	}
	r.write(w, f.Media, code, body)
	return nil
}

// review answers questions about tokens and rights. Every right is granted: roles are not enforced.
func (s *Server) review(w http.ResponseWriter, r *request) error {
	if r.http.Method != http.MethodPost || r.name != "" {
		return r.methodNotAllowed()
	}
	allowed := authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: "roles are stored, not enforced"}
	var out runtime.Object
	switch r.kind.Kind {
	case "TokenReview":
		review, err := decodeInto[authenticationv1.TokenReview](r)
		if err != nil {
			return err
		}
		s.reviewToken(review)
		out = review
	case "SelfSubjectReview":
		out = &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: r.user}}
	case "SelfSubjectAccessReview":
		review, err := decodeInto[authorizationv1.SelfSubjectAccessReview](r)
		if err != nil {
			return err
		}
		review.Status = allowed
		out = review
	case "SubjectAccessReview":
		review, err := decodeInto[authorizationv1.SubjectAccessReview](r)
		if err != nil {
			return err
		}
		review.Status = allowed
		out = review
	case "LocalSubjectAccessReview":
		review, err := decodeInto[authorizationv1.LocalSubjectAccessReview](r)
		if err != nil {
			return err
		}
		review.Status = allowed
		out = review
	case "SelfSubjectRulesReview":
		every := []string{"*"}
		out = &authorizationv1.SelfSubjectRulesReview{Status: authorizationv1.SubjectRulesReviewStatus{
			ResourceRules:    []authorizationv1.ResourceRule{{Verbs: every, APIGroups: every, Resources: every}},
			NonResourceRules: []authorizationv1.NonResourceRule{{Verbs: every, NonResourceURLs: every}},
		}}
	default:
		return unknownPath()
	}
	return s.writeTyped(w, r, http.StatusCreated, r.kind.GVK(r.version), out)
}

// reviewToken fills the status of a TokenReview.
func (s *Server) reviewToken(review *authenticationv1.TokenReview) {
	if review.Spec.Token == s.keys.token {
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: admin(), Audiences: review.Spec.Audiences}
		return
	}
	audiences := review.Spec.Audiences
	if len(audiences) == 0 {
		audiences = []string{defaultAudience}
	}
	user, good, err := s.verifyToken(review.Spec.Token, audiences)
	if err != nil {
		review.Status = authenticationv1.TokenReviewStatus{Error: err.Error()}
		return
	}
	review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: user, Audiences: good}
}
