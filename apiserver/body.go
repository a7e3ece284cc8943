package apiserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lateenmesh/lateen/apiserver/codec"
	"github.com/lateenmesh/lateen/apiserver/fieldtree"
	"github.com/lateenmesh/lateen/apiserver/kind"
)

// maxBody is the largest request body in bytes, as Kubernetes has it.
const maxBody = 3 << 20

// readBody reads the request body up to the limit.
func readBody(h *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(h.Body, maxBody+1))
	if err != nil {
		return nil, apierrors.NewBadRequest("read request body: " + err.Error())
	}
	if len(body) > maxBody {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	return body, nil
}

// decodeBody reads the object in the request body: complete, without unknown
// fields, in the storage version.
func decodeBody(r *request) (map[string]any, error) {
	body, err := readBody(r.http)
	if err != nil {
		return nil, err
	}
	b, err := codec.Decode(kind.Scheme(), codec.MediaOf(r.http.Header.Get("Content-Type")), body)
	if unsupported := (codec.ErrUnsupported{}); errors.As(err, &unsupported) {
		return nil, unsupportedMedia(err)
	}
	if err != nil {
		return nil, notHandled(r, err.Error())
	}
	return normalize(r, b)
}

func unsupportedMedia(err error) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure,
		Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType, Message: err.Error()}}
}

// normalize brings an object of the request's version into stored form and
// treats unknown and doubled fields as the request asks.
func normalize(r *request, b codec.Body) (map[string]any, error) {
	if err := checkType(r, b.Object); err != nil {
		return nil, err
	}
	obj, problems, err := r.kind.Rules.Normalize(r.version, b.Object, b.Raw)
	if err != nil {
		return nil, notHandled(r, err.Error())
	}
	if err := r.complain(append(b.Duplicates, problems...)); err != nil {
		return nil, err
	}
	gvk := r.kind.GVK(r.version)
	obj["apiVersion"], obj["kind"] = gvk.GroupVersion().String(), gvk.Kind
	return r.kind.Stored(r.version, obj)
}

// checkType refuses bodies that are of another kind than the path. A body
// without a type is taken to be right.
func checkType(r *request, obj map[string]any) error {
	gvk := r.kind.GVK(r.version)
	if v, _ := obj["apiVersion"].(string); v != "" && v != gvk.GroupVersion().String() {
		return apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)", v, gvk.GroupVersion()))
	}
	if k, _ := obj["kind"].(string); k != "" && k != gvk.Kind {
		return apierrors.NewBadRequest(fmt.Sprintf("the kind in the data (%s) does not match the expected kind (%s)", k, gvk.Kind))
	}
	return nil
}

// complain refuses, warns or keeps silent about fields that are unknown or occur twice.
func (r *request) complain(problems []string) error {
	if len(problems) == 0 || r.validation == metav1.FieldValidationIgnore {
		return nil
	}
	tree := r.kind.Rules.Fields(r.version)
	for i, p := range problems {
		problems[i] = withHint(tree, p)
	}
	if r.validation == metav1.FieldValidationStrict {
		return notHandled(r, "strict decoding error: "+strings.Join(dedupe(problems), ", "))
	}
	for _, p := range dedupe(problems) {
		r.warn(p)
	}
	return nil
}

func dedupe(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

var unknownField = regexp.MustCompile(`^unknown field (".*")$`)

// withHint adds to a complaint about an unknown field what its writer may have meant.
func withHint(tree fieldtree.Node, problem string) string {
	m := unknownField.FindStringSubmatch(problem)
	if m == nil || tree == nil {
		return problem
	}
	path, err := strconv.Unquote(m[1])
	if err != nil {
		return problem
	}
	if hint := fieldtree.Hint(tree, path); hint != "" {
		return problem + ", " + hint
	}
	return problem
}

// notHandled is the error for a body that cannot be read as the kind.
func notHandled(r *request, why string) error {
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %s", r.kind.Kind, r.version, r.kind.Kind, why))
}
