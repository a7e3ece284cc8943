package kind

import (
	"fmt"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/lateenmesh/lateen/apiserver/defaults"
	"github.com/lateenmesh/lateen/apiserver/table"
	"github.com/lateenmesh/lateen/apiserver/validate"
)

// autoscaler is stored as v2. The betas are long gone from Kubernetes, but not
// from people's files: v2beta2 has v2's shape, v2beta1 an older one.
func autoscaler() *Kind {
	return entry[autoscalingv2.HorizontalPodAutoscaler]{gv: autoscalingv2.SchemeGroupVersion,
		kind: "HorizontalPodAutoscaler", plural: "horizontalpodautoscalers",
		defaults: defaults.HorizontalPodAutoscaler, validate: validate.HorizontalPodAutoscaler,
		table: table.HorizontalPodAutoscaler, short: []string{"hpa"}, categories: all, status: true,
		versions: []string{"v2", "v1", "v2beta2", "v2beta1"},
		others: map[string]func() runtime.Object{
			"v1":      func() runtime.Object { return &autoscalingv1.HorizontalPodAutoscaler{} },
			"v2beta1": func() runtime.Object { return &autoscalerBeta1{} },
		},
		view: &Conversion{From: autoscalerFrom, To: autoscalerTo},
	}.row()
}

// autoscalerBeta1 is the v2beta1 form, as far as it differs from v2.
type autoscalerBeta1 struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              autoscalerBeta1Spec                         `json:"spec,omitempty"`
	Status            autoscalingv2.HorizontalPodAutoscalerStatus `json:"status,omitempty"`
}

type autoscalerBeta1Spec struct {
	ScaleTargetRef autoscalingv2.CrossVersionObjectReference `json:"scaleTargetRef"`
	MinReplicas    *int32                                    `json:"minReplicas,omitempty"`
	MaxReplicas    int32                                     `json:"maxReplicas"`
	Metrics        []metricBeta1                             `json:"metrics,omitempty"`
}

type metricBeta1 struct {
	Type     autoscalingv2.MetricSourceType `json:"type"`
	Object   *objectMetricBeta1             `json:"object,omitempty"`
	Pods     *namedMetricBeta1              `json:"pods,omitempty"`
	Resource *resourceMetricBeta1           `json:"resource,omitempty"`
	External *externalMetricBeta1           `json:"external,omitempty"`
}

type objectMetricBeta1 struct {
	Target       autoscalingv2.CrossVersionObjectReference `json:"target"`
	MetricName   string                                    `json:"metricName"`
	TargetValue  resource.Quantity                         `json:"targetValue"`
	Selector     *metav1.LabelSelector                     `json:"selector,omitempty"`
	AverageValue *resource.Quantity                        `json:"averageValue,omitempty"`
}

type namedMetricBeta1 struct {
	MetricName         string                `json:"metricName"`
	TargetAverageValue resource.Quantity     `json:"targetAverageValue"`
	Selector           *metav1.LabelSelector `json:"selector,omitempty"`
}

type resourceMetricBeta1 struct {
	Name                     corev1.ResourceName `json:"name"`
	TargetAverageUtilization *int32              `json:"targetAverageUtilization,omitempty"`
	TargetAverageValue       *resource.Quantity  `json:"targetAverageValue,omitempty"`
}

type externalMetricBeta1 struct {
	MetricName         string                `json:"metricName"`
	MetricSelector     *metav1.LabelSelector `json:"metricSelector,omitempty"`
	TargetValue        *resource.Quantity    `json:"targetValue,omitempty"`
	TargetAverageValue *resource.Quantity    `json:"targetAverageValue,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (a *autoscalerBeta1) DeepCopyObject() runtime.Object {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(a)
	if err != nil {
		panic("kind: copy autoscaler: " + err.Error()) // plain data
	}
	out, err := From[autoscalerBeta1](runtime.DeepCopyJSON(content))
	if err != nil {
		panic("kind: copy autoscaler: " + err.Error())
	}
	return out
}

func autoscalerFrom(version string, obj map[string]any) (map[string]any, error) {
	var v2 *autoscalingv2.HorizontalPodAutoscaler
	switch version {
	case "v2beta2":
		return withVersion(obj, autoscalingv2.SchemeGroupVersion), nil
	case "v1":
		v1, err := From[autoscalingv1.HorizontalPodAutoscaler](obj)
		if err != nil {
			return nil, err
		}
		v2 = autoscalerFromV1(v1)
	case "v2beta1":
		beta, err := From[autoscalerBeta1](obj)
		if err != nil {
			return nil, err
		}
		v2 = autoscalerFromBeta1(beta)
	default:
		return nil, fmt.Errorf("autoscaling/%s is not served", version)
	}
	v2.TypeMeta = metav1.TypeMeta{Kind: "HorizontalPodAutoscaler", APIVersion: autoscalingv2.SchemeGroupVersion.String()}
	return runtime.DefaultUnstructuredConverter.ToUnstructured(v2)
}

func autoscalerTo(version string, stored map[string]any) (map[string]any, error) {
	if version == "v2beta2" {
		gv := autoscalingv2.SchemeGroupVersion
		gv.Version = version
		return withVersion(stored, gv), nil
	}
	v2, err := From[autoscalingv2.HorizontalPodAutoscaler](stored)
	if err != nil {
		return nil, err
	}
	v2.APIVersion = "autoscaling/" + version
	var out any
	switch version {
	case "v1":
		out = autoscalerToV1(v2)
	case "v2beta1":
		out = autoscalerToBeta1(v2)
	default:
		return nil, fmt.Errorf("autoscaling/%s is not served", version)
	}
	return runtime.DefaultUnstructuredConverter.ToUnstructured(out)
}

func autoscalerFromV1(v1 *autoscalingv1.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	v2 := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: v1.ObjectMeta}
	v2.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference(v1.Spec.ScaleTargetRef)
	v2.Spec.MinReplicas, v2.Spec.MaxReplicas = v1.Spec.MinReplicas, v1.Spec.MaxReplicas
	if percent := v1.Spec.TargetCPUUtilizationPercentage; percent != nil {
		v2.Spec.Metrics = []autoscalingv2.MetricSpec{resourceMetric(corev1.ResourceCPU, percent, nil)}
	}
	v2.Status.ObservedGeneration, v2.Status.LastScaleTime = v1.Status.ObservedGeneration, v1.Status.LastScaleTime
	v2.Status.CurrentReplicas, v2.Status.DesiredReplicas = v1.Status.CurrentReplicas, v1.Status.DesiredReplicas
	if percent := v1.Status.CurrentCPUUtilizationPercentage; percent != nil {
		v2.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: percent}}}}
	}
	return v2
}

func autoscalerToV1(v2 *autoscalingv2.HorizontalPodAutoscaler) *autoscalingv1.HorizontalPodAutoscaler {
	v1 := &autoscalingv1.HorizontalPodAutoscaler{TypeMeta: v2.TypeMeta, ObjectMeta: v2.ObjectMeta}
	v1.Spec.ScaleTargetRef = autoscalingv1.CrossVersionObjectReference(v2.Spec.ScaleTargetRef)
	v1.Spec.MinReplicas, v1.Spec.MaxReplicas = v2.Spec.MinReplicas, v2.Spec.MaxReplicas
	for _, m := range v2.Spec.Metrics {
		if m.Resource != nil && m.Resource.Name == corev1.ResourceCPU {
			v1.Spec.TargetCPUUtilizationPercentage = m.Resource.Target.AverageUtilization
		}
	}
	v1.Status.ObservedGeneration, v1.Status.LastScaleTime = v2.Status.ObservedGeneration, v2.Status.LastScaleTime
	v1.Status.CurrentReplicas, v1.Status.DesiredReplicas = v2.Status.CurrentReplicas, v2.Status.DesiredReplicas
	for _, m := range v2.Status.CurrentMetrics {
		if m.Resource != nil && m.Resource.Name == corev1.ResourceCPU {
			v1.Status.CurrentCPUUtilizationPercentage = m.Resource.Current.AverageUtilization
		}
	}
	return v1
}

func autoscalerFromBeta1(b *autoscalerBeta1) *autoscalingv2.HorizontalPodAutoscaler {
	v2 := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: b.ObjectMeta, Status: b.Status}
	v2.Spec.ScaleTargetRef = b.Spec.ScaleTargetRef
	v2.Spec.MinReplicas, v2.Spec.MaxReplicas = b.Spec.MinReplicas, b.Spec.MaxReplicas
	for _, m := range b.Spec.Metrics {
		v2.Spec.Metrics = append(v2.Spec.Metrics, m.toV2())
	}
	return v2
}

func autoscalerToBeta1(v2 *autoscalingv2.HorizontalPodAutoscaler) *autoscalerBeta1 {
	b := &autoscalerBeta1{TypeMeta: v2.TypeMeta, ObjectMeta: v2.ObjectMeta, Status: v2.Status}
	b.Spec.ScaleTargetRef = v2.Spec.ScaleTargetRef
	b.Spec.MinReplicas, b.Spec.MaxReplicas = v2.Spec.MinReplicas, v2.Spec.MaxReplicas
	for _, m := range v2.Spec.Metrics {
		b.Spec.Metrics = append(b.Spec.Metrics, metricToBeta1(m))
	}
	return b
}

func (m metricBeta1) toV2() autoscalingv2.MetricSpec {
	out := autoscalingv2.MetricSpec{Type: canonicalType(m.Type)}
	switch {
	case m.Resource != nil:
		out = resourceMetric(m.Resource.Name, m.Resource.TargetAverageUtilization, m.Resource.TargetAverageValue)
	case m.Pods != nil:
		out.Pods = &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: m.Pods.MetricName, Selector: m.Pods.Selector},
			Target: valueTarget(nil, &m.Pods.TargetAverageValue)}
	case m.Object != nil:
		out.Object = &autoscalingv2.ObjectMetricSource{DescribedObject: m.Object.Target,
			Metric: autoscalingv2.MetricIdentifier{Name: m.Object.MetricName, Selector: m.Object.Selector},
			Target: valueTarget(&m.Object.TargetValue, m.Object.AverageValue)}
	case m.External != nil:
		out.External = &autoscalingv2.ExternalMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: m.External.MetricName, Selector: m.External.MetricSelector},
			Target: valueTarget(m.External.TargetValue, m.External.TargetAverageValue)}
	}
	return out
}

// canonicalType gives a metric type the spelling that v2 has.
func canonicalType(t autoscalingv2.MetricSourceType) autoscalingv2.MetricSourceType {
	for _, known := range []autoscalingv2.MetricSourceType{autoscalingv2.ResourceMetricSourceType, autoscalingv2.PodsMetricSourceType,
		autoscalingv2.ObjectMetricSourceType, autoscalingv2.ExternalMetricSourceType} {
		if strings.EqualFold(string(t), string(known)) {
			return known
		}
	}
	return t
}

func resourceMetric(name corev1.ResourceName, percent *int32, average *resource.Quantity) autoscalingv2.MetricSpec {
	target := autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: percent}
	if average != nil {
		target = autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: average}
	}
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: name, Target: target}}
}

func valueTarget(value, average *resource.Quantity) autoscalingv2.MetricTarget {
	if average != nil {
		return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: average}
	}
	return autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: value}
}

func metricToBeta1(m autoscalingv2.MetricSpec) metricBeta1 {
	out := metricBeta1{Type: m.Type}
	switch {
	case m.Resource != nil:
		out.Resource = &resourceMetricBeta1{m.Resource.Name, m.Resource.Target.AverageUtilization, m.Resource.Target.AverageValue}
	case m.Pods != nil:
		out.Pods = &namedMetricBeta1{MetricName: m.Pods.Metric.Name, Selector: m.Pods.Metric.Selector, TargetAverageValue: quantity(m.Pods.Target.AverageValue)}
	case m.Object != nil:
		out.Object = &objectMetricBeta1{Target: m.Object.DescribedObject, MetricName: m.Object.Metric.Name, Selector: m.Object.Metric.Selector,
			TargetValue: quantity(m.Object.Target.Value), AverageValue: m.Object.Target.AverageValue}
	case m.External != nil:
		out.External = &externalMetricBeta1{m.External.Metric.Name, m.External.Metric.Selector, m.External.Target.Value, m.External.Target.AverageValue}
	}
	return out
}

func quantity(q *resource.Quantity) resource.Quantity {
	if q == nil {
		return resource.Quantity{}
	}
	return *q
}
