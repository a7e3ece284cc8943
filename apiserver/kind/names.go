package kind

import (
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
)

// Rules for metadata.name, as Kubernetes has them for different kinds.
var (
	subdomain NameRule = apivalidation.NameIsDNSSubdomain
	dnsLabel  NameRule = apivalidation.NameIsDNSLabel
	dns1035   NameRule = apivalidation.NameIsDNS1035Label
	segment   NameRule = func(name string, prefix bool) []string { return path.ValidatePathSegmentName(name, prefix) }
)

// CheckName returns what is wrong with an object's name.
func (k *Kind) CheckName(name string, prefix bool) []string {
	if k.NameIs == nil {
		return subdomain(name, prefix)
	}
	return k.NameIs(name, prefix)
}
