package main

import (
	"context"
	"fmt"
	"time"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// keepWebhooks keeps the API server's webhook configurations as they should
// be, until ctx ends: with the roots of the moment, and after somebody has
// changed them.
func (p *program) keepWebhooks(ctx context.Context) error {
	rotated := p.keeper.Changed()
	for {
		wait := time.Minute
		if err := p.registerWebhooks(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("webhook configurations not written", "error", err)
			wait = 2 * time.Second
		}
		select {
		case <-ctx.Done():
			return nil
		case <-rotated:
		case <-time.After(wait):
		}
	}
}

func (p *program) registerWebhooks(ctx context.Context) error {
	m, v := p.mutating(), p.validating()
	ms := p.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	held, err := ms.Get(ctx, m.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = ms.Create(ctx, m, metav1.CreateOptions{})
	case err == nil:
		m.ResourceVersion = held.ResourceVersion
		_, err = ms.Update(ctx, m, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", m.Name, err)
	}
	vs := p.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	heldV, err := vs.Get(ctx, v.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = vs.Create(ctx, v, metav1.CreateOptions{})
	case err == nil:
		v.ResourceVersion = heldV.ResourceVersion
		_, err = vs.Update(ctx, v, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", v.Name, err)
	}
	return nil
}

// rule is when one of the injector's webhooks is called.
type rule struct {
	name             string
	namespace, pod   []metav1.LabelSelectorRequirement
	onlyDefaultStyle bool // for istio-injection, which belongs to revision default
}

func in(key string, values ...string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: values}
}

func notIn(key string, values ...string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: values}
}

func absent(key string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpDoesNotExist}
}

// rules are the same decision as inject.Decide makes, as far as labels go.
func (p *program) rules() []rule {
	const injection, revision, pod = "istio-injection", "istio.io/rev", "sidecar.istio.io/inject"
	type reqs = []metav1.LabelSelectorRequirement
	return []rule{
		{"rev.namespace.sidecar-injector.istio.io", reqs{in(revision, p.settings.Revision), absent(injection)}, reqs{notIn(pod, "false")}, false},
		{"rev.object.sidecar-injector.istio.io", reqs{absent(revision), absent(injection)}, reqs{notIn(pod, "false"), in(revision, p.settings.Revision)}, false},
		{"namespace.sidecar-injector.istio.io", reqs{in(injection, "enabled")}, reqs{notIn(pod, "false")}, true},
		{"object.sidecar-injector.istio.io", reqs{absent(injection), absent(revision)}, reqs{in(pod, "true"), absent(revision)}, true},
	}
}

func (p *program) mutating() *admissionregistration.MutatingWebhookConfiguration {
	c := &admissionregistration.MutatingWebhookConfiguration{ObjectMeta: p.meta("istio-sidecar-injector")}
	for _, r := range p.rules() {
		if r.onlyDefaultStyle && p.settings.Revision != "default" {
			continue
		}
		none, fail := admissionregistration.SideEffectClassNone, admissionregistration.Fail
		c.Webhooks = append(c.Webhooks, admissionregistration.MutatingWebhook{
			Name: r.name, ClientConfig: p.clientConfig("/inject"), FailurePolicy: &fail, SideEffects: &none,
			AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector:       &metav1.LabelSelector{MatchExpressions: r.namespace},
			ObjectSelector:          &metav1.LabelSelector{MatchExpressions: r.pod},
			Rules: []admissionregistration.RuleWithOperations{{
				Operations: []admissionregistration.OperationType{admissionregistration.Create},
				Rule:       admissionregistration.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		})
	}
	return c
}

func (p *program) validating() *admissionregistration.ValidatingWebhookConfiguration {
	none, fail := admissionregistration.SideEffectClassNone, admissionregistration.Fail
	return &admissionregistration.ValidatingWebhookConfiguration{
		ObjectMeta: p.meta("istio-validator-" + p.settings.Namespace),
		Webhooks: []admissionregistration.ValidatingWebhook{{
			Name: "validation.istio.io", ClientConfig: p.clientConfig("/validate"), FailurePolicy: &fail, SideEffects: &none,
			AdmissionReviewVersions: []string{"v1"},
			Rules: []admissionregistration.RuleWithOperations{{
				Operations: []admissionregistration.OperationType{admissionregistration.Create, admissionregistration.Update},
				Rule: admissionregistration.Rule{
					APIGroups:   []string{"security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io"},
					APIVersions: []string{"*"}, Resources: []string{"*"},
				},
			}},
		}},
	}
}

func (p *program) meta(name string) metav1.ObjectMeta {
	if p.settings.Revision != "default" {
		name += "-" + p.settings.Revision
	}
	return metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "istiod", "istio.io/rev": p.settings.Revision}}
}

func (p *program) clientConfig(path string) admissionregistration.WebhookClientConfig {
	port := int32(443)
	return admissionregistration.WebhookClientConfig{
		Service:  &admissionregistration.ServiceReference{Namespace: p.settings.Namespace, Name: "istiod", Path: &path, Port: &port},
		CABundle: p.keeper.Authority().Roots(),
	}
}
