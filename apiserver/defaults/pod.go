// Package defaults completes the objects of built-in kinds as Kubernetes does:
// what their writer has left out and controllers and kubectl rely on.
package defaults

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// set gives a field its default when it has none.
func set[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// fill gives a field its default when it is zero.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Pod completes a pod.
func Pod(p *corev1.Pod) {
	fill(&p.Spec.ServiceAccountName, "default")
	p.Spec.DeprecatedServiceAccount = p.Spec.ServiceAccountName
	PodSpec(&p.Spec)
	p.Status.QOSClass = QOSClass(&p.Spec)
	fill(&p.Status.Phase, corev1.PodPending)
}

// PodTemplate completes the pods of a workload.
func PodTemplate(t *corev1.PodTemplateSpec) { PodSpec(&t.Spec) }

// PodSpec completes what a pod and a pod template have in common.
func PodSpec(s *corev1.PodSpec) {
	fill(&s.RestartPolicy, corev1.RestartPolicyAlways)
	fill(&s.DNSPolicy, corev1.DNSClusterFirst)
	fill(&s.SchedulerName, corev1.DefaultSchedulerName)
	set(&s.TerminationGracePeriodSeconds, int64(corev1.DefaultTerminationGracePeriodSeconds))
	set(&s.SecurityContext, corev1.PodSecurityContext{})
	if s.ServiceAccountName != "" {
		s.DeprecatedServiceAccount = s.ServiceAccountName
	} else {
		s.ServiceAccountName = s.DeprecatedServiceAccount
	}
	for i := range s.InitContainers {
		completeContainer(s, &s.InitContainers[i])
	}
	for i := range s.Containers {
		completeContainer(s, &s.Containers[i])
	}
	for i := range s.Volumes {
		completeVolume(&s.Volumes[i].VolumeSource)
	}
}

func completeContainer(s *corev1.PodSpec, c *corev1.Container) {
	fill(&c.ImagePullPolicy, pullPolicy(c.Image))
	fill(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	fill(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		fill(&c.Ports[i].Protocol, corev1.ProtocolTCP)
		if s.HostNetwork {
			fill(&c.Ports[i].HostPort, c.Ports[i].ContainerPort)
		}
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		completeProbe(p)
	}
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				completeHTTP(h.HTTPGet)
			}
		}
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil && from.FieldRef != nil {
			fill(&from.FieldRef.APIVersion, "v1")
		}
	}
	for name, limit := range c.Resources.Limits {
		if _, ok := c.Resources.Requests[name]; !ok {
			if c.Resources.Requests == nil {
				c.Resources.Requests = corev1.ResourceList{}
			}
			c.Resources.Requests[name] = limit.DeepCopy()
		}
	}
}

// pullPolicy is Always for images that may change under their name.
func pullPolicy(image string) corev1.PullPolicy {
	if strings.Contains(image, "@") {
		return corev1.PullIfNotPresent
	}
	last := image[strings.LastIndexByte(image, '/')+1:]
	if _, tag, ok := strings.Cut(last, ":"); ok && tag != "latest" {
		return corev1.PullIfNotPresent
	}
	return corev1.PullAlways
}

func completeProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	fill(&p.TimeoutSeconds, 1)
	fill(&p.PeriodSeconds, 10)
	fill(&p.SuccessThreshold, 1)
	fill(&p.FailureThreshold, 3)
	completeHTTP(p.HTTPGet)
	if p.GRPC != nil {
		set(&p.GRPC.Service, "")
	}
}

func completeHTTP(h *corev1.HTTPGetAction) {
	if h == nil {
		return
	}
	fill(&h.Path, "/")
	fill(&h.Scheme, corev1.URISchemeHTTP)
}

func completeVolume(v *corev1.VolumeSource) {
	const mode = corev1.ConfigMapVolumeSourceDefaultMode
	switch {
	case v.ConfigMap != nil:
		set(&v.ConfigMap.DefaultMode, mode)
	case v.Secret != nil:
		set(&v.Secret.DefaultMode, mode)
	case v.DownwardAPI != nil:
		set(&v.DownwardAPI.DefaultMode, mode)
		completeDownward(v.DownwardAPI.Items)
	case v.Projected != nil:
		set(&v.Projected.DefaultMode, mode)
		for i := range v.Projected.Sources {
			src := &v.Projected.Sources[i]
			if src.ServiceAccountToken != nil {
				set(&src.ServiceAccountToken.ExpirationSeconds, 3600)
			}
			if src.DownwardAPI != nil {
				completeDownward(src.DownwardAPI.Items)
			}
		}
	case v.HostPath != nil:
		set(&v.HostPath.Type, corev1.HostPathUnset)
	case *v == (corev1.VolumeSource{}):
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
}

func completeDownward(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		if items[i].FieldRef != nil {
			fill(&items[i].FieldRef.APIVersion, "v1")
		}
	}
}

// QOSClass is the class that follows from the resources of a pod's containers.
func QOSClass(s *corev1.PodSpec) corev1.PodQOSClass {
	guaranteed, any := true, false
	for _, c := range append(append([]corev1.Container(nil), s.Containers...), s.InitContainers...) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit, limited := c.Resources.Limits[name]
			request, requested := c.Resources.Requests[name]
			any = any || limited && !limit.IsZero() || requested && !request.IsZero()
			if !limited || limit.IsZero() || requested && request.Cmp(limit) != 0 {
				guaranteed = false
			}
		}
	}
	switch {
	case !any:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	default:
		return corev1.PodQOSBurstable
	}
}
