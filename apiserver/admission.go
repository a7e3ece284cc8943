package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// Admission is what sees objects before they are stored: first every mutator in
// order, then, on the finished object, every validator. Dry runs are seen too.
type Admission struct {
	Mutators   []Mutator
	Validators []Validator
}

// Mutator may change an object by answering with a JSON patch, or deny it.
type Mutator struct {
	// Name appears in the message when an object is denied.
	Name  string
	Match Match
	Admit func(ctx context.Context, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse
}

// Validator allows or denies an object. Warnings in its answer reach the client either way.
type Validator struct {
	// Name appears in the message when an object is denied.
	Name  string
	Match Match
	Admit func(ctx context.Context, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse
}

// Match selects requests. An empty list, or one with "*", selects all.
type Match struct {
	// Groups are API groups; the core group is "".
	Groups []string
	// Resources are plural names, such as "pods"; a subresource is written "pods/status"
	// and is not selected by "pods" or by an empty list.
	Resources []string
	// Operations are CREATE, UPDATE, DELETE and CONNECT. Empty means CREATE and UPDATE.
	Operations []admissionv1.Operation
}

func (m Match) selects(req *admissionv1.AdmissionRequest) bool {
	resource := req.Resource.Resource
	if req.SubResource != "" {
		resource += "/" + req.SubResource
		if !slices.Contains(m.Resources, resource) {
			return false
		}
	}
	ops := m.Operations
	if len(ops) == 0 {
		ops = []admissionv1.Operation{admissionv1.Create, admissionv1.Update}
	}
	return listed(m.Groups, req.Resource.Group) && listed(m.Resources, resource) && listed(ops, req.Operation)
}

func listed[T ~string](list []T, v T) bool {
	return len(list) == 0 || slices.Contains(list, v) || slices.Contains(list, "*")
}

// admissionRequest describes a write to mutators and validators.
func admissionRequest(r *request, op admissionv1.Operation, obj, old map[string]any) (*admissionv1.AdmissionRequest, error) {
	gvk, gvr := r.kind.GVK(r.version), r.kind.GVR(r.version)
	kind := metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	resource := metav1.GroupVersionResource{Group: gvr.Group, Version: gvr.Version, Resource: gvr.Resource}
	req := &admissionv1.AdmissionRequest{
		UID: uuid.NewUUID(), Kind: kind, Resource: resource, SubResource: r.subresource,
		RequestKind: &kind, RequestResource: &resource, RequestSubResource: r.subresource,
		Name: r.name, Namespace: r.namespace, Operation: op, UserInfo: r.user, DryRun: &r.dryRun,
	}
	var err error
	if req.Object, err = inVersion(r, obj); err != nil {
		return nil, err
	}
	req.OldObject, err = inVersion(r, old)
	return req, err
}

func inVersion(r *request, stored map[string]any) (runtime.RawExtension, error) {
	if stored == nil {
		return runtime.RawExtension{}, nil
	}
	obj, err := r.kind.In(r.version, stored)
	if err != nil {
		return runtime.RawExtension{}, err
	}
	raw, err := json.Marshal(obj)
	return runtime.RawExtension{Raw: raw}, err
}

// mutate shows obj (in storage version) to the mutators and returns what they made of it.
func (s *Server) mutate(ctx context.Context, r *request, op admissionv1.Operation, obj, old map[string]any) (map[string]any, error) {
	for _, m := range s.cfg.Admission.Mutators {
		req, err := admissionRequest(r, op, obj, old)
		if err != nil {
			return nil, err
		}
		if !m.Match.selects(req) {
			continue
		}
		resp := m.Admit(ctx, req)
		if err := verdict(r, m.Name, resp); err != nil {
			return nil, err
		}
		if len(resp.Patch) == 0 {
			continue
		}
		patched, err := applyAdmissionPatch(req.Object.Raw, resp.Patch)
		if err != nil {
			return nil, apierrors.NewInternalError(fmt.Errorf("admission webhook %q: %w", m.Name, err))
		}
		// A mutator may set fields that the kind does not have; they are dropped as in any write.
		if patched, _, err = r.kind.Rules.Normalize(r.version, patched, nil); err != nil {
			return nil, apierrors.NewInternalError(fmt.Errorf("admission webhook %q: %w", m.Name, err))
		}
		if obj, err = r.kind.Stored(r.version, patched); err != nil {
			return nil, err
		}
		if obj, err = r.kind.Rules.Default(obj); err != nil {
			return nil, err
		}
	}
	return obj, nil
}

// admit shows the finished obj (nil when deleting) to the validators.
func (s *Server) admit(ctx context.Context, r *request, op admissionv1.Operation, obj, old map[string]any) error {
	for _, v := range s.cfg.Admission.Validators {
		req, err := admissionRequest(r, op, obj, old)
		if err != nil {
			return err
		}
		if !v.Match.selects(req) {
			continue
		}
		if err := verdict(r, v.Name, v.Admit(ctx, req)); err != nil {
			return err
		}
	}
	return nil
}

// verdict passes warnings on and turns a denial into the error that Kubernetes gives.
func verdict(r *request, name string, resp *admissionv1.AdmissionResponse) error {
	if resp == nil {
		return apierrors.NewInternalError(fmt.Errorf("admission webhook %q gave no answer", name))
	}
	for _, w := range resp.Warnings {
		r.warn(w)
	}
	if resp.Allowed {
		return nil
	}
	status := metav1.Status{}
	if resp.Result != nil {
		status = *resp.Result
	}
	status.Status = metav1.StatusFailure
	status.Code = max(status.Code, http.StatusBadRequest)
	denied := fmt.Sprintf("admission webhook %q denied the request", name)
	switch {
	case status.Message != "":
		status.Message = denied + ": " + status.Message
	case status.Reason != "":
		status.Message = denied + ": " + string(status.Reason)
	default:
		status.Message = denied + " without explanation"
	}
	return &apierrors.StatusError{ErrStatus: status}
}

func applyAdmissionPatch(doc, patch []byte) (map[string]any, error) {
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, fmt.Errorf("its patch is no JSON patch: %w", err)
	}
	out, err := p.Apply(doc)
	if err != nil {
		return nil, fmt.Errorf("its patch does not fit: %w", err)
	}
	var obj map[string]any
	if err := utiljson.Unmarshal(out, &obj); err != nil {
		return nil, fmt.Errorf("its patch makes no object: %w", err)
	}
	return obj, nil
}
