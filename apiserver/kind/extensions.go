package kind

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/lateenmesh/lateen/apiserver/defaults"
	"github.com/lateenmesh/lateen/apiserver/table"
)

// extensions are the kinds that change the API itself. Webhook configurations
// are stored for others to read: admission here is in process.
func extensions() []*Kind {
	adm := admissionregistrationv1.SchemeGroupVersion
	return []*Kind{
		entry[apiextensionsv1.CustomResourceDefinition]{gv: apiextensionsv1.SchemeGroupVersion, kind: "CustomResourceDefinition",
			plural: "customresourcedefinitions",
			table:  table.CustomResourceDefinition, short: []string{"crd", "crds"}, categories: []string{"api-extensions"},
			cluster: true, generation: true, status: true}.row(),
		entry[admissionregistrationv1.MutatingWebhookConfiguration]{gv: adm, kind: "MutatingWebhookConfiguration",
			plural:   "mutatingwebhookconfigurations",
			defaults: defaults.MutatingWebhooks, table: table.MutatingWebhooks, categories: []string{"api-extensions"}, cluster: true, generation: true}.row(),
		entry[admissionregistrationv1.ValidatingWebhookConfiguration]{gv: adm, kind: "ValidatingWebhookConfiguration",
			plural:   "validatingwebhookconfigurations",
			defaults: defaults.ValidatingWebhooks, table: table.ValidatingWebhooks, categories: []string{"api-extensions"}, cluster: true, generation: true}.row(),
		entry[admissionregistrationv1.ValidatingAdmissionPolicy]{gv: adm, kind: "ValidatingAdmissionPolicy",
			plural: "validatingadmissionpolicies", categories: []string{"api-extensions"}, cluster: true, generation: true, status: true}.row(),
		entry[admissionregistrationv1.ValidatingAdmissionPolicyBinding]{gv: adm, kind: "ValidatingAdmissionPolicyBinding",
			plural: "validatingadmissionpolicybindings", categories: []string{"api-extensions"}, cluster: true, generation: true}.row(),
	}
}

// reviews are questions put to the API: they are answered and not stored.
func reviews() []*Kind {
	authn, authz := authenticationv1.SchemeGroupVersion, authorizationv1.SchemeGroupVersion
	return []*Kind{
		entry[authenticationv1.TokenReview]{gv: authn, kind: "TokenReview", plural: "tokenreviews", cluster: true, virtual: true}.row(),
		entry[authenticationv1.SelfSubjectReview]{gv: authn, kind: "SelfSubjectReview", plural: "selfsubjectreviews", cluster: true, virtual: true}.row(),
		entry[authorizationv1.SelfSubjectAccessReview]{gv: authz, kind: "SelfSubjectAccessReview", plural: "selfsubjectaccessreviews", cluster: true, virtual: true}.row(),
		entry[authorizationv1.SubjectAccessReview]{gv: authz, kind: "SubjectAccessReview", plural: "subjectaccessreviews", cluster: true, virtual: true}.row(),
		entry[authorizationv1.LocalSubjectAccessReview]{gv: authz, kind: "LocalSubjectAccessReview", plural: "localsubjectaccessreviews", virtual: true}.row(),
		entry[authorizationv1.SelfSubjectRulesReview]{gv: authz, kind: "SelfSubjectRulesReview", plural: "selfsubjectrulesreviews", cluster: true, virtual: true}.row(),
	}
}
