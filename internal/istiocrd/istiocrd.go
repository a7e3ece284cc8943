// Package istiocrd holds Istio's custom resource definitions as the API serves
// them: schemas and validation rules, without the prose. They are derived from
// the module istio.io/api; go generate renews them after an upgrade.
package istiocrd

import (
	_ "embed"
	"encoding/json"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

//go:generate go run ./gen -out crds.json

// crds is one definition per line (JSON decodes ten times faster than YAML, and
// every start of the API pays for it).
//
//go:embed crds.json
var crds []byte

// All returns a fresh copy of every definition, in the order in which Istio lists them.
func All() []*apiextensionsv1.CustomResourceDefinition {
	var all []*apiextensionsv1.CustomResourceDefinition
	if err := json.Unmarshal(crds, &all); err != nil {
		panic(fmt.Sprintf("istiocrd: the embedded definitions are broken: %v", err)) // generated and tested
	}
	return all
}
