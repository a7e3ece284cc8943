package istiocrd

import (
	"testing"
)

// Every definition serves at least one version with a schema, and stores exactly one.
func TestAll(t *testing.T) {
	all := All()
	if len(all) != 15 {
		t.Errorf("got %d definitions, want Istio's 15", len(all))
	}
	for _, crd := range all {
		stored := 0
		for _, v := range crd.Spec.Versions {
			if v.Storage {
				stored++
			}
			if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
				t.Errorf("%s %s: no schema", crd.Name, v.Name)
			}
		}
		if stored != 1 {
			t.Errorf("%s: got %d storage versions, want 1", crd.Name, stored)
		}
	}
}

// The rules that Istio expresses in CEL survive the trimming.
func TestRulesAreKept(t *testing.T) {
	for _, crd := range All() {
		if crd.Spec.Names.Kind != "DestinationRule" {
			continue
		}
		spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		if _, ok := spec.Properties["trafficPolicy"].Properties["outlierDetection"]; !ok {
			t.Error("DestinationRule has lost spec.trafficPolicy.outlierDetection")
		}
	}
}

func BenchmarkAll(b *testing.B) {
	for b.Loop() {
		All()
	}
}
