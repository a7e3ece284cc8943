package local

import (
	"context"
	"log/slog"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lateenmesh/lateen/apiserver"
	"github.com/lateenmesh/lateen/control"
	"github.com/lateenmesh/lateen/control/admit"
	"github.com/lateenmesh/lateen/control/inject"
)

// admission is what a cluster asks webhooks for: the injector and the validator,
// called in this process, so that they answer before the control plane runs.
func admission(l *Local, log *slog.Logger) apiserver.Admission {
	labels := func(ctx context.Context, namespace string) (map[string]string, error) {
		kube, err := kubernetes.NewForConfig(l.rest)
		if err != nil {
			return nil, err
		}
		ns, err := kube.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return ns.Labels, nil
	}
	injector := inject.NewWebhook(func() inject.Settings { return inject.Settings{} }, labels, log)
	validator := admit.NewWebhook(control.New(control.Config{}).Validate, log)
	return apiserver.Admission{
		Mutators: []apiserver.Mutator{{
			Name:  "namespace.sidecar-injector.istio.io",
			Match: apiserver.Match{Groups: []string{""}, Resources: []string{"pods"}, Operations: []admissionv1.Operation{admissionv1.Create}},
			Admit: injector.Admit,
		}},
		Validators: []apiserver.Validator{{Name: "validation.istio.io", Admit: validator.Admit}},
	}
}
