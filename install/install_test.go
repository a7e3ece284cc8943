package install

import (
	"strings"
	"testing"
)

func TestObjectsCarryIstiosNames(t *testing.T) {
	objects, err := Objects()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.GetKind()+"/"+o.GetName())
	}
	got := strings.Join(names, " ")
	if !strings.HasPrefix(got, "Namespace/istio-system ConfigMap/istio ") {
		t.Errorf("the namespace and the settings come first, got %s", got)
	}
	for _, want := range []string{"Service/istiod", "Deployment/istiod", "Service/istio-ingressgateway", "Deployment/istio-ingressgateway"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

func TestReadSaysWhichDocumentIsWrong(t *testing.T) {
	_, err := Read(strings.NewReader("apiVersion: v1\nkind: Namespace\n---\nkind: Pod\n"))
	if err == nil || !strings.Contains(err.Error(), "document 2: apiVersion") {
		t.Errorf("got %v; want document 2 named", err)
	}
}
